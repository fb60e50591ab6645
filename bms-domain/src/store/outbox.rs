//! The outbox: events that were written with the changes they tell of, on their way out of the store.

use std::time::Duration;

use async_trait::async_trait;

use crate::event::{EventKey, OrderEvent};
use crate::id::OrderId;
use crate::store::StoreError;
use crate::time::Timestamp;

/// An event on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The event.
    pub event: OrderEvent,
    /// How often it was tried, and did not arrive. A try whose end nobody heard of is not counted.
    pub attempts: u32,
}

/// Which events are put back, to be published (again).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The dead letters.
    Dead,
    /// All events of an order that the store still keeps.
    Order(OrderId),
    /// All events written at that instant or later that the store still keeps.
    Since(Timestamp),
}

/// The events that were written with the changes they tell of, and wait to be published.
///
/// The events of one order leave in order, always: while the first of them that is not published is at a caller, postponed or
/// dead, the order gives out nothing. Other orders go on. Whether events are kept once they are published is the store's
/// choice, as long as it forgets them only then.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Up to `limit` events that are not published, oldest first, for this caller alone until `lease` is over. The
    /// events of one order come in order: a later one only once the earlier ones are published or in the same answer, and
    /// never one behind an event of its order that is postponed or dead. Whose they are when more are due is the store's choice.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<Delivery>, StoreError>;

    /// These were published, dead letters among them too: they do not come again, unless they are put back.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn published(&self, events: &[EventKey]) -> Result<(), StoreError>;

    /// These did not arrive: counts an attempt of each. They come again after `by`, and so do the later events of their
    /// orders, which are nobody's any more and of which no attempt is counted. What was published, or is dead, stays so.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn postpone(&self, events: &[EventKey], by: Duration) -> Result<(), StoreError>;

    /// These will not arrive: counts an attempt of each, and makes them dead letters, which are not given out again. Later
    /// events of their orders are nobody's any more and not postponed, but wait behind them; other orders go on. What was
    /// published, or is dead, stays as it is.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn bury(&self, events: &[EventKey]) -> Result<(), StoreError>;

    /// Up to `limit` dead letters by key, those after `after`.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn dead(&self, after: Option<EventKey>, limit: usize) -> Result<Vec<Delivery>, StoreError>;

    /// Puts events back: each comes again as if it had never been tried, at once unless a caller has it now, and in order
    /// within its order. Says how many of them were published or dead, and so would not have come by themselves. What the
    /// store has forgotten does not come.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn replay(&self, which: &Replay) -> Result<usize, StoreError>;

    /// Forgets up to `limit` events that were published longer than `older_than` ago, oldest first, and nothing else. Says how
    /// many; none where they are forgotten at once.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn prune(&self, older_than: Duration, limit: usize) -> Result<usize, StoreError>;
}
