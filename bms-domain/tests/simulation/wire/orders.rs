//! Calls of the order store.

use std::time::Duration;

use async_trait::async_trait;
use bms_domain::id::{Caller, HoldId, LayoutId, OrderId, ShowId, UserId};
use bms_domain::order::{Order, Ticket, TicketCode};
use bms_domain::payment::{PaymentReference, PaymentReport, RefundDue};
use bms_domain::seat::SeatBits;
use bms_domain::store::{
    Attempt, Creation, LayoutPin, NewOrder, OrderChange, OrderStore, PendingClaim, Settlement, SoldSeats, StoreError,
};
use bms_domain::time::Timestamp;

use crate::flaws::Flaw;
use crate::servers::done;
use crate::wire::Wire;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl OrderStore for Wire {
    async fn create(&self, order: &NewOrder) -> Result<Creation, StoreError> {
        let order = order.clone();
        self.call("orders.create", move |world, way| {
            let answer = world.create_order(&order)?;
            world.audit(|auditor| auditor.created(&order, &answer, way.is_late));
            Ok(answer)
        })
        .await
    }

    async fn get(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        self.call("orders.get", move |world, _| done(world.orders.store.get(id))).await
    }

    async fn by_holds(&self, holds: &[HoldId]) -> Result<Vec<Option<Order>>, StoreError> {
        let holds = holds.to_vec();
        self.call("orders.by_holds", move |world, _| done(world.orders.store.by_holds(&holds))).await
    }

    async fn list(&self, owner: &UserId, before: Option<OrderId>, limit: usize) -> Result<Vec<Order>, StoreError> {
        let owner = owner.clone();
        self.call("orders.list", move |world, _| done(world.orders.store.list(&owner, before, limit))).await
    }

    async fn by_ticket(&self, code: &TicketCode) -> Result<Option<Order>, StoreError> {
        let code = *code;
        self.call("orders.by_ticket", move |world, _| done(world.orders.store.by_ticket(&code))).await
    }

    async fn settle(&self, report: &PaymentReport, ticket: &Ticket) -> Result<Settlement, StoreError> {
        let (report, ticket) = (report.clone(), *ticket);
        self.call("orders.settle", move |world, _| {
            let answer = world.settle_report(&report, &ticket)?;
            world.audit(|auditor| auditor.settled(&report, &answer));
            Ok(answer)
        })
        .await
    }

    async fn give_up(&self, id: OrderId, by: &Caller) -> Result<OrderChange, StoreError> {
        let by = by.clone();
        self.call("orders.give_up", move |world, _| {
            let answer = world.give_up(id, &by)?;
            world.audit(|auditor| auditor.gave_up(&by, &answer));
            Ok(answer)
        })
        .await
    }

    async fn cancel(&self, id: OrderId) -> Result<OrderChange, StoreError> {
        self.call("orders.cancel", move |world, _| {
            let answer = done(world.orders.store.cancel(id))?;
            world.audit(|auditor| auditor.cancelled(&answer));
            Ok(answer)
        })
        .await
    }

    async fn expire_overdue(&self, limit: usize) -> Result<Vec<Order>, StoreError> {
        self.call("orders.expire_overdue", move |world, _| {
            let expired = done(world.orders.store.expire_overdue(limit))?;
            world.audit(|auditor| expired.iter().for_each(|order| auditor.expired(order)));
            Ok(expired)
        })
        .await
    }

    async fn claim_attempts(&self, limit: usize, lease: Duration) -> Result<Vec<Attempt>, StoreError> {
        self.call("orders.claim_attempts", move |world, _| {
            let mut attempts = done(world.orders.store.claim_attempts(limit, lease))?;
            if world.plan.has(Flaw::PaymentForgotten) {
                attempts.clear();
            }
            world.audit(|auditor| auditor.asks_after(&attempts));
            Ok(attempts)
        })
        .await
    }

    async fn refunds_due(&self, after: Option<&(OrderId, PaymentReference)>, limit: usize) -> Result<Vec<RefundDue>, StoreError> {
        let after = after.cloned();
        self.call("orders.refunds_due", move |world, _| done(world.orders.store.refunds_due(after.as_ref(), limit))).await
    }

    async fn sold(&self, show: &ShowId, seats: u32) -> Result<SeatBits, StoreError> {
        let show = *show;
        self.call("orders.sold", move |world, _| done(world.orders.store.sold(&show, seats))).await
    }

    async fn claims(&self, show: &ShowId) -> Result<(Vec<SoldSeats>, Vec<PendingClaim>), StoreError> {
        let show = *show;
        self.call("orders.claims", move |world, _| done(world.orders.store.claims(&show))).await
    }

    async fn sales_within(
        &self,
        span: Duration,
        after: Option<&(Timestamp, ShowId)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ShowId)>, StoreError> {
        let after = after.copied();
        self.call("orders.sales_within", move |world, _| done(world.orders.store.sales_within(span, after.as_ref(), limit))).await
    }

    async fn pin_layout(&self, show: &ShowId, layout: LayoutId) -> Result<LayoutPin, StoreError> {
        let show = *show;
        self.call("orders.pin_layout", move |world, _| done(world.orders.store.pin_layout(&show, layout))).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call("orders.ping", move |world, _| done(world.orders.store.ping())).await
    }
}
