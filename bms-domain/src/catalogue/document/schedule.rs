//! Shows by the day and the hour, relative to the day of the import.

use chrono::{DateTime, Days as DayCount, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::super::Price;
use super::super::numbers::numbers;
use crate::error::Violation;
use crate::id::{MovieId, ScreenId, ShowId, TheatreId};
use crate::time::Timestamp;

/// The same show on many days: one for each of `days` at each of `times`.
///
/// A show's id is `{idPrefix}-{yyyymmdd}-{hhmm}` with the date and time of the theatre's clock, so that an import on
/// another day gives the same show the same id. Shows that have started by the time of the import are left out.
///
/// Around a change of the clocks: a time that is skipped is read as if the clocks had not changed yet (02:30 becomes
/// 03:30 where the hour from two to three is skipped), and of a time that comes twice the first is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// What the shows' ids begin with: at most 50 characters of `A–Z a–z 0–9 . _ -`.
    pub id_prefix: String,
    /// What is shown.
    pub movie_id: MovieId,
    /// Where.
    pub theatre_id: TheatreId,
    /// On which screen.
    pub screen: ScreenId,
    /// On which days.
    pub days: Days,
    /// At which times of the theatre's clock, each written `19:30`.
    pub times: Vec<String>,
    /// A price for each category of the layout, all in one currency.
    pub prices: Vec<Price>,
}

/// Days after the day of the import: 0 is that day itself, as the theatre's calendar has it; at most
/// [`Schedule::MAX_DAY`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Days {
    /// As a text: `0-13`, or `0,2,5-9`.
    Text(String),
    /// As a list of numbers.
    List(Vec<u32>),
}

impl Schedule {
    /// The farthest day.
    pub const MAX_DAY: u32 = 366;
    /// The most times a day.
    pub const MAX_TIMES: usize = 48;

    /// The ids and starts of the shows that have not started by `now`.
    pub(super) fn starts(&self, now: Timestamp, zone: Tz) -> Result<Vec<(ShowId, Timestamp)>, Violation> {
        let today = now.to_utc().with_timezone(&zone).date_naive();
        let times = self.read_times()?;
        let mut starts = Vec::new();
        for day in self.read_days()? {
            let date = today.checked_add_days(DayCount::new(u64::from(day)));
            let date = date.ok_or_else(|| Violation::new("/days", "beyond the end of the calendar"))?;
            for time in &times {
                let (id, start) = (self.show_id(date, *time)?, instant(zone, date.and_time(*time)));
                if !start.has_passed(now) {
                    starts.push((id, start));
                }
            }
        }
        Ok(starts)
    }

    fn show_id(&self, date: NaiveDate, time: NaiveTime) -> Result<ShowId, Violation> {
        let at = date.and_time(time).format("%Y%m%d-%H%M");
        let id = if self.id_prefix.is_empty() { String::new() } else { format!("{}-{at}", self.id_prefix) };
        ShowId::parse(&id).map_err(|_| Violation::new("/idPrefix", "must be 1 to 50 characters of A-Z a-z 0-9 . _ -"))
    }

    fn read_days(&self) -> Result<Vec<u32>, Violation> {
        let most = Self::MAX_DAY as usize + 1;
        let days = match &self.days {
            Days::Text(text) => numbers(text, most).map_err(|error| Violation::new("/days", error))?,
            Days::List(days) => days.clone(),
        };
        if days.is_empty() || days.len() > most || days.iter().any(|day| *day > Self::MAX_DAY) {
            return Err(Violation::new("/days", format_args!("must be 1 to {most} days of 0 to {}", Self::MAX_DAY)));
        }
        Ok(days)
    }

    fn read_times(&self) -> Result<Vec<NaiveTime>, Violation> {
        if self.times.is_empty() || self.times.len() > Self::MAX_TIMES {
            return Err(Violation::new("/times", format_args!("must be 1 to {} times", Self::MAX_TIMES)));
        }
        let read = self.times.iter().enumerate().map(|(position, text)| {
            // The length as well, because chrono also reads `7:5`.
            let time = NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| text.len() == 5);
            time.ok_or_else(|| Violation::new(format!("/times/{position}"), "must be a time of day such as 19:30"))
        });
        read.collect()
    }
}

/// When a theatre's clock shows a time, by the rules of [`Schedule`].
fn instant(zone: Tz, local: NaiveDateTime) -> Timestamp {
    // Before a gap the old offset still holds. A gap is an hour or less, but for a zone that once skipped a whole day.
    let hours_back = (0..=25).map(TimeDelta::hours);
    let found = hours_back.into_iter().find_map(|back| {
        let before = zone.from_local_datetime(&local.checked_sub_signed(back)?).earliest()?;
        before.checked_add_signed(back)
    });
    Timestamp::from(found.map_or_else(|| local.and_utc(), |at: DateTime<Tz>| at.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(days: &str, times: &[&str]) -> Schedule {
        Schedule {
            id_prefix: "p".into(),
            movie_id: MovieId::parse("m").unwrap(),
            theatre_id: TheatreId::parse("t").unwrap(),
            screen: ScreenId::parse("1").unwrap(),
            days: Days::Text(days.into()),
            times: times.iter().map(|time| (*time).to_owned()).collect(),
            prices: vec![],
        }
    }

    fn starts(schedule: &Schedule, now: &str, zone: Tz) -> Vec<String> {
        let starts = schedule.starts(Timestamp::parse(now).unwrap(), zone).unwrap();
        starts.into_iter().map(|(id, start)| format!("{id} {start}")).collect()
    }

    #[test]
    fn days_and_times_are_those_of_the_theatre() {
        // In Kolkata it is the 8th already.
        assert_eq!(
            starts(&schedule("0-1", &["10:00", "19:30"]), "2030-01-07T20:00:00Z", chrono_tz::Asia::Kolkata),
            [
                "p-20300108-1000 2030-01-08T04:30:00.000Z",
                "p-20300108-1930 2030-01-08T14:00:00.000Z",
                "p-20300109-1000 2030-01-09T04:30:00.000Z",
                "p-20300109-1930 2030-01-09T14:00:00.000Z",
            ]
        );
    }

    #[test]
    fn another_import_gives_the_same_shows_the_same_ids() {
        let plan = schedule("0-3", &["12:00"]);
        let first = starts(&plan, "2030-01-07T08:00:00Z", chrono_tz::UTC);
        let second = starts(&plan, "2030-01-09T08:00:00Z", chrono_tz::UTC);
        assert_eq!(first[2..], second[..2]);
    }

    #[test]
    fn shows_that_have_started_are_left_out() {
        let plan = schedule("0", &["11:59", "12:00", "12:01"]);
        assert_eq!(starts(&plan, "2030-01-07T12:00:00Z", chrono_tz::UTC), ["p-20300107-1201 2030-01-07T12:01:00.000Z"]);
    }

    #[test]
    fn a_skipped_time_is_later_and_of_a_double_time_the_first_is_meant() {
        let night = schedule("0", &["02:30"]);
        let london = schedule("0", &["01:30"]);
        // New York skips 02:00–03:00 on 10 March 2030, and has 01:00–02:00 twice on 3 November.
        let start = starts(&night, "2030-03-10T05:00:00Z", chrono_tz::America::New_York);
        assert_eq!(start, ["p-20300310-0230 2030-03-10T07:30:00.000Z"], "03:30 of the new time");
        let start = starts(&london, "2030-11-03T04:00:00Z", chrono_tz::America::New_York);
        assert_eq!(start, ["p-20301103-0130 2030-11-03T05:30:00.000Z"], "01:30 of the old time");
        // London skips 01:00–02:00 on 31 March 2030.
        let start = starts(&london, "2030-03-31T00:00:00Z", chrono_tz::Europe::London);
        assert_eq!(start, ["p-20300331-0130 2030-03-31T01:30:00.000Z"]);
        // Apia skipped the whole of 30 December 2011.
        let start = starts(&schedule("1", &["12:00"]), "2011-12-29T20:00:00Z", chrono_tz::Pacific::Apia);
        assert_eq!(start, ["p-20111230-1200 2011-12-30T22:00:00.000Z"]);
    }

    #[test]
    fn days_may_be_a_list() {
        let mut plan = schedule("", &["12:00"]);
        plan.days = serde_json::from_str("[3, 1]").unwrap();
        let starts = starts(&plan, "2030-01-07T08:00:00Z", chrono_tz::UTC);
        assert_eq!(starts, ["p-20300110-1200 2030-01-10T12:00:00.000Z", "p-20300108-1200 2030-01-08T12:00:00.000Z"]);
    }

    #[test]
    fn what_cannot_be_read_names_its_field() {
        let pointer = |plan: &Schedule| match plan.starts(Timestamp::from_millis(0), chrono_tz::UTC) {
            Err(violation) => violation.pointer,
            Ok(starts) => panic!("{starts:?}"),
        };
        for days in ["", "x", "367", "0-4000000000", "0-366,0"] {
            assert_eq!(pointer(&schedule(days, &["12:00"])), "/days", "{days}");
        }
        let list = Schedule { days: Days::List(vec![0; 1_000]), ..schedule("", &["12:00"]) };
        assert_eq!(pointer(&list), "/days");
        for time in ["", "7:5", "24:00", "19.30", "19:30:00", "+9:30"] {
            assert_eq!(pointer(&schedule("0", &["12:00", time])), "/times/1", "{time}");
        }
        assert_eq!(pointer(&schedule("0", &[])), "/times");
        assert_eq!(pointer(&schedule("0", &["12:00"; 49])), "/times");
        for prefix in ["", "a b", &"x".repeat(51)] {
            let plan = Schedule { id_prefix: prefix.to_owned(), ..schedule("0", &["12:00"]) };
            assert_eq!(pointer(&plan), "/idPrefix", "{prefix}");
        }
        assert!(
            Schedule { id_prefix: "x".repeat(50), ..schedule("0", &["12:00"]) }
                .starts(Timestamp::from_millis(0), chrono_tz::UTC)
                .is_ok()
        );
    }
}
