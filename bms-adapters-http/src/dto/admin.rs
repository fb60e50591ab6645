//! Catalogue entries, for the OpenAPI document. They are read and written as the types of `bms_domain::catalogue`, whose
//! shape these repeat; a test holds the two together.

#![allow(dead_code, reason = "names schemas")]

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use super::catalogue::{PriceSchema, ShowStatusName};
use super::seatmap::CategoryBody;
use super::{CategoryName, EntryId, Instant, SeatName};

/// A movie to create or to replace.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = MovieEntry)]
pub(crate) struct MovieEntrySchema {
    /// The same as in the path.
    #[schema(value_type = EntryId)]
    movie_id: String,
    title: String,
    /// Minutes.
    duration_minutes: u32,
    /// A BCP 47 tag such as `en`.
    language: String,
    #[serde(default)]
    genres: Vec<String>,
    #[serde(default)]
    certificate: String,
    poster_url: Option<String>,
    #[serde(default)]
    synopsis: String,
}

/// A theatre to create or to replace.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = TheatreEntry)]
pub(crate) struct TheatreEntrySchema {
    /// The same as in the path.
    #[schema(value_type = EntryId)]
    theatre_id: String,
    name: String,
    city: String,
    /// An IANA time zone, such as `Europe/London`.
    time_zone: String,
    screens: Vec<ScreenEntrySchema>,
}

/// A screen of a theatre.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ScreenEntry)]
pub(crate) struct ScreenEntrySchema {
    /// Unique in its theatre.
    #[schema(value_type = EntryId)]
    screen: String,
    name: String,
    layout: SeatPlanSchema,
}

/// A seat plan: written out, or the id alone of one that exists.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SeatPlan)]
pub(crate) struct SeatPlanSchema {
    #[schema(value_type = EntryId)]
    layout_id: String,
    name: Option<String>,
    categories: Option<Vec<CategoryBody>>,
    sections: Option<Vec<SectionPlanSchema>>,
}

/// A part of a venue.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SectionPlan)]
pub(crate) struct SectionPlanSchema {
    section_id: String,
    name: String,
    rows: Vec<RowPlanSchema>,
}

/// A row: seats by their numbers along a line or an arc, or one by one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RowPlan)]
pub(crate) struct RowPlanSchema {
    row_id: String,
    /// Such as `1-12,15-26`.
    numbers: Option<String>,
    /// What stands before the number in a seat's id; the row's id unless given.
    seat_prefix: Option<String>,
    #[schema(value_type = Option<CategoryName>)]
    category: Option<String>,
    /// Seats of another category, by number.
    #[serde(default)]
    categories: BTreeMap<String, String>,
    /// The numbers of accessible places.
    accessible: Option<String>,
    /// The numbers after which an aisle follows.
    gaps_after: Option<String>,
    gap: Option<f64>,
    line: Option<LineSchema>,
    arc: Option<ArcSchema>,
    #[serde(default)]
    seats: Vec<PlacedSeatSchema>,
    repeat: Option<RepeatSchema>,
}

/// A straight row.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = LinePlan)]
pub(crate) struct LineSchema {
    x: f64,
    y: f64,
    spacing: Option<f64>,
    /// Degrees.
    angle: Option<f64>,
}

/// A row along a circle.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ArcPlan)]
pub(crate) struct ArcSchema {
    x: f64,
    y: f64,
    radius: f64,
    /// Degrees.
    from: f64,
    /// Degrees.
    to: f64,
}

/// One seat with its place.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PlacedSeat)]
pub(crate) struct PlacedSeatSchema {
    #[schema(value_type = SeatName)]
    seat_id: String,
    #[schema(value_type = Option<CategoryName>)]
    category: Option<String>,
    x: f64,
    y: f64,
    #[serde(default)]
    accessible: bool,
}

/// More rows like the one that is written.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Repeat)]
pub(crate) struct RepeatSchema {
    /// Such as `B-H,J-N`.
    row_ids: String,
    step: StepSchema,
}

/// From one row to the next.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Step)]
pub(crate) struct StepSchema {
    #[serde(default)]
    x: f64,
    #[serde(default)]
    y: f64,
    #[serde(default)]
    radius: f64,
}

/// A show to create or to replace.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ShowEntry)]
pub(crate) struct ShowEntrySchema {
    /// The same as in the path.
    #[schema(value_type = EntryId)]
    show_id: String,
    #[schema(value_type = EntryId)]
    movie_id: String,
    #[schema(value_type = EntryId)]
    theatre_id: String,
    #[schema(value_type = EntryId)]
    screen: String,
    /// The screen's unless given. A show that has sales keeps its own.
    #[schema(value_type = Option<EntryId>)]
    layout_id: Option<String>,
    #[schema(value_type = Instant)]
    start_time: String,
    /// At once unless given.
    #[schema(value_type = Option<Instant>)]
    sales_open_at: Option<String>,
    #[serde(default = "on_sale")]
    status: ShowStatusName,
    /// One for each category of the layout, all in one currency.
    prices: Vec<PriceSchema>,
    #[serde(default)]
    #[schema(value_type = Vec<SeatName>)]
    blocked_seats: Vec<String>,
}

fn on_sale() -> ShowStatusName {
    ShowStatusName::OnSale
}

/// A theatre as it is kept.
#[derive(ToSchema)]
#[schema(as = Theatre, rename_all = "camelCase")]
pub(crate) struct TheatreSchema {
    #[schema(value_type = EntryId)]
    theatre_id: String,
    name: String,
    city: String,
    time_zone: String,
    screens: Vec<ScreenSchema>,
}

/// A screen as it is kept.
#[derive(ToSchema)]
#[schema(as = Screen, rename_all = "camelCase")]
pub(crate) struct ScreenSchema {
    #[schema(value_type = EntryId)]
    screen: String,
    name: String,
    /// The seat plan that new shows get.
    #[schema(value_type = EntryId)]
    layout_id: String,
}

/// A show as it is kept.
#[derive(ToSchema)]
#[schema(as = StoredShow, rename_all = "camelCase")]
pub(crate) struct StoredShowSchema {
    #[schema(value_type = EntryId)]
    show_id: String,
    #[schema(value_type = EntryId)]
    movie_id: String,
    #[schema(value_type = EntryId)]
    theatre_id: String,
    #[schema(value_type = EntryId)]
    screen: String,
    #[schema(value_type = EntryId)]
    layout_id: String,
    #[schema(value_type = Instant)]
    start_time: String,
    #[schema(required, value_type = Option<Instant>)]
    sales_open_at: Option<String>,
    status: ShowStatusName,
    prices: Vec<PriceSchema>,
    #[schema(value_type = Vec<SeatName>)]
    blocked_seats: Vec<String>,
}

#[cfg(test)]
mod tests {
    use bms_domain::catalogue::{MovieEntry, ShowEntry, TheatreEntry};
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// Both read the whole and the least, and both refuse a field too many anywhere and a field too few.
    fn agree<Domain: DeserializeOwned, Schema: DeserializeOwned>(whole: &Value, least: &Value) {
        let both = |value: &Value| {
            let of_domain = serde_json::from_value::<Domain>(value.clone()).is_ok();
            let of_schema = serde_json::from_value::<Schema>(value.clone()).is_ok();
            assert_eq!(of_domain, of_schema, "{value}");
            of_domain
        };
        assert!(both(whole) && both(least));
        for name in least.as_object().unwrap().keys() {
            let mut fewer = least.clone();
            fewer.as_object_mut().unwrap().remove(name);
            assert!(!both(&fewer), "{name}");
        }
        for place in objects(whole, String::new()) {
            let mut more = whole.clone();
            more.pointer_mut(&place).unwrap()["moreThanThat"] = json!("1");
            // A map of categories takes any name.
            assert_eq!(both(&more), place.ends_with("/categories"), "{place}");
        }
    }

    fn objects(value: &Value, at: String) -> Vec<String> {
        let inner = |(name, value): (String, &Value)| objects(value, format!("{at}/{name}"));
        match value {
            Value::Object(fields) => {
                let inside = fields.iter().map(|(name, value)| (name.clone(), value)).flat_map(inner);
                std::iter::once(at.clone()).chain(inside).collect()
            }
            Value::Array(items) => items.iter().enumerate().map(|(n, value)| (n.to_string(), value)).flat_map(inner).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn the_documented_shapes_of_entries_are_those_that_are_read() {
        let least = json!({"movieId": "m", "title": "T", "durationMinutes": 1, "language": "en"});
        let mut whole = least.clone();
        for (name, value) in
            [("genres", json!([])), ("certificate", json!("U")), ("posterUrl", json!("x")), ("synopsis", json!(""))]
        {
            whole[name] = value;
        }
        agree::<MovieEntry, MovieEntrySchema>(&whole, &least);

        let price = json!([{"category": "c", "amount": 1, "currency": "EUR"}]);
        let least = json!({"showId": "s", "movieId": "m", "theatreId": "t", "screen": "x", "startTime": "2030-01-01T00:00:00Z", "prices": price});
        let mut whole = least.clone();
        for (name, value) in [
            ("layoutId", json!("l")),
            ("salesOpenAt", json!("2030-01-01T00:00:00Z")),
            ("status", json!("CLOSED")),
            ("blockedSeats", json!(["A1"])),
        ] {
            whole[name] = value;
        }
        agree::<ShowEntry, ShowEntrySchema>(&whole, &least);

        let least = json!({"theatreId": "t", "name": "T", "city": "C", "timeZone": "Europe/Rome", "screens": []});
        let row = json!({"rowId": "A", "numbers": "1-2", "seatPrefix": "x", "category": "c", "categories": {"d": "1"}, "accessible": "1",
            "gapsAfter": "1", "gap": 1.0, "line": {"x": 0.0, "y": 0.0, "spacing": 1.0, "angle": 0.0},
            "arc": {"x": 0.0, "y": 0.0, "radius": 1.0, "from": 1.0, "to": 2.0},
            "seats": [{"seatId": "A1", "category": "c", "x": 0.0, "y": 0.0, "accessible": true}],
            "repeat": {"rowIds": "B", "step": {"x": 0.0, "y": 0.0, "radius": 0.0}}});
        let layout = json!({"layoutId": "l", "name": "L", "categories": [{"category": "c", "name": "C"}],
            "sections": [{"sectionId": "s", "name": "S", "rows": [row]}]});
        let mut whole = least.clone();
        whole["screens"] = json!([{"screen": "x", "name": "X", "layout": layout}]);
        agree::<TheatreEntry, TheatreEntrySchema>(&whole, &least);
    }
}
