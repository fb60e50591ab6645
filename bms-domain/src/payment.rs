//! Payments: what a provider says of them, and what that does to an order.
//!
//! The machine is [`apply`]: `(what is known of the payment and its order, report, now) → decision`. Pure.
//!
//! | known of the payment | `Pending` | `Failed`                | `Succeeded`                              |
//! |----------------------|-----------|-------------------------|------------------------------------------|
//! | nothing              | Pending   | Failed, tells the order | tells the order: Counted, or refund due  |
//! | Pending              | –         | Failed, tells the order | tells the order: Counted, or refund due  |
//! | Failed               | –         | –                       | tells the order: Counted, or refund due  |
//! | Counted, RefundDue   | –         | –                       | –                                        |
//!
//! So a success is final, and duplicate, late and out-of-order reports change nothing twice (promise P4).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::id::{OrderId, ParseIdError};
use crate::money::Money;
use crate::order::{self, Order, OrderCommand, OrderState, OrderStep, Ticket};
use crate::store::BoxError;
use crate::time::Timestamp;

macro_rules! visible_text {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes 1–255 visible ASCII characters.
            ///
            /// # Errors
            /// [`ParseIdError`] when the text is empty, longer, or has a space or another character.
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(ParseIdError::new($kind, "1 to 255 visible ASCII characters"))
                }
            }

            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

visible_text!(
    /// A payment with its provider: 1–255 visible ASCII characters. One reference pays for one order.
    PaymentReference, "payment reference"
);
visible_text!(
    /// A provider's notice: 1–255 visible ASCII characters, unique with the provider.
    NoticeId, "event id"
);

/// What a provider says of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// Under way: its end is not known yet.
    Pending,
    /// The money was taken.
    Succeeded,
    /// It was declined, or given up.
    Failed,
}

/// A provider's word on a payment: its answer when asked, or a notice it sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentReport {
    /// The order it is for.
    pub order: OrderId,
    /// Which payment.
    pub reference: PaymentReference,
    /// What identifies it across all orders: [`PaymentGateway::key`].
    pub key: PaymentKey,
    /// The notice this came with, if it was one.
    pub notice: Option<NoticeId>,
    /// How the payment stands.
    pub status: PaymentStatus,
    /// How much was, or is to be, taken.
    pub amount: Money,
}

/// Why money is to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefundReason {
    /// The order was paid already, by another payment.
    AlreadyPaid,
    /// The payment came after the order's end, and a seat is somebody else's by now.
    SeatsGone,
    /// Not the amount or not the currency of the order.
    WrongAmount,
    /// The order was cancelled.
    OrderCancelled,
    /// No order of that id.
    UnknownOrder,
}

/// What is known of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentState {
    /// Under way.
    Pending,
    /// Declined.
    Failed,
    /// It paid for its order.
    Counted,
    /// It is to be given back.
    RefundDue(RefundReason),
}

/// A payment that is to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundDue {
    /// The order it was meant for; there may be none of that id.
    pub order: OrderId,
    /// Which payment.
    pub reference: PaymentReference,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
}

/// What a report does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The payment's state after it.
    pub payment: PaymentState,
    /// The order's state after it.
    pub order: OrderState,
}

/// What is known when a report comes in.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The order.
    pub order: &'a Order,
    /// The payment, if it was heard of before.
    pub payment: Option<PaymentState>,
    /// Whether another payment of the order is under way.
    pub another_open: bool,
    /// Whether every seat is, or can be made, the order's own in the same atomic step.
    pub claimable: bool,
}

/// The transition table, as one pure function. Every store decides by it, so that all stores agree.
#[must_use]
pub fn apply(known: Known<'_>, report: &PaymentReport, ticket: Ticket, now: Timestamp) -> Decision {
    let order = known.order;
    let state_now = || order.state.clone().at(order.expires_at, now);
    let unchanged = |payment| Decision { payment, order: state_now() };
    match (known.payment, report.status) {
        (Some(state @ (PaymentState::Counted | PaymentState::RefundDue(_))), _) => unchanged(state),
        (Some(PaymentState::Failed), PaymentStatus::Pending | PaymentStatus::Failed) => unchanged(PaymentState::Failed),
        (None | Some(PaymentState::Pending), PaymentStatus::Pending) => unchanged(PaymentState::Pending),
        (None | Some(PaymentState::Pending), PaymentStatus::Failed) => {
            let command = OrderCommand::PaymentFailed { another_open: known.another_open };
            let order = tell(order, command, now).map_or_else(state_now, |step| step.state);
            Decision { payment: PaymentState::Failed, order }
        }
        (None | Some(PaymentState::Pending | PaymentState::Failed), PaymentStatus::Succeeded) => {
            if report.amount != order.price {
                return unchanged(PaymentState::RefundDue(RefundReason::WrongAmount));
            }
            let payment = report.reference.clone();
            let command = OrderCommand::PaymentSucceeded { payment, ticket, claimable: known.claimable };
            match tell(order, command, now) {
                Some(OrderStep { state, refund: None }) => Decision { payment: PaymentState::Counted, order: state },
                Some(OrderStep { state, refund: Some(reason) }) => {
                    Decision { payment: PaymentState::RefundDue(reason), order: state }
                }
                None => unchanged(PaymentState::RefundDue(RefundReason::SeatsGone)),
            }
        }
    }
}

/// The order's table refuses no report of a payment; `None` would mean that it does.
fn tell(order: &Order, command: OrderCommand, now: Timestamp) -> Option<OrderStep> {
    order::apply(&order.state, order.expires_at, command, now).ok()
}

/// Asks the payment provider. The host program implements it; `memory::SandboxGateway` is for trying out.
#[async_trait]
pub trait PaymentGateway: Send + Sync + 'static {
    /// How the payment `reference` stands that was made for `order`, and how much it took. The gateway must check with
    /// the provider that the payment was made for this order.
    ///
    /// # Errors
    /// [`GatewayError`]: `Unavailable` when the provider does not answer (asking again is safe), `NotThisOrders` when
    /// the payment is not known or was made for something else. That is a final answer: a payment that was under way is
    /// taken for failed then, so a gateway that cannot tell yet says `Unavailable`.
    async fn verify(&self, order: &Order, reference: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError>;

    /// What identifies a payment across all orders. Two orders that name payments of one key cannot both count it.
    /// The reference itself, unless references repeat from order to order with this provider.
    fn key(&self, order: OrderId, reference: &PaymentReference) -> PaymentKey {
        let _ = order;
        PaymentKey::of(reference)
    }

    /// Whether there is a provider to ask. A program that only tidies up may know none: then it leaves payments under way, and
    /// their orders, to those that do.
    fn is_there(&self) -> bool {
        true
    }

    /// Whether the provider can be reached, for readiness.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when it cannot.
    async fn ping(&self) -> Result<(), GatewayError> {
        Ok(())
    }
}

/// Identifies a payment across all orders: 1–300 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentKey(Arc<str>);

impl PaymentKey {
    /// The key of a payment whose reference is unique with its provider.
    #[must_use]
    pub fn of(reference: &PaymentReference) -> Self {
        Self(reference.0.clone())
    }

    /// The key of a payment whose reference is unique within its order only.
    #[must_use]
    pub fn within(order: OrderId, reference: &PaymentReference) -> Self {
        Self(format!("{order}/{reference}").into())
    }

    /// Takes a key that was stored before.
    ///
    /// # Errors
    /// [`ParseIdError`] when it is empty or longer than 300 bytes.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        if (1..=300).contains(&text.len()) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(ParseIdError::new("payment key", "1 to 300 bytes"))
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a gateway has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The provider does not answer. Nothing is known; ask again.
    #[error("the payment provider does not answer")]
    Unavailable {
        /// What the client library said.
        #[source]
        source: Option<BoxError>,
    },
    /// The provider does not know the payment, or it was made for something else.
    #[error("the payment is unknown, or was made for another order")]
    NotThisOrders,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Shard;

    #[test]
    fn a_payments_key_is_read_back() {
        let reference = PaymentReference::parse(&"x".repeat(255)).unwrap();
        let order = OrderId::new(Shard::all().next().unwrap(), uuid::Uuid::nil());
        for key in [PaymentKey::of(&reference), PaymentKey::within(order, &reference)] {
            assert_eq!(PaymentKey::parse(key.as_str()), Ok(key));
        }
        assert!(PaymentKey::parse("").is_err());
        assert!(PaymentKey::parse(&"x".repeat(301)).is_err());
    }
}
