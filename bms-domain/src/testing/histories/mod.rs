//! Histories of many clients who use a store at the same time, each checked to be [linearizable](super::linearizability).
//!
//! Eight clients hold, order, sell and look at the few seats of one show, all at once; what they saw must be what the
//! [`model`](super::model) would have answered in some order. A client whose call is lost goes on, and mostly tries it again;
//! now and then he asks twice for what he was answered. So a store may not answer anything old, lose anything, do anything by
//! halves, do anything twice, or say of what took effect that it did nothing.
//!
//! ```
//! use std::sync::Arc;
//! use bms_domain::memory::MemoryHolds;
//! use bms_domain::testing::{Fresh, histories};
//!
//! let config = histories::Config { histories: 2, ..histories::Config::default() };
//! let tally = histories::hold_store(&config, |clock| async move { Fresh::new(MemoryHolds::new(Arc::new(clock))) }, |_| {});
//! assert_eq!(tally.runs, 2);
//! ```
//!
//! The clock stands still while a history is recorded, so that all times in answers are known. Which calls are made is decided
//! by a seed; which come first is not, so that a seed repeats a failure only mostly. What is printed on failure gives the seed
//! again, in the variable `BMS_HISTORY_SEED`: then as many histories as the test has are first recorded of this seed alone.

mod holds;
mod orders;

use std::collections::BTreeSet;
use std::env;
use std::iter::repeat_n;
use std::sync::Arc;
use std::thread;

use futures::future::BoxFuture;

use super::backend::{Backend, race};
use super::calls::{Answers, Call, HoldCall, OrderCall, Tally};
use super::ids::draw;
use super::linearizability::{History, Operation, OperationOf, Outcome, Specification, Violation};
use super::{Fresh, ManualClock, Runtime, replay};
use crate::seat::SeatIndex;
use crate::time::{Clock as _, Timestamp};

/// How much is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many histories.
    pub histories: usize,
    /// How many clients in each.
    pub clients: usize,
    /// How many calls each of them makes, one after the other.
    pub calls: usize,
    /// Decides what they call.
    pub seed: u64,
}

impl Default for Config {
    /// Twenty-five histories of eight clients who make six calls each.
    fn default() -> Self {
        Self { histories: 25, clients: 8, calls: 6, seed: 1 }
    }
}

/// What comes about in a hundred histories of a hold store, for [`Tally::assert_all`].
pub const HOLDS: &[(&str, &[&str])] = &[
    ("place", &["placed", "existing", "taken", "id taken"]),
    ("get", &["answered"]),
    ("release", &["done", "refused", "not found"]),
    ("begin_checkout", &["done", "refused", "not found"]),
    ("end_checkout", &["done", "not found"]),
    ("give_back", &["done"]),
    ("mark_sold", &["done"]),
    ("mark_free", &["done"]),
    ("occupancy", &["answered"]),
    ("counts", &["answered"]),
];

/// What comes about in a hundred histories of an order store, for [`Tally::assert_all`].
pub const ORDERS: &[(&str, &[&str])] = &[
    ("create", &["created", "existing", "taken"]),
    ("settle", &["confirmed", "failed", "refund due", "recorded"]),
    ("give_up", &["changed", "the same", "refused", "not found"]),
    ("cancel", &["changed", "the same", "refused", "not found"]),
    ("get", &["answered", "not found"]),
    ("by_holds", &["answered"]),
    ("refunds_due", &["answered", "none"]),
    ("claims", &["answered", "none"]),
    ("sold", &["answered"]),
];

/// Records histories of a hold store, each of a fresh one, and checks them. `disturb` is called with a random number before one
/// call in twelve: to lose its answer, or to cut its connection. Says what came about.
///
/// # Panics
/// When a history is not linearizable: shows its shortest beginning of which that is true.
pub fn hold_store<B>(config: &Config, backend: B, disturb: impl Fn(u64) + Send + Sync + 'static) -> Tally
where
    B: Backend,
    B::Store: Answers<HoldCall>,
{
    run::<holds::Client, B>(config, &backend, &(Arc::new(disturb) as Disturb))
}

/// The same of an order store.
///
/// # Panics
/// When a history is not linearizable: shows its shortest beginning of which that is true.
pub fn order_store<B>(config: &Config, backend: B, disturb: impl Fn(u64) + Send + Sync + 'static) -> Tally
where
    B: Backend,
    B::Store: Answers<OrderCall>,
{
    run::<orders::Client, B>(config, &backend, &(Arc::new(disturb) as Disturb))
}

type Disturb = Arc<dyn Fn(u64) + Send + Sync>;
type CallOf<P> = <<P as Player>::Specification as Specification>::Call;
type AnswerOf<P> = <CallOf<P> as Call>::Answer;

/// A client of a store.
trait Player: Send + Sized + 'static {
    type Specification: Specification;

    /// The store at the beginning of a history.
    fn first(now: Timestamp) -> Self::Specification;

    /// Checks a history: written out for each kind of client, so that it is compiled, and optimised, with this crate.
    fn check(now: Timestamp, history: &[OperationOf<Self::Specification>]) -> Result<(), Violation>;

    /// Brings a fresh store there.
    fn prepare(store: &dyn Answers<CallOf<Self>>) -> BoxFuture<'_, ()>;

    /// So many clients, who know what of each other they would know through other stores.
    fn all(clients: usize) -> Vec<Self>;

    /// What he calls next.
    fn next(&mut self, dice: &mut Dice) -> CallOf<Self>;

    /// What he learns from an answer.
    fn learn(&mut self, call: &CallOf<Self>, answer: &AnswerOf<Self>);
}

/// Random numbers of a seed.
struct Dice(u64);

impl Dice {
    /// One that is less than `end`.
    fn below(&mut self, end: u32) -> u32 {
        u32::try_from(draw(&mut self.0) % u64::from(end)).unwrap_or_default()
    }

    /// One or two that are less than `end`.
    fn one_or_two(&mut self, end: SeatIndex) -> BTreeSet<SeatIndex> {
        (0..=self.below(2)).map(|_| self.below(end)).collect()
    }
}

fn run<P: Player, B: Backend>(config: &Config, backend: &B, disturb: &Disturb) -> Tally
where
    B::Store: Answers<CallOf<P>>,
{
    let runtime = backend.runtime();
    let mut tally = Tally::default();
    println!("{} histories of seeds from {}", config.histories, config.seed);
    let again = seed_asked_for().into_iter().flat_map(|seed| repeat_n((seed, true), config.histories));
    let usual = (0..config.histories).map(|nth| (config.seed.wrapping_add(nth as u64), false));
    for (seed, is_again) in again.chain(usual) {
        let config = Config { seed, ..*config };
        let clock = ManualClock::new();
        let mut operations = Vec::new();
        runtime.block_on(Box::pin(async {
            operations = record::<P, B>(&config, backend, &*runtime, &clock, disturb).await;
        }));
        // What came about is told of the histories that are the same each time.
        if !is_again {
            count(&mut tally, &operations);
        }
        if let Err(violation) = P::check(clock.now(), &operations) {
            panic!("seed {seed}: {violation}{}", replay::line(SEED, seed));
        }
    }
    tally
}

/// The variable that gives the seed of a history which failed.
const SEED: &str = "BMS_HISTORY_SEED";

fn seed_asked_for() -> Option<u64> {
    env::var_os(SEED).map(|seed| seed.to_str().and_then(|seed| seed.parse().ok()).expect("BMS_HISTORY_SEED is a number"))
}

fn count<C: Call>(tally: &mut Tally, operations: &[Operation<C>]) {
    tally.runs += 1;
    for operation in operations {
        match &operation.outcome {
            Outcome::Answered { answer, .. } => tally.count(operation.call.name(), C::kind(answer)),
            Outcome::Failed => tally.failed += 1,
            Outcome::Unknown => tally.unknown += 1,
        }
        let Outcome::Answered { ended, .. } = operation.outcome else { continue };
        let overlaps = |other: &Operation<C>| match other.outcome {
            Outcome::Answered { ended: its_end, .. } => {
                other.client != operation.client && other.began < ended && its_end > operation.began
            }
            Outcome::Failed | Outcome::Unknown => false,
        };
        tally.overlapping += usize::from(operations.iter().any(overlaps));
    }
}

async fn record<P: Player, B: Backend>(
    config: &Config,
    backend: &B,
    runtime: &dyn Runtime,
    clock: &ManualClock,
    disturb: &Disturb,
) -> Vec<OperationOf<P::Specification>>
where
    B::Store: Answers<CallOf<P>>,
{
    let Fresh { store, guard } = backend.fresh(clock.clone()).await;
    P::prepare(&*store).await;
    let history = Arc::new(History::default());
    let clients = P::all(config.clients).into_iter().enumerate().map(|(number, client)| {
        let mut seed = config.seed;
        let dice = Dice((0..=number).map(|_| draw(&mut seed)).last().unwrap_or_default());
        play(client, number, config.calls, dice, store.clone(), history.clone(), disturb.clone())
    });
    race(runtime, clients).await;
    drop(guard);
    history.operations()
}

async fn play<P: Player>(
    mut client: P,
    number: usize,
    calls: usize,
    mut dice: Dice,
    store: Arc<impl Answers<CallOf<P>>>,
    history: Arc<History<CallOf<P>>>,
    disturb: Disturb,
) {
    let mut again = None;
    for _ in 0..calls {
        let call = again.take().unwrap_or_else(|| client.next(&mut dice));
        if dice.below(12) == 0 {
            disturb(draw(&mut dice.0));
        }
        // Where calls are quick, one client would have made all of his before the next begins.
        thread::yield_now();
        match history.call(number, &*store, call.clone()).await {
            Some(answer) => {
                client.learn(&call, &answer);
                again = Some(call).filter(|_| dice.below(8) == 0);
            }
            None => again = Some(call).filter(|_| dice.below(3) > 0),
        }
    }
}
