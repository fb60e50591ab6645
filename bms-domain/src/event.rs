//! Events: what happened to orders, for the rest of the world. Written to an outbox in the same atomic step as the
//! change itself, and published from there at least once, in order for each order.

use std::fmt;

use async_trait::async_trait;

use crate::id::OrderId;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// The order.
    pub order: OrderId,
    /// The event's number in the order, from 1.
    pub sequence: u32,
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
