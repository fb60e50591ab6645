//! Gathers calls that come at the same time into one statement.
//!
//! Most of what a statement costs the server is the same for one order as for many. So calls that come while others are under
//! way go together, as soon as one of those has ended. There is no timer: a call that comes alone goes at once.
//!
//! Each call keeps what it would have alone: its answer, its deadline, and all or nothing.
//! - The statement leaves out what is refused for the common reasons, and does the rest.
//! - When it breaks a constraint, or somebody keeps a lock, nothing is done for any of them: each is sent alone, and so gets the
//!   answer that is its own. That is one statement more than without gathering, and takes a rare reason, or two statements that
//!   sell the same seats at the same instant.
//! - A statement is sent by a task, so that a caller who goes away cuts nobody off. A call is sent if its caller still waits
//!   when there is a connection for it; who leaves before knows that nothing was done.

use std::collections::{HashMap, HashSet, VecDeque};
use std::error::Error;
use std::hash::Hash;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bms_domain::id::OrderId;
use bms_domain::store::{BoxError, StoreError};
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use sqlx::postgres::PgRow;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::{OrderSql, row};
use crate::config::servers_patience;
use crate::connection::Postgres;
use crate::error::STORE;
use crate::run::Failed;
use crate::statements::Query;

/// The most calls of one statement.
const MOST: usize = 64;
/// How many statements may be under way. While so many are, calls gather for the next; the other connections are for the rest.
const UNDER_WAY: usize = 2;
/// How long a statement of several waits for a lock, and how long a statement counts as under way: many times what a commit
/// takes. So neither a lock that somebody keeps nor a connection that has died holds up who has nothing to do with it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Something that one statement can do for many orders.
pub(super) trait Call: Send + Sync + 'static {
    /// What comes of it when it is done.
    type Done: Send + 'static;
    /// What no two calls of one statement may want.
    type Want: Eq + Hash;

    /// Which order it is about.
    fn order(&self) -> OrderId;

    fn wants(&self) -> impl Iterator<Item = Self::Want>;

    /// Does all of these for which nothing is in the way, waiting for each lock for so long.
    fn statement<'q>(calls: &[&Self], sql: &OrderSql, now: Option<DateTime<Utc>>, patience: Duration) -> Query<'q>;

    /// What came of the order that a row is about, by its `id`. What was not done has no row.
    fn done(row: &PgRow) -> Result<Self::Done, StoreError>;
}

/// The calls of one kind. Those of its clones go together.
pub(super) struct Gather<C: Call> {
    postgres: Postgres,
    sql: Arc<OrderSql>,
    queue: Mutex<Queue<C>>,
}

struct Queue<C: Call> {
    waiting: VecDeque<Waiting<C>>,
    under_way: usize,
}

/// A call, and who waits for its answer.
struct Waiting<C: Call> {
    call: Arc<C>,
    until: Instant,
    fate: Fate,
    answer: oneshot::Sender<Answer<C::Done>>,
}

enum Answer<D> {
    /// Nothing when something is in the way.
    Its(Result<Option<D>, Failed>),
    /// Nothing was done, and it may be another's fault.
    Alone,
}

/// Which came first: that the call was sent, or that its caller left. The other does not come about any more.
#[derive(Clone, Default)]
struct Fate(Arc<OnceLock<Came>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Sent,
    Left,
}

impl Fate {
    /// Whether the call goes, or went.
    fn goes(&self) -> bool {
        *self.0.get_or_init(|| Came::Sent) == Came::Sent
    }

    /// Whether the caller leaves with nothing sent.
    fn leaves(&self) -> bool {
        *self.0.get_or_init(|| Came::Left) == Came::Left
    }

    fn went(&self) -> bool {
        self.0.get() == Some(&Came::Sent)
    }
}

/// A caller who waits, until this is dropped.
struct Presence(Fate);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.leaves();
    }
}

impl<C: Call> Gather<C> {
    pub(super) fn new(postgres: Postgres, sql: Arc<OrderSql>) -> Self {
        let queue = Queue { waiting: VecDeque::new(), under_way: 0 };
        Self { postgres, sql, queue: Mutex::new(queue) }
    }

    /// Does a call, together with others if there are. `None` when something is, or was just now, in the way, and nothing was done.
    pub(super) async fn ask(self: &Arc<Self>, call: C, until: Instant) -> Result<Option<C::Done>, Failed> {
        let call = Arc::new(call);
        loop {
            let (answer, answered) = oneshot::channel();
            let present = Presence(Fate::default());
            self.put(Waiting { call: call.clone(), until, fate: present.0.clone(), answer });
            let in_time = match timeout_at(until, answered).await {
                Ok(Ok(Answer::Its(answer))) => return answer,
                Ok(Ok(Answer::Alone)) => return self.alone(&call, until).await,
                // Whoever was to send it is gone with his runtime.
                Ok(Err(_)) => true,
                Err(_) => false,
            };
            if !present.0.leaves() {
                return Err(StoreError::outcome_unknown(STORE).into());
            }
            if !in_time {
                return Err(StoreError::unavailable(STORE).into());
            }
        }
    }

    /// Does a call by itself.
    pub(super) async fn alone(&self, call: &C, until: Instant) -> Result<Option<C::Done>, Failed> {
        let rows = self.postgres.by(until).write(|| self.statement(&[call], until)).await?;
        Ok(rows.first().map(C::done).transpose()?)
    }

    fn put(self: &Arc<Self>, waiting: Waiting<C>) {
        let mut queue = self.queue.lock();
        queue.waiting.push_back(waiting);
        if queue.under_way < UNDER_WAY {
            queue.under_way += 1;
            drop(queue);
            tokio::spawn(Place(Some(self.clone())).send_all());
        }
    }

    /// Does calls with one statement, and gives each its answer.
    async fn send(self: Arc<Self>, calls: Vec<Waiting<C>>) {
        let (together, behind) = apart(calls);
        let Some(until) = together.iter().map(|waiting| waiting.until).max() else { return };
        match self.rows(&together, until).await {
            Ok(rows) => {
                let mut done = by_order::<C>(&rows);
                tell(together, |call| Answer::Its(done.remove(&call.order()).transpose().map_err(Failed::Store)));
            }
            Err(failed) if together.len() == 1 => {
                let mut failed = Some(failed);
                tell(together, |_| failed.take().map_or(Answer::Alone, |failed| Answer::Its(Err(failed))));
            }
            Err(Failed::Store(StoreError::OutcomeUnknown { store, source })) => {
                let source = shared(source);
                tell(together, |_| Answer::Its(Err(StoreError::OutcomeUnknown { store, source: source() }.into())));
            }
            // No connection: that is nobody's fault.
            Err(Failed::Store(StoreError::Unavailable { store, source }))
                if !together.iter().any(|waiting| waiting.fate.went()) =>
            {
                let source = shared(source);
                tell(together, |_| Answer::Its(Err(StoreError::Unavailable { store, source: source() }.into())));
            }
            Err(_) => tell(together, |_| Answer::Alone),
        }
        tell(behind, |_| Answer::Its(Ok(None)));
    }

    async fn rows(&self, together: &[Waiting<C>], until: Instant) -> Result<Vec<PgRow>, Failed> {
        let statement = || {
            let calls: Vec<&C> =
                together.iter().filter(|waiting| waiting.fate.goes()).map(|waiting| waiting.call.as_ref()).collect();
            self.statement(&calls, until)
        };
        self.postgres.by(until).write(statement).await
    }

    fn statement<'q>(&self, calls: &[&C], until: Instant) -> Query<'q> {
        let patience = servers_patience(until.saturating_duration_since(Instant::now()));
        let patience = if calls.len() > 1 { patience.min(PATIENCE) } else { patience };
        C::statement(calls, &self.sql, self.postgres.now(), patience)
    }
}

/// What came of each order. One that cannot be read is done, as the others are: only its own caller is told.
fn by_order<C: Call>(rows: &[PgRow]) -> HashMap<OrderId, Result<C::Done, StoreError>> {
    rows.iter().filter_map(|row| Some((row::order_id(row, "id").ok()?, C::done(row)))).collect()
}

/// Gives calls their answers. Who does not wait any more was told by his deadline.
fn tell<C: Call>(calls: Vec<Waiting<C>>, mut answer: impl FnMut(&C) -> Answer<C::Done>) {
    for waiting in calls {
        let _ = waiting.answer.send(answer(&waiting.call));
    }
}

/// What the client library said, for several callers.
fn shared(source: Option<BoxError>) -> impl Fn() -> Option<BoxError> {
    let source: Option<Arc<dyn Error + Send + Sync>> = source.map(Arc::from);
    move || source.clone().map(|source| Box::new(source) as BoxError)
}

/// Parts the calls that can go together from those that want what one of them wants: these look when it has been done.
fn apart<C: Call>(calls: Vec<Waiting<C>>) -> (Vec<Waiting<C>>, Vec<Waiting<C>>) {
    let mut wanted = HashSet::new();
    calls.into_iter().partition(|waiting| {
        let wants: Vec<C::Want> = waiting.call.wants().collect();
        let free = wants.iter().all(|want| !wanted.contains(want));
        if free {
            wanted.extend(wants);
        }
        free
    })
}

/// One of the places for statements that are under way.
struct Place<C: Call>(Option<Arc<Gather<C>>>);

impl<C: Call> Place<C> {
    /// Sends what waits, until nothing does.
    async fn send_all(mut self) {
        while let Some(gather) = self.0.clone() {
            let calls = self.next(&gather);
            if !calls.is_empty() {
                // A slow one goes on, and the next does not wait for it.
                let _ = timeout(PATIENCE, tokio::spawn(gather.send(calls))).await;
            }
        }
    }

    /// What goes next. When there is nothing, the place is given up in the same instant, so that no call is left lying.
    fn next(&mut self, gather: &Gather<C>) -> Vec<Waiting<C>> {
        let mut queue = gather.queue.lock();
        let mut calls = Vec::with_capacity(queue.waiting.len().min(MOST));
        while calls.len() < MOST
            && let Some(waiting) = queue.waiting.pop_front()
        {
            if !waiting.answer.is_closed() {
                calls.push(waiting);
            }
        }
        if calls.is_empty() {
            queue.under_way -= 1;
            self.0 = None;
        }
        calls
    }
}

impl<C: Call> Drop for Place<C> {
    /// Its runtime has ended. If nobody else sends what waits, those who wait have to put it again.
    fn drop(&mut self) {
        let Some(gather) = self.0.take() else { return };
        let mut queue = gather.queue.lock();
        queue.under_way -= 1;
        let left = if queue.under_way == 0 { mem::take(&mut queue.waiting) } else { VecDeque::new() };
        drop(queue);
        drop(left);
    }
}
