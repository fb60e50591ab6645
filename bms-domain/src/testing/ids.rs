//! Ids that a seed decides.

use parking_lot::Mutex;
use uuid::Uuid;

use super::ManualClock;
use crate::id::{EntropyError, IdSource};
use crate::time::Clock as _;

/// An [`IdSource`] that a seed decides: the same seed and the same clock give the same ids. Every id is later than the
/// one before it, by a millisecond at least, so that ids of different shards are ordered as well.
#[derive(Debug)]
pub struct SeededIds {
    clock: ManualClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: u64,
    last_millis: u64,
}

impl SeededIds {
    /// Ids of a seed, timed by a clock.
    #[must_use]
    pub fn new(seed: u64, clock: ManualClock) -> Self {
        Self { clock, state: Mutex::new(State { random: seed, last_millis: 0 }) }
    }
}

/// SplitMix64: small, and good enough to tell ids apart.
pub(crate) fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl IdSource for SeededIds {
    fn uuid(&self) -> Uuid {
        let now = u64::try_from(self.clock.now().as_millis()).unwrap_or(0);
        let mut state = self.state.lock();
        state.last_millis = now.max(state.last_millis + 1);
        let random = (u128::from(draw(&mut state.random)) << 64) | u128::from(draw(&mut state.random));
        let millis = u128::from(state.last_millis) << 80;
        let bits = (millis | (random >> 48)) & !(0xf_u128 << 76) & !(0b11_u128 << 62);
        Uuid::from_u128(bits | (7_u128 << 76) | (0b10_u128 << 62))
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let mut state = self.state.lock();
        for byte in bytes {
            *byte = draw(&mut state.random).to_le_bytes()[0];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_and_every_id_is_later_than_the_last() {
        let ids = |seed| {
            let source = SeededIds::new(seed, ManualClock::new());
            (0..50).map(|_| source.uuid()).collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        assert!(ids(3).is_sorted_by_key(|id| id.as_u128() >> 80));
        assert!(ids(4).iter().all(|id| id.get_version_num() == 7));
    }
}
