//! The stores as servers: each has a clock of its own, and the hold store forgets, or falls back to an older state.

use std::sync::Arc;

use bms_domain::hold::Hold;
use bms_domain::id::HoldId;
use bms_domain::memory::{MemoryHolds, MemoryOrders};
use bms_domain::store::{HoldStore, StoreError};
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

/// A call that the hold store was given, and when by its clock. Reads are kept, too: what has ended by then ends with them.
struct Logged {
    at: Timestamp,
    is_command: bool,
    give: Box<dyn Fn(&MemoryHolds) + Send + Sync>,
}

struct State {
    store: MemoryHolds,
    /// Shows the time of the call that is carried out.
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

/// The hold store. It keeps its calls, so that any older state of it can be made again.
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

    /// Looks at it where it has just been given a call, so that nothing ends of that.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&MemoryHolds) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let state = self.state.lock();
        if self.sim.now() < state.down_until {
            return Err(StoreError::unavailable("the hold store"));
        }
        state.time.set(self.clock.now());
        look(&state.store)
    }

    /// Asks, unless it is down.
    pub(crate) fn read<T>(
        &self,
        ask: impl Fn(&MemoryHolds) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        self.call(false, ask)
    }

    /// Gives a command, unless it is down.
    pub(crate) fn change<T>(
        &self,
        give: impl Fn(&MemoryHolds) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        self.call(true, give)
    }

    fn call<T>(
        &self,
        is_command: bool,
        give: impl Fn(&MemoryHolds) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.look(&give);
        // Else it is down, and knows nothing of it.
        if answer.is_ok() {
            let at = self.clock.now();
            self.state.lock().log.push(Logged { at, is_command, give: Box::new(move |store| drop(give(store))) });
        }
        answer
    }

    /// Forgets everything, and is down for a while.
    pub(crate) fn forget(&self, down_ms: i64) {
        let mut state = self.state.lock();
        *state = State::empty(self.clock.now());
        state.down_until = self.sim.now() + down_ms;
    }

    /// Falls back to what it was after some of its calls, and is down for a while. Says how many commands are among them.
    pub(crate) fn fall_back(&self, thousandths: u64, down_ms: i64) -> usize {
        let mut state = self.state.lock();
        let mut log = std::mem::take(&mut state.log);
        let kept = log.len() * usize::try_from(thousandths).unwrap_or(0) / 1_000;
        log.truncate(kept);
        let begun = log.first().map_or_else(|| self.clock.now(), |first| first.at);
        *state = State::empty(begun);
        for logged in &log {
            state.time.set(logged.at);
            (logged.give)(&state.store);
        }
        let commands = log.iter().filter(|logged| logged.is_command).count();
        state.log = log;
        state.down_until = self.sim.now() + down_ms;
        commands
    }

    /// What it has of these holds as it comes up again after it has fallen back.
    pub(crate) fn holds_left(&self, ids: &[HoldId]) -> Vec<Option<Hold>> {
        let mut state = self.state.lock();
        let at = self.clock.now();
        state.time.set(at);
        let ids = ids.to_vec();
        let give = move |store: &MemoryHolds| done(HoldStore::get(store, &ids));
        let left = give(&state.store).unwrap_or_default();
        state.log.push(Logged { at, is_command: false, give: Box::new(move |store| drop(give(store))) });
        left
    }
}
