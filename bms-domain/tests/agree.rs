//! The comparison of stores finds the one that is broken on purpose.
#![cfg(all(feature = "memory", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use bms_domain::memory::{MemoryHolds, MemoryOrders};
use bms_domain::store::StoreError;
use bms_domain::testing::calls::{Answers, HoldAnswer, HoldCall, OrderAnswer, OrderCall};
use bms_domain::testing::sequences::{self, Config, Rival};
use bms_domain::testing::{Backend, Fresh, ManualClock, Threads};
use proptest::test_runner::RngSeed;

/// A store that is wrong in one thing.
struct Wrong<S>(S);

#[async_trait]
impl Answers<HoldCall> for Wrong<MemoryHolds> {
    async fn answer(&self, call: &HoldCall) -> Result<HoldAnswer, StoreError> {
        match call {
            // What was cancelled stays sold.
            HoldCall::MarkFree { .. } => Ok(HoldAnswer::Done),
            call => self.0.answer(call).await,
        }
    }
}

#[async_trait]
impl Answers<OrderCall> for Wrong<MemoryOrders> {
    async fn answer(&self, call: &OrderCall) -> Result<OrderAnswer, StoreError> {
        match call.clone() {
            // Nobody looks at how much was paid.
            OrderCall::Settle { order, payment, status, notice, ticket, .. } => {
                self.0.answer(&OrderCall::Settle { order, payment, status, right_amount: true, notice, ticket }).await
            }
            // What did not arrive comes again at once.
            OrderCall::Postpone { .. } => Ok(OrderAnswer::Done),
            call => self.0.answer(&call).await,
        }
    }
}

fn holds() -> impl Backend<Store = MemoryHolds> {
    |clock: ManualClock| async move { Fresh::new(MemoryHolds::new(Arc::new(clock))) }
}

fn orders() -> impl Backend<Store = MemoryOrders> {
    |clock: ManualClock| async move { Fresh::new(MemoryOrders::new(Arc::new(clock))) }
}

/// A failure is what is looked for here: it is shrunk, and not kept.
fn config() -> Config {
    Config { cases: 250, failure_persistence: None, ..Config::default() }
}

#[test]
fn a_store_agrees_with_itself() {
    let tally = sequences::hold_stores_agree(config(), &Threads, &[Rival::new("one", holds()), Rival::new("another", holds())]);
    assert!(tally.runs == 250 && tally.of("restore", "stale") > 0, "{tally}");
    sequences::order_stores_agree(config(), &Threads, &[Rival::new("one", orders()), Rival::new("another", orders())]);
    sequences::outboxes_agree(config(), &Threads, &[Rival::new("one", orders()), Rival::new("another", orders())]);
}

#[test]
#[should_panic(expected = "\n  wrong answered")]
fn a_hold_store_that_frees_nothing_is_found() {
    let wrong = |clock: ManualClock| async move { Fresh::new(Wrong(MemoryHolds::new(Arc::new(clock)))) };
    sequences::hold_stores_agree(config(), &Threads, &[Rival::new("right", holds()), Rival::new("wrong", wrong)]);
}

async fn wrong_orders(clock: ManualClock) -> Fresh<Wrong<MemoryOrders>> {
    Fresh::new(Wrong(MemoryOrders::new(Arc::new(clock))))
}

#[test]
#[should_panic(expected = "\n  wrong answered")]
fn an_order_store_that_looks_at_no_amount_is_found() {
    sequences::order_stores_agree(config(), &Threads, &[Rival::new("right", orders()), Rival::new("wrong", wrong_orders)]);
}

#[test]
#[should_panic(expected = "\n  wrong answered")]
fn an_outbox_that_postpones_nothing_is_found() {
    sequences::outboxes_agree(config(), &Threads, &[Rival::new("right", orders()), Rival::new("wrong", wrong_orders)]);
}

/// What the comparison with an outbox that postpones nothing says.
fn found(config: Config) -> String {
    let rivals = [Rival::new("right", orders()), Rival::new("wrong", wrong_orders)];
    let said = catch_unwind(AssertUnwindSafe(|| sequences::outboxes_agree(config, &Threads, &rivals))).unwrap_err();
    said.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn the_seed_that_is_printed_leads_to_the_same_sequence() {
    let first = found(config());
    let (_, line) = first.split_once("Replay it with: PROPTEST_RNG_SEED=").unwrap();
    let (seed, command) = line.split_once(' ').unwrap();
    assert!(command.starts_with("cargo test -p bms-domain --all-features --test agree"), "{command}");
    let seed = RngSeed::Fixed(seed.parse().unwrap());
    assert_eq!(found(Config { rng_seed: seed, ..config() }), first);
}

#[test]
#[should_panic(expected = "the run was vacuous")]
fn a_run_in_which_nothing_came_about_is_no_evidence() {
    let config = Config { cases: 1, ..config() };
    let tally = sequences::hold_stores_agree(config, &Threads, &[Rival::new("one", holds()), Rival::new("another", holds())]);
    tally.assert_all(&[("restore", &["stale"]), ("place", &["placed", "existing", "taken", "too many", "id taken"])]);
}
