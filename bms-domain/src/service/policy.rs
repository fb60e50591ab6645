//! The limits and times, in one place.

use std::time::Duration;

use crate::store::SeatLimits;

/// Limits and times. The defaults are those of the documentation; all can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// How long a hold lasts: 10 minutes.
    pub hold_ttl: Duration,
    /// How long an order waits for payment: 5 minutes.
    pub order_ttl: Duration,
    /// How much longer than its order a hold lasts, so that the seats stay covered (promise P8): 2 seconds. At least the
    /// deadline of a store call, which may lie between the two.
    pub checkout_grace: Duration,
    /// The longest that a hold may last, however often it is prolonged: 30 minutes.
    pub longest_hold: Duration,
    /// 10 seats a hold, 10 seats a user and show.
    pub limits: SeatLimits,
    /// How long the first answer to an idempotency key is kept: 24 hours.
    pub keep_answers: Duration,
    /// After how long a request whose process died may be run again: 30 seconds.
    pub request_lease: Duration,
    /// For how long a seat map may be shown that was read before, while the show's seats change: 5 seconds, which is also
    /// the most. Zero: every map is read anew, and none is kept.
    pub busy_map_life: Duration,
    /// The same for a quiet show, of which two readings at least `busy_map_life` apart showed the same: 30 seconds, which
    /// is also the most. No less than `busy_map_life`.
    pub quiet_map_life: Duration,
    /// How long an event that did not arrive waits before it is tried again: 1 second, and twice as long each time.
    pub relay_pause: Duration,
    /// The longest that it waits: 5 minutes.
    pub longest_relay_pause: Duration,
    /// After how many attempts an event that did not arrive is a dead letter: 12, which is 19 minutes with the pauses
    /// above. At least 1.
    pub relay_attempts: u32,
    /// For how long an outbox that keeps published events does so, for a replay: 7 days. Zero: until the next sweep.
    pub keep_events: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hold_ttl: Duration::from_mins(10),
            order_ttl: Duration::from_mins(5),
            checkout_grace: Duration::from_secs(2),
            longest_hold: Duration::from_mins(30),
            limits: SeatLimits { per_hold: 10, per_user_and_show: 10 },
            keep_answers: Duration::from_hours(24),
            request_lease: Duration::from_secs(30),
            busy_map_life: Self::LONGEST_BUSY_MAP_LIFE,
            quiet_map_life: Self::LONGEST_QUIET_MAP_LIFE,
            relay_pause: Duration::from_secs(1),
            longest_relay_pause: Duration::from_mins(5),
            relay_attempts: 12,
            keep_events: Duration::from_hours(7 * 24),
        }
    }
}

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A time that is zero, or longer than a day.
    #[error("{0} must be more than zero and at most a day")]
    Time(&'static str),
    /// A limit of zero seats, or of more than 100 a hold.
    #[error("{0} must be 1 to 100 seats")]
    Limit(&'static str),
    /// An order made at the end of a hold's time could not be covered.
    #[error("longest_hold must be at least hold_ttl + order_ttl + checkout_grace")]
    LongestHold,
    /// The order could be made later than the hold covers it.
    #[error("checkout_grace must be at least the deadline of a store call")]
    Grace,
    /// A seat map could be shown for too long.
    #[error("busy_map_life must be at most 5 s, and quiet_map_life at most 30 s and no less than busy_map_life")]
    MapLife,
    /// Events would be tried again at once, or never.
    #[error("relay_pause must be at most longest_relay_pause, and relay_attempts at least 1")]
    Relay,
}

impl Policy {
    /// The most seats that a hold may be allowed to have.
    pub const MAX_SEATS_PER_HOLD: u32 = 100;
    /// The longest that the seat map of a busy show may be kept.
    pub const LONGEST_BUSY_MAP_LIFE: Duration = Duration::from_secs(5);
    /// The longest that the seat map of a quiet show may be kept.
    pub const LONGEST_QUIET_MAP_LIFE: Duration = Duration::from_secs(30);

    /// Checks the times and limits against each other and against the deadline of a store call, as building a service does.
    ///
    /// # Errors
    /// [`PolicyError`] when they contradict each other or the promises.
    pub fn check(&self, deadline: Option<Duration>) -> Result<(), PolicyError> {
        let day = Duration::from_hours(24);
        for (name, time) in [
            ("hold_ttl", self.hold_ttl),
            ("order_ttl", self.order_ttl),
            ("checkout_grace", self.checkout_grace),
            ("longest_hold", self.longest_hold),
            ("request_lease", self.request_lease),
            ("relay_pause", self.relay_pause),
            ("longest_relay_pause", self.longest_relay_pause),
        ] {
            if time < Duration::from_millis(1) || time > day {
                return Err(PolicyError::Time(name));
            }
        }
        if !(1..=Self::MAX_SEATS_PER_HOLD).contains(&self.limits.per_hold) {
            return Err(PolicyError::Limit("limits.per_hold"));
        }
        if self.limits.per_user_and_show == 0 {
            return Err(PolicyError::Limit("limits.per_user_and_show"));
        }
        // Each is at most a day by now, so the sum does not overflow.
        if self.longest_hold < self.hold_ttl + self.order_ttl + self.checkout_grace {
            return Err(PolicyError::LongestHold);
        }
        if deadline.is_some_and(|deadline| self.checkout_grace < deadline) {
            return Err(PolicyError::Grace);
        }
        if self.busy_map_life > Self::LONGEST_BUSY_MAP_LIFE
            || self.quiet_map_life > Self::LONGEST_QUIET_MAP_LIFE
            || self.quiet_map_life < self.busy_map_life
        {
            return Err(PolicyError::MapLife);
        }
        if self.relay_pause > self.longest_relay_pause || self.relay_attempts == 0 {
            return Err(PolicyError::Relay);
        }
        Ok(())
    }

    /// How long an event waits after so many attempts that failed: at least 1.
    pub(super) fn pause_after(&self, attempts: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        self.relay_pause.saturating_mul(doubled).min(self.longest_relay_pause)
    }

    /// How long from now an order keeps its seats held.
    pub(super) fn cover(&self) -> Duration {
        self.order_ttl + self.checkout_grace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_together() {
        assert_eq!(Policy::default().check(Some(Duration::from_secs(2))), Ok(()));
    }

    #[test]
    fn events_pause_twice_as_long_each_time_up_to_the_longest() {
        let policy = Policy::default();
        let pauses: Vec<u64> = (1..policy.relay_attempts).map(|attempts| policy.pause_after(attempts).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(policy.pause_after(u32::MAX), policy.longest_relay_pause);
    }

    #[test]
    fn a_policy_that_breaks_a_promise_is_refused() {
        let policy = Policy { order_ttl: Duration::from_mins(25), ..Policy::default() };
        assert_eq!(policy.check(None), Err(PolicyError::LongestHold));
        assert_eq!(Policy::default().check(Some(Duration::from_secs(3))), Err(PolicyError::Grace));
        let policy = Policy { hold_ttl: Duration::ZERO, ..Policy::default() };
        assert_eq!(policy.check(None), Err(PolicyError::Time("hold_ttl")));
        let policy = Policy { limits: SeatLimits { per_hold: 101, per_user_and_show: 1 }, ..Policy::default() };
        assert_eq!(policy.check(None), Err(PolicyError::Limit("limits.per_hold")));
        for (pause, attempts) in [(301, 12), (1, 0)] {
            let policy = Policy { relay_pause: Duration::from_secs(pause), relay_attempts: attempts, ..Policy::default() };
            assert_eq!(policy.check(None), Err(PolicyError::Relay));
        }
        let second = Duration::from_secs(1);
        for (busy, quiet, right) in [(0, 0, true), (0, 30, true), (5, 5, true), (6, 30, false), (5, 31, false), (5, 4, false)] {
            let policy = Policy { busy_map_life: busy * second, quiet_map_life: quiet * second, ..Policy::default() };
            let expected = if right { Ok(()) } else { Err(PolicyError::MapLife) };
            assert_eq!(policy.check(None), expected, "{busy} s and {quiet} s");
        }
    }
}
