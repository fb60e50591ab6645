//! The names under which states and reasons are persisted and sent. They never change: a durable store reads what an older
//! version wrote.

use crate::catalogue::ShowStatus;
use crate::event::OrderEventKind;
use crate::id::ParseIdError;
use crate::order::FailReason;
use crate::payment::{PaymentState, PaymentStatus, RefundReason};

/// Writes `name`, and `parse` as its inverse.
macro_rules! names {
    ($type:ident, $kind:literal, { $($variant:ident => $name:literal),* $(,)? }) => {
        impl $type {
            const EVERY: &[Self] = &[$(Self::$variant),*];

            #[doc = concat!("The name of the ", $kind, " as persisted and as sent.")]
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }

            #[doc = concat!("The ", $kind, " of a [`name`](Self::name).")]
            ///
            /// # Errors
            /// [`ParseIdError`] for any other text.
            pub fn parse(name: &str) -> Result<Self, ParseIdError> {
                let found = Self::EVERY.iter().find(|one| one.name() == name);
                found.copied().ok_or(ParseIdError::new($kind, concat!("one of", $(" ", $name),*)))
            }
        }
    };
}

names!(FailReason, "reason of a failure", { Declined => "DECLINED", GivenUp => "GIVEN_UP" });

names!(PaymentStatus, "payment status", { Pending => "PENDING", Succeeded => "SUCCEEDED", Failed => "FAILED" });

names!(RefundReason, "reason of a refund", {
    AlreadyPaid => "ALREADY_PAID",
    SeatsGone => "SEATS_GONE",
    WrongAmount => "WRONG_AMOUNT",
    OrderCancelled => "ORDER_CANCELLED",
    UnknownOrder => "UNKNOWN_ORDER",
});

names!(OrderEventKind, "kind of event", {
    Created => "order.created",
    Confirmed => "order.confirmed",
    Failed => "order.failed",
    Expired => "order.expired",
    Cancelled => "order.cancelled",
    RefundDue => "order.refund_due",
});

names!(ShowStatus, "show status", {
    Scheduled => "SCHEDULED",
    OnSale => "ON_SALE",
    Closed => "CLOSED",
    Cancelled => "CANCELLED",
});

impl PaymentState {
    /// The state's name as persisted. The reason of a refund is kept beside it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Failed => "FAILED",
            Self::Counted => "COUNTED",
            Self::RefundDue(_) => "REFUND_DUE",
        }
    }

    /// Why the payment is to be given back, if it is.
    #[must_use]
    pub fn refund(self) -> Option<RefundReason> {
        match self {
            Self::RefundDue(reason) => Some(reason),
            Self::Pending | Self::Failed | Self::Counted => None,
        }
    }

    /// The state of a [`name`](Self::name) and a [`refund`](Self::refund).
    ///
    /// # Errors
    /// [`ParseIdError`] for any other name, and for a reason that is missing or too many.
    pub fn parse(name: &str, refund: Option<RefundReason>) -> Result<Self, ParseIdError> {
        match (name, refund) {
            ("PENDING", None) => Ok(Self::Pending),
            ("FAILED", None) => Ok(Self::Failed),
            ("COUNTED", None) => Ok(Self::Counted),
            ("REFUND_DUE", Some(reason)) => Ok(Self::RefundDue(reason)),
            _ => Err(ParseIdError::new("payment state", "PENDING, FAILED or COUNTED; or REFUND_DUE with its reason")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Debug;

    use super::*;

    fn round_trips<T: Copy + Debug + PartialEq>(
        every: &[T],
        name: fn(T) -> &'static str,
        parse: fn(&str) -> Result<T, ParseIdError>,
    ) {
        for one in every {
            let name = name(*one);
            assert_eq!(parse(name).as_ref(), Ok(one));
            assert!(parse(&name.to_ascii_lowercase()).is_err() || name == name.to_ascii_lowercase());
            assert!(parse(&format!("{name} ")).is_err());
        }
        assert!(parse("").is_err());
        let names: BTreeSet<_> = every.iter().map(|one| name(*one)).collect();
        assert_eq!(names.len(), every.len(), "two share a name: {every:?}");
    }

    #[test]
    fn every_name_is_read_back() {
        round_trips(FailReason::EVERY, FailReason::name, FailReason::parse);
        round_trips(PaymentStatus::EVERY, PaymentStatus::name, PaymentStatus::parse);
        round_trips(RefundReason::EVERY, RefundReason::name, RefundReason::parse);
        round_trips(OrderEventKind::EVERY, OrderEventKind::name, OrderEventKind::parse);
        round_trips(ShowStatus::EVERY, ShowStatus::name, ShowStatus::parse);
    }

    #[test]
    fn a_show_status_is_persisted_as_it_is_sent() {
        for status in ShowStatus::EVERY {
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
    }

    #[test]
    fn a_payments_state_is_read_back_with_its_reason() {
        let refunds = RefundReason::EVERY.iter().map(|reason| PaymentState::RefundDue(*reason));
        for state in [PaymentState::Pending, PaymentState::Failed, PaymentState::Counted].into_iter().chain(refunds) {
            assert_eq!(PaymentState::parse(state.name(), state.refund()), Ok(state));
        }
        assert!(PaymentState::parse("REFUND_DUE", None).is_err());
        assert!(PaymentState::parse("COUNTED", Some(RefundReason::SeatsGone)).is_err());
        assert!(PaymentState::parse("SUCCEEDED", None).is_err());
    }
}
