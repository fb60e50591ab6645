//! The hold store: who holds which seats of which show, for how long, and what is known to be sold.

use std::time::Duration;

use async_trait::async_trait;

use crate::hold::{Hold, HoldRefusal};
use crate::id::{Caller, HoldId, LayoutId, OrderId, ShowId, UserId};
use crate::money::Money;
use crate::seat::{SeatBits, SeatSet};
use crate::store::StoreError;
use crate::time::Timestamp;

/// How many seats a hold, and a user of one show, may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeatLimits {
    /// Seats in one hold.
    pub per_hold: u32,
    /// Seats that one user has of one show, held and sold together.
    pub per_user_and_show: u32,
}

/// A request to hold seats.
#[derive(Clone, Debug)]
pub struct PlaceHold {
    /// The hold's id, made by the caller, so that a lost answer can be asked for. An id names one hold of one show:
    /// [`HoldId::of`] sees to it, and a store need not look for it among other shows.
    pub id: HoldId,
    /// The show.
    pub show: ShowId,
    /// The seat plan that `seats` are indices of.
    pub layout: LayoutId,
    /// For whom.
    pub owner: UserId,
    /// Which seats; not empty.
    pub seats: SeatSet,
    /// What they cost.
    pub price: Money,
    /// For how long.
    pub ttl: Duration,
    /// The limits, enforced in the same atomic step.
    pub limits: SeatLimits,
}

/// What came of a request to hold seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The seats are held.
    Placed(Hold),
    /// A hold of that id, owner and seats was there already: as it is now, with its first expiry (promise P6).
    Existing(Hold),
    /// Every one of the wanted seats that is held or sold (promise P3). Nothing was changed.
    Taken(SeatSet),
    /// More seats than the limit that is named. Nothing was changed.
    TooMany {
        /// The limit that would be passed.
        limit: u32,
    },
    /// The id belongs to another hold. Nothing was changed.
    IdTaken,
    /// The store does not know what of the show is sold: [`HoldStore::restore`] it, then ask again (promise P10).
    NotPrimed(Fence),
}

/// A request to link an order to a hold and to prolong the hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The order to link, unless another is linked already.
    pub order: OrderId,
    /// How long from now the seats must stay held: the order's time and a grace (promise P8).
    pub cover: Duration,
    /// The longest that a hold may live from its beginning.
    pub longest_life: Duration,
}

/// What came of a request to change a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldChange {
    /// The hold as it is after the command (changed, or as it was where the table says so).
    Done(Hold),
    /// The hold as it is, and why it was not changed.
    Refused(Hold, HoldRefusal),
    /// No such hold, or somebody else's (promise P9).
    NotFound,
}

/// Seats that the durable store sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoldSeats {
    /// The show.
    pub show: ShowId,
    /// The order that owns them.
    pub order: OrderId,
    /// The hold it was made of.
    pub hold: HoldId,
    /// Whose they are.
    pub owner: UserId,
    /// Which.
    pub seats: SeatSet,
}

/// An order that waits for payment, as the durable store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingClaim {
    /// The order.
    pub order: OrderId,
    /// The hold it was made of.
    pub hold: HoldId,
    /// Whose it is.
    pub owner: UserId,
    /// Its seats.
    pub seats: SeatSet,
    /// What they cost.
    pub price: Money,
    /// How much longer it waits for payment.
    pub remaining: Duration,
}

/// What the durable store knows of a show's seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowClaims {
    /// The show.
    pub show: ShowId,
    /// Its seat plan.
    pub layout: LayoutId,
    /// How many seats the plan has.
    pub seats: u32,
    /// Seats of confirmed orders.
    pub sold: Vec<SoldSeats>,
    /// Orders that wait for payment.
    pub pending: Vec<PendingClaim>,
    /// How much longer than its order a restored hold lives.
    pub grace: Duration,
}

/// Marks a moment in a show's life in the hold store, so that a restore which read the durable store since then can
/// see whether it is out of date. Opaque: only the store that gave it reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Fence {
    /// Counts what makes claims that were read before out of date: what was freed after it had been sold, what was sold
    /// while it was marked as another order's, and the orders that were unlinked from their holds. Starts anew, at an
    /// instant, when the store has forgotten the show.
    pub frees: u64,
    /// The occupancy version.
    pub version: u64,
}

/// What came of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The show is primed, and what the durable store knows is in.
    Done {
        /// Seats that were marked sold.
        added: u32,
        /// Seats that were marked sold and are not any more.
        freed: u32,
    },
    /// Something sold was freed or sold to another, or an order ended, since the fence: read the durable store again.
    Stale(Fence),
}

/// Which seats of a show are held and which are sold. The two never overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// Grows with every change. It starts at the store's clock in microseconds, so that it goes on growing after the
    /// store has lost everything.
    pub version: u64,
    /// The seat plan.
    pub layout: LayoutId,
    /// Seats under a live hold.
    pub held: SeatBits,
    /// Seats known to be sold.
    pub sold: SeatBits,
    /// For a [`HoldStore::restore`] that follows.
    pub fence: Fence,
}

/// What came of reading a show's occupancy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OccupancyRead {
    /// The occupancy.
    Known(Occupancy),
    /// The store does not know what of the show is sold: restore it, then ask again.
    NotPrimed(Fence),
}

/// How many seats of a show are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Seats under a live hold.
    pub held: u32,
    /// Seats known to be sold.
    pub sold: u32,
}

/// One change of a show's occupancy.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OccupancyChange {
    /// The version after it.
    pub version: u64,
    /// Seats that are held now.
    pub held: SeatSet,
    /// Seats that are sold now.
    pub sold: SeatSet,
    /// Seats that are free now.
    pub freed: SeatSet,
}

/// Changes after a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// All of them, oldest first; at least one.
    Since(Vec<OccupancyChange>),
    /// Not all are kept any more (or the version is none of this store's): read the occupancy anew.
    Gap,
}

/// Holds seats of shows, atomically and for a limited time (promises P2, P3, P5, P6).
///
/// An operation on a show first retires what has expired by the store's own clock, so that an expired hold never stands
/// in the way. The store may forget everything at any time; then it answers `NotPrimed` until it was restored.
#[async_trait]
pub trait HoldStore: Send + Sync + 'static {
    /// Holds all of the seats, or none.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer; after `OutcomeUnknown`, the same request again, or
    /// [`get`](Self::get), finds out.
    async fn place(&self, request: &PlaceHold) -> Result<Placed, StoreError>;

    /// The holds of these ids, in their order, whatever their state; one round trip a node. A hold that ended is kept
    /// for an hour, unless a thousand more of its show end meanwhile, so that its owner is told how it ended.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn get(&self, ids: &[HoldId]) -> Result<Vec<Option<Hold>>, StoreError>;

    /// Gives the seats back. The owner is checked in the same atomic step.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn release(&self, id: HoldId, by: &Caller) -> Result<HoldChange, StoreError>;

    /// Links an order to the hold and prolongs it; see [`HoldCommand::BeginCheckout`](crate::hold::HoldCommand). The
    /// hold that comes back names the linked order: the first one that asked. Each that asks while it is linked moves its
    /// end, by a millisecond at least.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn begin_checkout(&self, id: HoldId, by: &Caller, checkout: &Checkout) -> Result<HoldChange, StoreError>;

    /// Unlinks an order that failed or expired; the hold falls back to its own end.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn end_checkout(&self, id: HoldId, order: OrderId) -> Result<HoldChange, StoreError>;

    /// Releases a hold whose order the durable store refused, if it is still linked to that order and ends when it did as the
    /// caller linked it. Else another call has asked since, and may be making the order: the hold stays as it is. Only for
    /// the call that made the link: another may be before it.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn give_back(&self, id: HoldId, order: OrderId, until: Timestamp) -> Result<HoldChange, StoreError>;

    /// Marks seats sold that the durable store sold, and the order's hold consumed. Another hold on one of the seats is
    /// cut short. Works on a show that is not primed too. Repeating it changes nothing, and neither does old news: after
    /// [`mark_free`](Self::mark_free) of an order its sale is not marked again. Old news of a cancellation that this store
    /// was not told of, or has forgotten, cannot be known for old: it is believed until the next
    /// [`restore`](Self::restore), and neither the hold that it ends nor the mark that it replaces decides who owns a seat.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn mark_sold(&self, sold: &SoldSeats) -> Result<(), StoreError>;

    /// Frees the seats that are marked sold to a cancelled order; those that were sold to another order since stay.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn mark_free(&self, sold: &SoldSeats) -> Result<(), StoreError>;

    /// Takes in what the durable store knows, which must have been read after `fence` was given, and marks the show
    /// primed. Marks sold what is sold. Frees a seat that is marked sold and is not sold only when nothing has changed
    /// since the fence. Restores the holds of pending orders on a show that is not primed, or when nothing has changed
    /// since the fence: a restored hold ends with its order and the grace, and that is its own end too. Other holds on
    /// its seats are cut short; but where one of them has an order linked, that order may have been made since the claims
    /// were read, and the hold is not restored. A show of another seat plan starts anew: its live holds end.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn restore(&self, claims: &ShowClaims, fence: Fence) -> Result<Restored, StoreError>;

    /// Which seats are held and which are sold.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn occupancy(&self, show: &ShowId) -> Result<OccupancyRead, StoreError>;

    /// How many seats are taken, for each show; `None` for one that is not primed. One round trip a node.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn counts(&self, shows: &[ShowId]) -> Result<Vec<Option<Counts>>, StoreError>;

    /// The changes after a version. Waits until there is one, for as long as the caller polls; what expires while
    /// nobody asks is noticed at the next call, so a caller that wants to see it asks again now and then.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn changes(&self, show: &ShowId, after: u64) -> Result<Changes, StoreError>;

    /// The newest occupancy version of a show that this process has heard of, without asking the backend: a map of an
    /// older version is out of date. `None` while the store is not told of the show's changes; one that is told by
    /// notices may begin to listen when it is first asked. Once it answers, a change becomes known within the time that
    /// a notice takes, and a store that may have missed one answers `None` until it has caught up. Never a version that
    /// has not been.
    fn newest(&self, _show: &ShowId) -> Option<u64> {
        None
    }

    /// Retires up to `limit` holds that have expired, and forgets holds that ended long ago. Only tidies up. Says how
    /// many it retired.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn sweep(&self, limit: usize) -> Result<usize, StoreError>;

    /// Whether the backend answers, for readiness.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    async fn ping(&self) -> Result<(), StoreError>;
}

impl ShowClaims {
    /// When the restored hold of a pending order ends, at `now` of the hold store.
    #[must_use]
    pub fn restored_until(&self, pending: &PendingClaim, now: Timestamp) -> Timestamp {
        now.plus(pending.remaining).plus(self.grace)
    }
}
