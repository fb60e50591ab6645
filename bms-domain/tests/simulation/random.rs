//! Randomness, all of it from the seed, in streams that do not disturb each other: with one user less, or one fault less, the
//! others draw what they drew before.

use std::hash::Hasher as _;

use fastrand::Rng;
use fnv::FnvHasher;

/// The stream of a name and a number.
pub(crate) fn stream(seed: u64, name: &str, number: u64) -> Rng {
    let mut hasher = FnvHasher::default();
    hasher.write(&seed.to_le_bytes());
    hasher.write(name.as_bytes());
    hasher.write(&number.to_le_bytes());
    Rng::with_seed(hasher.finish())
}

/// Whether one of so many times it comes about.
pub(crate) fn once_in(random: &mut Rng, times: u32) -> bool {
    random.u32(..times) == 0
}

/// A time in ms: often none at all, now and then seconds, seldom minutes, and at most `longest`.
pub(crate) fn pause_ms(random: &mut Rng, longest: u64) -> u64 {
    let reach = [0, 20, 3_000, 60_000, longest];
    let reach = reach[random.usize(..reach.len())].min(longest);
    random.u64(..=reach)
}
