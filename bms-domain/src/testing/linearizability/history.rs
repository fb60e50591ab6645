//! What clients did, and what they saw of it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::store::StoreError;
use crate::testing::calls::{Answers, Call};

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<A> {
    /// With an answer.
    Answered {
        /// The answer, as it is compared.
        answer: A,
        /// When it was there.
        ended: u64,
    },
    /// It did nothing, and its client knows it.
    Failed,
    /// Nobody knows whether it took effect, or will.
    Unknown,
}

impl<A> Outcome<A> {
    pub(super) fn ended(&self) -> Option<u64> {
        match self {
            Self::Answered { ended, .. } => Some(*ended),
            Self::Failed | Self::Unknown => None,
        }
    }
}

/// A call that a client made. Its times say no more than what came before what: each is one more than the last of anybody.
#[derive(Clone, Debug)]
pub struct Operation<C: Call> {
    /// Who made it, one after the other.
    pub client: usize,
    /// The call.
    pub call: C,
    /// When it began.
    pub began: u64,
    /// How it ended.
    pub outcome: Outcome<C::Answer>,
}

impl<C: Call> fmt::Display for Operation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, began, .. } = self;
        match &self.outcome {
            Outcome::Answered { answer, ended } => write!(f, "[{began}..{ended}] {call:?} → {answer:?}"),
            Outcome::Failed => write!(f, "[{began}] {call:?} failed"),
            Outcome::Unknown => write!(f, "[{began}..…] {call:?} → ?"),
        }
    }
}

/// Records what clients do at the same time.
#[derive(Debug)]
pub struct History<C: Call> {
    clock: AtomicU64,
    operations: Mutex<Vec<Operation<C>>>,
}

impl<C: Call> Default for History<C> {
    fn default() -> Self {
        Self { clock: AtomicU64::new(0), operations: Mutex::default() }
    }
}

impl<C: Call> History<C> {
    /// Makes a call and records it. Gives the answer, as it came; `None` when there was none.
    ///
    /// # Panics
    /// When the store says that the call makes no sense.
    pub async fn call(&self, client: usize, store: &dyn Answers<C>, call: C) -> Option<C::Answer> {
        // One counter orders whatever is ordered: who saw an answer counts after the one who gave it.
        let began = self.clock.fetch_add(1, Ordering::SeqCst);
        let answer = store.answer(&call).await;
        let ended = self.clock.fetch_add(1, Ordering::SeqCst);
        let (outcome, answer) = match answer {
            Ok(answer) => (Outcome::Answered { answer: call.comparable(answer.clone()), ended }, Some(answer)),
            Err(StoreError::Unavailable { .. }) => (Outcome::Failed, None),
            Err(StoreError::OutcomeUnknown { .. }) => (Outcome::Unknown, None),
            Err(broken @ StoreError::Broken { .. }) => panic!("{call:?}: {broken}"),
        };
        self.operations.lock().push(Operation { client, call, began, outcome });
        answer
    }

    /// What was done so far, by its beginning.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation<C>> {
        let mut operations = self.operations.lock().clone();
        operations.sort_by_key(|operation| operation.began);
        operations
    }
}
