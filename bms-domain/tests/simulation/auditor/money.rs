//! The book of payments: each success is counted by one order, or a refund is due.

use bms_domain::order::OrderState;
use bms_domain::payment::{PaymentReport, PaymentStatus, RefundReason};
use bms_domain::store::{Attempt, OrderChange, Settled, Settlement};

use super::{Auditor, Promise};
use crate::sometimes::Sometimes;

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

    pub(crate) fn asks_after(&mut self, attempts: &[Attempt]) {
        attempts.iter().for_each(|_| self.counts.add(Sometimes::AskedAfter));
    }
}
