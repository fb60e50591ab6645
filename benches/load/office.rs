//! What users ask, and what they are answered, whoever answers.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::id::{HoldId, OrderId, SeatId, ShowId, UserId};
use serde::Serialize;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Looking at a seat map.
    Map,
    /// Holding seats.
    Hold,
    /// Letting held seats go.
    Release,
    /// Ordering held seats.
    Order,
    /// Paying an order.
    Confirm,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Map, Self::Hold, Self::Release, Self::Order, Self::Confirm];

    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Order => "order",
            Self::Confirm => "confirm",
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer<T> {
    /// It was done.
    Given(T),
    /// It was not done.
    Refused(Refusal),
    /// It may have been done: the answer was lost, late, or said so.
    Unknown(String),
}

/// A definite no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The problem's code.
    pub(crate) cause: String,
    /// Whether money is to be given back.
    pub(crate) refund_due: bool,
}

/// A hold that was granted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    /// The hold.
    pub(crate) hold: HoldId,
    /// Its seats.
    pub(crate) seats: Vec<SeatId>,
    /// For how long, from when it was granted.
    pub(crate) lasts: Duration,
}

/// An order that was paid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sale {
    /// The order.
    pub(crate) order: OrderId,
    /// Its seats.
    pub(crate) seats: Vec<SeatId>,
    /// Its ticket code.
    pub(crate) code: String,
}

/// Where users ask.
#[async_trait]
pub(crate) trait BoxOffice: Send + Sync {
    /// A look at a show's map, as any user gets it.
    async fn look(&self, show: &ShowId) -> Answer<()>;

    /// The seats of a show that are sold, by a map read afresh.
    async fn sold(&self, show: &ShowId) -> Answer<HashSet<SeatId>>;

    /// Holds seats.
    async fn hold(&self, user: &UserId, show: &ShowId, seats: &[SeatId]) -> Answer<Held>;

    /// Lets a hold go.
    async fn release(&self, user: &UserId, hold: HoldId) -> Answer<()>;

    /// Orders what is held.
    async fn order(&self, user: &UserId, hold: HoldId) -> Answer<OrderId>;

    /// Says that an order was paid. May be repeated.
    async fn confirm(&self, user: &UserId, order: OrderId, payment: &str) -> Answer<Sale>;
}
