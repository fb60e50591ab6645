//! One supervised connection.
//!
//! While it stands, calls go out on it as they come. When it breaks, or has not answered anybody for the whole time of a
//! call, one background task replaces it; calls meanwhile fail at once, because waiting for a server that is gone only
//! makes those wait who could be told.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, PushInfo, PushKind, RedisError, Value};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::batch::{Batch, Departure, closed};
use super::facts::Warning;
use crate::error::Error;

/// The pause before the second attempt to connect; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// How often a connection on which nothing was answered is tried. A server that is cut off says nothing, and whoever only
/// listens would wait for its messages for ever.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// Why a call has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was not sent, or the server refused it: nothing was changed.
    Refused(Error),
    /// It was sent, and there is no answer: it may have been carried out.
    Lost(Error),
    /// The server could not make sense of it.
    Broken(String),
}

/// A connection that was just made, and the server that it leads to.
pub(crate) struct Dialled {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) server: Arc<str>,
    /// What is unsafe about the server, as far as its `INFO` tells.
    pub(crate) warnings: Vec<Warning>,
}

/// Is given what arrives unasked.
pub(crate) type Pushed = Box<dyn Fn(PushInfo) + Send + Sync>;

/// How a connection is made, again and again.
pub(crate) trait Dial: Send + 'static {
    /// The time of a whole call.
    fn within(&self) -> Duration;

    /// Makes one, within a time of its own.
    fn dial(&mut self, pushed: Pushed) -> impl Future<Output = Result<Dialled, Error>> + Send;

    /// Returns when the connection should be replaced though nothing is wrong with it, and says why.
    fn moved(&mut self) -> impl Future<Output = Error> + Send {
        std::future::pending()
    }
}

/// What happens to a node's connection, for those who listen.
pub(crate) enum Event {
    /// Something arrived unasked.
    Pushed(PushInfo),
    /// The connection is gone, and all that was subscribed on it; or there is a new one, with nothing subscribed.
    Lost,
}

/// Who listens.
#[derive(Clone)]
pub(crate) struct Listener {
    hears: Arc<dyn Fn(Event) + Send + Sync>,
    /// Whether what becomes of the connection is logged. Of two connections to one server, one tells of an outage.
    logs: bool,
}

impl Listener {
    /// Nobody, but for the log.
    pub(crate) fn log() -> Self {
        Self { hears: Arc::new(|_| {}), logs: true }
    }

    /// It runs within the connection's task, and must not wait.
    pub(crate) fn new(hears: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { hears: Arc::new(hears), logs: false }
    }

    pub(crate) fn hear(&self, event: Event) {
        (self.hears)(event);
    }

    /// What is worth a line in the log, of all connections to one server once.
    pub(crate) fn logs(&self) -> bool {
        self.logs
    }
}

/// One supervised connection; cheap to clone. The task behind it ends with the last clone.
#[derive(Clone)]
pub(crate) struct Node {
    shared: Arc<Shared>,
    _supervisor: Arc<Supervisor>,
}

/// Ends the background task.
struct Supervisor(AbortHandle);

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Shared {
    current: ArcSwapOption<Live>,
    /// The time of a whole call.
    within: Duration,
    /// Why there is no connection, when there is none.
    down: Mutex<Error>,
    /// There is no connection, and the last try to make one has failed.
    is_dead: AtomicBool,
    /// Rings after each try.
    tried: Notify,
    trouble: mpsc::UnboundedSender<Trouble>,
}

/// A connection that has to be replaced.
struct Trouble {
    generation: u64,
    /// `None` if it ended by itself.
    why: Option<Error>,
}

/// A connection that stands, as far as is known.
struct Live {
    generation: u64,
    server: Arc<str>,
    connection: MultiplexedConnection,
    batch: Batch,
    /// When somebody was answered last, or the connection was made.
    answered: Mutex<Instant>,
}

impl Node {
    /// Supervises the connection that `dial` makes; the first is awaited.
    pub(crate) async fn connect(mut dial: impl Dial, listener: Listener) -> Result<Self, Error> {
        let (trouble, troubles) = mpsc::unbounded_channel();
        // What is unsafe about the server is told by whoever connects: he looks at more.
        let (live, _) = make(&mut dial, 1, &trouble, &listener).await?;
        let down = Error::Config { reason: "not connected yet" };
        Ok(Self::supervise(dial, listener, Some(live), down, (trouble, troubles)))
    }

    /// Supervises the connection that `dial` makes, which is not awaited: calls fail with `down` until it is there.
    pub(crate) fn start(dial: impl Dial, listener: Listener, down: Error) -> Self {
        Self::supervise(dial, listener, None, down, mpsc::unbounded_channel())
    }

    fn supervise(
        dial: impl Dial,
        listener: Listener,
        live: Option<Live>,
        down: Error,
        (trouble, troubles): (mpsc::UnboundedSender<Trouble>, mpsc::UnboundedReceiver<Trouble>),
    ) -> Self {
        let (current, within, down) = (ArcSwapOption::from(live.map(Arc::new)), dial.within(), Mutex::new(down));
        let (is_dead, tried) = (AtomicBool::new(false), Notify::new());
        let shared = Arc::new(Shared { current, within, down, is_dead, tried, trouble });
        let task = tokio::spawn(supervise(Arc::clone(&shared), dial, listener, troubles));
        Self { shared, _supervisor: Arc::new(Supervisor(task.abort_handle())) }
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.shared.current.load().is_some()
    }

    /// Which connection this is, counted from the first; 0 while there is none.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn generation(&self) -> u64 {
        self.shared.current.load().as_ref().map_or(0, |live| live.generation)
    }

    /// Waits until there is a connection, or the deadline has come; not for one that could not be made just now.
    pub(crate) async fn ready(&self, deadline: Instant) {
        let tried = self.shared.tried.notified();
        tokio::pin!(tried);
        tried.as_mut().enable();
        if !self.is_up() && !self.shared.is_dead.load(Ordering::Relaxed) {
            let _ = tokio::time::timeout_at(deadline, tried).await;
        }
    }

    /// The server that calls go to now, or went to last.
    pub(crate) fn server(&self) -> Option<Arc<str>> {
        self.shared.current.load().as_ref().map(|live| Arc::clone(&live.server))
    }

    /// Sends one command and awaits its answer. An error that the server answers is a value.
    pub(crate) async fn send(&self, command: Cmd, deadline: Instant) -> Result<Value, Failure> {
        let live = self.live()?;
        let departure = Departure::default();
        let answer = async { live.batch.send(command, departure.clone()).await?.await.unwrap_or_else(|_| Err(closed())) };
        self.answer(&live, deadline, answer, || departure.is_prevented()).await
    }

    /// Sends several commands in one piece, with nobody else's between them, and awaits their answers.
    pub(crate) async fn send_all(&self, commands: &Pipeline, deadline: Instant) -> Result<Vec<Value>, Failure> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let live = self.live()?;
        let mut connection = live.connection.clone();
        self.answer(&live, deadline, connection.send_packed_commands(commands, 0, commands.len()), || false).await
    }

    /// Has the connection replaced, because of what its server answered.
    pub(crate) fn distrust(&self, why: Error) {
        if let Some(live) = self.shared.current.load().as_ref() {
            self.report(live.generation, why);
        }
    }

    fn live(&self) -> Result<Arc<Live>, Failure> {
        self.shared.current.load_full().ok_or_else(|| Failure::Refused(self.shared.down.lock().clone()))
    }

    /// Awaits an answer. Where there is none, `keep_back` says whether the call has not been sent, and never will be.
    async fn answer<T>(
        &self,
        live: &Live,
        deadline: Instant,
        answer: impl Future<Output = Result<T, RedisError>>,
        keep_back: impl FnOnce() -> bool,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let failed = |error| if keep_back() { Failure::Refused(error) } else { Failure::Lost(error) };
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(value)) => {
                *live.answered.lock() = Instant::now();
                Ok(value)
            }
            Ok(Err(error)) => {
                let error = Error::Lost { server: Arc::clone(&live.server), source: Arc::new(error) };
                self.report(live.generation, error.clone());
                Err(failed(error))
            }
            Err(_) => {
                let error = Error::NoAnswer { server: Arc::clone(&live.server), within: began.elapsed() };
                if self.is_silent(live, began, deadline) {
                    self.report(live.generation, error.clone());
                }
                Err(failed(error))
            }
        }
    }

    /// Whether nobody was answered for the whole time of a call, of which this was asked at an instant and has to end by now.
    /// Where others were answered in the meantime, or this call before it asked again, the server is only slow; and a call
    /// that was sent on with little of its time left proves nothing.
    fn is_silent(&self, live: &Live, asked: Instant, deadline: Instant) -> bool {
        let within = self.shared.within;
        let call_began = deadline.checked_sub(within).map_or(asked, |began| began.min(asked));
        // What a busy machine loses between the two is no lack of time.
        *live.answered.lock() <= call_began && asked.elapsed() >= within * 3 / 4
    }

    fn report(&self, generation: u64, why: Error) {
        let _ = self.shared.trouble.send(Trouble { generation, why: Some(why) });
    }
}

/// Makes a connection that reports its own end, and says what is unsafe about its server.
async fn make(
    dial: &mut impl Dial,
    generation: u64,
    trouble: &mpsc::UnboundedSender<Trouble>,
    listener: &Listener,
) -> Result<(Live, Vec<Warning>), Error> {
    let (trouble, hears) = (trouble.clone(), listener.clone());
    let pushed: Pushed = Box::new(move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            let _ = trouble.send(Trouble { generation, why: None });
        } else {
            hears.hear(Event::Pushed(push));
        }
    });
    let Dialled { connection, server, warnings } = dial.dial(pushed).await?;
    let batch = Batch::new(connection.clone());
    Ok((Live { generation, server, connection, batch, answered: Mutex::new(Instant::now()) }, warnings))
}

async fn supervise(shared: Arc<Shared>, mut dial: impl Dial, listener: Listener, mut troubles: mpsc::UnboundedReceiver<Trouble>) {
    let mut generation = u64::from(shared.current.load().is_some());
    loop {
        if let Some(live) = shared.current.load_full() {
            let why = tokio::select! {
                trouble = troubles.recv() => match trouble {
                    Some(trouble) if trouble.generation == generation => trouble.why,
                    _ => continue,
                },
                why = dial.moved() => Some(why),
                why = silence(&live) => Some(why),
            };
            let why = why.unwrap_or_else(|| {
                let source = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                Error::Lost { server: Arc::clone(&live.server), source: Arc::new(source) }
            });
            if listener.logs() {
                tracing::warn!(error = %why, "the connection to Redis is replaced");
            }
            *shared.down.lock() = why;
            shared.is_dead.store(false, Ordering::Relaxed);
            shared.current.store(None);
            listener.hear(Event::Lost);
        }
        generation += 1;
        let live = keep_trying(&shared, &mut dial, generation, &listener).await;
        if listener.logs() {
            tracing::info!(server = %live.server, "connected to Redis");
        }
        shared.current.store(Some(Arc::new(live)));
        shared.is_dead.store(false, Ordering::Relaxed);
        // Before those who wait subscribe to anything.
        listener.hear(Event::Lost);
        shared.tried.notify_waiters();
    }
}

/// Returns when a connection on which nothing was answered for a while does not answer either when it is tried.
async fn silence(live: &Live) -> Error {
    loop {
        let answered = *live.answered.lock();
        tokio::time::sleep(TRY_EVERY).await;
        if *live.answered.lock() != answered {
            continue;
        }
        let mut connection = live.connection.clone();
        if tokio::time::timeout(TRY_EVERY, connection.send_packed_command(&redis::cmd("PING"))).await.is_err()
            && *live.answered.lock() == answered
        {
            return Error::NoAnswer { server: Arc::clone(&live.server), within: TRY_EVERY };
        }
    }
}

/// Tries to connect until it succeeds: at once, and then in pauses that grow.
async fn keep_trying(shared: &Shared, dial: &mut impl Dial, generation: u64, listener: &Listener) -> Live {
    let mut pause = FIRST_PAUSE;
    loop {
        match make(dial, generation, &shared.trouble, listener).await {
            Ok((live, warnings)) => {
                for warning in warnings.iter().filter(|_| listener.logs()) {
                    tracing::warn!("{warning}");
                }
                return live;
            }
            Err(error) => {
                tracing::debug!(%error, "connecting to Redis failed");
                *shared.down.lock() = error;
                shared.is_dead.store(true, Ordering::Relaxed);
                shared.tried.notify_waiters();
            }
        }
        tokio::time::sleep(jitter(pause)).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Half to all of a pause, so that the processes of a host do not all come back in the same instant.
fn jitter(pause: Duration) -> Duration {
    // A hasher is seeded by the operating system; that is random enough here.
    let random = std::hash::RandomState::new().build_hasher().finish();
    let thousandths = u32::try_from(500 + random % 500).unwrap_or(1000);
    pause * thousandths / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_and_stay_in_bounds() {
        let pauses: Vec<Duration> = (0..100).map(|_| jitter(LAST_PAUSE)).collect();
        assert!(pauses.iter().all(|pause| (LAST_PAUSE / 2..=LAST_PAUSE).contains(pause)));
        assert!(pauses.iter().any(|pause| Some(pause) != pauses.first()));
    }
}
