//! The storage ports: what a backend implements.
//!
//! Refusals that a caller must expect are values of the outcome enums. [`StoreError`] is for what the backend itself
//! could not do. Every store tells the time by its own clock, decides expiry at use, and must pass the conformance
//! suite of `bms_domain::testing`.

mod catalogue;
mod hold;
mod idempotency;
mod order;
mod outbox;

pub use catalogue::{CatalogueStore, CatalogueWrite, MovieQuery};
pub use hold::{
    Changes, Checkout, Counts, Fence, HoldChange, HoldStore, Occupancy, OccupancyChange, OccupancyRead, PendingClaim, PlaceHold,
    Placed, Restored, SeatLimits, ShowClaims, SoldSeats,
};
pub use idempotency::{Begun, Fingerprint, IdempotencyKey, IdempotencyStore};
pub use order::{Attempt, Creation, LONGEST_ASKING, LayoutPin, NewOrder, OrderChange, OrderStore, Settled, Settlement};
pub use outbox::{Delivery, Outbox, Replay};

/// What a client library said, kept as the source of an error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What a backend could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It does not answer, or refuses for now. Nothing was changed; trying again is safe.
    #[error("{store} is unavailable")]
    Unavailable {
        /// Which store, such as `redis`.
        store: &'static str,
        /// What the client library said.
        #[source]
        source: Option<BoxError>,
    },
    /// The answer was lost: the call may have taken effect. Asking for the thing by its id finds out; trying the same
    /// call again is safe.
    #[error("{store} did not answer in time; whether the call took effect is not known")]
    OutcomeUnknown {
        /// Which store.
        store: &'static str,
        /// What the client library said.
        #[source]
        source: Option<BoxError>,
    },
    /// What it holds, or what it was asked, makes no sense: a bug, or a hand in the data.
    #[error("{store}: {detail}")]
    Broken {
        /// Which store.
        store: &'static str,
        /// What makes no sense. No customer data.
        detail: String,
    },
}

impl StoreError {
    /// It does not answer; nothing was changed.
    #[must_use]
    pub fn unavailable(store: &'static str) -> Self {
        Self::Unavailable { store, source: None }
    }

    /// The answer was lost.
    #[must_use]
    pub fn outcome_unknown(store: &'static str) -> Self {
        Self::OutcomeUnknown { store, source: None }
    }

    /// Which store.
    #[must_use]
    pub fn store(&self) -> &'static str {
        match self {
            Self::Unavailable { store, .. } | Self::OutcomeUnknown { store, .. } | Self::Broken { store, .. } => store,
        }
    }
}
