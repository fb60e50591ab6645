//! The payment provider, and its ledger. It sends notices until they are acknowledged; they come twice, late, and in any order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bms_domain::id::OrderId;
use bms_domain::money::Money;
use bms_domain::payment::{NoticeId, PaymentReference, PaymentStatus};
use bms_domain::service::Notice;
use bms_domain::testing::sample;
use parking_lot::Mutex;

use crate::random::{once_in, pause_ms, stream};
use crate::sim::Group;
use crate::sometimes::Sometimes;
use crate::world::World;

/// A payment in the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) order: OrderId,
    pub(crate) amount: Money,
    pub(crate) status: PaymentStatus,
    /// No notice of it will ever arrive.
    pub(crate) is_silent: bool,
}

/// What becomes of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    AtOnce(PaymentStatus),
    /// Under way for so many ms first.
    Later(PaymentStatus, u64),
}

/// The provider's ledger.
#[derive(Default)]
pub(crate) struct Bank {
    payments: Mutex<BTreeMap<PaymentReference, Payment>>,
    /// What is still under way, and notices that were not acknowledged.
    open: AtomicUsize,
}

impl Bank {
    /// How a payment stands, if it is one of this order.
    pub(crate) fn look_up(&self, order: OrderId, reference: &PaymentReference) -> Option<(PaymentStatus, Money)> {
        let payments = self.payments.lock();
        let payment = payments.get(reference).filter(|payment| payment.order == order)?;
        Some((payment.status, payment.amount))
    }

    pub(crate) fn payment(&self, reference: &PaymentReference) -> Option<Payment> {
        self.payments.lock().get(reference).cloned()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// The whole ledger.
    pub(crate) fn ledger(&self) -> BTreeMap<PaymentReference, Payment> {
        self.payments.lock().clone()
    }

    fn set(&self, reference: &PaymentReference, status: PaymentStatus) {
        if let Some(payment) = self.payments.lock().get_mut(reference) {
            payment.status = status;
        }
    }
}

impl World {
    /// Somebody pays. Says by which reference.
    pub(crate) fn pay(self: &Arc<Self>, order: OrderId, amount: Money, course: Course) -> PaymentReference {
        let is_silent = self.dice.loses_notices();
        if is_silent {
            self.count(Sometimes::NoticesLost);
        }
        let mut payments = self.bank.payments.lock();
        let number = payments.len();
        let reference = sample::reference(&format!("pay-{number}"));
        self.note(format_args!("{reference} is made: {course:?}"));
        let status = match course {
            Course::AtOnce(status) => status,
            Course::Later(..) => PaymentStatus::Pending,
        };
        payments.insert(reference.clone(), Payment { order, amount, status, is_silent });
        drop(payments);
        self.bank.open.fetch_add(1, Ordering::Relaxed);
        let (world, paid) = (self.clone(), reference.clone());
        self.sim.spawn(Group::World, async move {
            world.send_notice(number, &paid, status);
            if let Course::Later(end, ms) = course {
                world.sim.pause(ms).await;
                world.bank.set(&paid, end);
                world.note(format_args!("{paid} ends: {end:?}"));
                world.send_notice(number, &paid, end);
            }
            world.bank.open.fetch_sub(1, Ordering::Relaxed);
        });
        reference
    }

    /// Sends a notice until it is acknowledged.
    fn send_notice(self: &Arc<Self>, number: usize, reference: &PaymentReference, status: PaymentStatus) {
        let Some(Payment { order, amount, is_silent: false, .. }) = self.bank.payments.lock().get(reference).cloned() else {
            return;
        };
        let id = NoticeId::parse(&format!("{reference}-{status:?}")).unwrap();
        let paid = reference.clone();
        let notice = Notice { id, order, reference: reference.clone(), status, amount };
        self.bank.open.fetch_add(1, Ordering::Relaxed);
        let world = self.clone();
        let mut random = stream(self.plan.seed, "notices", number as u64 * 8 + status as u64);
        self.sim.spawn(Group::World, async move {
            // Now and then it comes again though it was acknowledged.
            let mut wanted = if once_in(&mut random, 4) { 2 } else { 1 };
            let mut wait_ms = pause_ms(&mut random, 10 * 60_000);
            while wanted > 0 {
                world.sim.pause(wait_ms).await;
                wait_ms = pause_ms(&mut random, 5 * 60_000).max(1);
                let process = random.usize(..world.processes.len());
                let notice = notice.clone();
                let take = |service: bms_domain::BookingService| async move { service.take_notice(notice).await };
                if let Some(Ok(settlement)) = world.ask(process, "take a notice", 10_000, take).await {
                    world.told_of_settlement(order, &paid, &settlement);
                    wanted -= 1;
                }
            }
            world.bank.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}
