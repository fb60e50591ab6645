//! Waiting for another process, with an end.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::failure::Failure;

/// When a wait ends; a server lives by the time of the machine, whatever the clock of the code under test says.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// In `limit` from now.
    pub fn after(limit: Duration) -> Self {
        Self(now() + limit)
    }

    /// Whether it is over.
    pub fn has_passed(self) -> bool {
        now() >= self.0
    }

    /// The same for calls that wait until an instant.
    pub fn instant(self) -> Instant {
        self.0
    }
}

/// Asks until the answer is there, for at most `limit`; `poll` gives it, or says how things stand.
///
/// # Errors
///
/// [`Failure::Late`] with what `poll` said last.
pub fn until<T>(what: &str, limit: Duration, mut poll: impl FnMut() -> Result<T, String>) -> Result<T, Failure> {
    let end = Deadline::after(limit);
    let mut pause = Duration::from_millis(2);
    loop {
        match poll() {
            Ok(answer) => return Ok(answer),
            Err(seen) if end.has_passed() => return Err(Failure::Late { what: what.to_owned(), limit, seen }),
            Err(_) => wait(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for a process, which knows no other clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a process that does not tell when it is ready is asked again and again")]
fn wait(pause: Duration) {
    thread::sleep(pause);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_answer_or_with_what_was_seen_last() {
        let mut asked = 0;
        let answer = until("three", Duration::from_secs(60), || {
            asked += 1;
            if asked == 3 { Ok(asked) } else { Err(asked.to_string()) }
        });
        assert_eq!(answer.unwrap(), 3);
        let refusal = until::<()>("nothing", Duration::ZERO, || Err("something else".to_owned()));
        assert!(matches!(refusal, Err(Failure::Late { seen, .. }) if seen == "something else"));
    }
}
