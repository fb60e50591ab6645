//! What was seen, and how often.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;

/// Counts by name; what was expected and did not come stands there with nothing.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<String, usize>>);

impl Counters {
    pub(crate) fn add(&self, name: impl Into<String>, count: usize) {
        *self.0.lock().entry(name.into()).or_default() += count;
    }

    /// Adds all of another's.
    pub(crate) fn merge(&self, other: &Self) {
        for (name, count) in other.0.lock().iter() {
            self.add(name, *count);
        }
    }

    /// How often something was seen.
    pub(crate) fn of(&self, name: &str) -> usize {
        self.0.lock().get(name).copied().unwrap_or(0)
    }

    /// What never came about.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.0.lock().iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.clone()).collect()
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lock().iter().try_for_each(|(name, count)| writeln!(f, "  {name:<34} {count:>7}"))
    }
}
