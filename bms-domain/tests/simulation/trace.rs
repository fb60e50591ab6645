//! What happened, as a hash of 64 bits: the same seed gives the same one. On demand every line of it is printed.

use std::fmt::{self, Write as _};
use std::hash::Hasher as _;

use fnv::FnvHasher;
use parking_lot::Mutex;

pub(crate) struct Trace {
    hash: Mutex<FnvHasher>,
    is_shown: bool,
}

/// Writes text into a hash.
struct Hashed<'a>(&'a mut FnvHasher);

impl fmt::Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Trace {
    pub(crate) fn new(is_shown: bool) -> Self {
        Self { hash: Mutex::default(), is_shown }
    }

    /// A task went on.
    pub(crate) fn step(&self, now: i64, task: u64) {
        let mut hash = self.hash.lock();
        hash.write(&now.to_le_bytes());
        hash.write(&task.to_le_bytes());
    }

    /// Something happened.
    pub(crate) fn line(&self, now: i64, text: fmt::Arguments<'_>) {
        _ = Hashed(&mut self.hash.lock()).write_fmt(text);
        if self.is_shown {
            println!("{:>3}:{:02}.{:03} {text}", now / 60_000, now / 1_000 % 60, now % 1_000);
        }
    }

    /// Something that is only shown.
    pub(crate) fn aside(&self, text: impl FnOnce() -> String) {
        if self.is_shown {
            println!("{}", text());
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.lock().finish()
    }
}
