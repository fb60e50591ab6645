//! What must be true when the faults have stopped and everything has come to rest.

use std::collections::BTreeMap;
use std::time::Duration;

use bms_domain::event::OrderEventKind;
use bms_domain::order::Order;
use bms_domain::payment::{PaymentReference, PaymentStatus, RefundDue};
use bms_domain::store::{HoldStore as _, OccupancyRead, OrderStore as _, Outbox as _};

use super::orders::Is;
use super::{Auditor, Promise};
use crate::bank::Payment;
use crate::servers::done;
use crate::world::{World, show};

impl World {
    /// Looks at the stores themselves.
    pub(crate) fn check_the_end(&self) {
        let store = &self.orders.store;
        let ids = self.audit(|auditor| auditor.order_ids());
        let orders: Vec<Option<Order>> = ids.into_iter().map(|id| done(store.get(id)).unwrap()).collect();
        let refunds = done(store.refunds_due(None, 1_000)).unwrap();
        let events_left =
            done(store.claim(1_000, Duration::from_secs(1))).unwrap().len() + done(store.dead(None, 1_000)).unwrap().len();
        let sold = done(store.sold(&show(), self.plan.seats)).unwrap();
        let marked = self.holds.look(|holds| done(holds.occupancy(&show())));
        let ledger = self.bank.ledger();
        self.audit(|auditor| {
            orders.iter().for_each(|order| auditor.check_order(order.as_ref(), &refunds));
            auditor.check_payments(&ledger, &refunds);
            let owned: Vec<u32> = auditor.owners.keys().copied().collect();
            let same = sold.iter().eq(owned.iter().copied());
            auditor.expect(same, Promise::NoDoubleSale, || format!("{sold:?} are sold, and {owned:?} are owned"));
            let healed = matches!(&marked, Ok(OccupancyRead::Known(known)) if known.sold.iter().eq(sold.iter()) && known.held.count() == 0);
            auditor.expect(healed || auditor.is_older(), Promise::SelfHealing, || format!("{sold:?} are sold, and the hold store says {marked:?}"));
            auditor.expect(events_left == 0, Promise::EventsInOrder, || format!("{events_left} events have not left"));
        });
    }
}

impl Auditor {
    fn order_ids(&self) -> Vec<bms_domain::id::OrderId> {
        self.orders.keys().copied().collect()
    }

    /// Every order has ended, as the book has it, and so its events say.
    fn check_order(&mut self, order: Option<&Order>, refunds: &[RefundDue]) {
        let Some(order) = order else { return self.breaks(Promise::NoDoubleSale, "an order has vanished".to_owned()) };
        self.observe(order);
        let (id, note) = (order.id, self.orders.get(&order.id).cloned());
        let ended = note.is_some_and(|note| note.is != Is::Pending);
        self.expect(ended, Promise::NoLeak, || format!("order {id} never ends"));
        let told = self.told_confirmed.contains(&id);
        let kept = !told || self.is_confirmed(id) || self.is_cancelled(id);
        self.expect(kept, Promise::MoneyIsNeverLost, || {
            format!("order {id} was told to be confirmed, and is {}", order.state.name())
        });
        let (_, kinds) = self.events.get(&id).cloned().unwrap_or_default();
        let owed = refunds.iter().filter(|refund| refund.order == id).count();
        let told_owed = kinds.iter().filter(|kind| **kind == OrderEventKind::RefundDue.name()).count();
        let complete = kinds.first() == Some(&OrderEventKind::Created.name())
            && kinds.contains(&OrderEventKind::of(&order.state).name())
            && owed == told_owed;
        self.expect(complete, Promise::EventsInOrder, || {
            format!("of order {id}, which is {} and owes {owed}, is told {kinds:?}", order.state.name())
        });
    }

    /// P4: every success in the ledger is counted by its order, or to be given back, once. One whose notices were all lost
    /// counts if the order store had heard that it was under way.
    fn check_payments(&mut self, ledger: &BTreeMap<PaymentReference, Payment>, refunds: &[RefundDue]) {
        for (reference, payment) in ledger {
            let counted =
                self.orders.iter().filter(|(_, note)| note.is == Is::Confirmed && note.paid.as_ref() == Some(reference));
            let counted: Vec<_> = counted.map(|(id, _)| *id).collect();
            let due: Vec<&RefundDue> = refunds.iter().filter(|refund| refund.reference == *reference).collect();
            let known = self.payments.get(reference).copied().unwrap_or_default();
            let (least, most) = match payment.status {
                PaymentStatus::Succeeded if payment.is_silent && !known.was_open => (0, 1),
                PaymentStatus::Succeeded => (1, 1),
                PaymentStatus::Pending | PaymentStatus::Failed => (0, 0),
            };
            let times = counted.len() + due.len();
            self.expect((least..=most).contains(&times), Promise::MoneyIsNeverLost, || {
                format!("{reference}, {payment:?}, is counted by {counted:?} and to be given back: {due:?}")
            });
            let right = counted.iter().all(|order| *order == payment.order)
                && due.iter().all(|refund| refund.order == payment.order && refund.amount == payment.amount);
            self.expect(right, Promise::MoneyIsNeverLost, || format!("{reference}, {payment:?}: {counted:?}, {due:?}"));
        }
        let unknown = refunds.iter().find(|refund| !ledger.contains_key(&refund.reference));
        self.expect(unknown.is_none(), Promise::MoneyIsNeverLost, || format!("nobody made {unknown:?}"));
    }
}
