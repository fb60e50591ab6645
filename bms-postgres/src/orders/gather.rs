//! Gathers calls that come at the same time into one statement.
//!
//! Most of what a statement costs the server is the same for one order as for many. So calls that come while a statement is under
//! way go together, as soon as that has ended. There is no timer: a call that comes alone goes at once.
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
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bms_domain::id::OrderId;
use bms_domain::store::{BoxError, StoreError};
use chrono::{DateTime, Utc};
use parking_lot::{Mutex, MutexGuard};
use sqlx::postgres::PgRow;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::{OrderSql, row};
use crate::config::servers_patience;
use crate::connection::Postgres;
use crate::error::STORE;
use crate::run::{Effect, Failed, is_for_its_own_sake};
use crate::statements::Query;

/// The most calls of one statement.
const MOST: usize = 64;
/// How long a statement of several waits for a lock, and how long calls that come gather behind a statement: many times what a
/// commit takes. So neither a lock that somebody keeps nor a connection that has died holds up who has nothing to do with it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Something that one statement can do for many orders.
pub(super) trait Call: Send + Sync + 'static {
    /// What comes of it when it is done.
    type Done: Send + 'static;
    /// What no two calls of one statement may want.
    type Want: Eq + Hash;

    const EFFECT: Effect;

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

/// What waits while a statement is under way. One is, and not two: a second would find half of the calls, and every commit costs.
struct Queue<C: Call> {
    waiting: VecDeque<Waiting<C>>,
    /// Which of those who were started is to send what waits; nobody while nothing does.
    sender: Option<u64>,
    /// How many were started.
    started: u64,
    /// When one was started, or took what waited.
    moved: Instant,
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
        let queue = Queue { waiting: VecDeque::new(), sender: None, started: 0, moved: Instant::now() };
        Self { postgres, sql, queue: Mutex::new(queue) }
    }

    /// Does a call, together with others if there are. `None` when something is, or was just now, in the way, and nothing was done.
    pub(super) async fn ask(self: &Arc<Self>, call: C, until: Instant) -> Result<Option<C::Done>, Failed> {
        let call = Arc::new(call);
        loop {
            let (answer, mut answered) = oneshot::channel();
            let present = Presence(Fate::default());
            self.put(Waiting { call: call.clone(), until, fate: present.0.clone(), answer });
            let in_time = loop {
                match timeout_at(until.min(Instant::now() + PATIENCE * 2), &mut answered).await {
                    Ok(Ok(Answer::Its(answer))) => return answer,
                    Ok(Ok(Answer::Alone)) => return self.alone(&call, until).await,
                    // Whoever was to send it is gone with his runtime.
                    Ok(Err(_)) => break true,
                    Err(_) if Instant::now() < until => self.urge(),
                    Err(_) => break false,
                }
            };
            if !present.0.leaves() {
                return Err(C::EFFECT.lost(None).into());
            }
            if !in_time {
                return Err(StoreError::unavailable(STORE).into());
            }
        }
    }

    /// Does a call by itself.
    pub(super) async fn alone(&self, call: &C, until: Instant) -> Result<Option<C::Done>, Failed> {
        let rows = self.postgres.by(until).ask_if(C::EFFECT, || Some(self.statement(&[call], until))).await?;
        Ok(rows.first().map(C::done).transpose()?)
    }

    fn put(self: &Arc<Self>, waiting: Waiting<C>) {
        let mut queue = self.queue.lock();
        queue.waiting.push_back(waiting);
        if queue.sender.is_none() {
            self.start(queue);
        }
    }

    /// Starts anew when nothing has gone for long: whoever is to send what waits is in a runtime that nobody drives.
    fn urge(self: &Arc<Self>) {
        let queue = self.queue.lock();
        if !queue.waiting.is_empty() && queue.moved.elapsed() >= PATIENCE * 2 {
            self.start(queue);
        }
    }

    /// Has somebody else send what waits.
    fn start(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue<C>>) {
        queue.started += 1;
        let number = queue.started;
        queue.sender = Some(number);
        queue.moved = Instant::now();
        drop(queue);
        tokio::spawn(Sender { gather: self.clone(), number }.send());
    }

    async fn rows(&self, together: &[Waiting<C>], until: Instant) -> Result<Vec<PgRow>, Failed> {
        let statement = || {
            let calls: Vec<&C> =
                together.iter().filter(|waiting| waiting.fate.goes()).map(|waiting| waiting.call.as_ref()).collect();
            (!calls.is_empty()).then(|| self.statement(&calls, until))
        };
        self.postgres.by(until).ask_if(C::EFFECT, statement).await
    }

    fn statement<'q>(&self, calls: &[&C], until: Instant) -> Query<'q> {
        let patience = servers_patience(until.saturating_duration_since(Instant::now()));
        let patience = if calls.len() > 1 { patience.min(PATIENCE) } else { patience };
        C::statement(calls, &self.sql, self.postgres.now(), patience)
    }
}

/// What came of each order, for each who asked. One that cannot be read is done, as the others are: only its own caller is told.
fn by_order<C: Call>(rows: &[PgRow]) -> HashMap<OrderId, Vec<Result<C::Done, StoreError>>> {
    let mut done = HashMap::<_, Vec<_>>::new();
    for row in rows {
        if let Ok(id) = row::order_id(row, "id") {
            done.entry(id).or_default().push(C::done(row));
        }
    }
    done
}

/// Gives calls the answer to their statement.
fn answer<C: Call>(together: Vec<Waiting<C>>, rows: Result<Vec<PgRow>, Failed>) {
    match rows {
        Ok(rows) => {
            let mut done = by_order::<C>(&rows);
            tell(together, |call| Answer::Its(done.get_mut(&call.order()).and_then(Vec::pop).transpose().map_err(Failed::Store)));
        }
        Err(failed) if together.len() == 1 => {
            let mut failed = Some(failed);
            tell(together, |_| failed.take().map_or(Answer::Alone, |failed| Answer::Its(Err(failed))));
        }
        Err(Failed::Store(StoreError::OutcomeUnknown { store, source })) => {
            let source = shared(source);
            tell(together, |_| Answer::Its(Err(StoreError::OutcomeUnknown { store, source: source() }.into())));
        }
        // No connection, or a server that takes nothing from anybody: nobody's fault.
        Err(Failed::Store(StoreError::Unavailable { store, source })) if !is_for_its_own_sake(source.as_ref()) => {
            let source = shared(source);
            tell(together, |_| Answer::Its(Err(StoreError::Unavailable { store, source: source() }.into())));
        }
        Err(_) => tell(together, |_| Answer::Alone),
    }
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

/// Who is to send what waits. Whoever started after him has taken that over.
struct Sender<C: Call> {
    gather: Arc<Gather<C>>,
    number: u64,
}

impl<C: Call> Sender<C> {
    /// Does calls with one statement, and gives each its answer.
    async fn send(self) {
        let (together, behind) = apart(self.take());
        let Some(until) = together.iter().map(|waiting| waiting.until).max() else { return };
        let rows = {
            let mut rows = pin!(self.gather.rows(&together, until));
            match timeout(PATIENCE, &mut rows).await {
                Ok(rows) => rows,
                // The next does not wait for a slow one.
                Err(_) => {
                    self.pass_on();
                    rows.await
                }
            }
        };
        // First: whoever is told may have been all that drove this runtime.
        self.pass_on();
        answer(together, rows);
        tell(behind, |_| Answer::Its(Ok(None)));
    }

    /// What goes next; nothing when another has taken over.
    fn take(&self) -> Vec<Waiting<C>> {
        let mut queue = self.gather.queue.lock();
        let mut calls = Vec::with_capacity(queue.waiting.len().min(MOST));
        if queue.sender != Some(self.number) {
            return calls;
        }
        queue.moved = Instant::now();
        while calls.len() < MOST
            && let Some(waiting) = queue.waiting.pop_front()
        {
            if !waiting.answer.is_closed() {
                calls.push(waiting);
            }
        }
        if calls.is_empty() {
            queue.sender = None;
        }
        calls
    }

    /// Has another send what has come meanwhile, or, in the same instant, nobody when there is nothing: no call is left lying.
    fn pass_on(&self) {
        let mut queue = self.gather.queue.lock();
        if queue.sender != Some(self.number) {
            return;
        }
        if queue.waiting.is_empty() {
            queue.sender = None;
        } else {
            self.gather.start(queue);
        }
    }
}

impl<C: Call> Drop for Sender<C> {
    /// Its runtime has ended before it passed this on: those who wait have to put it again.
    fn drop(&mut self) {
        let mut queue = self.gather.queue.lock();
        if queue.sender != Some(self.number) {
            return;
        }
        queue.sender = None;
        let left = mem::take(&mut queue.waiting);
        drop(queue);
        drop(left);
    }
}
