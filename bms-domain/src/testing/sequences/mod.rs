//! Random sequences of calls, compared step by step with the [`model`](super::model).
//!
//! ```
//! # use std::sync::Arc;
//! # use bms_domain::memory::MemoryOrders;
//! use bms_domain::testing::{Fresh, sequences};
//!
//! let config = sequences::Config { cases: 8, failure_persistence: None, ..sequences::Config::default() };
//! sequences::order_store(config, |clock| async move { Fresh::new(MemoryOrders::new(Arc::new(clock))) });
//! ```
//!
//! Several stores are compared with each other by [`hold_stores_agree`], [`order_stores_agree`] and [`outboxes_agree`].
//!
//! A sequence that fails is shrunk to the steps that matter; with [`config`] its seed is kept. The seed of the whole run is
//! printed, with the line that gives it again, in the variable `PROPTEST_RNG_SEED`.

mod agree;
mod holds;
mod orders;
mod outbox;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
pub use proptest::test_runner::Config;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestRunner};
use proptest_state_machine::ReferenceStateMachine;

pub use agree::{Rival, hold_stores_agree, order_stores_agree, outboxes_agree};
pub use holds::hold_store;
pub use orders::order_store;
pub use outbox::outbox;

use super::{Runtime, replay};
use crate::id::{IdSource as _, SystemIds};

/// So many cases; the seeds of those that failed are kept beside the source file (`file!()`), and run first the next time.
#[must_use]
pub fn config(cases: u32, source_file: &'static str) -> Config {
    let kept = FileFailurePersistence::WithSource("regressions");
    Config { cases, failure_persistence: Some(Box::new(kept)), ..Config::with_source_file(source_file) }
}

/// The most steps of a sequence.
const STEPS: usize = 60;

/// Counts the steps that were taken: shrinking begins by leaving out those after the failure.
struct Seen(Option<Arc<AtomicUsize>>);

impl Seen {
    fn step(&self) {
        if let Some(seen) = &self.0 {
            seen.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Draws sequences of `M` and drives each with `drive`, which is given the first state and the steps.
fn run<'a, M>(config: Config, runtime: &dyn Runtime, drive: impl Fn(M::State, Vec<M::Transition>, Seen) -> BoxFuture<'a, ()>)
where
    M: ReferenceStateMachine,
    M::State: 'static,
    M::Transition: 'static,
{
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => drawn(),
    };
    println!("{} sequences of seed {seed}", config.cases);
    let config = Config { rng_seed: RngSeed::Fixed(seed), ..config };
    let outcome = TestRunner::new(config).run(&M::sequential_strategy(1..STEPS), |(first, steps, seen)| {
        runtime.block_on(drive(first, steps, Seen(seen)));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}\n{}", replay::line("PROPTEST_RNG_SEED", seed));
    }
}

/// A seed for a run that was given none.
fn drawn() -> u64 {
    let mut bytes = [0; 8];
    SystemIds.fill(&mut bytes).expect("the operating system has random numbers");
    u64::from_le_bytes(bytes)
}
