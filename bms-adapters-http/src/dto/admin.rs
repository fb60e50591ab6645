//! Catalogue entries, for the OpenAPI document. They are read and written as the types of `bms_domain::catalogue`, whose
//! shape these repeat; a test holds the two together.

#![expect(dead_code, reason = "names schemas")]

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
    #[schema(required = false)]
    genres: Vec<String>,
    #[schema(required = false)]
    certificate: String,
    poster_url: Option<String>,
    #[schema(required = false)]
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
    #[schema(required = false)]
    categories: BTreeMap<String, String>,
    /// The numbers of accessible places.
    accessible: Option<String>,
    /// The numbers after which an aisle follows.
    gaps_after: Option<String>,
    gap: Option<f64>,
    line: Option<LineSchema>,
    arc: Option<ArcSchema>,
    #[schema(required = false)]
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
    #[schema(required = false)]
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
    #[schema(required = false)]
    x: f64,
    #[schema(required = false)]
    y: f64,
    #[schema(required = false)]
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
    #[schema(required = false)]
    status: ShowStatusName,
    /// One for each category of the layout, all in one currency.
    prices: Vec<PriceSchema>,
    #[schema(required = false, value_type = Vec<SeatName>)]
    blocked_seats: Vec<String>,
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
