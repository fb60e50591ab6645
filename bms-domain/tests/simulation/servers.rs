//! The stores as servers: each has a clock of its own, and the hold store forgets, or falls back to an older state.

use std::sync::Arc;

use bms_domain::memory::{MemoryHolds, MemoryOrders};
use bms_domain::store::StoreError;
use bms_domain::testing::ManualClock;
use bms_domain::time::{Clock as _, Timestamp};
use fastrand::Rng;
use futures::FutureExt as _;
use parking_lot::Mutex;

use crate::clocks::DriftingClock;
use crate::sim::Sim;

/// What an embedded store answers, which it does at once.
pub(crate) fn done<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("an embedded store answers at once")
}

/// The order store: durable, and never away for longer than a call.
pub(crate) struct OrderServer {
    pub(crate) clock: Arc<DriftingClock>,
    pub(crate) store: MemoryOrders,
}

impl OrderServer {
    pub(crate) fn new(sim: &Sim, random: &mut Rng) -> Self {
        let clock = Arc::new(DriftingClock::new(sim, random));
        Self { clock: clock.clone(), store: MemoryOrders::new(clock) }
    }
}

/// A command that the hold store was given, and when by its clock.
struct Logged {
    at: Timestamp,
    give: Box<dyn Fn(&MemoryHolds) + Send + Sync>,
}

struct State {
    store: MemoryHolds,
    /// Shows the time of the command that is carried out.
    time: ManualClock,
    log: Vec<Logged>,
    down_until: i64,
}

impl State {
    fn empty(at: Timestamp) -> Self {
        let time = ManualClock::at(at);
        Self { store: MemoryHolds::new(Arc::new(time.clone())), time, log: Vec::new(), down_until: 0 }
    }
}

/// The hold store. It keeps its commands, so that any older state of it can be made again.
pub(crate) struct HoldServer {
    pub(crate) clock: Arc<DriftingClock>,
    sim: Sim,
    state: Mutex<State>,
}

impl HoldServer {
    pub(crate) fn new(sim: &Sim, random: &mut Rng) -> Self {
        let clock = Arc::new(DriftingClock::new(sim, random));
        let state = Mutex::new(State::empty(clock.now()));
        Self { clock, sim: sim.clone(), state }
    }

    /// Asks, unless it is down.
    pub(crate) fn read<T>(&self, ask: impl FnOnce(&MemoryHolds) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let state = self.state.lock();
        if self.sim.now() < state.down_until {
            return Err(StoreError::unavailable("the hold store"));
        }
        state.time.set(self.clock.now());
        ask(&state.store)
    }

    /// Gives a command, and keeps it.
    pub(crate) fn change<T>(
        &self,
        give: impl Fn(&MemoryHolds) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.read(&give);
        // Else it is down, and knows nothing of it.
        if answer.is_ok() {
            let at = self.clock.now();
            self.state.lock().log.push(Logged { at, give: Box::new(move |store| drop(give(store))) });
        }
        answer
    }

    /// Forgets everything, and is down for a while.
    pub(crate) fn forget(&self, down_ms: i64) {
        let mut state = self.state.lock();
        *state = State::empty(self.clock.now());
        state.down_until = self.sim.now() + down_ms;
    }

    /// Falls back to what it was after some of its commands, and is down for a while. Says how many it lost.
    pub(crate) fn fall_back(&self, thousandths: u64, down_ms: i64) -> usize {
        let mut state = self.state.lock();
        let mut log = std::mem::take(&mut state.log);
        let kept = log.len() * usize::try_from(thousandths).unwrap_or(0) / 1_000;
        let lost = log.len() - kept;
        log.truncate(kept);
        let begun = log.first().map_or_else(|| self.clock.now(), |first| first.at);
        *state = State::empty(begun);
        for logged in &log {
            state.time.set(logged.at);
            (logged.give)(&state.store);
        }
        state.log = log;
        state.down_until = self.sim.now() + down_ms;
        lost
    }
}
