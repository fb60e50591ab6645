//! Input that nobody would write, for what no other crate can see: names and records. `docs/evidence.md` says what that proves.

use std::collections::HashMap;
use std::str::from_utf8;

use bms_domain::hold::{Hold, HoldState};
use bms_domain::id::{HoldId, ShowId, UserId};
use bms_domain::testing::fuzz::{Target, TestCaseError};
use bms_domain::testing::sample;
use bms_domain::time::Timestamp;
use proptest::{prop_assert, prop_assert_eq};

use crate::codec::{self, tests};
use crate::keys::Keys;

fn target(name: &'static str) -> Target {
    Target::new(env!("CARGO_MANIFEST_DIR"), name)
}

/// All that is kept of a show by itself: what it is, and under which name.
fn names(show: &ShowId) -> Vec<(&'static str, Vec<u8>)> {
    let keys = Keys::new("bms");
    let [_, seats, live, ended, log, _] = keys.of_show(show);
    vec![("seats", seats), ("live", live), ("ended", ended), ("log", log), ("sales", keys.sales(show))]
}

/// The fields among the records of a shard: what each is of, and its name.
fn fields(show: &ShowId, user: &UserId) -> Vec<(String, Vec<u8>)> {
    let hold = HoldId::of(show, sample::uuid(7));
    vec![
        (format!("show {show}"), Keys::meta(show)),
        (format!("user {user} of {show}"), Keys::user(show, user)),
        (format!("hold {hold}"), Keys::hold(hold).to_vec()),
    ]
}

/// No name is of two things.
fn apart<T: Eq + std::fmt::Debug>(all: impl IntoIterator<Item = (T, Vec<u8>)>) -> Result<(), TestCaseError> {
    let mut named = HashMap::new();
    for (thing, name) in all {
        if let Some(other) = named.get(&name) {
            prop_assert_eq!(&thing, other, "both are {}", name.escape_ascii());
        }
        named.insert(name, thing);
    }
    Ok(())
}

/// Two shows and two users, in a list: no two things have one name, and all of a show is in the slot of its shard.
#[test]
fn keys() {
    target("keys").check(&["four ids", "something else"], |input| {
        let texts: Vec<String> = serde_json::from_slice(input).unwrap_or_default();
        let [first, ann, second, bob] = texts.as_slice() else { return Ok("something else") };
        let (Ok(first), Ok(second)) = (ShowId::parse(first), ShowId::parse(second)) else { return Ok("something else") };
        let (Ok(ann), Ok(bob)) = (UserId::parse(ann), UserId::parse(bob)) else { return Ok("something else") };
        let shows = [first, second];
        for show in &shows {
            for (_, name) in names(show) {
                // A slot is that of what stands between the first brace and the next that closes.
                let name = from_utf8(&name).unwrap();
                let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag.to_owned());
                prop_assert_eq!(tag, Some(show.shard().number().to_string()));
            }
        }
        apart(shows.iter().flat_map(|show| names(show).into_iter().map(move |(part, name)| ((show, part), name))))?;
        apart(shows.iter().flat_map(|show| [&ann, &bob].into_iter().flat_map(move |user| fields(show, user))))?;
        Ok("four ids")
    });
}

/// From a hold that was placed before this, in milliseconds, no time of it is cut off at the last that there is.
const EARLY: i64 = 1 << 47;

fn sorted(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.sort_unstable();
    bytes
}

/// The record that says the same.
fn written(hold: &Hold) -> Vec<u8> {
    let (letter, end, order) = match hold.state {
        HoldState::Held { until, order: None } => (b'H', until, None),
        HoldState::Held { until, order } => (b'L', until, order),
        HoldState::Released { at } => (b'R', at, None),
        HoldState::Expired { at } => (b'E', at, None),
        HoldState::Consumed { order, at } => (b'C', at, Some(order)),
    };
    let body = codec::body(&hold.owner, &hold.seats, &hold.show, &hold.layout, hold.price).unwrap();
    let after = |end: Timestamp| end.as_millis() - hold.life.created_at.as_millis();
    tests::record(letter, hold.life.created_at.as_millis(), after(hold.life.own_end), after(end), &body, order)
}

/// A record: what is read has all come from it, and is read the same when it is written; all else is refused.
#[test]
fn holds() {
    target("holds").check(&["a hold", "no hold"], |record| {
        let id = sample::hold_id(&sample::show("gala"), 1);
        let read = |record: &[u8]| codec::hold(id, record, Timestamp::MIN);
        let Ok(hold) = read(record) else { return Ok("no hold") };
        let texts = hold.owner.as_str().len() + hold.show.as_str().len() + hold.layout.as_str().len();
        prop_assert!(3 * hold.seats.len() + texts < record.len(), "more was read than there is");
        let written = written(&hold);
        // Where nothing is left out, only the order of the seats may be another.
        if written.len() == record.len() && hold.life.created_at.as_millis() < EARLY {
            prop_assert_eq!(sorted(&written), sorted(record));
        }
        prop_assert_eq!(read(&written), Ok(hold));
        Ok("a hold")
    });
}

/// A number of seats (4 bytes) and their marks: each seat is read as its two bits say.
#[test]
fn marks() {
    target("marks").check(&["marks", "too many seats", "something else"], |input| {
        let Some((seats, marks)) = input.split_first_chunk() else { return Ok("something else") };
        let seats = u32::from_be_bytes(*seats);
        let read = codec::occupancy(seats, marks);
        prop_assert_eq!(read.is_ok(), seats <= codec::SEAT_LIMIT);
        let Ok((held, sold)) = read else { return Ok("too many seats") };
        prop_assert_eq!((held.seats(), sold.seats()), (seats, seats));
        prop_assert!(held.words().len() <= (seats as usize).div_ceil(64) && sold.words().len() == held.words().len());
        // What is beyond the marks is looked at for as far as anybody has so many seats.
        for seat in 0..seats.min(20_000) {
            let mark = marks.get(seat as usize / 4).map_or(0, |byte| byte >> (6 - 2 * (seat % 4)) & 3);
            prop_assert_eq!((held.contains(seat), sold.contains(seat)), (mark == 1, mark == 2), "seat {}", seat);
        }
        Ok("marks")
    });
}
