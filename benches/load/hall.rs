//! The seats on sale, and which of them a user wants.

use std::sync::atomic::{AtomicU64, Ordering};

use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{ParseIdError, SeatId, ShowId};
use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, Zipf};
use serde_json::json;

use crate::scenario::{Choice, Scenario};

/// How many seats a row has.
const ROW: u32 = 100;

/// All shows of a run, which have one plan.
pub(crate) struct Hall {
    shows: Vec<ShowId>,
    seats: Vec<SeatId>,
    party: usize,
    choice: Choice,
    preference: Option<Zipf<f64>>,
    /// How many blocks of each show clients are known to have: as many as a look at its map would show.
    gone: Vec<AtomicU64>,
    /// What tells this run's names from those of others on the same stores.
    run: String,
}

/// Seats of a show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wish<'a> {
    /// Which show of the run, from 0.
    pub(crate) number: usize,
    /// The show.
    pub(crate) show: ShowId,
    /// The seats.
    pub(crate) seats: &'a [SeatId],
}

impl Hall {
    /// The hall of a scenario. Names have `run` in them.
    pub(crate) fn of(scenario: &Scenario, run: &str) -> Result<Self, ParseIdError> {
        let shows = (0..scenario.shows).map(|number| ShowId::parse(&format!("{run}-{number}")));
        let seats = (0..scenario.seats).map(|index| SeatId::parse(&format!("{}-{}", index / ROW + 1, index % ROW + 1)));
        Ok(Self {
            shows: shows.collect::<Result<_, _>>()?,
            seats: seats.collect::<Result<_, _>>()?,
            party: scenario.party as usize,
            choice: scenario.choice,
            preference: Zipf::new(f64::from(scenario.blocks()), scenario.skew).ok(),
            gone: (0..scenario.shows).map(|_| AtomicU64::new(0)).collect(),
            run: run.to_owned(),
        })
    }

    /// The shows.
    pub(crate) fn shows(&self) -> &[ShowId] {
        &self.shows
    }

    /// How many seats all shows have together.
    pub(crate) fn seats(&self) -> u64 {
        self.shows.len() as u64 * self.seats.len() as u64
    }

    /// What a user wants, by his number.
    pub(crate) fn wish(&self, user: u64, rng: &mut impl Rng) -> Option<Wish<'_>> {
        let (shows, blocks) = (self.shows.len() as u64, (self.seats.len() / self.party) as u64);
        let number = user % shows;
        let mut preferred = || match &self.preference {
            // From 1, as ranks are.
            Some(preference) => preference.sample(rng) as u64 - 1,
            None => rng.random_range(0..blocks),
        };
        let block = match self.choice {
            Choice::Distinct => user / shows,
            Choice::Skewed => preferred(),
            Choice::FirstBlock => 0,
            Choice::BestLeft => self.gone.get(number as usize)?.load(Ordering::Relaxed) + preferred(),
        };
        let first = (block % blocks) as usize * self.party;
        let (number, seats) = (number as usize, self.seats.get(first..first + self.party)?);
        Some(Wish { number, show: *self.shows.get(number)?, seats })
    }

    /// A block of a show was given to somebody.
    pub(crate) fn given(&self, number: usize) {
        if let Some(gone) = self.gone.get(number) {
            gone.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A block of a show was given back.
    pub(crate) fn given_back(&self, number: usize) {
        if let Some(gone) = self.gone.get(number) {
            gone.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The catalogue that sells it.
    pub(crate) fn catalogue(&self) -> serde_json::Value {
        let (run, seats) = (&self.run, self.seats.len() as u32);
        let row = |number: u32, last: u32| {
            json!({"rowId": number.to_string(), "numbers": format!("1-{last}"), "seatPrefix": "{row}-", "category": "seat",
                "line": {"x": 0, "y": number}})
        };
        let (full, rest) = (seats / ROW, seats % ROW);
        let mut rows = Vec::new();
        if full > 0 {
            let mut first = row(1, ROW);
            if full > 1
                && let Some(members) = first.as_object_mut()
            {
                members.insert("repeat".to_owned(), json!({"rowIds": format!("2-{full}"), "step": {"y": 1}}));
            }
            rows.push(first);
        }
        if rest > 0 {
            rows.push(row(full + 1, rest));
        }
        let shows = self.shows.iter().map(|show| {
            json!({"showId": show, "movieId": run, "theatreId": run, "screen": "1", "startTime": "2999-12-31T19:30:00Z",
                "prices": [{"category": "seat", "amount": 2_500, "currency": "EUR"}]})
        });
        json!({
            "movies": [{"movieId": run, "title": "A load", "durationMinutes": 90, "language": "en"}],
            "theatres": [{"theatreId": run, "name": "House", "city": "Leeds", "timeZone": "Europe/London", "screens": [
                {"screen": "1", "name": "Screen 1", "layout": {"layoutId": run, "name": "House",
                    "categories": [{"category": "seat", "name": "Seat"}],
                    "sections": [{"sectionId": "house", "name": "House", "rows": rows}]}}]}],
            "shows": shows.collect::<Vec<_>>(),
        })
    }

    /// The same, read as the library reads it.
    pub(crate) fn document(&self) -> Result<CatalogueDocument, String> {
        CatalogueDocument::parse(self.catalogue().to_string()).map_err(|faults| faults.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bms_domain::catalogue::Existing;
    use bms_domain::time::{Clock as _, SystemClock};
    use clap::ValueEnum as _;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::scenario::Name;

    #[test]
    fn the_catalogue_has_exactly_the_seats_that_users_want() {
        for seats in [2, 98, 100, 250, 1_200] {
            let hall = Hall::of(&Scenario { seats, ..Scenario::of(Name::Flash) }, "run").unwrap();
            let written = hall.document().unwrap().expand(SystemClock.now(), &Existing::default()).unwrap();
            let layout = &written.layouts[0];
            let names: Vec<SeatId> = (0..layout.seat_count()).map(|index| layout.seat_id(index).unwrap()).collect();
            assert_eq!(names, hall.seats, "{seats} seats");
            assert_eq!(written.shows.len(), 1);
        }
    }

    #[test]
    fn distinct_seats_are_wanted_once() {
        let scenario = Scenario::of(Name::Purchase).scaled(0.1);
        let (hall, mut rng) = (Hall::of(&scenario, "run").unwrap(), SmallRng::seed_from_u64(1));
        let mut wanted = HashSet::new();
        for user in 0..scenario.users {
            let wish = hall.wish(user, &mut rng).unwrap();
            assert!(wish.seats.iter().all(|seat| wanted.insert((wish.show, *seat))), "{wish:?}");
        }
        assert_eq!(wanted.len() as u64, scenario.users * u64::from(scenario.party));
    }

    #[test]
    fn a_skew_makes_front_seats_hot_and_every_seat_possible() {
        let hall = Hall::of(&Scenario { seats: 20, ..Scenario::of(Name::Flash) }, "run").unwrap();
        let mut rng = SmallRng::seed_from_u64(1);
        let mut counts = [0; 10];
        for user in 0..10_000 {
            let first = hall.wish(user, &mut rng).unwrap().seats[0];
            counts[hall.seats.iter().position(|seat| *seat == first).unwrap() / 2] += 1;
        }
        // By Zipf's law with exponent 1 the first of ten gets 34 % and the last 3.4 %.
        assert!((3_200..3_650).contains(&counts[0]) && (250..450).contains(&counts[9]), "{counts:?}");
    }

    #[test]
    fn the_best_that_is_left_moves_back_as_seats_go() {
        let hall = Hall::of(&Scenario { skew: 30.0, ..Scenario::of(Name::Arena) }, "run").unwrap();
        let mut rng = SmallRng::seed_from_u64(1);
        assert_eq!(hall.wish(0, &mut rng).unwrap().seats, &hall.seats[..2]);
        hall.given(0);
        hall.given(0);
        hall.given_back(0);
        assert_eq!(hall.wish(1, &mut rng).unwrap().seats, &hall.seats[2..4]);
        assert_eq!(hall.seats(), 20_000);
        assert!(Name::value_variants().iter().all(|name| Hall::of(&Scenario::of(*name), "run").is_ok()));
    }
}
