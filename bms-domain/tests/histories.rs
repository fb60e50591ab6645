//! Histories of the embedded stores, and of stores that are broken on purpose.
#![cfg(all(feature = "memory", feature = "testing"))]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bms_domain::memory::{MemoryHolds, MemoryOrders};
use bms_domain::store::StoreError;
use bms_domain::testing::calls::{Answers, Call, HoldCall, OrderCall};
use bms_domain::testing::histories::{self, Config};
use bms_domain::testing::{Backend, Fault, Faults, Faulty, Fresh, ManualClock};
use futures::lock::Mutex;

/// Calls of one history that are lost, or fail; which clients make them is not decided.
fn faults() -> Faults {
    let faults = Faults::new();
    for nth in 1..8 {
        // The first two prepare the store.
        let fault = if nth % 3 == 0 { Fault::Unavailable } else { Fault::LoseReply };
        faults.at_call(2 + nth * 5, fault);
    }
    faults
}

/// A hundred histories, times `BMS_EVIDENCE`, by which `scripts/verify.sh` asks for more.
fn config() -> Config {
    let times = env::var("BMS_EVIDENCE").map_or(1, |times| times.parse().expect("BMS_EVIDENCE is a number of times"));
    Config { histories: 100 * times, ..Config::default() }
}

#[test]
fn holds_of_the_embedded_store_are_linearizable() {
    let tally = histories::hold_store(
        &config(),
        |clock| async move { Fresh::new(Faulty::new(Arc::new(MemoryHolds::new(Arc::new(clock))), faults())) },
        |_| {},
    );
    println!("holds: {tally}");
    tally.assert_all(histories::HOLDS);
    assert!(tally.failed > 0 && tally.unknown > 0 && tally.overlapping > 0, "{tally}");
}

/// The store alone, for the faults of its wrapper know one port each.
#[test]
fn orders_of_the_embedded_store_are_linearizable() {
    let tally = histories::order_store(
        &config(),
        |clock| async move { Fresh::new(Lossy { store: MemoryOrders::new(Arc::new(clock)), calls: AtomicUsize::new(0) }) },
        |_| {},
    );
    println!("orders: {tally}");
    tally.assert_all(histories::ORDERS);
    assert!(tally.unknown > 0 && tally.overlapping > 0, "{tally}");
}

/// Loses every ninth answer.
struct Lossy<S> {
    store: S,
    calls: AtomicUsize,
}

#[async_trait]
impl<C: Call, S: Answers<C>> Answers<C> for Lossy<S> {
    async fn answer(&self, call: &C) -> Result<C::Answer, StoreError> {
        let answer = self.store.answer(call).await;
        if self.calls.fetch_add(1, Ordering::Relaxed) % 9 == 8 { Err(StoreError::outcome_unknown("lossy")) } else { answer }
    }
}

/// What is wrong with a pair of stores of which the second hears of each change only when the next one is made.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// Now and then the second answers what is read.
    StaleReads,
    /// After some changes the second takes the place of the first, which dies with what it had not passed on.
    LostWrite,
}

struct Pair<C, S> {
    first: S,
    second: S,
    wrong: Wrong,
    state: Mutex<State<C>>,
}

struct State<C> {
    not_passed_on: Option<C>,
    reads: usize,
    writes: usize,
}

impl<C: Call, S: Answers<C>> Pair<C, S> {
    fn backend(wrong: Wrong, make: fn(Arc<ManualClock>) -> S) -> impl Backend<Store = Self> {
        move |clock: ManualClock| async move {
            let clock = Arc::new(clock);
            let state = Mutex::new(State { not_passed_on: None, reads: 0, writes: 0 });
            Fresh::new(Self { first: make(clock.clone()), second: make(clock), wrong, state })
        }
    }
}

#[async_trait]
impl<C: Call, S: Answers<C>> Answers<C> for Pair<C, S> {
    async fn answer(&self, call: &C) -> Result<C::Answer, StoreError> {
        let mut state = self.state.lock().await;
        let failed_over = self.wrong == Wrong::LostWrite && state.writes >= 20;
        if ["get", "by_holds", "occupancy", "counts", "sold", "claims", "refunds_due"].contains(&call.name()) {
            state.reads += 1;
            let is_stale = self.wrong == Wrong::StaleReads && state.reads % 4 == 0;
            return if is_stale || failed_over { &self.second } else { &self.first }.answer(call).await;
        }
        if failed_over {
            return self.second.answer(call).await;
        }
        state.writes += 1;
        if let Some(earlier) = state.not_passed_on.replace(call.clone()) {
            self.second.answer(&earlier).await?;
        }
        self.first.answer(call).await
    }
}

fn holds(clock: Arc<ManualClock>) -> MemoryHolds {
    MemoryHolds::new(clock)
}

fn orders(clock: Arc<ManualClock>) -> MemoryOrders {
    MemoryOrders::new(clock)
}

fn play_holds(wrong: Wrong) {
    histories::hold_store(&config(), Pair::<HoldCall, _>::backend(wrong, holds), |_| {});
}

fn play_orders(wrong: Wrong) {
    histories::order_store(&config(), Pair::<OrderCall, _>::backend(wrong, orders), |_| {});
}

#[test]
fn a_pair_that_answers_from_the_first_is_linearizable() {
    play_holds(Wrong::Nothing);
    play_orders(Wrong::Nothing);
}

#[test]
#[should_panic(expected = "no order of these calls explains their answers")]
fn a_stale_read_of_a_hold_store_is_caught() {
    play_holds(Wrong::StaleReads);
}

#[test]
#[should_panic(expected = "no order of these calls explains their answers")]
fn a_stale_read_of_an_order_store_is_caught() {
    play_orders(Wrong::StaleReads);
}

#[test]
#[should_panic(expected = "no order of these calls explains their answers")]
fn a_lost_write_of_a_hold_store_is_caught() {
    play_holds(Wrong::LostWrite);
}

#[test]
#[should_panic(expected = "no order of these calls explains their answers")]
fn a_lost_write_of_an_order_store_is_caught() {
    play_orders(Wrong::LostWrite);
}

/// In a process of its own, for its environment is all of a process's.
#[test]
fn a_seed_that_is_asked_for_comes_first() {
    let caught = ["--exact", "a_stale_read_of_a_hold_store_is_caught", "--nocapture"];
    let ended = Command::new(env::current_exe().unwrap()).args(caught).env("BMS_HISTORY_SEED", "4711").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let line = "BMS_HISTORY_SEED=4711 cargo test -p bms-domain --all-features --test histories";
    assert!(ended.status.success() && said.contains("seed 4711: no order of these calls") && said.contains(line), "{said}");
}
