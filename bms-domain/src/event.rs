//! Events: what happened to orders, for the rest of the world. Written to an outbox in the same atomic step as the
//! change itself, and published from there at least once, in order for each order.

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::{OrderId, ParseIdError};
use crate::order::{Order, OrderState};
use crate::store::BoxError;
use crate::time::Timestamp;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OrderEventKind {
    /// It was made and waits for payment.
    Created,
    /// It was paid; its seats are sold.
    Confirmed,
    /// It was declined or given up.
    Failed,
    /// It was not paid in time. Written when that is noticed, which may be later.
    Expired,
    /// It was cancelled.
    Cancelled,
    /// Money is to be given back.
    RefundDue,
}

impl OrderEventKind {
    /// The kind that a new state is announced with.
    #[must_use]
    pub fn of(state: &OrderState) -> Self {
        match state {
            OrderState::PaymentPending => Self::Created,
            OrderState::Confirmed { .. } => Self::Confirmed,
            OrderState::Failed { .. } => Self::Failed,
            OrderState::Expired { .. } => Self::Expired,
            OrderState::Cancelled { .. } => Self::Cancelled,
        }
    }
}

/// Identifies an event: an order, and the event's number in it, from 1. A consumer that has seen the key has seen the event.
/// As text it is `<order id>/<number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventKey {
    /// The order.
    pub order: OrderId,
    /// The event's number in the order, from 1.
    pub sequence: u32,
}

impl EventKey {
    /// Parses the text of a key.
    ///
    /// # Errors
    /// [`ParseIdError`] when it is not an order's id, a slash, and a number from 1, without leading zeros.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let key = text.split_once('/').and_then(|(order, sequence)| {
            Some(Self { order: OrderId::parse(order).ok()?, sequence: sequence.parse().ok().filter(|it| *it > 0)? })
        });
        key.filter(|key| key.to_string() == text)
            .ok_or(ParseIdError::new("event key", "an order id, a slash and a number from 1"))
    }
}

impl TryFrom<String> for EventKey {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        Self::parse(&text)
    }
}

impl From<EventKey> for String {
    fn from(key: EventKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.order, self.sequence)
    }
}

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// Which event.
    pub key: EventKey,
    /// What happened.
    pub kind: OrderEventKind,
    /// When.
    pub at: Timestamp,
    /// The order just after it happened.
    pub order: Order,
}

/// Takes events out into the world: a log, a queue, a webhook.
#[async_trait]
pub trait EventSink: Send + Sync + 'static {
    /// Publishes events, oldest first. They come again until they were published once, so a consumer looks at the key. When
    /// one does not arrive, later ones of its order must not be published in this call; those of other orders may.
    ///
    /// May be dropped at any await: then nothing of the batch counts as published.
    ///
    /// # Errors
    /// [`PublishError`] names those that were published all the same; the others come again.
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError>;
}

/// Not every event of a batch was published.
#[derive(Debug, thiserror::Error)]
#[error("{} events of the batch were published before the sink failed", published.len())]
pub struct PublishError {
    /// The events that were published.
    pub published: Vec<EventKey>,
    /// The events that were not tried at all, for want of time, say. They come again when their lease is over, and it does
    /// not count as an attempt. Those behind one that failed need not be named.
    pub untried: Vec<EventKey>,
    /// What the sink said.
    #[source]
    pub source: Option<BoxError>,
}

/// The events of a batch by their orders, each in its order; the orders by their first. For sinks that stop an order when one
/// of its events does not arrive, and go on with the others.
#[must_use]
pub fn by_order(events: &[OrderEvent]) -> Vec<Vec<&OrderEvent>> {
    let mut orders: Vec<Vec<&OrderEvent>> = Vec::new();
    let mut places = HashMap::new();
    for event in events {
        let place = *places.entry(event.key.order).or_insert(orders.len());
        match orders.get_mut(place) {
            Some(of_order) => of_order.push(event),
            None => orders.push(vec![event]),
        }
    }
    orders
}

/// A sink that writes a line to the log for each event: ids and kind, no personal data.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSink;

#[async_trait]
impl EventSink for LogSink {
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        for event in events {
            tracing::info!(
                event = %event.key,
                kind = event.kind.name(),
                show = %event.order.show,
                seats = event.order.seats.len(),
                "order event"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_nothing_else_is() {
        let order = "0190163d-8694-7abc-9bf5-4b3c4c8fd001";
        let text = format!("{order}/2");
        let key = EventKey::parse(&text).unwrap();
        assert_eq!((key.sequence, key.order.to_string(), key.to_string()), (2, order.to_owned(), text));
        for wrong in ["", "/", "/2", "2", order] {
            assert!(EventKey::parse(wrong).is_err(), "{wrong}");
        }
        for end in ["", "0", "01", "+2", "-1", "2/", " 2", "4294967296"] {
            assert!(EventKey::parse(&format!("{order}/{end}")).is_err(), "{end}");
        }
    }
}
