//! What is played: how many come, how fast, what they want, and what they do with it.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Everybody holds two seats that nobody else wants, and lets them go: 60,000 users, 100 shows.
    Steady,
    /// A city at ten o'clock for one hall: 100,000 users, 1,000 seats, the good ones wanted most.
    Flash,
    /// Everybody wants the same two seats: 20,000 users.
    HotPair,
    /// 95 of 100 only look at the seat map: 60,000 users.
    Browse,
    /// Everybody holds, orders and pays, and nobody is in the way: 20,000 users, 100 shows.
    Purchase,
    /// 20,000 seats are sold from the front to the back: 20,000 users.
    Arena,
}

impl Name {
    /// As it is written on the command line and in reports.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Flash => "flash",
            Self::HotPair => "hot-pair",
            Self::Browse => "browse",
            Self::Purchase => "purchase",
            Self::Arena => "arena",
        }
    }
}

/// How users come, whatever becomes of those before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arrivals {
    /// As independent people do: some at once, then nobody for a while.
    Poisson,
    /// With the same time between any two.
    Constant,
}

/// Which seats a user wants. Seats are wanted in blocks of a party's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Choice {
    /// A block that nobody else wants.
    Distinct,
    /// Any block, those in front more than others, as the skew says.
    Skewed,
    /// The first block.
    FirstBlock,
    /// The best block that nobody is known to have, or one not far behind it, as the skew says.
    BestLeft,
}

/// A scenario with all its numbers. Shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scenario {
    /// Its name.
    pub(crate) name: &'static str,
    /// How many users come.
    pub(crate) users: u64,
    /// How many of them a second.
    pub(crate) users_per_second: f64,
    /// How they come.
    pub(crate) arrivals: Arrivals,
    /// How many shows they come for.
    pub(crate) shows: u32,
    /// How many seats each show has.
    pub(crate) seats: u32,
    /// How many seats a user wants, 1–10.
    pub(crate) party: u32,
    /// Which they want.
    pub(crate) choice: Choice,
    /// The exponent of Zipf's law: 0 for no preference, about 1 for what is usual.
    pub(crate) skew: f64,
    /// The share that only looks at a seat map.
    pub(crate) looks: f64,
    /// Of those who hold seats, the share that orders them and pays.
    pub(crate) pays: f64,
    /// Of those who hold seats, the share that lets them go. The rest walks away, and leaves the seats to time.
    pub(crate) gives_up: f64,
    /// Of those who were refused, the share that looks at the map and tries again, each time.
    pub(crate) comes_back: f64,
    /// How often a user tries at most.
    pub(crate) tries: u32,
    /// How long a user thinks between two requests, on average, in milliseconds.
    #[serde(rename = "thinkMs", serialize_with = "milliseconds")]
    pub(crate) think: Duration,
}

/// What most have in common: a party of two that holds, orders and pays at once.
const USUAL: Scenario = Scenario {
    name: "",
    users: 20_000,
    users_per_second: 1_000.0,
    arrivals: Arrivals::Poisson,
    shows: 1,
    seats: 1_000,
    party: 2,
    choice: Choice::Distinct,
    skew: 1.0,
    looks: 0.0,
    pays: 1.0,
    gives_up: 0.0,
    comes_back: 0.0,
    tries: 3,
    think: Duration::ZERO,
};

impl Scenario {
    /// A scenario as it is meant.
    pub(crate) fn of(name: Name) -> Self {
        let usual = Self { name: name.text(), ..USUAL };
        match name {
            Name::Steady => {
                Self { users: 60_000, users_per_second: 3_000.0, shows: 100, seats: 1_200, pays: 0.0, gives_up: 1.0, ..usual }
            }
            Name::Flash => Self {
                users: 100_000,
                users_per_second: 5_000.0,
                choice: Choice::Skewed,
                pays: 0.9,
                gives_up: 0.1,
                comes_back: 0.5,
                think: Duration::from_millis(200),
                ..usual
            },
            Name::HotPair => Self { users_per_second: 2_000.0, choice: Choice::FirstBlock, ..usual },
            Name::Browse => {
                Self { users: 60_000, users_per_second: 3_000.0, shows: 10, choice: Choice::Skewed, looks: 0.95, ..usual }
            }
            Name::Purchase => Self { shows: 100, seats: 400, ..usual },
            Name::Arena => Self {
                seats: 20_000,
                choice: Choice::BestLeft,
                pays: 0.95,
                gives_up: 0.05,
                comes_back: 0.9,
                think: Duration::from_millis(50),
                ..usual
            },
        }
    }

    /// The same with a share of its users, and of its seats: fewer shows, or a smaller one where there is but one. The rate
    /// stays.
    pub(crate) fn scaled(self, by: f64) -> Self {
        let some = |number: f64, least: f64| (number * by).ceil().max(least);
        let blocks = f64::from(self.seats / self.party.max(1));
        let (shows, blocks) = if self.shows > 1 { (some(f64::from(self.shows), 1.0), blocks) } else { (1.0, some(blocks, 2.0)) };
        Self { users: some(self.users as f64, 1.0) as u64, shows: shows as u32, seats: blocks as u32 * self.party, ..self }
    }

    /// How many blocks of a party's size each show has.
    pub(crate) fn blocks(&self) -> u32 {
        self.seats / self.party.max(1)
    }

    /// What makes no sense about it, if anything does.
    pub(crate) fn check(&self) -> Result<(), String> {
        let shares =
            [("--looks", self.looks), ("--pays", self.pays), ("--gives-up", self.gives_up), ("--comes-back", self.comes_back)];
        if let Some((option, share)) = shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err(format!("{option} {share}: a share is from 0 to 1"));
        }
        // What is left of a sum of decimal fractions is no third choice.
        if self.pays + self.gives_up > 1.0 + 1e-9 {
            return Err(format!("--pays {} and --gives-up {} are more than all together", self.pays, self.gives_up));
        }
        if !(self.users_per_second.is_finite() && self.users_per_second > 0.0) {
            return Err(format!("--rate {}: some users have to come each second", self.users_per_second));
        }
        if !(self.skew.is_finite() && self.skew >= 0.0) {
            return Err(format!("--skew {}: an exponent is 0 or more", self.skew));
        }
        if !(1..=10).contains(&self.party) || self.blocks() == 0 {
            return Err(format!("a party of {} for a show of {} seats: from 1 to 10, and it has to fit", self.party, self.seats));
        }
        if self.users == 0 || self.shows == 0 || self.tries == 0 {
            return Err("without users, shows or tries there is nothing to measure".to_owned());
        }
        let room = u64::from(self.shows) * u64::from(self.blocks());
        if self.choice == Choice::Distinct && self.users > room {
            return Err(format!(
                "{} users cannot each have seats of their own: there are {room} blocks; give fewer --users or more --shows",
                self.users
            ));
        }
        Ok(())
    }
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_makes_sense_at_any_scale() {
        for name in Name::value_variants() {
            assert_eq!(name.to_possible_value().unwrap().get_name(), name.text());
            for scale in [1.0, 0.5, 0.01, 0.000_1] {
                let scenario = Scenario::of(*name).scaled(scale);
                assert_eq!(scenario.check(), Ok(()), "{name:?} at {scale}");
                assert_eq!(scenario.seats % scenario.party, 0);
            }
            assert_eq!(Scenario::of(*name).scaled(1.0), Scenario::of(*name));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let wrong = [
            Scenario { pays: 0.6, gives_up: 0.5, ..USUAL },
            Scenario { looks: 1.1, ..USUAL },
            Scenario { users_per_second: 0.0, ..USUAL },
            Scenario { skew: f64::NAN, ..USUAL },
            Scenario { party: 11, ..USUAL },
            Scenario { party: 2, seats: 1, ..USUAL },
            Scenario { users: 501, shows: 1, ..USUAL },
        ];
        for scenario in wrong {
            assert!(scenario.check().is_err(), "{scenario:?}");
        }
    }
}
