//! Waiting for another process, with an end.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::failure::Failure;

/// Asks until the answer is there, for at most `limit`; `poll` gives it, or says how things stand.
pub(super) fn until<T>(what: &str, limit: Duration, mut poll: impl FnMut() -> Result<T, String>) -> Result<T, Failure> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        match poll() {
            Ok(answer) => return Ok(answer),
            Err(seen) if Instant::now() >= end => return Err(Failure::Late { what: what.to_owned(), limit, seen }),
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
