//! Everything that the order store knows of one show. Not thread-safe: the store puts a lock around it.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Shared;
use crate::event::{EventKey, OrderEvent, OrderEventKind};
use crate::id::{Caller, HoldId, LayoutId, OrderId};
use crate::order::{self, Order, OrderCommand, OrderState, Ticket};
use crate::payment::{
    self, Known, PaymentKey, PaymentReference, PaymentReport, PaymentState, PaymentStatus, RefundDue, RefundReason,
};
use crate::seat::{SeatBits, SeatIndex, SeatSet};
use crate::store::{
    Attempt, Creation, LONGEST_ASKING, LayoutPin, NewOrder, OrderChange, PendingClaim, Settled, Settlement, SoldSeats,
};
use crate::time::Timestamp;

/// A payment of an order.
struct Payment {
    reference: PaymentReference,
    state: PaymentState,
    report: PaymentReport,
    /// Until when somebody has taken it to ask the provider after it.
    asked_until: Option<Timestamp>,
}

impl Payment {
    fn is_open_and_idle(&self, now: Timestamp) -> bool {
        self.state == PaymentState::Pending && self.asked_until.is_none_or(|until| until.has_passed(now))
    }
}

struct Record {
    order: Order,
    payments: HashMap<PaymentKey, Payment>,
    events: u32,
}

#[derive(Default)]
pub(super) struct Ledger {
    layout: Option<LayoutId>,
    /// Which order claims a seat. The claim of an order that has expired may be taken over.
    claims: HashMap<SeatIndex, OrderId>,
    /// The seats that are claimed by confirmed orders.
    sold: SeatBits,
    records: HashMap<OrderId, Record>,
    by_hold: HashMap<HoldId, Vec<OrderId>>,
    /// Orders that are written down as pending, by their end.
    pending: BTreeSet<(Timestamp, OrderId)>,
    /// Orders with a payment under way.
    paying: HashSet<OrderId>,
    /// When an order was last confirmed or cancelled.
    last_sale: Option<Timestamp>,
}

impl Ledger {
    pub(super) fn create(&mut self, new: &NewOrder, shared: &Shared, now: Timestamp) -> Creation {
        if let Some(order) = self.order(new.id, now) {
            return Creation::Existing(order);
        }
        if let Some(order) = self.order_of_hold(new.hold, now)
            && (order.state.is_pending() || order.state.is_confirmed())
        {
            return Creation::Existing(order);
        }
        if let Some(layout) = self.layout.filter(|layout| *layout != new.layout) {
            return Creation::LayoutChanged(layout);
        }
        let taken: SeatSet = new.seats.indices().iter().filter(|seat| !self.is_claimable(*seat, new.id, now)).collect();
        if !taken.is_empty() {
            return Creation::Taken(taken);
        }
        self.layout = Some(new.layout);
        let order = Order {
            id: new.id,
            hold: new.hold,
            show: new.show,
            layout: new.layout,
            owner: new.owner.clone(),
            seats: new.seats.clone(),
            price: new.price,
            customer: new.customer.clone(),
            created_at: now,
            expires_at: now.plus(new.ttl),
            state: OrderState::PaymentPending,
            // Money may have come before the order was known here.
            refund_due: shared.owes(new.id),
        };
        self.claim(&order);
        self.pending.insert((order.expires_at, order.id));
        self.by_hold.entry(order.hold).or_default().push(order.id);
        shared.index_owner(&order);
        let mut record = Record { order: order.clone(), payments: HashMap::new(), events: 0 };
        record.announce(OrderEventKind::Created, shared, now);
        self.records.insert(order.id, record);
        Creation::Created(order)
    }

    /// Kept before the first order too: an order of the plan before must not slip in between this and the catalogue's
    /// own change.
    pub(super) fn pin_layout(&mut self, layout: LayoutId) -> LayoutPin {
        match self.layout {
            Some(pinned) if pinned != layout && !self.records.is_empty() => LayoutPin::InUse(pinned),
            _ => {
                self.layout = Some(layout);
                LayoutPin::Pinned
            }
        }
    }

    /// An order in its state of now.
    pub(super) fn order(&self, id: OrderId, now: Timestamp) -> Option<Order> {
        self.records.get(&id).map(|record| record.order.clone().at(now))
    }

    pub(super) fn order_of_hold(&self, hold: HoldId, now: Timestamp) -> Option<Order> {
        let orders = self.by_hold.get(&hold)?.iter().filter_map(|id| self.order(*id, now));
        orders.max_by_key(|order| (order.state.is_pending() || order.state.is_confirmed(), order.created_at, order.id))
    }

    /// Whether a seat has no claim, one of that order, or one of an order that has ended.
    fn is_claimable(&self, seat: SeatIndex, order: OrderId, now: Timestamp) -> bool {
        let Some(owner) = self.claims.get(&seat) else { return true };
        if *owner == order {
            return true;
        }
        let Some(record) = self.records.get(owner) else { return true };
        record.order.state.is_pending() && record.order.expires_at.has_passed(now)
    }

    fn claim(&mut self, order: &Order) {
        for seat in order.seats.indices().iter() {
            self.claims.insert(seat, order.id);
            if order.state.is_confirmed() {
                self.sold.grow(seat.saturating_add(1));
                self.sold.insert(seat);
            }
        }
    }

    fn unclaim(&mut self, order: &Order) {
        for seat in order.seats.indices().iter() {
            if self.claims.get(&seat) == Some(&order.id) {
                self.claims.remove(&seat);
                self.sold.remove(seat);
            }
        }
    }

    pub(super) fn settle(
        &mut self,
        report: &PaymentReport,
        ticket: &Ticket,
        shared: &Shared,
        now: Timestamp,
    ) -> Option<Settlement> {
        let record = self.records.get(&report.order)?;
        let known = record.payments.get(&report.key).map(|payment| payment.state).or_else(|| shared.refund(report));
        let answer = |record: &Record, settled| Some(Settlement { order: Some(record.order.clone().at(now)), settled });
        if report.notice.as_ref().is_some_and(|notice| shared.is_known(notice)) {
            return answer(record, known.map_or(Settled::Recorded, recorded));
        }
        let others = match report.status {
            PaymentStatus::Succeeded => !shared.bind(&report.key, report.order),
            PaymentStatus::Pending | PaymentStatus::Failed => {
                shared.payer(&report.key).is_some_and(|payer| payer != report.order)
            }
        };
        if others {
            shared.know(report.notice.as_ref());
            return answer(record, Settled::OtherOrders);
        }
        let order = &record.order;
        let another_open = record.payments.iter().any(|(key, other)| *key != report.key && other.state == PaymentState::Pending);
        let claimable = order.seats.indices().iter().all(|seat| self.is_claimable(seat, order.id, now));
        let decision = payment::apply(Known { order, payment: known, another_open, claimable }, report, *ticket, now);
        let confirms = decision.order.is_confirmed() && !order.state.is_confirmed();
        let fails = order.state.is_pending() && matches!(decision.order, OrderState::Failed { .. });
        if confirms && !shared.give_ticket(ticket.code, report.order) {
            shared.unbind(&report.key);
            return answer(record, Settled::CodeTaken);
        }
        shared.know(report.notice.as_ref());
        let newly = known != Some(decision.payment);
        self.move_to(report.order, decision.order, shared, now);
        let record = self.records.get_mut(&report.order)?;
        let payment =
            Payment { reference: report.reference.clone(), state: decision.payment, report: report.clone(), asked_until: None };
        if newly {
            record.payments.insert(report.key.clone(), payment);
            if let PaymentState::RefundDue(reason) = decision.payment {
                record.owe(report, reason, shared, now);
            }
        }
        let in_flight = record.payments.values().any(|payment| payment.state == PaymentState::Pending);
        let settled = match decision.payment {
            PaymentState::Counted if confirms => Settled::Confirmed,
            PaymentState::Failed if fails => Settled::Failed,
            state => recorded(state),
        };
        let settlement = answer(record, settled);
        if in_flight {
            self.paying.insert(report.order);
        } else {
            self.paying.remove(&report.order);
        }
        settlement
    }

    /// Writes an order's new state down, with what follows from it: its claims, its queue, its event.
    fn move_to(&mut self, id: OrderId, state: OrderState, shared: &Shared, now: Timestamp) {
        let Some(record) = self.records.get_mut(&id) else { return };
        if record.order.state == state {
            return;
        }
        if record.order.state.is_pending() {
            self.pending.remove(&(record.order.expires_at, id));
        }
        record.order.state = state;
        record.announce(OrderEventKind::of(&record.order.state), shared, now);
        let order = record.order.clone();
        if matches!(order.state, OrderState::Confirmed { .. } | OrderState::Cancelled { .. }) {
            self.last_sale = Some(now);
        }
        if order.state.is_confirmed() {
            self.claim(&order);
        } else {
            self.unclaim(&order);
        }
    }

    pub(super) fn command(
        &mut self,
        id: OrderId,
        by: Option<&Caller>,
        command: OrderCommand,
        shared: &Shared,
        now: Timestamp,
    ) -> Option<OrderChange> {
        let record = self.records.get(&id)?;
        if by.is_some_and(|by| !by.may_touch(&record.order.owner)) {
            return Some(OrderChange::NotFound);
        }
        let before = record.order.state.clone();
        let step = match order::apply(&before, record.order.expires_at, command, now) {
            Ok(step) => step,
            Err(refusal) => return Some(OrderChange::Refused(record.order.clone().at(now), refusal)),
        };
        let changed = step.state != before;
        self.move_to(id, step.state, shared, now);
        let record = self.records.get_mut(&id)?;
        if let (Some(reason), OrderState::Cancelled { payment, .. }) = (step.refund, &record.order.state) {
            let paid = payment.clone();
            if let Some(payment) = record.payments.values_mut().find(|payment| payment.reference == paid) {
                payment.state = PaymentState::RefundDue(reason);
                let report = payment.report.clone();
                record.owe(&report, reason, shared, now);
            }
        }
        Some(OrderChange::Done { order: record.order.clone(), changed })
    }

    /// The orders past their end that are written down as pending, oldest end first, without those whose provider has to be
    /// asked first.
    pub(super) fn overdue(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, OrderId)> + '_ {
        let past = self.pending.iter().take_while(move |(end, _)| end.has_passed(now));
        past.filter(move |(_, id)| self.records.get(id).is_some_and(|record| !record.waits_for_provider(now))).copied()
    }

    /// Writes down that an order has expired, unless somebody else did by now or its provider has to be asked first.
    pub(super) fn expire(&mut self, id: OrderId, shared: &Shared, now: Timestamp) -> Option<Order> {
        let record = self.records.get(&id)?;
        if !record.order.state.is_pending() || record.waits_for_provider(now) {
            return None;
        }
        match self.command(id, None, OrderCommand::Expire, shared, now)? {
            OrderChange::Done { order, changed: true } => Some(order),
            OrderChange::Done { changed: false, .. } | OrderChange::Refused(..) | OrderChange::NotFound => None,
        }
    }

    /// The attempts of orders past their end that are under way and that nobody asks after: when they were last asked
    /// after, the order, the payment.
    pub(super) fn open_attempts(&self, now: Timestamp) -> impl Iterator<Item = (Option<Timestamp>, OrderId, PaymentKey)> + '_ {
        let records = self.paying.iter().filter_map(|id| self.records.get(id));
        records.filter(move |record| record.order.expires_at.has_passed(now)).flat_map(move |record| {
            let open = record.payments.iter().filter(move |(_, payment)| payment.is_open_and_idle(now));
            open.map(move |(key, payment)| (payment.asked_until, record.order.id, key.clone()))
        })
    }

    /// Takes an attempt to ask after it, unless somebody else has it by now.
    pub(super) fn claim_attempt(&mut self, id: OrderId, key: &PaymentKey, now: Timestamp, until: Timestamp) -> Option<Attempt> {
        let record = self.records.get_mut(&id)?;
        let payment = record.payments.get_mut(key).filter(|payment| payment.is_open_and_idle(now))?;
        payment.asked_until = Some(until);
        Some(Attempt { order: record.order.clone().at(now), reference: payment.reference.clone() })
    }

    pub(super) fn last_sale(&self) -> Option<Timestamp> {
        self.last_sale
    }

    pub(super) fn sold(&self, seats: u32) -> SeatBits {
        let mut bits = self.sold.clone();
        bits.grow(seats);
        bits
    }

    pub(super) fn claims(&self, now: Timestamp) -> (Vec<SoldSeats>, Vec<PendingClaim>) {
        let owners: BTreeSet<&OrderId> = self.claims.values().collect();
        let orders: Vec<Order> = owners.into_iter().filter_map(|id| self.order(*id, now)).collect();
        let sold = orders.iter().filter(|order| order.state.is_confirmed()).map(Order::sold_seats).collect();
        let pending = orders.iter().filter(|order| order.state.is_pending()).map(|order| PendingClaim {
            order: order.id,
            hold: order.hold,
            owner: order.owner.clone(),
            seats: order.seats.indices(),
            price: order.price,
            remaining: order.expires_at.since(now),
        });
        (sold, pending.collect())
    }
}

impl Record {
    /// Whether a payment is under way that nobody has asked the provider after since the order's end, or somebody does now.
    fn waits_for_provider(&self, now: Timestamp) -> bool {
        let is_asked = |until: Timestamp| !until.has_passed(now) && !self.order.expires_at.plus(LONGEST_ASKING).has_passed(now);
        self.payments.values().any(|payment| payment.state == PaymentState::Pending && payment.asked_until.is_none_or(is_asked))
    }

    /// Writes an event to the outbox.
    fn announce(&mut self, kind: OrderEventKind, shared: &Shared, now: Timestamp) {
        self.events += 1;
        let key = EventKey { order: self.order.id, sequence: self.events };
        shared.publish(OrderEvent { key, kind, at: now, order: self.order.clone() });
    }

    /// Records that a payment is to be given back.
    fn owe(&mut self, report: &PaymentReport, reason: RefundReason, shared: &Shared, now: Timestamp) {
        self.order.refund_due = true;
        shared.owe(RefundDue { order: self.order.id, reference: report.reference.clone(), amount: report.amount, reason });
        self.announce(OrderEventKind::RefundDue, shared, now);
    }
}

/// What a payment that is known already amounts to.
fn recorded(state: PaymentState) -> Settled {
    match state {
        PaymentState::RefundDue(reason) => Settled::RefundDue(reason),
        PaymentState::Pending | PaymentState::Failed | PaymentState::Counted => Settled::Recorded,
    }
}
