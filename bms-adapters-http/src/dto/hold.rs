//! Holds.

use bms_domain::id::{HoldId, SeatId, ShowId, UserId};
use bms_domain::money::Currency;
use bms_domain::service::BookedHold;
use bms_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{BookingId, CurrencyCode, EntryId, Instant, SeatName};

/// Which seats to hold. Who holds them is in the token; what they cost is in the price list.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PlaceHold)]
pub(crate) struct PlaceHoldRequest {
    /// The show.
    #[schema(value_type = EntryId)]
    pub(crate) show_id: String,
    /// The seats, all or none, each once. The limit of a hold and of a user and show is the server's.
    #[schema(value_type = Vec<SeatName>, min_items = 1, max_items = 100)]
    pub(crate) seat_ids: Vec<String>,
}

/// Which holds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HoldQuery {
    /// 1 to 100 ids, separated by commas.
    pub(crate) ids: String,
}

/// A state of a hold.
#[derive(ToSchema)]
#[schema(as = HoldStatus, rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "names a schema")]
pub(crate) enum HoldStatus {
    Held,
    Released,
    Expired,
    Consumed,
}

/// A hold.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Hold)]
pub(crate) struct HoldBody {
    #[schema(value_type = BookingId)]
    hold_id: HoldId,
    #[schema(value_type = EntryId)]
    show_id: ShowId,
    user_id: UserIdText,
    #[schema(value_type = Vec<SeatName>)]
    seat_ids: Vec<SeatId>,
    #[schema(value_type = HoldStatus)]
    status: &'static str,
    /// Minor units.
    amount: i64,
    #[schema(value_type = CurrencyCode)]
    currency: Currency,
    #[schema(value_type = Instant)]
    created_at: Timestamp,
    /// When it ends or ended; later than first said while its order waits for payment.
    #[schema(value_type = Instant)]
    expires_at: Timestamp,
}

/// The `sub` of the token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserId, value_type = String)]
struct UserIdText(UserId);

/// Holds in the order they were asked for, null for one that is unknown or somebody else's.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HoldList {
    pub(crate) holds: Vec<Option<HoldBody>>,
}

impl From<&BookedHold> for HoldBody {
    fn from(booked: &BookedHold) -> Self {
        let hold = &booked.hold;
        Self {
            hold_id: hold.id,
            show_id: hold.show,
            user_id: UserIdText(hold.owner.clone()),
            seat_ids: booked.seats().ids().collect(),
            status: hold.state.name(),
            amount: hold.price.amount(),
            currency: hold.price.currency(),
            created_at: hold.life.created_at,
            expires_at: hold.expires_at(),
        }
    }
}
