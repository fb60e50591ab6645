//! What hangs never says so itself.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

/// Looks now and then, from a thread of its own, whether the same input is still tried.
pub(super) struct Watchdog {
    tried: Arc<Mutex<Tried>>,
    /// The thread ends when this is dropped.
    _watched: mpsc::Sender<()>,
}

#[derive(Default)]
struct Tried {
    /// How many inputs were begun.
    number: u64,
    /// The one that is tried.
    input: Option<Vec<u8>>,
}

impl Watchdog {
    /// Calls `hangs` with an input that is tried for more than `longest`; twice that, at the latest.
    pub(super) fn start(longest: Duration, hangs: impl FnOnce(&[u8]) + Send + 'static) -> Self {
        let tried = Arc::<Mutex<Tried>>::default();
        let (watched, end) = mpsc::channel();
        let looked_at = tried.clone();
        thread::spawn(move || {
            let mut before = 0;
            while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(longest) {
                let tried = looked_at.lock();
                if let Some(input) = tried.input.as_ref().filter(|_| tried.number == before) {
                    return hangs(input);
                }
                before = tried.number;
            }
        });
        Self { tried, _watched: watched }
    }

    /// Tries an input.
    pub(super) fn watch<T>(&self, input: &[u8], check: impl FnOnce(&[u8]) -> T) -> T {
        {
            let mut tried = self.tried.lock();
            tried.number += 1;
            tried.input = Some(input.to_vec());
        }
        let outcome = check(input);
        self.tried.lock().input = None;
        outcome
    }
}
