//! Calls of an order store and of its outbox.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::{Answers, Call, user};
use crate::event::{EventKey, OrderEventKind};
use crate::id::{Caller, HoldId, OrderId};
use crate::order::{Order, OrderState};
use crate::payment::{PaymentStatus, RefundDue};
use crate::seat::{SeatBits, SeatIndex};
use crate::store::{
    Attempt, Creation, Delivery, LayoutPin, NewOrder, OrderChange, OrderStore, Outbox, PendingClaim, Replay, Settled, Settlement,
    SoldSeats, StoreError,
};
use crate::testing::model::{self, Number};
use crate::testing::sample;

/// What an order costs.
pub(crate) const PRICE: i64 = 500;
/// More than there is of anything.
const ALL: usize = 1_000;

/// Keys of events: the order's number, and the event's number in it.
pub type Events = BTreeSet<(Number, u32)>;

/// A call of an order store or its outbox, of the model's show.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are the arguments of the methods of these names")]
pub enum OrderCall {
    /// [`OrderStore::create`], of the hold of that number.
    Create { number: Number, hold: Number, owner: u8, seats: BTreeSet<SeatIndex>, ttl: Duration },
    /// [`OrderStore::settle`].
    Settle { order: Number, payment: u8, status: PaymentStatus, right_amount: bool, notice: Option<u8>, ticket: u32 },
    /// [`OrderStore::give_up`].
    GiveUp { number: Number, by: u8 },
    /// [`OrderStore::cancel`].
    Cancel { number: Number },
    /// [`OrderStore::expire_overdue`].
    ExpireOverdue,
    /// [`OrderStore::claim_attempts`].
    ClaimAttempts,
    /// [`OrderStore::get`].
    Get { number: Number },
    /// [`OrderStore::by_holds`].
    ByHolds { numbers: Vec<Number> },
    /// [`OrderStore::list`].
    List { owner: u8, before: Option<Number>, limit: usize },
    /// [`OrderStore::by_ticket`].
    ByTicket { ticket: u32 },
    /// [`OrderStore::refunds_due`].
    RefundsDue { after: Option<(Number, u8)>, limit: usize },
    /// [`OrderStore::sold`].
    Sold,
    /// [`OrderStore::claims`].
    Claims,
    /// [`OrderStore::sales_within`] of ever.
    SalesEver,
    /// [`OrderStore::pin_layout`].
    PinLayout { plan: u8 },
    /// [`Outbox::claim`].
    ClaimEvents { limit: usize, lease: Duration },
    /// [`Outbox::published`].
    Published { events: Events },
    /// [`Outbox::postpone`].
    Postpone { events: Events, by: Duration },
    /// [`Outbox::bury`].
    Bury { events: Events },
    /// [`Outbox::dead`].
    Dead { after: Option<(Number, u32)>, limit: usize },
    /// [`Outbox::replay`] of the dead letters.
    ReplayDead,
}

/// What an order store and its outbox answer.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is what the methods of that answer say")]
pub enum OrderAnswer {
    Created(Creation),
    Settled(Settlement),
    Changed(OrderChange),
    Order(Option<Order>),
    Orders(Vec<Option<Order>>),
    Expired(Vec<Order>),
    Attempts(Vec<Attempt>),
    Refunds(Vec<RefundDue>),
    Sold(SeatBits),
    Claims(Vec<SoldSeats>, Vec<PendingClaim>),
    Shows(usize),
    Pinned(LayoutPin),
    Events(Vec<Delivery>),
    Replayed(usize),
    Done,
}

impl Call for OrderCall {
    type Answer = OrderAnswer;

    fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Settle { .. } => "settle",
            Self::GiveUp { .. } => "give_up",
            Self::Cancel { .. } => "cancel",
            Self::ExpireOverdue => "expire_overdue",
            Self::ClaimAttempts => "claim_attempts",
            Self::Get { .. } => "get",
            Self::ByHolds { .. } => "by_holds",
            Self::List { .. } => "list",
            Self::ByTicket { .. } => "by_ticket",
            Self::RefundsDue { .. } => "refunds_due",
            Self::Sold => "sold",
            Self::Claims => "claims",
            Self::SalesEver => "sales_within",
            Self::PinLayout { .. } => "pin_layout",
            Self::ClaimEvents { .. } => "claim",
            Self::Published { .. } => "published",
            Self::Postpone { .. } => "postpone",
            Self::Bury { .. } => "bury",
            Self::Dead { .. } => "dead",
            Self::ReplayDead => "replay",
        }
    }

    /// Left to the store are: the order of claims, and of attempts that were asked after at the same time; and whether an end
    /// that was passed by was written down on the way, so that it does not come back from `expire_overdue`.
    fn comparable(&self, answer: OrderAnswer) -> OrderAnswer {
        match answer {
            OrderAnswer::Claims(mut sold, mut pending) => {
                sold.sort_by_key(|sold| sold.order);
                pending.sort_by_key(|claim| claim.order);
                OrderAnswer::Claims(sold, pending)
            }
            OrderAnswer::Attempts(mut attempts) => {
                attempts.sort_by(|a, b| a.reference.cmp(&b.reference));
                OrderAnswer::Attempts(attempts)
            }
            OrderAnswer::Expired(orders) => {
                assert!(orders.is_sorted_by_key(|order| order.expires_at), "the oldest end first: {orders:?}");
                assert!(orders.iter().all(|order| matches!(order.state, OrderState::Expired { .. })), "{orders:?}");
                OrderAnswer::Expired(Vec::new())
            }
            same => same,
        }
    }

    fn kind(answer: &OrderAnswer) -> &'static str {
        match answer {
            OrderAnswer::Created(Creation::Created(_)) => "created",
            OrderAnswer::Created(Creation::Existing(_)) => "existing",
            OrderAnswer::Created(Creation::Taken(_)) => "taken",
            OrderAnswer::Created(Creation::LayoutChanged(_)) => "layout changed",
            OrderAnswer::Settled(Settlement { settled: Settled::Confirmed, .. }) => "confirmed",
            OrderAnswer::Settled(Settlement { settled: Settled::Failed, .. }) => "failed",
            OrderAnswer::Settled(Settlement { settled: Settled::RefundDue(_), .. }) => "refund due",
            OrderAnswer::Settled(Settlement { settled: Settled::Recorded, .. }) => "recorded",
            OrderAnswer::Settled(Settlement { settled: Settled::CodeTaken, .. }) => "code taken",
            OrderAnswer::Settled(Settlement { settled: Settled::OtherOrders, .. }) => "another order's",
            OrderAnswer::Changed(OrderChange::Done { changed: true, .. }) => "changed",
            OrderAnswer::Changed(OrderChange::Done { changed: false, .. }) => "the same",
            OrderAnswer::Changed(OrderChange::Refused(..)) => "refused",
            OrderAnswer::Changed(OrderChange::NotFound) | OrderAnswer::Order(None) => "not found",
            OrderAnswer::Attempts(none) if none.is_empty() => "none",
            OrderAnswer::Refunds(none) if none.is_empty() => "none",
            OrderAnswer::Events(none) if none.is_empty() => "none",
            OrderAnswer::Claims(sold, pending) if sold.is_empty() && pending.is_empty() => "none",
            OrderAnswer::Shows(0) | OrderAnswer::Replayed(0) => "none",
            OrderAnswer::Pinned(LayoutPin::Pinned) => "pinned",
            OrderAnswer::Pinned(LayoutPin::InUse(_)) => "in use",
            OrderAnswer::Order(Some(_)) | OrderAnswer::Orders(_) | OrderAnswer::Attempts(_) | OrderAnswer::Refunds(_) => {
                "answered"
            }
            OrderAnswer::Sold(_) | OrderAnswer::Claims(..) | OrderAnswer::Shows(_) | OrderAnswer::Expired(_) => "answered",
            OrderAnswer::Events(_) | OrderAnswer::Replayed(_) | OrderAnswer::Done => "answered",
        }
    }
}

#[async_trait]
impl<S: OrderStore + Outbox> Answers<OrderCall> for S {
    async fn answer(&self, call: &OrderCall) -> Result<OrderAnswer, StoreError> {
        let show = model::show();
        Ok(match call {
            OrderCall::Create { number, hold, owner, seats, ttl } => {
                let wish = NewOrder {
                    id: order_id(*number),
                    hold: hold_id(*hold),
                    show,
                    layout: sample::layout_id("plan-1"),
                    owner: user(*owner),
                    seats: sample::seat_list(&seats.iter().copied().collect()),
                    price: sample::euro(PRICE),
                    customer: sample::customer(),
                    ttl: *ttl,
                };
                OrderAnswer::Created(self.create(&wish).await?)
            }
            OrderCall::Settle { order, payment, status, right_amount, notice, ticket } => {
                let amount = sample::euro(if *right_amount { PRICE } else { PRICE + 1 });
                let report = sample::report(order_id(*order), &pay(*payment), *status, amount);
                let report = match notice {
                    Some(notice) => sample::notice(&format!("notice-{notice}"), report),
                    None => report,
                };
                OrderAnswer::Settled(self.settle(&report, &sample::ticket(*ticket)).await?)
            }
            OrderCall::GiveUp { number, by } => {
                OrderAnswer::Changed(self.give_up(order_id(*number), &Caller::user(user(*by))).await?)
            }
            OrderCall::Cancel { number } => OrderAnswer::Changed(self.cancel(order_id(*number)).await?),
            OrderCall::ExpireOverdue => OrderAnswer::Expired(self.expire_overdue(ALL).await?),
            OrderCall::ClaimAttempts => OrderAnswer::Attempts(self.claim_attempts(ALL, model::ASK_TTL).await?),
            OrderCall::Get { number } => OrderAnswer::Order(OrderStore::get(self, order_id(*number)).await?),
            OrderCall::ByHolds { numbers } => {
                let holds: Vec<HoldId> = numbers.iter().map(|number| hold_id(*number)).collect();
                OrderAnswer::Orders(self.by_holds(&holds).await?)
            }
            OrderCall::List { owner, before, limit } => {
                let listed = self.list(&user(*owner), before.map(order_id), *limit).await?;
                OrderAnswer::Orders(listed.into_iter().map(Some).collect())
            }
            OrderCall::ByTicket { ticket } => OrderAnswer::Order(self.by_ticket(&sample::ticket(*ticket).code).await?),
            OrderCall::RefundsDue { after, limit } => {
                let after = after.map(|(order, payment)| (order_id(order), sample::reference(&pay(payment))));
                OrderAnswer::Refunds(self.refunds_due(after.as_ref(), *limit).await?)
            }
            OrderCall::Sold => OrderAnswer::Sold(self.sold(&show, model::SEATS).await?),
            OrderCall::Claims => {
                let (sold, pending) = self.claims(&show).await?;
                OrderAnswer::Claims(sold, pending)
            }
            OrderCall::SalesEver => OrderAnswer::Shows(self.sales_within(Duration::from_hours(24 * 365), None, ALL).await?.len()),
            OrderCall::PinLayout { plan } => {
                OrderAnswer::Pinned(self.pin_layout(&show, sample::layout_id(&format!("plan-{plan}"))).await?)
            }
            OrderCall::ClaimEvents { limit, lease } => OrderAnswer::Events(self.claim(*limit, *lease).await?),
            OrderCall::Published { events } => done(self.published(&keys(events)).await?),
            OrderCall::Postpone { events, by } => done(self.postpone(&keys(events), *by).await?),
            OrderCall::Bury { events } => done(self.bury(&keys(events)).await?),
            OrderCall::Dead { after, limit } => OrderAnswer::Events(self.dead(after.map(key), *limit).await?),
            OrderCall::ReplayDead => OrderAnswer::Replayed(self.replay(&Replay::Dead).await?),
        })
    }
}

fn done((): ()) -> OrderAnswer {
    OrderAnswer::Done
}

fn order_id(number: Number) -> OrderId {
    sample::order_id(&model::show(), number)
}

fn hold_id(number: Number) -> HoldId {
    sample::hold_id(&model::show(), number)
}

fn pay(payment: u8) -> String {
    format!("pay-{payment}")
}

fn key((number, sequence): (Number, u32)) -> EventKey {
    EventKey { order: order_id(number), sequence }
}

fn keys(events: &Events) -> Vec<EventKey> {
    events.iter().copied().map(key).collect()
}

/// All that an outbox has to send, by order. Left out is what tells of an end that was passed by, because whether it was written
/// down on the way is the store's choice, and so are the numbers of the events after it.
pub(crate) fn sent(deliveries: &[Delivery]) -> Vec<Delivery> {
    let mut sent: Vec<Delivery> = deliveries.to_vec();
    sent.sort_by_key(|delivery| delivery.event.key);
    sent.retain(|delivery| delivery.event.kind != OrderEventKind::Expired);
    sent.iter_mut().for_each(|delivery| delivery.event.key.sequence = 0);
    sent
}
