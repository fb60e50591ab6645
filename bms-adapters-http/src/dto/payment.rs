//! Payment notices.

use bms_domain::money::Currency;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BookingId, CurrencyCode};

/// How a payment ended.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NoticeStatus {
    Succeeded,
    Failed,
}

/// A payment provider's notice. A notice that was taken before, by its `eventId`, changes nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PaymentNotice {
    #[schema(min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    pub(crate) event_id: String,
    #[schema(value_type = BookingId)]
    pub(crate) order_id: String,
    #[schema(min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    pub(crate) payment_reference: String,
    pub(crate) status: NoticeStatus,
    /// Minor units.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub(crate) amount: i64,
    #[schema(value_type = CurrencyCode)]
    pub(crate) currency: Currency,
}

/// The notice is durable: it need not be sent again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Received)]
pub(crate) struct ReceivedBody {
    /// Always true.
    pub(crate) received: bool,
}
