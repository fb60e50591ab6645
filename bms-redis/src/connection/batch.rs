//! Sends calls that come at the same time in one piece.
//!
//! Every command that goes through the client library on its own wakes two tasks and costs several allocations. Taken
//! together, the calls that came while others were under way cost a third of that, and a call that comes alone waits for
//! nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// The most calls that go out in one piece.
const MOST: usize = 64;
/// How many pieces may be under way. While so many are, calls gather for the next.
const UNDER_WAY: usize = 4;
/// Calls that gather; more of them wait for a place, in order.
const QUEUE: usize = 1024;

/// Gathers calls for one connection. Its task ends with it.
pub(crate) struct Batch {
    queue: mpsc::Sender<Waiting>,
    task: AbortHandle,
}

/// Whether a call goes out: it is sent, or its caller gives up first, and whoever comes first decides. So a call that was still
/// waiting at its deadline is known not to have happened.
#[derive(Clone, Default)]
pub(crate) struct Departure(Arc<AtomicBool>);

impl Departure {
    /// Keeps the call from being sent, unless it was.
    pub(crate) fn is_prevented(&self) -> bool {
        self.decide()
    }

    /// Sends the call, unless its caller has given up.
    fn is_due(&self) -> bool {
        self.decide()
    }

    /// Whether nobody has decided before.
    fn decide(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// A command and who waits for its answer.
struct Waiting {
    command: Cmd,
    departure: Departure,
    answer: oneshot::Sender<Result<Value, RedisError>>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Batch {
    pub(crate) fn new(connection: MultiplexedConnection) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let task = tokio::spawn(gather(connection, waiting)).abort_handle();
        Self { queue, task }
    }

    /// Gives a command away to be sent; its answer comes later.
    pub(crate) async fn send(
        &self,
        command: Cmd,
        departure: Departure,
    ) -> Result<oneshot::Receiver<Result<Value, RedisError>>, RedisError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Waiting { command, departure, answer }).await.map_err(|_| closed())?;
        Ok(answered)
    }
}

async fn gather(connection: MultiplexedConnection, mut queue: mpsc::Receiver<Waiting>) {
    let mut under_way = FuturesUnordered::new();
    let mut waiting = Vec::with_capacity(MOST);
    loop {
        tokio::select! {
            biased;
            Some(()) = under_way.next() => {}
            taken = queue.recv_many(&mut waiting, MOST), if under_way.len() < UNDER_WAY => {
                if taken == 0 {
                    return;
                }
                under_way.push(send(connection.clone(), std::mem::replace(&mut waiting, Vec::with_capacity(MOST))));
            }
        }
    }
}

/// Sends commands in one piece, and gives each its answer.
async fn send(mut connection: MultiplexedConnection, mut waiting: Vec<Waiting>) {
    // Nobody waits any more for some, and some have been told that they were not sent.
    waiting.retain(|waiting| !waiting.answer.is_closed() && waiting.departure.is_due());
    let mut commands = Pipeline::with_capacity(waiting.len());
    let mut answers = Vec::with_capacity(waiting.len());
    for Waiting { command, departure: _, answer } in waiting {
        commands.add_command(command);
        answers.push(answer);
    }
    if answers.is_empty() {
        return;
    }
    match connection.send_packed_commands(&commands, 0, answers.len()).await {
        Ok(values) => {
            for (answer, value) in answers.into_iter().zip(values) {
                let _ = answer.send(Ok(value));
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

/// The connection's task is gone.
pub(crate) fn closed() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe))
}
