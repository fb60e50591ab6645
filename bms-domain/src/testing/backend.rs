//! What a backend's tests give to the suites: a fresh store a case, and a way to run tasks beside each other.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::thread;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::{BoxFuture, join_all};

use super::ManualClock;

/// A store that nothing was done to yet, with whatever must live as long as it and clean up after it.
pub struct Fresh<S> {
    pub(crate) store: Arc<S>,
    pub(crate) guard: Box<dyn Any + Send + Sync>,
}

impl<S> Fresh<S> {
    /// A store that needs no cleaning up.
    pub fn new(store: S) -> Self {
        Self { store: Arc::new(store), guard: Box::new(()) }
    }

    /// A store with a guard, which is dropped after the case: it removes the case's own schema or key prefix.
    #[must_use]
    pub fn guarded(store: S, guard: impl Any + Send + Sync) -> Self {
        Self { store: Arc::new(store), guard: Box::new(guard) }
    }
}

impl<S> fmt::Debug for Fresh<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh(…)")
    }
}

/// Makes fresh stores. Every closure `|clock| async { Fresh::new(…) }` is one.
///
/// The stores of one backend are isolated from each other (by a schema or a key prefix of their own: cases run on one
/// after the other and must not wipe what is not theirs), and tell the time by the clock they are given.
pub trait Backend: Send + Sync {
    /// The store.
    type Store: Send + Sync + 'static;

    /// A fresh store that goes by `clock`.
    fn fresh(&self, clock: ManualClock) -> impl Future<Output = Fresh<Self::Store>> + Send;

    /// What runs the tasks of a race: a thread each, unless the backend is [`on`] a runtime.
    fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(Threads)
    }
}

impl<F, Made, S> Backend for F
where
    F: Fn(ManualClock) -> Made + Send + Sync,
    Made: Future<Output = Fresh<S>> + Send,
    S: Send + Sync + 'static,
{
    type Store = S;

    fn fresh(&self, clock: ManualClock) -> impl Future<Output = Fresh<S>> + Send {
        self(clock)
    }
}

/// Runs tasks. For a store whose client needs tokio:
///
/// ```
/// # use bms_domain::testing::Runtime;
/// # use futures::future::BoxFuture;
/// struct Tokio(tokio::runtime::Handle);
///
/// impl Runtime for Tokio {
///     fn spawn(&self, task: BoxFuture<'static, ()>) {
///         self.0.spawn(task);
///     }
///     fn block_on(&self, task: BoxFuture<'_, ()>) {
///         self.0.block_on(task);
///     }
/// }
/// ```
pub trait Runtime: Send + Sync + 'static {
    /// Runs a task beside the others.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs a task to its end. Called outside of any task, by [`sequences`](super::sequences) and
    /// [`histories`](super::histories).
    fn block_on(&self, task: BoxFuture<'_, ()>);
}

/// A thread for each task: races really race on several cores. For stores that need no runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

impl Runtime for Threads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        thread::spawn(move || block_on(task));
    }

    fn block_on(&self, task: BoxFuture<'_, ()>) {
        block_on(task);
    }
}

/// A backend on a runtime of its own choice; see [`on`].
#[derive(Clone, Debug)]
pub struct OnRuntime<B, R> {
    backend: B,
    runtime: Arc<R>,
}

/// Runs a backend's races, and its random sequences, on a runtime.
pub fn on<B: Backend, R: Runtime>(runtime: R, backend: B) -> OnRuntime<B, R> {
    OnRuntime { backend, runtime: Arc::new(runtime) }
}

impl<B: Backend, R: Runtime> Backend for OnRuntime<B, R> {
    type Store = B::Store;

    fn fresh(&self, clock: ManualClock) -> impl Future<Output = Fresh<Self::Store>> + Send {
        self.backend.fresh(clock)
    }

    fn runtime(&self) -> Arc<dyn Runtime> {
        self.runtime.clone()
    }
}

/// Runs tasks beside each other, all set off by one signal, and gives what they answered in their order.
pub(crate) async fn race<T, Task>(runtime: &dyn Runtime, tasks: impl IntoIterator<Item = Task>) -> Vec<T>
where
    T: Send + 'static,
    Task: Future<Output = T> + Send + 'static,
{
    let (go, started) = oneshot::channel::<()>();
    let started = started.shared();
    let answers: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let (tell, answer) = oneshot::channel();
            let started = started.clone();
            runtime.spawn(
                async move {
                    let _ = started.await;
                    let _ = tell.send(task.await);
                }
                .boxed(),
            );
            answer
        })
        .collect();
    let _ = go.send(());
    join_all(answers).await.into_iter().map(|answer| answer.expect("a task of the race ends with an answer")).collect()
}
