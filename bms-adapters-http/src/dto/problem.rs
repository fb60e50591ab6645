//! What a problem looks like, for the OpenAPI document. Problems themselves are made in [`crate::problem`].

use utoipa::ToSchema;

use super::BookingId;

/// RFC 9457 problem details. `type` is `urn:bms:problem:<code>`; a client acts on the code.
#[derive(ToSchema)]
#[schema(as = Problem, rename_all = "camelCase")]
#[expect(dead_code, reason = "names a schema")]
pub(crate) struct ProblemBody {
    /// `urn:bms:problem:<code>`.
    #[schema(pattern = "^urn:bms:problem:[a-z-]+$")]
    r#type: String,
    /// What kind of problem it is, for people.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What to do about this one, for people.
    detail: String,
    /// `seats-unavailable`: all that are held or sold. `unknown-seats`: all that the layout does not have.
    #[schema(nullable = false)]
    seat_ids: Option<Vec<String>>,
    /// `hold-not-active`, `order-not-pending`, `order-pending`: what it is now.
    #[schema(nullable = false)]
    state: Option<String>,
    /// `too-many-seats`: the limit that would be passed.
    #[schema(nullable = false)]
    limit: Option<u32>,
    /// `validation`: every rule that is broken.
    #[schema(nullable = false)]
    errors: Option<Vec<ViolationBody>>,
    /// `payment-declined`: the order as it is now.
    #[schema(nullable = false, value_type = Option<super::OrderBody>)]
    order: Option<super::OrderBody>,
    /// `order-expired`, `order-not-pending`: there, and true, when a payment is to be given back.
    #[schema(nullable = false)]
    refund_due: Option<bool>,
    /// `unavailable`, when it is not known whether a hold was changed: the hold to ask for.
    #[schema(nullable = false, value_type = Option<BookingId>)]
    hold_id: Option<String>,
    /// `unavailable`, when it is not known whether an order was changed, and `order-pending`: the order to ask for.
    #[schema(nullable = false, value_type = Option<BookingId>)]
    order_id: Option<String>,
    /// `unavailable` of `/readyz`: what does not answer.
    #[schema(nullable = false)]
    dependencies: Option<Vec<String>>,
}

/// One rule that is broken.
#[derive(ToSchema)]
#[schema(as = Violation)]
#[expect(dead_code, reason = "names a schema")]
pub(crate) struct ViolationBody {
    /// Where, as a JSON pointer into the body, or `/name` of a query field.
    pointer: String,
    /// The rule.
    detail: String,
}
