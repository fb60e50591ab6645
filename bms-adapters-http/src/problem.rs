//! What went wrong, as RFC 9457 problem details. The one place that knows codes, statuses, members and headers.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bms_domain::error::{Error, Subject, Violation};
use bms_domain::order::Order;
use serde_json::{Map, Value, json};

use crate::dto::OrderBody;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// After how many seconds to try again when a dependency does not answer.
const RETRY_AFTER_SECONDS: u64 = 1;

macro_rules! codes {
    ($($name:ident $status:ident $code:literal $title:literal;)*) => {
        /// The kinds of problems. A client acts on the code; the texts are for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $code, "`: ", $title, ".")] $name),*
        }

        impl Code {
            /// The HTTP status it is answered with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }

            /// Its name in `urn:bms:problem:<code>`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

codes! {
    MalformedRequest BAD_REQUEST "malformed-request" "The request is malformed";
    Unauthenticated UNAUTHORIZED "unauthenticated" "Not authenticated";
    PaymentDeclined PAYMENT_REQUIRED "payment-declined" "The payment was declined";
    Forbidden FORBIDDEN "forbidden" "Not allowed";
    NotFound NOT_FOUND "not-found" "Not found";
    MethodNotAllowed METHOD_NOT_ALLOWED "method-not-allowed" "Method not allowed";
    RequestTimeout REQUEST_TIMEOUT "request-timeout" "The request did not arrive in time";
    SeatsUnavailable CONFLICT "seats-unavailable" "Seats are held or sold";
    HoldNotActive CONFLICT "hold-not-active" "The hold is not active";
    OrderNotPending CONFLICT "order-not-pending" "The order does not wait for payment";
    OrderPending CONFLICT "order-pending" "The order waits for payment";
    SalesClosed CONFLICT "sales-closed" "The show is not on sale";
    RequestInProgress CONFLICT "request-in-progress" "The same request is still running";
    HoldExpired GONE "hold-expired" "The hold has expired";
    OrderExpired GONE "order-expired" "The order has expired";
    BodyTooLarge PAYLOAD_TOO_LARGE "body-too-large" "The body is too large";
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "Unsupported media type";
    Validation UNPROCESSABLE_ENTITY "validation" "The request is not valid";
    UnknownSeats UNPROCESSABLE_ENTITY "unknown-seats" "The show has no such seats";
    TooManySeats UNPROCESSABLE_ENTITY "too-many-seats" "Too many seats";
    IdempotencyKeyReused UNPROCESSABLE_ENTITY "idempotency-key-reused" "The idempotency key was used for another request";
    RateLimited TOO_MANY_REQUESTS "rate-limited" "Too many requests";
    Internal INTERNAL_SERVER_ERROR "internal" "Internal error";
    BadGateway BAD_GATEWAY "bad-gateway" "No good answer from the server behind";
    Unavailable SERVICE_UNAVAILABLE "unavailable" "Temporarily unavailable";
    GatewayTimeout GATEWAY_TIMEOUT "gateway-timeout" "No answer in time from the server behind";
}

/// One problem, ready to be sent.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    detail: String,
    members: Map<String, Value>,
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem without members of its own. `detail` never repeats what was sent.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = matches!(code, Code::Unavailable | Code::RequestInProgress).then_some(RETRY_AFTER_SECONDS);
        Self(Box::new(Parts { code, detail: detail.into(), members: Map::new(), retry_after }))
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// Says after how many seconds to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Its kind.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// No such thing, no such route, an id that does not parse: all the same from outside.
    pub(crate) fn not_found() -> Self {
        Self::new(Code::NotFound, "there is no such thing here")
    }

    /// No token, or one that is not accepted.
    pub(crate) fn unauthenticated(detail: &str) -> Self {
        Self::new(Code::Unauthenticated, detail)
    }

    /// Not JSON, or not the shape.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::MalformedRequest, detail)
    }

    /// A dependency, or this server, cannot answer now.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, detail)
    }

    /// A bug. The client learns nothing of it.
    pub(crate) fn internal() -> Self {
        Self::new(Code::Internal, "the request could not be carried out")
    }

    /// A rule that is broken.
    pub(crate) fn invalid(pointer: impl Into<String>, rule: impl std::fmt::Display) -> Self {
        Self::violations(&[Violation::new(pointer, rule)])
    }

    fn violations(violations: &[Violation]) -> Self {
        let errors: Vec<Value> = violations.iter().map(|it| json!({"pointer": it.pointer, "detail": it.detail})).collect();
        Self::new(Code::Validation, "the request breaks a rule").with("errors", errors)
    }

    /// Seats that the show does not have, as they were named in the request.
    pub(crate) fn unknown_seats<S: AsRef<str>>(seats: impl IntoIterator<Item = S>) -> Self {
        Self::new(Code::UnknownSeats, "the show has no seats of these names").with("seatIds", names(seats))
    }

    /// Money that is to be given back is always told.
    fn with_refund(self, order: &Order) -> Self {
        if order.refund_due { self.with("refundDue", true) } else { self }
    }
}

fn names<S: AsRef<str>>(seats: impl IntoIterator<Item = S>) -> Vec<Value> {
    seats.into_iter().map(|seat| Value::from(seat.as_ref())).collect()
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) => Self::not_found(),
            Error::Forbidden => Self::new(Code::Forbidden, "this needs an administrator's rights"),
            Error::Invalid(violations) => Self::violations(&violations),
            Error::UnknownSeats(seats) => Self::unknown_seats(seats.iter().map(|seat| seat.as_str())),
            Error::TooManySeats { limit } => Self::new(Code::TooManySeats, format!("at most {limit} seats")).with("limit", limit),
            Error::SeatsUnavailable(seats) => Self::new(Code::SeatsUnavailable, "choose other seats")
                .with("seatIds", names(seats.iter().map(|seat| seat.as_str()))),
            Error::SalesClosed { reason, .. } => Self::new(Code::SalesClosed, reason.to_string()),
            Error::HoldNotActive { state, .. } => {
                Self::new(Code::HoldNotActive, "the hold cannot be used any more").with("state", state.name())
            }
            Error::HoldExpired(_) => Self::new(Code::HoldExpired, "place another hold"),
            Error::OrderPending(order) => Self::new(Code::OrderPending, "pay the order, or give it up first")
                .with("state", "PAYMENT_PENDING")
                .with("orderId", order.to_string()),
            Error::OrderNotPending(order) => Self::new(Code::OrderNotPending, "the order cannot be changed so any more")
                .with("state", order.state.name())
                .with_refund(&order),
            Error::OrderExpired(order) => Self::new(Code::OrderExpired, "the order was not paid in time").with_refund(&order),
            Error::PaymentDeclined(order) => match serde_json::to_value(OrderBody::without_secret(&order)) {
                Ok(body) => Self::new(Code::PaymentDeclined, "the payment does not pay for the order").with("order", body),
                Err(error) => {
                    tracing::error!(%error, "an order cannot be written as JSON");
                    Self::internal()
                }
            },
            Error::PaymentNotForOrder { .. } => Self::invalid("/paymentReference", "a payment of this order"),
            Error::Unavailable { dependency, source } => {
                log_unavailable(dependency, source.as_deref());
                Self::unavailable("try again soon; nothing was done that trying again would not complete")
            }
            Error::OutcomeUnknown { dependency, subject, source } => {
                log_unavailable(dependency, source.as_deref());
                let problem = Self::unavailable("whether it was done is not known: ask for it by its id, or try again");
                match subject {
                    Subject::Hold(id) => problem.with("holdId", id.to_string()),
                    Subject::Order(id) => problem.with("orderId", id.to_string()),
                    _ => problem,
                }
            }
            Error::Internal(detail) => {
                tracing::error!(detail, "internal error");
                Self::internal()
            }
            other => {
                tracing::error!(error = %other, "an error that this adapter does not know");
                Self::internal()
            }
        }
    }
}

fn log_unavailable(dependency: &'static str, source: Option<&(dyn std::error::Error + Send + Sync + 'static)>) {
    let source = source.map(tracing::field::display);
    tracing::warn!(dependency, source, "a dependency does not answer");
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { code, detail, mut members, retry_after } = *self.0;
        let status = code.status();
        members.insert("type".into(), format!("urn:bms:problem:{}", code.name()).into());
        members.insert("title".into(), code.title().into());
        members.insert("status".into(), status.as_u16().into());
        members.insert("detail".into(), detail.into());
        let mut response = (status, Value::Object(members).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
