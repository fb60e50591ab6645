//! The scheduler: one thread, paused time. Which of the tasks that can go on is polled next is drawn; when none can, time
//! jumps to the first that sleeps.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bms_domain::time::Timer;
use fastrand::Rng;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use parking_lot::Mutex;

/// Whose a task is: those of a process die with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    World,
    Process(usize),
}

/// The scheduler. A clone is the same one. Its time is in ms, from 0.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Inner>);

struct Inner {
    now: AtomicI64,
    ready: Arc<Mutex<Vec<u64>>>,
    state: Mutex<State>,
}

struct State {
    random: Rng,
    tasks: BTreeMap<u64, Task>,
    numbered: u64,
    /// Who sleeps, by the end of his sleep.
    sleepers: BTreeMap<(i64, u64), Waker>,
    /// Processes that die as soon as the task that is polled has been.
    doomed: Vec<usize>,
}

struct Task {
    group: Group,
    /// Not there while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    bell: Arc<Bell>,
}

/// Puts its task among those that can go on.
struct Bell {
    task: u64,
    rung: AtomicBool,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            self.ready.lock().push(self.task);
        }
    }
}

/// What the scheduler did.
pub(crate) enum Step {
    Polled(u64),
    /// Time passed.
    Waited,
    /// Nothing will ever happen again.
    Idle,
}

impl Sim {
    pub(crate) fn new(random: Rng) -> Self {
        let state = State { random, tasks: BTreeMap::new(), numbered: 0, sleepers: BTreeMap::new(), doomed: Vec::new() };
        Self(Arc::new(Inner { now: AtomicI64::new(0), ready: Arc::default(), state: Mutex::new(state) }))
    }

    pub(crate) fn now(&self) -> i64 {
        self.0.now.load(Ordering::Relaxed)
    }

    /// Begins a task.
    pub(crate) fn spawn(&self, group: Group, work: impl Future<Output = ()> + Send + 'static) {
        let future = Some(work.boxed());
        let mut state = self.0.state.lock();
        state.numbered += 1;
        let task = state.numbered;
        let bell = Arc::new(Bell { task, rung: AtomicBool::new(true), ready: self.0.ready.clone() });
        state.tasks.insert(task, Task { group, future, bell });
        self.0.ready.lock().push(task);
    }

    /// Begins a task whose end is awaited.
    pub(crate) fn begin(&self, work: impl Future<Output = ()> + Send + 'static) -> oneshot::Receiver<()> {
        let (ended, end) = oneshot::channel();
        self.spawn(Group::World, async move {
            work.await;
            // Nobody need wait for it.
            _ = ended.send(());
        });
        end
    }

    /// A process dies: its tasks are gone, wherever they were.
    pub(crate) fn kill(&self, process: usize) {
        self.0.state.lock().doomed.push(process);
    }

    /// Lets one task go on, or time pass.
    pub(crate) fn step(&self) -> Step {
        let Some(task) = self.draw() else { return if self.pass_time() { Step::Waited } else { Step::Idle } };
        let found = self.0.state.lock().tasks.get_mut(&task).and_then(|task| Some((task.future.take()?, task.bell.clone())));
        // Else it was rung for once more before it ended.
        if let Some((mut future, bell)) = found {
            bell.rung.store(false, Ordering::Relaxed);
            let waker = Waker::from(bell);
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                self.0.state.lock().tasks.remove(&task);
            } else if let Some(task) = self.0.state.lock().tasks.get_mut(&task) {
                task.future = Some(future);
            }
        }
        self.bury();
        Step::Polled(task)
    }

    fn draw(&self) -> Option<u64> {
        let mut ready = self.0.ready.lock();
        let drawn = if ready.is_empty() { return None } else { self.0.state.lock().random.usize(..ready.len()) };
        Some(ready.swap_remove(drawn))
    }

    fn pass_time(&self) -> bool {
        let mut state = self.0.state.lock();
        let Some((&(now, _), _)) = state.sleepers.first_key_value() else { return false };
        self.0.now.store(now, Ordering::Relaxed);
        let later = state.sleepers.split_off(&(now, u64::MAX));
        for (_, waker) in std::mem::replace(&mut state.sleepers, later) {
            waker.wake();
        }
        true
    }

    fn bury(&self) {
        let mut state = self.0.state.lock();
        let mut dead = Vec::new();
        for process in std::mem::take(&mut state.doomed) {
            dead.extend(state.tasks.extract_if(.., |_, task| task.group == Group::Process(process)));
        }
        // What is dropped may come back here.
        drop(state);
        drop(dead);
    }

    /// Drops every task, so that none keeps the world alive.
    pub(crate) fn end(&self) {
        let tasks = std::mem::take(&mut self.0.state.lock().tasks);
        drop(tasks);
    }

    /// Lets the others go on, and time pass if it is not 0.
    pub(crate) fn pause(&self, ms: u64) -> Pause {
        let until = self.now().saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
        Pause { sim: self.clone(), until, place: None, polled: false }
    }

    /// A future's end, or `None` when it takes longer.
    pub(crate) async fn within<T>(&self, ms: u64, future: impl Future<Output = T> + Unpin) -> Option<T> {
        match futures::future::select(future, self.pause(ms)).await {
            futures::future::Either::Left((output, _)) => Some(output),
            futures::future::Either::Right(_) => None,
        }
    }
}

/// Ends when its time has come, and not at once.
pub(crate) struct Pause {
    sim: Sim,
    until: i64,
    place: Option<(i64, u64)>,
    polled: bool,
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waits = self.sim.now() < self.until;
        if !waits && self.polled {
            return Poll::Ready(());
        }
        self.polled = true;
        if !waits {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let sim = self.sim.clone();
        let mut state = sim.0.state.lock();
        let until = self.until;
        let place = *self.place.get_or_insert_with(|| {
            state.numbered += 1;
            (until, state.numbered)
        });
        state.sleepers.insert(place, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.sim.0.state.lock().sleepers.remove(&place);
        }
    }
}

/// What bounds the calls of a service. It goes by the time of the world.
impl Timer for Sim {
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        self.pause(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).boxed()
    }
}
