//! The same sequence on several stores, compared answer for answer.
//!
//! What the [`model`](crate::testing::model) says of a step is a kind of answer; here whole answers are compared, and steps are
//! taken that the model knows nothing of: restores that carry an old fence, payments that are named for two orders, notices that
//! come again. Every store goes by the same [`ManualClock`]. What is left to a store is taken out of its answers first;
//! [`Call::comparable`] says what, and why.
//!
//! ```
//! use std::sync::Arc;
//! use bms_domain::memory::MemoryHolds;
//! use bms_domain::testing::sequences::{self, Rival};
//! use bms_domain::testing::{Fresh, Threads};
//!
//! let mine = |clock| async move { Fresh::new(MemoryHolds::new(Arc::new(clock))) };
//! let embedded = |clock| async move { Fresh::new(MemoryHolds::new(Arc::new(clock))) };
//! let config = sequences::Config { cases: 2, failure_persistence: None, ..sequences::Config::default() };
//! let tally = sequences::hold_stores_agree(config, &Threads, &[Rival::new("embedded", embedded), Rival::new("mine", mine)]);
//! assert_eq!(tally.runs, 2);
//! ```

mod holds;
mod orders;
mod outbox;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;

pub use holds::hold_stores_agree;
pub use orders::order_stores_agree;
pub use outbox::outboxes_agree;

use crate::testing::backend::Backend;
use crate::testing::calls::{Answers, Call, Tally};
use crate::testing::{Fresh, ManualClock};

/// A store that is compared with others, by the name that it is told by.
pub struct Rival<'a, C: Call> {
    name: &'a str,
    backend: Box<dyn Makes<C> + 'a>,
}

impl<'a, C: Call> Rival<'a, C> {
    /// A store, made fresh for each sequence.
    pub fn new<B>(name: &'a str, backend: B) -> Self
    where
        B: Backend + 'a,
        B::Store: Answers<C>,
    {
        Self { name, backend: Box::new(backend) }
    }
}

impl<C: Call> fmt::Debug for Rival<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rival").field("name", &self.name).finish_non_exhaustive()
    }
}

type Guard = Box<dyn Any + Send + Sync>;

/// A [`Backend`] of any store.
trait Makes<C: Call>: Send + Sync {
    fn fresh(&self, clock: ManualClock) -> BoxFuture<'_, (Arc<dyn Answers<C>>, Guard)>;
}

impl<B, C> Makes<C> for B
where
    B: Backend,
    B::Store: Answers<C>,
    C: Call,
{
    fn fresh(&self, clock: ManualClock) -> BoxFuture<'_, (Arc<dyn Answers<C>>, Guard)> {
        let made = async move {
            let Fresh { store, guard } = Backend::fresh(self, clock).await;
            (store as Arc<dyn Answers<C>>, guard)
        };
        made.boxed()
    }
}

/// The stores of one sequence.
struct Stand<'a, C: Call> {
    rivals: &'a [Rival<'a, C>],
    stores: Vec<(Arc<dyn Answers<C>>, Guard)>,
    clock: ManualClock,
    tally: &'a Mutex<Tally>,
    /// The number of the step, from 1.
    step: usize,
}

impl<'a, C: Call> Stand<'a, C> {
    async fn new(rivals: &'a [Rival<'a, C>], clock: ManualClock, tally: &'a Mutex<Tally>) -> Self {
        assert!(rivals.len() > 1, "one store agrees with itself");
        tally.lock().runs += 1;
        let mut stand = Self { rivals, stores: Vec::new(), clock, tally, step: 0 };
        stand.start_anew().await;
        stand
    }

    /// Every store has forgotten everything: it is a fresh one.
    async fn start_anew(&mut self) {
        self.stores.clear();
        for rival in self.rivals {
            self.stores.push(rival.backend.fresh(self.clock.clone()).await);
        }
    }

    /// What each of the stores answers, as it answers it. `call` is what the store of a position is asked.
    async fn answers(&self, call: impl Fn(usize) -> C) -> Vec<C::Answer> {
        let mut answers = Vec::new();
        for (position, (store, _)) in self.stores.iter().enumerate() {
            let (call, name) = (call(position), self.rivals[position].name);
            let answer = store.answer(&call).await;
            answers.push(answer.unwrap_or_else(|error| panic!("step {}, {call:?}: {name} failed: {error:?}", self.step)));
        }
        answers
    }

    /// Asks all of the stores, and compares what they answer.
    async fn ask(&self, call: impl Fn(usize) -> C) -> Vec<C::Answer> {
        let answers = self.answers(&call).await;
        let asked = call(0);
        let compared: Vec<C::Answer> = answers.iter().map(|answer| asked.comparable(answer.clone())).collect();
        self.compare(&asked, &compared);
        self.tally.lock().count(asked.name(), C::kind(&answers[0]));
        answers
    }

    /// Fails unless all answers are the same: names the step and two answers that differ.
    fn compare<A: PartialEq + fmt::Debug>(&self, asked: &impl fmt::Debug, answers: &[A]) {
        for (rival, answer) in self.rivals.iter().zip(answers).skip(1) {
            let (one, other, step) = (self.rivals[0].name, rival.name, self.step);
            let first = &answers[0];
            assert!(first == answer, "step {step}, {asked:?}\n  {one} answered {first:?}\n  {other} answered {answer:?}");
        }
    }
}
