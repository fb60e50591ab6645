//! The order store: the durable truth. It alone guarantees that no seat is sold twice and no payment is lost.

use std::time::Duration;

use async_trait::async_trait;

use crate::id::{Caller, HoldId, LayoutId, OrderId, ShowId, UserId};
use crate::money::Money;
use crate::order::{Customer, Order, OrderRefusal, Ticket, TicketCode};
use crate::payment::{PaymentReference, PaymentReport, RefundDue, RefundReason};
use crate::seat::{SeatBits, SeatList, SeatSet};
use crate::store::{PendingClaim, SoldSeats, StoreError};
use crate::time::Timestamp;

/// A request to make an order.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The order's id, the one that is linked to the hold.
    pub id: OrderId,
    /// The hold.
    pub hold: HoldId,
    /// The show.
    pub show: ShowId,
    /// The seat plan that the seats belong to.
    pub layout: LayoutId,
    /// For whom.
    pub owner: UserId,
    /// The seats; not empty.
    pub seats: SeatList,
    /// What is to be paid.
    pub price: Money,
    /// Whom to write to.
    pub customer: Customer,
    /// How long it waits for payment.
    pub ttl: Duration,
}

/// What came of a request to make an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The order was made, and every seat is claimed for it.
    Created(Order),
    /// The order of that id, whatever its state; or another order of the same hold, pending or confirmed. Nothing was
    /// changed.
    Existing(Order),
    /// Every one of the seats that another order claims (promise P3). Nothing was changed.
    Taken(SeatSet),
    /// The show is sold with another seat plan. Nothing was changed.
    LayoutChanged(LayoutId),
}

/// What came of a request to change an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderChange {
    /// The order after the command, and whether this call changed it.
    Done {
        /// The order.
        order: Order,
        /// Whether this call changed its state; not so when the command was repeated.
        changed: bool,
    },
    /// The order as it is, and why it was not changed.
    Refused(Order, OrderRefusal),
    /// No such order, or somebody else's (promise P9).
    NotFound,
}

/// What came of a payment report. Whatever it is, the report is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The order after it; `None` when there is none of that id.
    pub order: Option<Order>,
    /// What it did.
    pub settled: Settled,
}

/// What a payment report did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Settled {
    /// It confirmed the order.
    Confirmed,
    /// It failed the order.
    Failed,
    /// This payment is to be given back; newly, or known before.
    RefundDue(RefundReason),
    /// It was recorded, and changed nothing else: a repeated notice or one overtaken, an attempt under way, a failed
    /// attempt beside an open one.
    Recorded,
    /// The ticket's code is another order's: draw again and repeat the call. Nothing was changed.
    CodeTaken,
    /// The payment was counted for another order. Nothing was changed but the notice recorded.
    OtherOrders,
}

/// How long after its end an order with a payment under way waits at most for what the provider says of it.
pub const LONGEST_ASKING: Duration = Duration::from_mins(10);

/// An attempt to pay that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The order, in its state of now.
    pub order: Order,
    /// The payment.
    pub reference: PaymentReference,
}

/// Whether a show may be sold with a seat plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutPin {
    /// It is, or will be, sold with that plan.
    Pinned,
    /// Orders were made with this other plan.
    InUse(LayoutId),
}

/// Keeps orders, claims and payments (promises P1, P3, P4, P6, P7).
///
/// Orders come back in their state of now: one past its end that was pending is EXPIRED, whether it was swept or not.
/// Every change writes its event to the [`Outbox`](super::Outbox) in the same atomic step.
#[async_trait]
pub trait OrderStore: Send + Sync + 'static {
    /// Makes an order and claims its seats, in one atomic step. Claims of orders that have expired are taken over.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer; after `OutcomeUnknown` the same call again finds out.
    async fn create(&self, order: &NewOrder) -> Result<Creation, StoreError>;

    /// The order of an id.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn get(&self, id: OrderId) -> Result<Option<Order>, StoreError>;

    /// For each hold, in their order: its pending or confirmed order, else its newest.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn by_holds(&self, holds: &[HoldId]) -> Result<Vec<Option<Order>>, StoreError>;

    /// A user's orders, newest first: those older than `before`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn list(&self, owner: &UserId, before: Option<OrderId>, limit: usize) -> Result<Vec<Order>, StoreError>;

    /// The order that a ticket code was given for, confirmed or cancelled.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn by_ticket(&self, code: &TicketCode) -> Result<Option<Order>, StoreError>;

    /// Records a payment report and does what it does to its order, by [`payment::apply`](crate::payment::apply), in one
    /// atomic step. A notice that was recorded before changes nothing. `ticket` is given to the order if it is confirmed.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer; after `OutcomeUnknown` the same call again finds out.
    async fn settle(&self, report: &PaymentReport, ticket: &Ticket) -> Result<Settlement, StoreError>;

    /// The owner gives up a pending order: FAILED, and its claims are gone.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn give_up(&self, id: OrderId, by: &Caller) -> Result<OrderChange, StoreError>;

    /// Cancels a confirmed order: CANCELLED, its claims are gone, its payment is to be given back.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn cancel(&self, id: OrderId) -> Result<OrderChange, StoreError>;

    /// Persists up to `limit` orders whose end has passed and that are still written down as pending, oldest end first: they
    /// are EXPIRED, and their claims are gone. Gives them back as they are now. Many may ask at once: each order comes back
    /// once, and never again.
    ///
    /// An order with a payment under way is left until [`claim_attempts`](Self::claim_attempts) has given the payment out, and
    /// then for as long as it is somebody's, but not for longer than [`LONGEST_ASKING`] after the order's end: the provider is
    /// asked before a payment in flight is given up (promise P4). Whoever wants its seats need not wait.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer. After `OutcomeUnknown` some may have expired that do not come back
    /// again.
    async fn expire_overdue(&self, limit: usize) -> Result<Vec<Order>, StoreError>;

    /// Up to `limit` attempts to pay that are still under way for orders that are past their end, those first that were
    /// not asked after for the longest. They are this caller's until `lease` is over, so that many can ask at once and
    /// none waits behind one that never ends.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn claim_attempts(&self, limit: usize, lease: Duration) -> Result<Vec<Attempt>, StoreError>;

    /// Up to `limit` payments that are to be given back, by order and reference, those after `after`. A payment for an
    /// order that does not exist is named with the id it came with.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn refunds_due(&self, after: Option<&(OrderId, PaymentReference)>, limit: usize) -> Result<Vec<RefundDue>, StoreError>;

    /// The seats of a show that are sold. The truth that a seat map is checked against (promise P12).
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn sold(&self, show: &ShowId, seats: u32) -> Result<SeatBits, StoreError>;

    /// Everything that claims a seat of a show: confirmed orders, and orders that wait for payment.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn claims(&self, show: &ShowId) -> Result<(Vec<SoldSeats>, Vec<PendingClaim>), StoreError>;

    /// Up to `limit` shows of which an order was confirmed or cancelled within the last `span`, to within a second, with when,
    /// latest first, those after `after`: those that a hold store may have missed something of.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn sales_within(
        &self,
        span: Duration,
        after: Option<&(Timestamp, ShowId)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ShowId)>, StoreError>;

    /// Decides the seat plan of a show: from its first order on it never changes.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn pin_layout(&self, show: &ShowId, layout: LayoutId) -> Result<LayoutPin, StoreError>;

    /// Whether the backend answers, for readiness.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    async fn ping(&self) -> Result<(), StoreError>;
}
