//! Payments: confirm an order, take a provider's notice.

use super::BookingService;
use super::orders::not_payable;
use crate::error::{Error, Subject};
use crate::id::{Caller, OrderId};
use crate::money::Money;
use crate::order::{Order, OrderState, Ticket};
use crate::payment::{GatewayError, NoticeId, PaymentReference, PaymentReport, PaymentStatus};
use crate::store::{Settled, Settlement};

/// How often a ticket code is drawn again. With a billion codes and a million tickets, one draw in a thousand collides.
const CODE_ATTEMPTS: usize = 16;

/// What came of confirming an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payment {
    /// The order is confirmed: here is its ticket.
    Confirmed(Order),
    /// The payment is under way; the order goes on waiting, and the provider's notice will end it.
    Pending(Order),
}

/// A provider's notice of a payment, its signature already checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The notice's id with the provider. A notice that was taken before changes nothing.
    pub id: NoticeId,
    /// The order.
    pub order: OrderId,
    /// The payment.
    pub reference: PaymentReference,
    /// How it stands.
    pub status: PaymentStatus,
    /// How much was taken.
    pub amount: Money,
}

impl BookingService {
    /// Asks the payment provider how a payment stands, persists its answer, and confirms the order if it was paid.
    /// Repeating it gives the same. Also for an order past its end: a payment that came late confirms it when every seat
    /// can still be claimed, and is to be given back otherwise (promise P4).
    ///
    /// # Errors
    /// `NotFound`, `PaymentDeclined`, `PaymentNotForOrder`, `OrderExpired`, `OrderNotPending`, `Unavailable` (the order
    /// is as it was), `OutcomeUnknown`.
    pub async fn confirm_order(&self, caller: &Caller, id: OrderId, reference: &PaymentReference) -> Result<Payment, Error> {
        let order = self.order(caller, id).await?;
        if matches!(&order.state, OrderState::Confirmed { payment, .. } if payment == reference) {
            // The caller asks again: the hold store may have missed the first time, and the map that is kept too.
            self.shared.maps.forget(&order.show);
            self.tell_sold_or_warn(&order).await;
            return Ok(Payment::Confirmed(order));
        }
        let Some(report) = self.ask_gateway(&order, reference).await? else {
            return Err(Error::PaymentNotForOrder { order: id, reference: reference.clone() });
        };
        let settlement = self.settle(&report).await?;
        let order = settlement.order.ok_or(Error::NotFound("order"))?;
        match settlement.settled {
            Settled::OtherOrders => Err(Error::PaymentNotForOrder { order: id, reference: reference.clone() }),
            Settled::Failed => Err(Error::PaymentDeclined(Box::new(order))),
            Settled::Confirmed | Settled::RefundDue(_) | Settled::Recorded | Settled::CodeTaken => {
                match (&order.state, report.status) {
                    (OrderState::Confirmed { payment, .. }, _) if payment == reference => Ok(Payment::Confirmed(order)),
                    (OrderState::PaymentPending, PaymentStatus::Pending) => Ok(Payment::Pending(order)),
                    (OrderState::PaymentPending | OrderState::Failed { .. }, PaymentStatus::Failed) => {
                        Err(Error::PaymentDeclined(Box::new(order)))
                    }
                    _ => Err(not_payable(order)),
                }
            }
        }
    }

    /// Takes a provider's notice: durable before this returns, whatever it says, so that the provider may forget it.
    ///
    /// # Errors
    /// `Unavailable` and `OutcomeUnknown`: then the provider must send it again.
    pub async fn take_notice(&self, notice: Notice) -> Result<Settlement, Error> {
        let Notice { id, order, reference, status, amount } = notice;
        let key = self.ports().gateway.key(order, &reference);
        self.settle(&PaymentReport { order, reference, key, notice: Some(id), status, amount }).await
    }

    /// How a payment of an order stands with its provider; `None` when it is no payment of this order.
    pub(super) async fn ask_gateway(&self, order: &Order, reference: &PaymentReference) -> Result<Option<PaymentReport>, Error> {
        let gateway = &self.ports().gateway;
        let call = gateway.verify(order, reference);
        match self.bounded(call, || GatewayError::Unavailable { source: None }).await {
            Ok((status, amount)) => Ok(Some(self.report(order, reference, status, amount))),
            Err(GatewayError::NotThisOrders) => Ok(None),
            Err(GatewayError::Unavailable { source }) => Err(Error::Unavailable { dependency: "the payment provider", source }),
        }
    }

    /// What is written down of a payment that its provider does not know, once its order is over, so that nobody asks for
    /// ever. Should it have succeeded after all, a later report says so and counts.
    pub(super) fn failed(&self, order: &Order, reference: &PaymentReference) -> PaymentReport {
        self.report(order, reference, PaymentStatus::Failed, order.price)
    }

    fn report(&self, order: &Order, reference: &PaymentReference, status: PaymentStatus, amount: Money) -> PaymentReport {
        let key = self.ports().gateway.key(order.id, reference);
        PaymentReport { order: order.id, reference: reference.clone(), key, notice: None, status, amount }
    }

    /// Makes a report durable with everything that follows from it, then tells the hold store. What the hold store misses
    /// is mended by priming, the sweeper or the next conflict: a payment is confirmed without it (promise P13).
    pub(super) async fn settle(&self, report: &PaymentReport) -> Result<Settlement, Error> {
        for _ in 0..CODE_ATTEMPTS {
            let ticket = Ticket::draw(&*self.shared.ids)?;
            let settlement = self.of_orders(self.orders().settle(report, &ticket)).await;
            let settlement = settlement.map_err(Error::changing(Subject::Order(report.order)))?;
            if let Some(order) = &settlement.order {
                self.shared.maps.forget(&order.show);
            }
            match (&settlement.order, settlement.settled) {
                (_, Settled::CodeTaken) => continue,
                (Some(order), Settled::Confirmed) => self.tell_sold_or_warn(order).await,
                (Some(order), Settled::Failed) => self.unlink(order.hold, order.id).await,
                _ => {}
            }
            return Ok(settlement);
        }
        Err(Error::Internal("no free ticket code was drawn".to_owned()))
    }

    /// Tells the hold store what was sold, now if it answers.
    async fn tell_sold_or_warn(&self, order: &Order) {
        if let Err(error) = self.tell_sold(order).await {
            tracing::warn!(order = %order.id, %error, "sold seats are not marked in the hold store yet");
        }
    }
}
