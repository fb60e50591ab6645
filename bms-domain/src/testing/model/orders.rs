//! The order store of one show, in plain maps.

use std::collections::{BTreeMap, BTreeSet};

use super::{ASK_TTL, Number, ORDER_TTL};
use crate::event::OrderEventKind;
use crate::payment::{PaymentStatus, RefundReason};
use crate::seat::SeatIndex;
use crate::store::LONGEST_ASKING;
use crate::time::Timestamp;

/// Where an order of the model stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It waits for payment.
    Pending,
    /// Paid, by that payment.
    Confirmed(u8, Timestamp),
    /// Its last attempt failed.
    Declined(Timestamp),
    /// Its owner gave it up.
    GivenUp(Timestamp),
    /// Its time ran out.
    Expired(Timestamp),
    /// Cancelled; the payment is to be given back.
    Cancelled(u8, Timestamp),
}

/// An order of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelOrder {
    /// Whose.
    pub owner: u8,
    /// Which seats.
    pub seats: BTreeSet<SeatIndex>,
    /// Until when it waits.
    pub end: Timestamp,
    /// Where it stands, as far as it was written down.
    pub written: Phase,
    /// Whether money is to be given back.
    pub refund_due: bool,
    /// What happened to it.
    pub events: Vec<OrderEventKind>,
}

/// What is known of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Paid {
    /// Under way.
    Open,
    /// Declined.
    Failed,
    /// It paid for its order.
    Counted,
    /// To be given back.
    RefundDue(RefundReason),
}

/// What the model says of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It changed the order.
    Changed,
    /// It changed nothing, and is no refusal.
    Same,
    /// Seats in the way.
    Taken(BTreeSet<SeatIndex>),
    /// The payment confirmed the order.
    Confirmed,
    /// The payment failed the order.
    Failed,
    /// The payment is to be given back.
    RefundDue(RefundReason),
    /// Refused.
    Refused,
    /// Not there, or not his.
    NotFound,
    /// The orders whose ends were persisted.
    Expired(BTreeSet<Number>),
    /// The payments to be asked after.
    Asked(BTreeSet<u8>),
}

/// The order store of one show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderModel {
    /// The present.
    pub now: Timestamp,
    /// The orders.
    pub orders: BTreeMap<Number, ModelOrder>,
    /// The payments: of which order, and what is known.
    pub payments: BTreeMap<u8, (Number, Paid)>,
    /// Until when a payment under way is at somebody who asks after it.
    pub asked: BTreeMap<u8, Timestamp>,
}

impl OrderModel {
    /// A store that nothing was done to.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { now, orders: BTreeMap::new(), payments: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// The order that a payment was named for.
    #[must_use]
    pub fn payer(&self, payment: u8) -> Option<Number> {
        self.payments.get(&payment).map(|(order, _)| *order)
    }

    fn phase_of(&self, order: &ModelOrder) -> Phase {
        if order.written == Phase::Pending && self.now >= order.end { Phase::Expired(order.end) } else { order.written }
    }

    /// Where an order stands now.
    #[must_use]
    pub fn phase(&self, number: Number) -> Phase {
        self.phase_of(&self.orders[&number])
    }

    fn seats_where(&self, counts: impl Fn(Number, Phase) -> bool) -> BTreeSet<SeatIndex> {
        let orders = self.orders.iter().filter(|(number, order)| counts(**number, self.phase_of(order)));
        orders.flat_map(|(_, order)| order.seats.iter().copied()).collect()
    }

    /// The seats of confirmed orders.
    #[must_use]
    pub fn sold(&self) -> BTreeSet<SeatIndex> {
        self.seats_where(|_, phase| matches!(phase, Phase::Confirmed(..)))
    }

    /// The seats of pending orders.
    #[must_use]
    pub fn waiting(&self) -> BTreeSet<SeatIndex> {
        self.seats_where(|_, phase| phase == Phase::Pending)
    }

    fn in_the_way(&self, number: Number, seats: &BTreeSet<SeatIndex>) -> BTreeSet<SeatIndex> {
        let claimed = self.seats_where(|other, phase| other != number && matches!(phase, Phase::Pending | Phase::Confirmed(..)));
        seats.intersection(&claimed).copied().collect()
    }

    /// Makes an order.
    pub fn create(&mut self, number: Number, owner: u8, seats: &BTreeSet<SeatIndex>) -> Answer {
        if self.orders.contains_key(&number) {
            return Answer::Same;
        }
        let taken = self.in_the_way(number, seats);
        if !taken.is_empty() {
            return Answer::Taken(taken);
        }
        let order = ModelOrder {
            owner,
            seats: seats.clone(),
            end: self.now.plus(ORDER_TTL),
            written: Phase::Pending,
            refund_due: false,
            events: vec![OrderEventKind::Created],
        };
        self.orders.insert(number, order);
        Answer::Changed
    }

    fn write(&mut self, number: Number, phase: Phase, event: OrderEventKind) {
        if let Some(order) = self.orders.get_mut(&number) {
            order.written = phase;
            order.events.push(event);
        }
    }

    fn owe(&mut self, number: Number, payment: u8, reason: RefundReason) -> Answer {
        self.payments.insert(payment, (number, Paid::RefundDue(reason)));
        if let Some(order) = self.orders.get_mut(&number) {
            order.refund_due = true;
        }
        Answer::RefundDue(reason)
    }

    /// A provider reports a payment of an order.
    pub fn settle(&mut self, number: Number, payment: u8, status: PaymentStatus, right_amount: bool) -> Answer {
        let known = self.payments.get(&payment).map(|(_, state)| *state);
        let phase = self.phase(number);
        match (known, status) {
            (Some(Paid::Counted), _) => Answer::Same,
            (Some(Paid::RefundDue(reason)), _) => Answer::RefundDue(reason),
            (Some(Paid::Failed), PaymentStatus::Pending | PaymentStatus::Failed) => Answer::Same,
            (_, PaymentStatus::Pending) => {
                self.payments.insert(payment, (number, Paid::Open));
                Answer::Same
            }
            (_, PaymentStatus::Failed) => {
                self.payments.insert(payment, (number, Paid::Failed));
                let open = self.payments.values().any(|(order, state)| *order == number && *state == Paid::Open);
                if phase == Phase::Pending && !open {
                    self.write(number, Phase::Declined(self.now), OrderEventKind::Failed);
                    return Answer::Failed;
                }
                Answer::Same
            }
            (_, PaymentStatus::Succeeded) if !right_amount => self.owe(number, payment, RefundReason::WrongAmount),
            (_, PaymentStatus::Succeeded) => match phase {
                Phase::Confirmed(..) => self.owe(number, payment, RefundReason::AlreadyPaid),
                Phase::Cancelled(..) => self.owe(number, payment, RefundReason::OrderCancelled),
                Phase::Pending | Phase::Declined(_) | Phase::GivenUp(_) | Phase::Expired(_) => {
                    if !self.in_the_way(number, &self.orders[&number].seats).is_empty() {
                        return self.owe(number, payment, RefundReason::SeatsGone);
                    }
                    self.payments.insert(payment, (number, Paid::Counted));
                    self.write(number, Phase::Confirmed(payment, self.now), OrderEventKind::Confirmed);
                    Answer::Confirmed
                }
            },
        }
    }

    /// A user gives an order up.
    pub fn give_up(&mut self, number: Number, by: u8) -> Answer {
        if self.orders.get(&number).is_none_or(|order| order.owner != by) {
            return Answer::NotFound;
        }
        match self.phase(number) {
            Phase::Pending => {
                self.write(number, Phase::GivenUp(self.now), OrderEventKind::Failed);
                Answer::Changed
            }
            Phase::Declined(_) | Phase::GivenUp(_) => Answer::Same,
            Phase::Confirmed(..) | Phase::Expired(_) | Phase::Cancelled(..) => Answer::Refused,
        }
    }

    /// An administrator cancels an order.
    pub fn cancel(&mut self, number: Number) -> Answer {
        if !self.orders.contains_key(&number) {
            return Answer::NotFound;
        }
        match self.phase(number) {
            Phase::Confirmed(payment, _) => {
                self.write(number, Phase::Cancelled(payment, self.now), OrderEventKind::Cancelled);
                self.owe(number, payment, RefundReason::OrderCancelled);
                Answer::Changed
            }
            Phase::Cancelled(..) => Answer::Same,
            Phase::Pending | Phase::Declined(_) | Phase::GivenUp(_) | Phase::Expired(_) => Answer::Refused,
        }
    }

    /// A sweeper writes down every end that has passed, but those whose provider has to be asked first, or is being asked.
    pub fn expire(&mut self) -> Answer {
        let unasked = |number| {
            let mut open = self.payments.iter().filter(|(_, (order, state))| *order == number && *state == Paid::Open);
            let is_asked = |until: &Timestamp| *until > self.now && self.orders[&number].end.plus(LONGEST_ASKING) > self.now;
            open.any(|(payment, _)| self.asked.get(payment).is_none_or(is_asked))
        };
        let overdue = self.orders.iter().filter(|(_, order)| order.written == Phase::Pending && self.now >= order.end);
        let expired: BTreeSet<Number> = overdue.map(|(number, _)| *number).filter(|number| !unasked(*number)).collect();
        for number in &expired {
            let phase = self.phase(*number);
            self.write(*number, phase, OrderEventKind::Expired);
        }
        Answer::Expired(expired)
    }

    /// A sweeper takes every payment under way that nobody else has, to ask after it for a minute.
    pub fn ask(&mut self) -> Answer {
        let open = self.payments.iter().filter(|(payment, (order, state))| {
            let idle = self.asked.get(payment).is_none_or(|until| self.now >= *until);
            *state == Paid::Open && idle && self.now >= self.orders[order].end
        });
        let asked: BTreeSet<u8> = open.map(|(payment, _)| *payment).collect();
        self.asked.extend(asked.iter().map(|payment| (*payment, self.now.plus(ASK_TTL))));
        Answer::Asked(asked)
    }
}
