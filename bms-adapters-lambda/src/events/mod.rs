//! Events into queues and topics (features `sqs` and `sns`).
//!
//! A message is an [`EventBody`](bms_adapters_http::EventBody) as JSON, the same as webhooks carry, with three attributes of type
//! `String` to filter by: `eventType`, `orderId` and `showId`. The customer is in it only where it was asked for.
//!
//! Events go ten a call, each of another order: when one is refused, those behind it in its order have not been sent. In a FIFO
//! queue or topic the group is the order, and the deduplication id is the event's key, so an event that is sent again within five
//! minutes is there once. Elsewhere, and later than that, it may come twice: a consumer looks at the key.

mod client;
mod delivery;
mod message;
mod refusal;
#[cfg(feature = "sns")]
mod sns;
#[cfg(feature = "sqs")]
mod sqs;

use std::time::Duration;

#[cfg(feature = "sns")]
pub(crate) use client::{bounded, check_region};
#[cfg(feature = "sns")]
pub(crate) use message::{attributes, is_fifo};
#[cfg(feature = "sns")]
pub(crate) use refusal::Refusal;
#[cfg(feature = "sns")]
pub use sns::SnsSink;
#[cfg(feature = "sns")]
pub(crate) use sns::{attribute, check_topic};
#[cfg(feature = "sqs")]
pub use sqs::SqsSink;

/// The longest that a queue or a topic takes for a batch, whatever the service does. Give
/// [the relay](bms_domain::BookingService::relay) a longer lease.
pub const LONGEST_PUBLISH: Duration = Duration::from_secs(delivery::LAST_START.as_secs() + client::CALL_DEADLINE.as_secs());

/// Why a queue or a topic cannot be one. Shows no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// Not the address of a queue.
    #[error("a queue is named by its URL, such as https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo")]
    Queue,
    /// Not the name of a topic.
    #[error("a topic is named by its ARN, such as arn:aws:sns:eu-west-1:123456789012:orders.fifo")]
    Topic,
    /// Requests are signed for a region.
    #[error("the region is not known: set AWS_REGION, which Lambda does by itself")]
    Region,
}
