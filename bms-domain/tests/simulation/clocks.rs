//! Clocks that drift and step. A step is 20 s at most, and no clock ever goes more than a minute wrong by steps; none drifts
//! by more than 300 ms in 1,000 s.

use std::sync::atomic::{AtomicI64, Ordering};

use bms_domain::time::{Clock, Timestamp};

use crate::sim::Sim;

/// 2030-01-01T00:00:00Z in ms, the beginning of every world.
pub(crate) const BEGINNING_MS: i64 = 1_893_456_000_000;

/// The most that steps put a clock wrong.
const WRONG_MS: i64 = 60_000;

/// The clock of a store or a process.
pub(crate) struct DriftingClock {
    sim: Sim,
    /// How many ms it gains in 1,000 s.
    drift: i64,
    stepped_ms: AtomicI64,
}

impl DriftingClock {
    pub(crate) fn new(sim: &Sim, random: &mut fastrand::Rng) -> Self {
        Self { sim: sim.clone(), drift: random.i64(-300..=300), stepped_ms: AtomicI64::new(0) }
    }

    /// Sets it forward or back. Says by how much it was.
    pub(crate) fn step(&self, by_ms: i64) -> i64 {
        let before = self.stepped_ms.load(Ordering::Relaxed);
        let after = (before + by_ms).clamp(-WRONG_MS, WRONG_MS);
        self.stepped_ms.store(after, Ordering::Relaxed);
        after - before
    }
}

impl Clock for DriftingClock {
    fn now(&self) -> Timestamp {
        let passed = self.sim.now();
        let shown = passed + passed * self.drift / 1_000_000 + self.stepped_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(BEGINNING_MS + shown)
    }
}
