//! When users come: by a clock of their own, however slow the answers are.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand_distr::{Distribution as _, Exp};

use crate::scenario::{Arrivals, Scenario};

/// The times, since the beginning, at which users come, one after the other.
pub(crate) struct Schedule {
    left: u64,
    gap: Gap,
    /// In seconds.
    next: f64,
}

enum Gap {
    Constant(f64),
    Drawn(Exp<f64>, SmallRng),
}

impl Schedule {
    /// The schedule of a scenario, which `seed` decides.
    pub(crate) fn of(scenario: &Scenario, seed: u64) -> Self {
        let rate = scenario.users_per_second;
        let gap = match (scenario.arrivals, Exp::new(rate)) {
            (Arrivals::Poisson, Ok(drawn)) => Gap::Drawn(drawn, SmallRng::seed_from_u64(seed)),
            (Arrivals::Constant, _) | (_, Err(_)) => Gap::Constant(1.0 / rate),
        };
        Self { left: scenario.users, gap, next: 0.0 }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let now = self.next;
        self.next += match &mut self.gap {
            Gap::Constant(gap) => *gap,
            Gap::Drawn(gap, rng) => gap.sample(rng),
        };
        Some(Duration::from_secs_f64(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Name;

    fn times(arrivals: Arrivals, seed: u64) -> Vec<Duration> {
        let scenario = Scenario { users: 20_000, users_per_second: 1_000.0, arrivals, ..Scenario::of(Name::Flash) };
        Schedule::of(&scenario, seed).collect()
    }

    #[test]
    fn constant_arrivals_are_equally_far_apart() {
        let times = times(Arrivals::Constant, 1);
        assert_eq!(times.len(), 20_000);
        assert_eq!(times[0], Duration::ZERO);
        assert!((times[10_000].as_secs_f64() - 10.0).abs() < 1e-6);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_vary_as_much_as_they_should() {
        let times = times(Arrivals::Poisson, 1);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1_000.0).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // In milliseconds: an exponential distribution's deviation is its mean; both are within 5 % for so many.
        assert!((mean - 1.0).abs() < 0.05 && (variance.sqrt() - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn a_seed_repeats_them() {
        assert_eq!(times(Arrivals::Poisson, 7), times(Arrivals::Poisson, 7));
        assert_ne!(times(Arrivals::Poisson, 7), times(Arrivals::Poisson, 8));
    }
}
