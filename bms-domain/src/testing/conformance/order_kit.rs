//! What the rules of the order store are written with.

use std::time::Duration;

use super::{Case, Orders};
use crate::event::{EventKey, OrderEvent, OrderEventKind};
use crate::id::{Caller, HoldId, OrderId, ShowId, UserId};
use crate::order::{Order, OrderState};
use crate::payment::{PaymentReport, PaymentStatus, RefundDue, RefundReason};
use crate::seat::{SeatIndex, SeatSet};
use crate::store::{Creation, NewOrder, OrderChange, Settled, Settlement};
use crate::testing::sample;

pub(super) type Ledger = Case<dyn Orders>;

/// How long an order waits for payment.
pub(super) const TTL: Duration = Duration::from_mins(5);
/// One tick of every clock.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// What every order of the rules costs.
pub(super) const PRICE: i64 = 2_500;

pub(super) fn the_show() -> ShowId {
    sample::show("show-1")
}

pub(super) fn hold(n: u32) -> HoldId {
    sample::hold_id(&the_show(), n)
}

pub(super) fn id(n: u32) -> OrderId {
    sample::order_id(&the_show(), n)
}

pub(super) fn by(user: &str) -> Caller {
    Caller::user(sample::user(user))
}

pub(super) fn admin() -> Caller {
    Caller::admin(sample::user("root"))
}

/// The `n`-th order of the show, of the `n`-th hold.
pub(super) fn wish(n: u32, owner: &str, seats: &[SeatIndex]) -> NewOrder {
    wish_of(&the_show(), n, sample::user(owner), seats)
}

pub(super) fn wish_of(show: &ShowId, n: u32, owner: UserId, seats: &[SeatIndex]) -> NewOrder {
    NewOrder {
        id: sample::order_id(show, n),
        hold: sample::hold_id(show, n),
        show: *show,
        layout: sample::layout_id("plan-1"),
        owner,
        seats: sample::seat_list(&sample::seats(seats)),
        price: sample::euro(PRICE),
        customer: sample::customer(),
        ttl: TTL,
    }
}

pub(super) fn succeeded(n: u32, payment: &str) -> PaymentReport {
    sample::report(id(n), payment, PaymentStatus::Succeeded, sample::euro(PRICE))
}

pub(super) fn failed(n: u32, payment: &str) -> PaymentReport {
    sample::report(id(n), payment, PaymentStatus::Failed, sample::euro(PRICE))
}

pub(super) fn under_way(n: u32, payment: &str) -> PaymentReport {
    sample::report(id(n), payment, PaymentStatus::Pending, sample::euro(PRICE))
}

pub(super) fn taken(creation: Creation) -> SeatSet {
    match creation {
        Creation::Taken(seats) => seats,
        other => panic!("expected Taken, saw {other:?}"),
    }
}

pub(super) fn done(change: OrderChange) -> (Order, bool) {
    match change {
        OrderChange::Done { order, changed } => (order, changed),
        other => panic!("expected Done, saw {other:?}"),
    }
}

impl Ledger {
    pub(super) async fn create(&self, wish: &NewOrder) -> Creation {
        self.store.create(wish).await.unwrap()
    }

    /// Makes an order that must be made.
    pub(super) async fn order(&self, n: u32, owner: &str, seats: &[SeatIndex]) -> Order {
        self.made(&wish(n, owner, seats)).await
    }

    pub(super) async fn made(&self, wish: &NewOrder) -> Order {
        match self.create(wish).await {
            Creation::Created(order) => order,
            other => panic!("expected Created, saw {other:?}"),
        }
    }

    pub(super) async fn get(&self, n: u32) -> Order {
        self.store.get(id(n)).await.unwrap().expect("an order that was made")
    }

    pub(super) async fn state(&self, n: u32) -> OrderState {
        self.get(n).await.state
    }

    /// Settles with a ticket that is new for each number.
    pub(super) async fn settle(&self, report: &PaymentReport, ticket: u32) -> Settlement {
        self.store.settle(report, &sample::ticket(ticket)).await.unwrap()
    }

    /// Makes an order and pays it with payment `pay-<n>` and ticket `n`.
    pub(super) async fn paid(&self, n: u32, owner: &str, seats: &[SeatIndex]) -> Order {
        self.order(n, owner, seats).await;
        let settlement = self.settle(&succeeded(n, &format!("pay-{n}")), n).await;
        assert_eq!(settlement.settled, Settled::Confirmed);
        settlement.order.expect("a confirmed order")
    }

    pub(super) async fn give_up(&self, n: u32, user: &str) -> OrderChange {
        self.store.give_up(id(n), &by(user)).await.unwrap()
    }

    pub(super) async fn cancel(&self, n: u32) -> OrderChange {
        self.store.cancel(id(n)).await.unwrap()
    }

    /// Persists every end that has passed, and names the orders.
    pub(super) async fn expire(&self) -> Vec<OrderId> {
        self.store.expire_overdue(1_000).await.unwrap().iter().map(|order| order.id).collect()
    }

    /// The same, after every payment under way was taken to be asked after, for a moment.
    pub(super) async fn sweep(&self) -> Vec<OrderId> {
        self.store.claim_attempts(1_000, Duration::ZERO).await.unwrap();
        self.expire().await
    }

    pub(super) async fn refunds(&self) -> Vec<RefundDue> {
        self.store.refunds_due(None, 1_000).await.unwrap()
    }

    /// The refunds due as `(order number, payment, reason)`; fails when an amount is not the usual one.
    pub(super) async fn refund_reasons(&self) -> Vec<(OrderId, String, RefundReason)> {
        let due = self.refunds().await;
        due.into_iter().map(|refund| (refund.order, refund.reference.to_string(), refund.reason)).collect()
    }

    /// The seats of the show that are sold.
    pub(super) async fn sold(&self) -> Vec<SeatIndex> {
        self.store.sold(&the_show(), 1_000).await.unwrap().iter().collect()
    }

    /// The seats of the show that an order waits for, by order.
    pub(super) async fn waiting(&self) -> Vec<(OrderId, Vec<SeatIndex>)> {
        let (_, pending) = self.store.claims(&the_show()).await.unwrap();
        let mut waiting: Vec<_> = pending.into_iter().map(|claim| (claim.order, claim.seats.as_slice().to_vec())).collect();
        waiting.sort();
        waiting
    }

    /// Claims events.
    pub(super) async fn claim(&self, limit: usize, lease: Duration) -> Vec<OrderEvent> {
        self.store.claim(limit, lease).await.unwrap().into_iter().map(|delivery| delivery.event).collect()
    }

    /// Takes every event out of the outbox, in order.
    pub(super) async fn events(&self) -> Vec<OrderEvent> {
        let mut all = Vec::new();
        loop {
            let events = self.claim(7, Duration::from_secs(60)).await;
            if events.is_empty() {
                return all;
            }
            let keys: Vec<EventKey> = events.iter().map(|event| event.key).collect();
            self.store.published(&keys).await.unwrap();
            all.extend(events);
        }
    }

    /// The kinds of the events of an order, in order.
    pub(super) async fn kinds(&self, n: u32) -> Vec<OrderEventKind> {
        self.events().await.into_iter().filter(|event| event.key.order == id(n)).map(|event| event.kind).collect()
    }
}
