//! What is sold: many small shows, of which all want one at a time, and a large one.

use std::time::Duration;

use serde_json::{Value, json};

/// How long everybody wants the same small show.
const RUSH: Duration = Duration::from_secs(1);

/// How many small shows there are; a campaign that lasts longer begins again with the first.
const RUSHES: usize = 150;

/// How many seats a small show has.
const SMALL: u32 = 8;

/// How many rows the large show has, and how many seats each.
const ROWS: u32 = 26;
const ROW: u32 = 200;

/// The large show.
pub(crate) const LARGE: &str = "large";

/// Every show, and how many seats it has.
pub(crate) fn all() -> impl Iterator<Item = (String, u32)> {
    (0..RUSHES).map(|number| (format!("rush-{number}"), SMALL)).chain([(LARGE.to_owned(), ROWS * ROW)])
}

/// The show that everybody wants; or one of those before it, in which seats become free again.
pub(crate) fn rush_at(time: Duration, before: usize) -> String {
    format!("rush-{}", ((time.as_millis() / RUSH.as_millis()) as usize).saturating_sub(before) % RUSHES)
}

/// What so many seats of a show cost, in pence.
pub(crate) fn price(show: &str, seats: usize) -> i64 {
    let each = if show == LARGE { 1_250 } else { 9_900 };
    each * i64::try_from(seats).unwrap()
}

/// A seat of a show that users may want, drawn with `below`: the last row of the large show is the nemesis's own.
pub(crate) fn draw_seat(show: &str, mut below: impl FnMut(u32) -> u32) -> String {
    match show {
        LARGE => format!("{}{}", row(below(ROWS - 1)), below(ROW) + 1),
        _ => format!("A{}", below(SMALL) + 1),
    }
}

/// The seats that are the nemesis's own.
pub(crate) fn own_seat(number: u32) -> String {
    format!("{}{}", row(ROWS - 1), number % ROW + 1)
}

fn row(number: u32) -> char {
    char::from_u32(u32::from('A') + number).unwrap()
}

/// The catalogue of it all.
pub(crate) fn catalogue() -> Value {
    let line = |number: u32, seats: u32| json!({"rowId": row(number).to_string(), "numbers": format!("1-{seats}"), "category": "stalls", "line": {"x": 0, "y": number}});
    let screen = |name: &str, rows: Vec<Value>| {
        json!({"screen": name, "name": name, "layout": {"layoutId": name, "name": name,
            "categories": [{"category": "stalls", "name": "Stalls"}],
            "sections": [{"sectionId": "stalls", "name": "Stalls", "rows": rows}]}})
    };
    let screens = [screen("small", vec![line(0, SMALL)]), screen("large", (0..ROWS).map(|number| line(number, ROW)).collect())];
    let shows: Vec<Value> = all()
        .map(|(show, _)| {
            let screen = if show == LARGE { "large" } else { "small" };
            json!({"showId": show, "movieId": "sand", "theatreId": "roxy", "screen": screen, "startTime": "2999-12-31T19:30:00Z",
                "prices": [{"category": "stalls", "amount": price(&show, 1), "currency": "GBP"}]})
        })
        .collect();
    json!({
        "movies": [{"movieId": "sand", "title": "Sand", "durationMinutes": 155, "language": "en"}],
        "theatres": [{"theatreId": "roxy", "name": "Roxy", "city": "Leeds", "timeZone": "Europe/London", "screens": screens}],
        "shows": shows,
    })
}
