//! What a use case can end with when it does not end well. Split only where a caller acts differently.

use std::fmt;
use std::sync::Arc;

use crate::catalogue::SalesClosed;
use crate::hold::HoldState;
use crate::id::{EntropyError, HoldId, OrderId, SeatId, ShowId};
use crate::order::Order;
use crate::payment::PaymentReference;
use crate::store::{BoxError, StoreError};

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, as a JSON pointer into what was checked, such as `/seatIds/2`; empty for the whole.
    pub pointer: String,
    /// The rule that is broken, in a sentence for people.
    pub detail: String,
}

impl Violation {
    /// Puts a place and a sentence together.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self { pointer: pointer.into(), detail: detail.to_string() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() { f.write_str(&self.detail) } else { write!(f, "{}: {}", self.pointer, self.detail) }
    }
}

/// What an unknown outcome is about: ask for it by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// A hold.
    Hold(HoldId),
    /// An order.
    Order(OrderId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold(id) => write!(f, "hold {id}"),
            Self::Order(id) => write!(f, "order {id}"),
        }
    }
}

/// Why a use case did not do what was asked. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such thing, or somebody else's (promise P9).
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Only an administrator may.
    #[error("only an administrator may do this")]
    Forbidden,
    /// The request breaks rules; all of them are named.
    #[error("the request is not valid: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// Seats that the show's layout does not have.
    #[error("the show has no seats of these names")]
    UnknownSeats(Vec<SeatId>),
    /// More seats than a hold, or a user of one show, may have.
    #[error("more than {limit} seats")]
    TooManySeats {
        /// The limit that would be passed.
        limit: u32,
    },
    /// Every wanted seat that is held or sold (promise P3). Choose others.
    #[error("{} of the seats are held or sold", .0.len())]
    SeatsUnavailable(Vec<SeatId>),
    /// The show's seats cannot be had now.
    #[error("show {show}: {reason}")]
    SalesClosed {
        /// The show.
        show: ShowId,
        /// Why.
        #[source]
        reason: SalesClosed,
    },
    /// The hold was released, or its order was confirmed. Place another.
    #[error("hold {hold} is {}", state.name())]
    HoldNotActive {
        /// The hold.
        hold: HoldId,
        /// What it is.
        state: HoldState,
    },
    /// The hold's time ran out. Place another.
    #[error("hold {0} has expired")]
    HoldExpired(HoldId),
    /// The hold's order waits for payment: pay it, or give it up first.
    #[error("order {0} waits for payment")]
    OrderPending(OrderId),
    /// The order does not wait for payment any more. `refund_due` on it says whether money is to be given back.
    #[error("order {} is {}", .0.id, .0.state.name())]
    OrderNotPending(Box<Order>),
    /// The order's time ran out. `refund_due` on it says whether a payment came too late.
    #[error("order {} has expired", .0.id)]
    OrderExpired(Box<Order>),
    /// The payment was declined, or was not of the right amount (then `refund_due`). The state of the order says
    /// whether it can still be paid.
    #[error("the payment of order {} was declined", .0.id)]
    PaymentDeclined(Box<Order>),
    /// The payment is unknown to the provider, or is another order's.
    #[error("payment {reference} is not a payment of order {order}")]
    PaymentNotForOrder {
        /// The order.
        order: OrderId,
        /// The payment.
        reference: PaymentReference,
    },
    /// A dependency does not answer. Nothing was changed that repeating the request would not complete.
    #[error("{dependency} is unavailable")]
    Unavailable {
        /// Which.
        dependency: &'static str,
        /// What it said.
        #[source]
        source: Option<BoxError>,
    },
    /// The answer of a dependency was lost: the request may have taken effect. Ask for the subject, or repeat the request.
    #[error("{dependency} did not answer in time; ask for {subject}, or repeat the request")]
    OutcomeUnknown {
        /// Which.
        dependency: &'static str,
        /// What to ask for.
        subject: Subject,
        /// What it said.
        #[source]
        source: Option<BoxError>,
    },
    /// A bug, or a hand in the data.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// An error of a call that changes `subject`: whether it took effect may be unknown.
    pub(crate) fn changing(subject: Subject) -> impl FnOnce(StoreError) -> Self {
        move |error| match error {
            StoreError::OutcomeUnknown { store, source } => Self::OutcomeUnknown { dependency: store, subject, source },
            other => Self::from(other),
        }
    }

    /// For each of many who waited for one reading, which failed.
    pub(crate) fn of_all(error: Arc<Self>) -> Self {
        Arc::try_unwrap(error).unwrap_or_else(|shared| match &*shared {
            Self::NotFound(what) => Self::NotFound(what),
            Self::Unavailable { dependency, .. } => Self::Unavailable { dependency, source: Some(Box::new(shared)) },
            other => Self::Internal(other.to_string()),
        })
    }
}

/// For calls that only read, or that are repeated by whoever needs them: an unknown outcome is no outcome.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { store, source } | StoreError::OutcomeUnknown { store, source } => {
                Self::Unavailable { dependency: store, source }
            }
            StoreError::Broken { store, detail } => Self::Internal(format!("{store}: {detail}")),
        }
    }
}

impl From<EntropyError> for Error {
    fn from(error: EntropyError) -> Self {
        Self::Unavailable { dependency: "system randomness", source: Some(Box::new(error)) }
    }
}
