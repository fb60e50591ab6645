//! Orders, claims and payments in memory.

mod ledger;
mod outbox;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::shards::{Shows, Stripes};
use crate::event::{EventKey, OrderEvent};
use crate::id::{Caller, HoldId, LayoutId, OrderId, ShowId, UserId};
use crate::order::{Order, OrderCommand, Ticket, TicketCode};
use crate::payment::{
    NoticeId, PaymentKey, PaymentReference, PaymentReport, PaymentState, PaymentStatus, RefundDue, RefundReason,
};
use crate::seat::SeatBits;
use crate::store::{
    Attempt, Creation, Delivery, LayoutPin, NewOrder, OrderChange, OrderStore, Outbox, PendingClaim, Replay, Settled, Settlement,
    SoldSeats, StoreError,
};
use crate::time::{Clock, Timestamp};
use ledger::Ledger;

/// Keeps orders, claims, payments and the outbox in this process's memory. Orders are kept until the process ends,
/// events until they are published: what was published cannot be replayed.
pub struct MemoryOrders {
    clock: Arc<dyn Clock>,
    shows: Shows<Mutex<Ledger>>,
    shared: Shared,
}

/// What the ledgers of all shows share. Its locks are taken after a ledger's, one at a time.
struct Shared {
    by_owner: Stripes<UserId, BTreeSet<OrderId>>,
    tickets: Stripes<TicketCode, OrderId>,
    /// Which order a payment was made for.
    payers: Stripes<PaymentKey, OrderId>,
    notices: Stripes<NoticeId, ()>,
    refunds: Mutex<BTreeMap<OrderId, BTreeMap<PaymentReference, RefundDue>>>,
    outbox: Mutex<outbox::Queue>,
}

impl Shared {
    fn index_owner(&self, order: &Order) {
        self.by_owner.of(&order.owner).entry(order.owner.clone()).or_default().insert(order.id);
    }

    /// Gives a ticket's code to an order, unless it is another's.
    fn give_ticket(&self, code: TicketCode, order: OrderId) -> bool {
        *self.tickets.of(&code).entry(code).or_insert(order) == order
    }

    fn payer(&self, key: &PaymentKey) -> Option<OrderId> {
        self.payers.of(key).get(key).copied()
    }

    /// Counts a payment for an order, unless it is another's. Looking and writing are one step: the ledgers of two shows
    /// may ask at once.
    fn bind(&self, key: &PaymentKey, order: OrderId) -> bool {
        *self.payers.of(key).entry(key.clone()).or_insert(order) == order
    }

    /// It was not counted after all.
    fn unbind(&self, key: &PaymentKey) {
        self.payers.of(key).remove(key);
    }

    fn is_known(&self, notice: &NoticeId) -> bool {
        self.notices.of(notice).contains_key(notice)
    }

    fn know(&self, notice: Option<&NoticeId>) {
        if let Some(notice) = notice {
            self.notices.of(notice).insert(notice.clone(), ());
        }
    }

    fn owe(&self, refund: RefundDue) {
        self.refunds.lock().entry(refund.order).or_default().insert(refund.reference.clone(), refund);
    }

    /// Whether money of an order is to be given back.
    fn owes(&self, order: OrderId) -> bool {
        self.refunds.lock().contains_key(&order)
    }

    /// The state of a payment that is to be given back already.
    fn refund(&self, report: &PaymentReport) -> Option<PaymentState> {
        let refunds = self.refunds.lock();
        let refund = refunds.get(&report.order)?.get(&report.reference)?;
        Some(PaymentState::RefundDue(refund.reason))
    }

    fn publish(&self, event: OrderEvent) {
        self.outbox.lock().push(event);
    }
}

impl MemoryOrders {
    /// An empty store on a clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            by_owner: Stripes::new(),
            tickets: Stripes::new(),
            payers: Stripes::new(),
            notices: Stripes::new(),
            refunds: Mutex::default(),
            outbox: Mutex::default(),
        };
        Self { clock, shows: Shows::new(), shared }
    }

    fn ledger(&self, show: &ShowId) -> Arc<Mutex<Ledger>> {
        self.shows.get_or_insert(show, Mutex::default)
    }

    fn find(&self, id: OrderId) -> Option<Order> {
        let now = self.clock.now();
        self.shows.find(id.shard(), |(_, ledger)| ledger.lock().order(id, now))
    }

    fn command(&self, id: OrderId, by: Option<&Caller>, command: &OrderCommand) -> OrderChange {
        let now = self.clock.now();
        let change = self.shows.find(id.shard(), |(_, ledger)| ledger.lock().command(id, by, command.clone(), &self.shared, now));
        change.unwrap_or(OrderChange::NotFound)
    }

    /// Money came for an order that does not exist: it is to be given back.
    fn settle_unknown(&self, report: &PaymentReport) -> Settled {
        if let Some(payer) = self.shared.payer(&report.key)
            && payer != report.order
        {
            self.shared.know(report.notice.as_ref());
            return Settled::OtherOrders;
        }
        let repeated = report.notice.as_ref().is_some_and(|notice| self.shared.is_known(notice));
        self.shared.know(report.notice.as_ref());
        let known = self.shared.payer(&report.key).is_some();
        if (repeated || report.status != PaymentStatus::Succeeded) && !known {
            return Settled::Recorded;
        }
        let reason = RefundReason::UnknownOrder;
        if !known {
            if !self.shared.bind(&report.key, report.order) {
                return Settled::OtherOrders;
            }
            let PaymentReport { order, reference, amount, .. } = report.clone();
            self.shared.owe(RefundDue { order, reference, amount, reason });
        }
        Settled::RefundDue(reason)
    }
}

#[async_trait]
impl OrderStore for MemoryOrders {
    async fn create(&self, order: &NewOrder) -> Result<Creation, StoreError> {
        if order.seats.is_empty() {
            return Err(StoreError::Broken { store: "memory", detail: format!("order {}: no seats", order.id) });
        }
        let now = self.clock.now();
        Ok(self.ledger(&order.show).lock().create(order, &self.shared, now))
    }

    async fn get(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        Ok(self.find(id))
    }

    async fn by_holds(&self, holds: &[HoldId]) -> Result<Vec<Option<Order>>, StoreError> {
        let now = self.clock.now();
        let of = |hold: &HoldId| self.shows.find(hold.shard(), |(_, ledger)| ledger.lock().order_of_hold(*hold, now));
        Ok(holds.iter().map(of).collect())
    }

    async fn list(&self, owner: &UserId, before: Option<OrderId>, limit: usize) -> Result<Vec<Order>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let ids: Vec<OrderId> = match self.shared.by_owner.of(owner).get(owner) {
            Some(orders) => {
                let older = orders.range((Unbounded, before.map_or(Unbounded, Excluded)));
                older.rev().take(limit).copied().collect()
            }
            None => Vec::new(),
        };
        Ok(ids.into_iter().filter_map(|id| self.find(id)).collect())
    }

    async fn by_ticket(&self, code: &TicketCode) -> Result<Option<Order>, StoreError> {
        let id = self.shared.tickets.of(code).get(code).copied();
        Ok(id.and_then(|id| self.find(id)))
    }

    async fn settle(&self, report: &PaymentReport, ticket: &Ticket) -> Result<Settlement, StoreError> {
        let now = self.clock.now();
        let settled =
            self.shows.find(report.order.shard(), |(_, ledger)| ledger.lock().settle(report, ticket, &self.shared, now));
        Ok(settled.unwrap_or_else(|| Settlement { order: None, settled: self.settle_unknown(report) }))
    }

    async fn give_up(&self, id: OrderId, by: &Caller) -> Result<OrderChange, StoreError> {
        Ok(self.command(id, Some(by), &OrderCommand::GiveUp))
    }

    async fn cancel(&self, id: OrderId) -> Result<OrderChange, StoreError> {
        Ok(self.command(id, None, &OrderCommand::Cancel))
    }

    async fn expire_overdue(&self, limit: usize) -> Result<Vec<Order>, StoreError> {
        let now = self.clock.now();
        let mut overdue = Vec::new();
        self.shows.each(|show, ledger| {
            overdue.extend(ledger.lock().overdue(now).take(limit).map(|(end, order)| (end, order, *show)));
            true
        });
        overdue.sort_unstable();
        overdue.truncate(limit);
        let expire = |(_, order, show): (_, OrderId, ShowId)| self.shows.get(&show)?.lock().expire(order, &self.shared, now);
        Ok(overdue.into_iter().filter_map(expire).collect())
    }

    async fn claim_attempts(&self, limit: usize, lease: Duration) -> Result<Vec<Attempt>, StoreError> {
        let now = self.clock.now();
        let mut open = Vec::new();
        self.shows.each(|show, ledger| {
            open.extend(ledger.lock().open_attempts(now).map(|(asked, order, key)| (asked, order, key, *show)));
            true
        });
        open.sort_unstable();
        open.truncate(limit);
        let claim = |(_, order, key, show): (_, OrderId, PaymentKey, ShowId)| {
            self.shows.get(&show)?.lock().claim_attempt(order, &key, now, now.plus(lease))
        };
        Ok(open.into_iter().filter_map(claim).collect())
    }

    async fn refunds_due(&self, after: Option<&(OrderId, PaymentReference)>, limit: usize) -> Result<Vec<RefundDue>, StoreError> {
        use std::ops::Bound::{Included, Unbounded};
        let refunds = self.shared.refunds.lock();
        let from = after.map_or(Unbounded, |(order, _)| Included(*order));
        let found = refunds.range((from, Unbounded)).flat_map(|(_, refunds)| refunds.values());
        let is_later = |refund: &&RefundDue| after.is_none_or(|after| (refund.order, &refund.reference) > (after.0, &after.1));
        Ok(found.filter(is_later).take(limit).cloned().collect())
    }

    async fn sold(&self, show: &ShowId, seats: u32) -> Result<SeatBits, StoreError> {
        Ok(self.shows.get(show).map_or_else(|| SeatBits::new(seats), |ledger| ledger.lock().sold(seats)))
    }

    async fn claims(&self, show: &ShowId) -> Result<(Vec<SoldSeats>, Vec<PendingClaim>), StoreError> {
        let now = self.clock.now();
        Ok(self.shows.get(show).map_or_else(Default::default, |ledger| ledger.lock().claims(now)))
    }

    async fn sales_within(
        &self,
        span: Duration,
        after: Option<&(Timestamp, ShowId)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ShowId)>, StoreError> {
        let since = self.clock.now().minus(span);
        let mut sales = Vec::new();
        self.shows.each(|show, ledger| {
            let sale = ledger.lock().last_sale().filter(|at| *at >= since).map(|at| (at, *show));
            sales.extend(sale.filter(|sale| after.is_none_or(|after| sale < after)));
            true
        });
        sales.sort_unstable_by(|a, b| b.cmp(a));
        sales.truncate(limit);
        Ok(sales)
    }

    async fn pin_layout(&self, show: &ShowId, layout: LayoutId) -> Result<LayoutPin, StoreError> {
        Ok(self.ledger(show).lock().pin_layout(layout))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Outbox for MemoryOrders {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<Delivery>, StoreError> {
        let now = self.clock.now();
        Ok(self.shared.outbox.lock().claim(limit, now, now.plus(lease)))
    }

    async fn published(&self, events: &[EventKey]) -> Result<(), StoreError> {
        self.shared.outbox.lock().published(events);
        Ok(())
    }

    async fn postpone(&self, events: &[EventKey], by: Duration) -> Result<(), StoreError> {
        let until = self.clock.now().plus(by);
        self.shared.outbox.lock().postpone(events, until);
        Ok(())
    }

    async fn bury(&self, events: &[EventKey]) -> Result<(), StoreError> {
        self.shared.outbox.lock().bury(events);
        Ok(())
    }

    async fn dead(&self, after: Option<EventKey>, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.shared.outbox.lock().dead(after, limit))
    }

    async fn replay(&self, which: &Replay) -> Result<usize, StoreError> {
        Ok(self.shared.outbox.lock().replay(which))
    }

    async fn prune(&self, _older_than: Duration, _limit: usize) -> Result<usize, StoreError> {
        Ok(0)
    }
}
