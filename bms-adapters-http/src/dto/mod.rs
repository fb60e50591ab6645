//! The JSON of requests and answers. Names and shapes are the contract; the domain's types never leak into it.

mod admin;
mod catalogue;
mod hold;
mod order;
mod payment;
mod problem;
mod seatmap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;

pub(crate) use admin::{MovieEntrySchema, ShowEntrySchema, StoredShowSchema, TheatreEntrySchema, TheatreSchema};
pub(crate) use catalogue::{MovieBody, MovieList, MovieQuery, MovieSummary, ShowBody, ShowList, ShowQuery};
pub(crate) use hold::{HoldBody, HoldList, HoldQuery, PlaceHoldRequest};
pub(crate) use order::{ConfirmRequest, CreateOrderRequest, OrderBody, OrderList};
pub(crate) use payment::{NoticeStatus, PaymentNotice, ReceivedBody};
pub(crate) use problem::ProblemBody;
pub(crate) use seatmap::{ChangeBody, LayoutBody, SeatMapBody, SeatMapQuery, SnapshotBody};

macro_rules! schema_of_text {
    ($($(#[$doc:meta])* $name:ident [$($attribute:tt)*];)*) => {$(
        $(#[$doc])*
        #[derive(ToSchema)]
        #[schema(value_type = String, $($attribute)*)]
        #[expect(dead_code, reason = "names a schema")]
        pub(crate) struct $name(String);
    )*};
}

schema_of_text! {
    /// The id of a catalogue entry.
    EntryId [min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "show-1"];
    /// A seat's name in its layout.
    SeatName [min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9._-]+$", example = "A1"];
    /// A price category of a layout.
    CategoryName [min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9._-]+$", example = "stalls"];
    /// The id of a hold or an order: a UUID of version 7.
    BookingId [format = Uuid, example = "01890a5d-ac96-774b-bcce-b302099a8057"];
    /// An instant in RFC 3339, answered in UTC with `Z`.
    Instant [format = DateTime, example = "2030-01-31T19:30:00.000Z"];
    /// An ISO 4217 currency.
    CurrencyCode [min_length = 3, max_length = 3, pattern = "^[A-Z]{3}$", example = "EUR"];
}

/// Where in a list to begin, and how much of it to give.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The `nextCursor` of the part before.
    pub(crate) cursor: Option<String>,
    /// How many: 1 to 100; 20 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub(crate) limit: Option<String>,
}

/// How many entries of a list are asked for.
pub(crate) fn limit(text: Option<&str>) -> Result<usize, Problem> {
    match text {
        None => Ok(20),
        Some(text) => text.parse().map_err(|_| Problem::invalid("/limit", "1 to 100")),
    }
}

/// A cursor that was given out before.
pub(crate) fn cursor<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(|text| text.parse().map_err(|_| Problem::invalid("/cursor", "a nextCursor of this list"))).transpose()
}

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Health)]
pub(crate) struct HealthBody {
    /// `ok`.
    pub(crate) status: &'static str,
}

/// Every dependency answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Ready)]
pub(crate) struct ReadyBody {
    /// `ready`.
    pub(crate) status: &'static str,
    /// What was asked.
    pub(crate) dependencies: Vec<&'static str>,
}
