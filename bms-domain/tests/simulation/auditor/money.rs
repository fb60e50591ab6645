//! The book of payments: each success is counted by one order, or a refund is due.

use bms_domain::error::Error;
use bms_domain::id::OrderId;
use bms_domain::order::{Order, OrderState};
use bms_domain::payment::{PaymentReference, PaymentReport, PaymentStatus, RefundDue, RefundReason};
use bms_domain::store::{Attempt, OrderChange, OrderStore as _, Settled, Settlement};

use super::orders::Is;
use super::{Auditor, Promise};
use crate::bank::Payment;
use crate::servers::done;
use crate::sometimes::Sometimes;
use crate::world::World;

/// What became of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Paid {
    /// It was heard of as under way.
    pub(super) was_open: bool,
    pub(super) is_counted: bool,
    pub(super) is_due: bool,
}

impl Auditor {
    pub(crate) fn settled(&mut self, report: &PaymentReport, answer: &Settlement) {
        if let Some(order) = &answer.order {
            self.observe(order);
            self.write_expired(order);
        }
        let before = self.payments.entry(report.reference.clone()).or_default();
        before.was_open |= report.status == PaymentStatus::Pending;
        let before = *before;
        let succeeded = report.status == PaymentStatus::Succeeded;
        match answer.settled {
            Settled::Confirmed => self.counted(report, answer, before),
            Settled::Failed => {
                self.counts.add(Sometimes::Declined);
                let failed = report.status == PaymentStatus::Failed;
                self.expect(failed, Promise::MoneyIsNeverLost, || format!("{} failed its order: {report:?}", report.reference));
            }
            Settled::RefundDue(reason) => self.owed(report, reason, before),
            Settled::Recorded => {
                let kept = !succeeded || before.is_counted || before.is_due;
                self.expect(kept, Promise::MoneyIsNeverLost, || format!("the success of {} counts nowhere", report.reference));
            }
            Settled::OtherOrders => {
                self.breaks(Promise::MoneyIsNeverLost, format!("{} is called another order's", report.reference));
            }
            _ => {}
        }
    }

    /// A payment confirmed its order.
    fn counted(&mut self, report: &PaymentReport, answer: &Settlement, before: Paid) {
        let state = answer.order.as_ref().map(|order| &order.state);
        let by_it = matches!(state, Some(OrderState::Confirmed { payment, .. }) if *payment == report.reference);
        let price = answer.order.as_ref().map(|order| order.price);
        let right = report.status == PaymentStatus::Succeeded && price == Some(report.amount);
        self.expect(by_it && right && !before.is_counted && !before.is_due, Promise::MoneyIsNeverLost, || {
            format!("{} ({before:?}, {:?}, {:?}) confirmed {state:?}", report.reference, report.status, report.amount)
        });
        if let Some(paid) = self.payments.get_mut(&report.reference) {
            paid.is_counted = true;
        }
    }

    /// A payment is to be given back.
    fn owed(&mut self, report: &PaymentReport, reason: RefundReason, before: Paid) {
        let once = !before.is_counted || reason == RefundReason::OrderCancelled;
        self.expect(once, Promise::MoneyIsNeverLost, || {
            format!("{} is counted, and to be given back: {reason:?}", report.reference)
        });
        if before.is_due {
            return;
        }
        match reason {
            RefundReason::AlreadyPaid => self.counts.add(Sometimes::AlreadyPaid),
            RefundReason::SeatsGone => self.counts.add(Sometimes::SeatsGone),
            RefundReason::WrongAmount => self.counts.add(Sometimes::WrongAmount),
            _ => {}
        }
        if let Some(paid) = self.payments.get_mut(&report.reference) {
            *paid = Paid { is_counted: false, is_due: true, ..*paid };
        }
    }

    pub(crate) fn cancelled(&mut self, answer: &OrderChange) {
        if let OrderChange::Done { order, .. } | OrderChange::Refused(order, _) = answer {
            self.observe(order);
        }
        if let OrderChange::Done { order, changed: true } = answer
            && let OrderState::Cancelled { payment, .. } = &order.state
        {
            let paid = self.payments.entry(payment.clone()).or_default();
            let counted = std::mem::take(&mut paid.is_counted);
            paid.is_due = true;
            self.expect(counted && order.refund_due, Promise::MoneyIsNeverLost, || {
                format!("cancelled order {} owes {payment}, counted: {counted}", order.id)
            });
        }
    }

    /// P4: a payment that somebody was told to be given back is due at the store as he is told, once, and counted by nobody.
    fn is_owed(&mut self, paid: &Payment, reference: &PaymentReference, due: &[RefundDue]) {
        self.counts.add(Sometimes::ToldOfRefund);
        let entries: Vec<&RefundDue> = due.iter().filter(|refund| refund.reference == *reference).collect();
        let right = matches!(*entries, [refund] if refund.order == paid.order && refund.amount == paid.amount);
        let counted = self.orders.values().any(|note| note.is == Is::Confirmed && note.paid.as_ref() == Some(reference));
        self.expect(right && !counted, Promise::MoneyIsNeverLost, || {
            format!("{reference}, {paid:?}, is told to be given back; due: {entries:?}, and counted: {counted}")
        });
    }

    pub(crate) fn asks_after(&mut self, attempts: &[Attempt]) {
        attempts.iter().for_each(|_| self.counts.add(Sometimes::AskedAfter));
    }
}

impl World {
    /// Somebody was shown an order. If it says that money is to be given back, it must be due.
    pub(crate) fn told_of_refund(&self, order: &Order) {
        if !order.refund_due {
            return;
        }
        let due = self.due_now();
        let mut references: Vec<&PaymentReference> =
            due.iter().filter(|refund| refund.order == order.id).map(|refund| &refund.reference).collect();
        if let OrderState::Cancelled { payment, .. } = &order.state {
            references.push(payment);
        }
        self.audit(|auditor| {
            auditor.expect(!references.is_empty(), Promise::MoneyIsNeverLost, || {
                format!("order {} is told to owe money, and nothing is due", order.id)
            });
        });
        references.iter().for_each(|reference| self.told_of_refund_of(order.id, reference, &due));
    }

    /// Somebody was refused, and perhaps told that his money is to be given back.
    pub(crate) fn told_of_refund_by(&self, error: &Error) {
        if let Error::OrderNotPending(order) | Error::OrderExpired(order) | Error::PaymentDeclined(order) = error {
            self.told_of_refund(order);
        }
    }

    /// The provider was told what became of a payment.
    pub(crate) fn told_of_settlement(&self, order: OrderId, reference: &PaymentReference, settlement: &Settlement) {
        if let Settled::RefundDue(_) = settlement.settled {
            self.told_of_refund_of(order, reference, &self.due_now());
        }
        if let Some(order) = &settlement.order {
            self.told_of_refund(order);
        }
    }

    fn told_of_refund_of(&self, order: OrderId, reference: &PaymentReference, due: &[RefundDue]) {
        let paid = self.bank.payment(reference).filter(|paid| paid.order == order);
        self.audit(|auditor| match paid {
            Some(paid) => auditor.is_owed(&paid, reference, due),
            None => auditor.breaks(Promise::MoneyIsNeverLost, format!("{reference} is to be given back, and is none of {order}")),
        });
    }

    fn due_now(&self) -> Vec<RefundDue> {
        done(self.orders.store.refunds_due(None, 1_000)).unwrap()
    }
}
