//! What the rules of the hold store are written with.

use std::time::Duration;

use super::Case;
use crate::hold::{Hold, HoldState};
use crate::id::{Caller, HoldId, OrderId, ShowId, UserId};
use crate::seat::{SeatBits, SeatIndex, SeatSet};
use crate::store::{
    Checkout, Fence, HoldChange, HoldStore, Occupancy, OccupancyRead, PendingClaim, PlaceHold, Placed, Restored, SeatLimits,
    ShowClaims, SoldSeats,
};
use crate::testing::sample;
use crate::time::Timestamp;

pub(super) type Holds = Case<dyn HoldStore>;

/// How long a wished hold lasts.
pub(super) const TTL: Duration = Duration::from_mins(10);
/// How long a checkout covers.
pub(super) const COVER: Duration = Duration::from_secs(302);
/// How much longer than its order a restored hold lives.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// The longest life of a hold.
pub(super) const LONGEST: Duration = Duration::from_mins(30);
/// Seats of the show.
pub(super) const SEATS: u32 = 100;
/// One tick of every clock.
pub(super) const TICK: Duration = Duration::from_millis(1);

pub(super) fn the_show() -> ShowId {
    sample::show("show-1")
}

pub(super) fn hold(n: u32) -> HoldId {
    sample::hold_id(&the_show(), n)
}

pub(super) fn order(n: u32) -> OrderId {
    sample::order_id(&the_show(), n)
}

pub(super) fn by(user: &str) -> Caller {
    Caller::user(sample::user(user))
}

/// A wish for the `n`-th hold of the show.
pub(super) fn wish(n: u32, owner: &str, seats: &[SeatIndex]) -> PlaceHold {
    wish_of(&the_show(), n, sample::user(owner), seats)
}

pub(super) fn wish_of(show: &ShowId, n: u32, owner: UserId, seats: &[SeatIndex]) -> PlaceHold {
    PlaceHold {
        id: sample::hold_id(show, n),
        show: *show,
        layout: sample::layout_id("plan-1"),
        owner,
        seats: sample::seats(seats),
        price: sample::euro(1_250 * i64::try_from(seats.len()).unwrap()),
        ttl: TTL,
        limits: SeatLimits { per_hold: 10, per_user_and_show: 10 },
    }
}

pub(super) fn sold_to(n: u32, owner: &str, seats: &[SeatIndex]) -> SoldSeats {
    SoldSeats { show: the_show(), order: order(n), hold: hold(n), owner: sample::user(owner), seats: sample::seats(seats) }
}

pub(super) fn pending(n: u32, owner: &str, seats: &[SeatIndex], remaining: Duration) -> PendingClaim {
    PendingClaim {
        order: order(n),
        hold: hold(n),
        owner: sample::user(owner),
        seats: sample::seats(seats),
        price: sample::euro(1_250),
        remaining,
    }
}

/// Claims in which each sold seat is an order of its own.
pub(super) fn claims(sold: &[(SeatIndex, &str)], pending: &[PendingClaim]) -> ShowClaims {
    ShowClaims {
        show: the_show(),
        layout: sample::layout_id("plan-1"),
        seats: SEATS,
        sold: sold.iter().map(|(seat, owner)| sold_to(800 + seat, owner, &[*seat])).collect(),
        pending: pending.to_vec(),
        grace: GRACE,
    }
}

pub(super) fn checkout(n: u32) -> Checkout {
    Checkout { order: order(n), cover: COVER, longest_life: LONGEST }
}

pub(super) fn taken(placed: Placed) -> SeatSet {
    match placed {
        Placed::Taken(seats) => seats,
        other => panic!("expected Taken, saw {other:?}"),
    }
}

pub(super) fn done(change: HoldChange) -> Hold {
    match change {
        HoldChange::Done(hold) => hold,
        other => panic!("expected Done, saw {other:?}"),
    }
}

/// The end of a live hold and the order it is linked to.
pub(super) fn held(hold: &Hold) -> (Timestamp, Option<OrderId>) {
    match hold.state {
        HoldState::Held { until, order } => (until, order),
        other => panic!("expected HELD, saw {other:?}"),
    }
}

impl Holds {
    /// Tells a fresh store that nothing of a show is sold.
    pub(super) async fn prime_show(&self, show: &ShowId, seats: u32) {
        let fence = self.not_primed(show).await;
        let claims = ShowClaims { show: *show, seats, ..claims(&[], &[]) };
        let restored = self.store.restore(&claims, fence).await.unwrap();
        assert_eq!(restored, Restored::Done { added: 0, freed: 0 }, "the first restore of an empty show");
    }

    pub(super) async fn prime(&self) {
        self.prime_show(&the_show(), SEATS).await;
    }

    pub(super) async fn not_primed(&self, show: &ShowId) -> Fence {
        match self.store.occupancy(show).await.unwrap() {
            OccupancyRead::NotPrimed(fence) => fence,
            OccupancyRead::Known(known) => panic!("expected NotPrimed, saw {known:?}"),
        }
    }

    pub(super) async fn place(&self, wish: &PlaceHold) -> Placed {
        self.store.place(wish).await.unwrap()
    }

    /// Places a hold that must be granted.
    pub(super) async fn hold(&self, n: u32, owner: &str, seats: &[SeatIndex]) -> Hold {
        self.granted(&wish(n, owner, seats)).await
    }

    pub(super) async fn granted(&self, wish: &PlaceHold) -> Hold {
        match self.place(wish).await {
            Placed::Placed(hold) => hold,
            other => panic!("expected Placed for {:?}, saw {other:?}", wish.seats),
        }
    }

    pub(super) async fn get(&self, n: u32) -> Option<Hold> {
        self.store.get(&[hold(n)]).await.unwrap().pop().unwrap()
    }

    pub(super) async fn state(&self, n: u32) -> HoldState {
        self.get(n).await.expect("a hold that is there, or ended just now").state
    }

    pub(super) async fn release(&self, n: u32, user: &str) -> HoldChange {
        self.store.release(hold(n), &by(user)).await.unwrap()
    }

    pub(super) async fn begin(&self, n: u32, user: &str, checkout: &Checkout) -> HoldChange {
        self.store.begin_checkout(hold(n), &by(user), checkout).await.unwrap()
    }

    pub(super) async fn sell(&self, sold: &SoldSeats) {
        self.store.mark_sold(sold).await.unwrap();
    }

    pub(super) async fn restore(&self, claims: &ShowClaims, fence: Fence) -> Restored {
        self.store.restore(claims, fence).await.unwrap()
    }

    pub(super) async fn occupancy_of(&self, show: &ShowId) -> Occupancy {
        match self.store.occupancy(show).await.unwrap() {
            OccupancyRead::Known(known) => known,
            OccupancyRead::NotPrimed(_) => panic!("expected the occupancy of {show}, saw NotPrimed"),
        }
    }

    pub(super) async fn occupancy(&self) -> Occupancy {
        self.occupancy_of(&the_show()).await
    }

    /// The occupancy without its fence, which may move though no seat does.
    pub(super) async fn seen(&self) -> (u64, SeatBits, SeatBits) {
        let known = self.occupancy().await;
        (known.version, known.held, known.sold)
    }

    /// Fails unless exactly these seats are held and these are sold.
    pub(super) async fn expect_seats(&self, held: &[SeatIndex], sold: &[SeatIndex]) {
        let known = self.occupancy().await;
        let seen: (Vec<_>, Vec<_>) = (known.held.iter().collect(), known.sold.iter().collect());
        assert_eq!(seen, (held.to_vec(), sold.to_vec()), "the seats that are held, and those that are sold");
    }
}
