//! What a world is made of: all that a run depends on, in one line that can be typed again.

use std::collections::BTreeSet;
use std::fmt;

use crate::flaws::Flaw;
use crate::random::stream;

/// A world. Whatever is not the seed follows from it, unless it was said otherwise: a failing world is made smaller that way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) users: usize,
    /// Server processes.
    pub(crate) processes: usize,
    /// How often a user comes.
    pub(crate) visits: usize,
    pub(crate) seats: u32,
    /// Which faults may strike, by their number; all of them when it is not said.
    pub(crate) faults: Option<BTreeSet<u64>>,
    /// A bug that is put in on purpose.
    pub(crate) flaw: Option<Flaw>,
}

/// The most seats that a world may have.
pub(crate) const MOST_SEATS: u32 = 6;

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = stream(seed, "plan", 0);
        Self {
            seed,
            users: random.usize(2..=5),
            processes: random.usize(1..=3),
            visits: random.usize(1..=3),
            seats: random.u32(1..=3),
            faults: None,
            flaw: None,
        }
    }

    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Takes one argument, such as `users=2`. Says whether it is one.
    pub(crate) fn take(&mut self, name: &str, value: &str) -> bool {
        fn within<T: std::str::FromStr + PartialOrd + Copy>(value: &str, least: T, most: T, into: &mut T) -> bool {
            let number = value.parse().ok().filter(|number| (least..=most).contains(number));
            number.map(|number| *into = number).is_some()
        }
        match name {
            "users" => within(value, 1, 8, &mut self.users),
            "processes" => within(value, 1, 8, &mut self.processes),
            "visits" => within(value, 1, 20, &mut self.visits),
            "seats" => within(value, 1, MOST_SEATS, &mut self.seats),
            "faults" if value == "none" => {
                self.faults = Some(BTreeSet::new());
                true
            }
            "faults" => {
                self.faults = value.split(',').map(|fault| fault.parse().ok()).collect();
                self.faults.is_some()
            }
            "flaw" => {
                self.flaw = value.parse().ok();
                self.flaw.is_some()
            }
            _ => false,
        }
    }
}

/// The arguments that make the same world again.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, users, processes, visits, seats, faults, flaw } = self;
        write!(f, "seed={seed} users={users} processes={processes} visits={visits} seats={seats}")?;
        match faults {
            None => {}
            Some(faults) if faults.is_empty() => f.write_str(" faults=none")?,
            Some(faults) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                write!(f, " faults={}", faults.join(","))?;
            }
        }
        if let Some(flaw) = flaw {
            write!(f, " flaw={flaw:?}")?;
        }
        Ok(())
    }
}
