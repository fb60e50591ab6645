//! A clock that moves when it is told to, and a timer that goes by it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::time::{Clock, Timer, Timestamp};

/// A [`Clock`] that moves when it is told to. A clone shows the same time.
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<State>>);

struct State {
    now: Timestamp,
    sleepers: Vec<(Timestamp, oneshot::Sender<()>)>,
}

impl ManualClock {
    /// A clock at 2030-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Timestamp::from_millis(1_893_456_000_000))
    }

    /// A clock at an instant.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(State { now, sleepers: Vec::new() })))
    }

    /// Lets `span` pass, and wakes whoever slept for no longer.
    pub fn advance(&self, span: Duration) {
        let mut state = self.0.lock();
        let now = state.now.plus(span);
        Self::move_to(&mut state, now);
    }

    /// Sets the clock, back too. Nobody falls asleep again by it.
    pub fn set(&self, now: Timestamp) {
        Self::move_to(&mut self.0.lock(), now);
    }

    /// A timer that goes by this clock.
    #[must_use]
    pub fn timer(&self) -> ManualTimer {
        ManualTimer(self.clone())
    }

    /// How many sleepers of the timers of this clock are still waited for.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        let mut state = self.0.lock();
        state.sleepers.retain(|(_, sleeper)| !sleeper.is_canceled());
        state.sleepers.len()
    }

    fn move_to(state: &mut State, now: Timestamp) {
        state.now = now;
        let (awake, asleep) = std::mem::take(&mut state.sleepers).into_iter().partition(|(end, _)| end.has_passed(now));
        state.sleepers = asleep;
        for (_, sleeper) in awake {
            // A sleeper that nobody awaits any more is no error.
            let _ = sleeper.send(());
        }
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({})", self.now())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().now
    }
}

/// A [`Timer`] whose sleep ends when its [`ManualClock`] was moved past the end. It never waits for real.
#[derive(Clone, Debug)]
pub struct ManualTimer(ManualClock);

impl Timer for ManualTimer {
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.0.0.lock();
        let end = state.now.plus(span);
        if end.has_passed(state.now) {
            return futures::future::ready(()).boxed();
        }
        let (sleeper, awake) = oneshot::channel();
        state.sleepers.push((end, sleeper));
        // A clock that is gone lets nobody oversleep.
        awake.map(|_| ()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_when_the_clock_has_come_to_its_end() {
        let clock = ManualClock::new();
        let mut sleep = clock.timer().sleep(Duration::from_secs(2));
        assert!(sleep.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_millis(1_999));
        assert!(sleep.as_mut().now_or_never().is_none());
        assert_eq!(clock.sleepers(), 1);
        clock.advance(Duration::from_millis(1));
        assert!(sleep.now_or_never().is_some());
        assert_eq!(clock.sleepers(), 0);
        assert!(clock.timer().sleep(Duration::ZERO).now_or_never().is_some());
    }

    #[test]
    fn a_clone_shows_the_same_time_and_the_clock_runs_backwards_too() {
        let clock = ManualClock::new();
        let other = clock.clone();
        other.set(Timestamp::from_millis(5));
        assert_eq!(clock.now(), Timestamp::from_millis(5));
    }
}
