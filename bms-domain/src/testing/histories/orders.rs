//! Clients of an order store.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Dice, Player};
use crate::order::{self, FailReason, Order, OrderCommand, OrderState};
use crate::payment::{PaymentStatus, RefundDue};
use crate::seat::{SeatBits, SeatIndex};
use crate::store::{Creation, OrderChange, PendingClaim, Settled, Settlement};
use crate::testing::calls::{Answers, OrderAnswer, OrderCall, PRICE, user};
use crate::testing::linearizability::{Operation, Specification, Violation, check};
use crate::testing::model::orders::{Answer, OrderModel, Paid, Phase};
use crate::testing::model::{self, Number};
use crate::testing::sample;
use crate::time::Timestamp;

/// Numbers of orders; few, so that clients meet.
const NUMBERS: Number = 6;
/// Seats that are wanted.
const SEATS: SeatIndex = 4;

/// The model, and what it does not keep of orders and payments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Office {
    model: OrderModel,
    /// Which ticket an order was given.
    tickets: BTreeMap<Number, u32>,
    /// How much of a payment is to be given back.
    owed: BTreeMap<u8, i64>,
}

impl Specification for Office {
    type Call = OrderCall;

    fn take(&mut self, call: &OrderCall) -> Vec<OrderAnswer> {
        vec![match call {
            OrderCall::Create { number, owner, seats, .. } => {
                OrderAnswer::Created(match self.model.create(*number, *owner, seats) {
                    Answer::Changed => Creation::Created(self.told(*number)),
                    Answer::Taken(seats) => Creation::Taken(seats.into_iter().collect()),
                    _ => Creation::Existing(self.told(*number)),
                })
            }
            OrderCall::Settle { order, payment, status, right_amount, ticket, .. } => {
                // Nobody pays for what he has not seen made.
                if !self.model.orders.contains_key(order) {
                    return Vec::new();
                }
                OrderAnswer::Settled(self.settle(*order, *payment, *status, *right_amount, *ticket))
            }
            OrderCall::GiveUp { number, by } => {
                let answer = self.model.give_up(*number, *by);
                OrderAnswer::Changed(self.changed(*number, &answer, OrderCommand::GiveUp))
            }
            OrderCall::Cancel { number } => {
                let answer = self.model.cancel(*number);
                if answer == Answer::Changed
                    && let Phase::Cancelled(payment, _) = self.model.phase(*number)
                {
                    self.owed.insert(payment, PRICE);
                }
                OrderAnswer::Changed(self.changed(*number, &answer, OrderCommand::Cancel))
            }
            OrderCall::Get { number } => OrderAnswer::Order(self.find(*number)),
            OrderCall::ByHolds { numbers } => OrderAnswer::Orders(numbers.iter().map(|number| self.find(*number)).collect()),
            OrderCall::ByTicket { ticket } => {
                let number = self.tickets.iter().find(|(_, its_ticket)| *its_ticket == ticket).map(|(number, _)| *number);
                OrderAnswer::Order(number.map(|number| self.told(number)))
            }
            OrderCall::RefundsDue { .. } => OrderAnswer::Refunds(self.refunds()),
            OrderCall::Sold => {
                let mut bits = SeatBits::new(model::SEATS);
                for seat in self.model.sold() {
                    bits.insert(seat);
                }
                OrderAnswer::Sold(bits)
            }
            OrderCall::Claims => self.claims(),
            other => unreachable!("no client calls {other:?}"),
        }]
    }
}

impl Office {
    fn settle(&mut self, order: Number, payment: u8, status: PaymentStatus, right_amount: bool, ticket: u32) -> Settlement {
        let was_owed = matches!(self.model.payments.get(&payment), Some((_, Paid::RefundDue(_))));
        let settled = match self.model.settle(order, payment, status, right_amount) {
            Answer::Confirmed => {
                self.tickets.insert(order, ticket);
                Settled::Confirmed
            }
            Answer::Failed => Settled::Failed,
            Answer::RefundDue(reason) => {
                if !was_owed {
                    self.owed.insert(payment, if right_amount { PRICE } else { PRICE + 1 });
                }
                Settled::RefundDue(reason)
            }
            _ => Settled::Recorded,
        };
        Settlement { order: Some(self.told(order)), settled }
    }

    fn changed(&self, number: Number, answer: &Answer, command: OrderCommand) -> OrderChange {
        match answer {
            Answer::NotFound => OrderChange::NotFound,
            Answer::Refused => {
                let order = self.told(number);
                let refused = order::apply(&order.state, order.expires_at, command, self.model.now);
                OrderChange::Refused(order, refused.expect_err("the table refuses it, too"))
            }
            answer => OrderChange::Done { order: self.told(number), changed: *answer == Answer::Changed },
        }
    }

    fn find(&self, number: Number) -> Option<Order> {
        self.model.orders.contains_key(&number).then(|| self.told(number))
    }

    /// An order of the model, as a store tells it.
    fn told(&self, number: Number) -> Order {
        let order = &self.model.orders[&number];
        let ticket = || sample::ticket(self.tickets[&number]);
        let payment = |payment| sample::reference(&format!("pay-{payment}"));
        Order {
            id: sample::order_id(&model::show(), number),
            hold: sample::hold_id(&model::show(), number),
            show: model::show(),
            layout: sample::layout_id("plan-1"),
            owner: user(order.owner),
            seats: sample::seat_list(&order.seats.iter().copied().collect()),
            price: sample::euro(PRICE),
            customer: sample::customer(),
            created_at: order.end.minus(model::ORDER_TTL),
            expires_at: order.end,
            state: match self.model.phase(number) {
                Phase::Pending => OrderState::PaymentPending,
                Phase::Confirmed(by, at) => OrderState::Confirmed { ticket: ticket(), payment: payment(by), at },
                Phase::Declined(at) => OrderState::Failed { reason: FailReason::Declined, at },
                Phase::GivenUp(at) => OrderState::Failed { reason: FailReason::GivenUp, at },
                Phase::Expired(at) => OrderState::Expired { at },
                Phase::Cancelled(by, at) => OrderState::Cancelled { ticket: ticket(), payment: payment(by), at },
            },
            refund_due: order.refund_due,
        }
    }

    fn refunds(&self) -> Vec<RefundDue> {
        let due = self.model.payments.iter().filter_map(|(payment, (order, paid))| match paid {
            Paid::RefundDue(reason) => Some(RefundDue {
                order: sample::order_id(&model::show(), *order),
                reference: sample::reference(&format!("pay-{payment}")),
                amount: sample::euro(self.owed[payment]),
                reason: *reason,
            }),
            _ => None,
        });
        let mut due: Vec<RefundDue> = due.collect();
        due.sort_by(|a, b| (a.order, &a.reference).cmp(&(b.order, &b.reference)));
        due
    }

    fn claims(&self) -> OrderAnswer {
        let (mut sold, mut pending) = (Vec::new(), Vec::new());
        for number in self.model.orders.keys() {
            let order = self.told(*number);
            match order.state {
                OrderState::Confirmed { .. } => sold.push(order.sold_seats()),
                OrderState::PaymentPending => pending.push(PendingClaim {
                    order: order.id,
                    hold: order.hold,
                    owner: order.owner.clone(),
                    seats: order.seats.indices(),
                    price: order.price,
                    remaining: order.expires_at.since(self.model.now),
                }),
                _ => {}
            }
        }
        OrderAnswer::Claims(sold, pending)
    }
}

/// Somebody with orders.
pub(super) struct Client {
    number: usize,
    calls: u32,
    /// The orders that he has seen made.
    known: BTreeSet<Number>,
}

impl Player for Client {
    type Specification = Office;

    fn first(now: Timestamp) -> Office {
        Office { model: OrderModel::new(now), tickets: BTreeMap::new(), owed: BTreeMap::new() }
    }

    fn check(now: Timestamp, history: &[Operation<OrderCall>]) -> Result<(), Violation> {
        check(&Self::first(now), history)
    }

    fn prepare(_: &dyn Answers<OrderCall>) -> BoxFuture<'_, ()> {
        futures::future::ready(()).boxed()
    }

    fn all(clients: usize) -> Vec<Self> {
        (0..clients).map(|number| Self { number, calls: 0, known: BTreeSet::new() }).collect()
    }

    fn next(&mut self, dice: &mut Dice) -> OrderCall {
        self.calls += 1;
        let (number, known) = (dice.below(NUMBERS), self.known(dice));
        let user = u8::try_from(self.number % usize::from(model::USERS)).unwrap_or_default();
        match dice.below(100) {
            0..25 => {
                OrderCall::Create { number, hold: number, owner: user, seats: dice.one_or_two(SEATS), ttl: model::ORDER_TTL }
            }
            25..55 => self.pay(dice),
            55..64 => OrderCall::GiveUp { number: known.unwrap_or(number), by: user },
            64..71 => OrderCall::Cancel { number: known.unwrap_or(number) },
            71..82 => OrderCall::Get { number },
            82..86 => OrderCall::ByHolds { numbers: vec![number] },
            86..89 => OrderCall::RefundsDue { after: None, limit: 100 },
            89..95 => OrderCall::Claims,
            _ => OrderCall::Sold,
        }
    }

    fn learn(&mut self, call: &OrderCall, answer: &OrderAnswer) {
        match (call, answer) {
            (OrderCall::Create { number, .. }, OrderAnswer::Created(Creation::Created(_) | Creation::Existing(_)))
            | (OrderCall::Get { number }, OrderAnswer::Order(Some(_))) => {
                self.known.insert(*number);
            }
            _ => {}
        }
    }
}

impl Client {
    /// One of the orders that he has seen.
    fn known(&self, dice: &mut Dice) -> Option<Number> {
        let which = dice.below(u32::try_from(self.known.len().max(1)).unwrap_or(1));
        self.known.iter().nth(which as usize).copied()
    }

    /// Reports one of the two payments of an order that he has seen. Each report draws a ticket of its own, as a service does.
    fn pay(&self, dice: &mut Dice) -> OrderCall {
        let Some(order) = self.known(dice) else { return OrderCall::Sold };
        let payment = u8::try_from(order * 2 + dice.below(2)).unwrap_or_default();
        let status = match dice.below(10) {
            0 => PaymentStatus::Pending,
            1 | 2 => PaymentStatus::Failed,
            _ => PaymentStatus::Succeeded,
        };
        let ticket = u32::try_from(self.number).unwrap_or_default() * 1_000 + self.calls;
        OrderCall::Settle { order, payment, status, right_amount: dice.below(8) > 0, notice: None, ticket }
    }
}
