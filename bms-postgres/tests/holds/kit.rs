//! What the tests of the hold store are written with: a show, and users who want its seats.

use std::sync::Arc;
use std::time::Duration;

use bms_domain::id::{Caller, HoldId, OrderId, ShowId};
use bms_domain::seat::SeatIndex;
use bms_domain::store::{
    Checkout, Fence, HoldStore as _, Occupancy, OccupancyRead, PlaceHold, Restored, SeatLimits, ShowClaims, SoldSeats,
};
use bms_domain::testing::{ManualClock, sample};
use bms_postgres::{Postgres, PostgresConfig, PostgresHolds};

pub(crate) const TTL: Duration = Duration::from_mins(10);
/// On a machine that is busy with other tests, calls that wait for each other take their time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A store of its own connections, whose time is told by a clock.
pub(crate) async fn holds(config: &PostgresConfig, clock: &ManualClock) -> PostgresHolds {
    let config = config.clone().deadline(PATIENCE).unwrap();
    PostgresHolds::new(Postgres::connect(&config).await.unwrap().with_clock(Arc::new(clock.clone())))
}

pub(crate) fn show() -> ShowId {
    sample::show("gala")
}

pub(crate) fn hold_id(n: u32) -> HoldId {
    sample::hold_id(&show(), n)
}

pub(crate) fn order_id(n: u32) -> OrderId {
    sample::order_id(&show(), n)
}

pub(crate) fn by(user: &str) -> Caller {
    Caller::user(sample::user(user))
}

pub(crate) fn checkout(n: u32) -> Checkout {
    Checkout { order: order_id(n), cover: Duration::from_mins(5), longest_life: Duration::from_mins(30) }
}

pub(crate) fn wish(n: u32, user: &str, seats: &[SeatIndex]) -> PlaceHold {
    PlaceHold {
        id: hold_id(n),
        show: show(),
        layout: sample::layout_id("plan"),
        owner: sample::user(user),
        seats: sample::seats(seats),
        price: sample::euro(1_250),
        ttl: TTL,
        limits: SeatLimits { per_hold: 10, per_user_and_show: 1_000 },
    }
}

pub(crate) fn sold(n: u32, user: &str, seats: &[SeatIndex]) -> SoldSeats {
    SoldSeats { show: show(), order: order_id(n), hold: hold_id(n), owner: sample::user(user), seats: sample::seats(seats) }
}

pub(crate) fn claims(seats: u32, sold: Vec<SoldSeats>) -> ShowClaims {
    let (layout, grace) = (sample::layout_id("plan"), Duration::from_secs(2));
    ShowClaims { show: show(), layout, seats, sold, pending: Vec::new(), grace }
}

pub(crate) async fn fence(store: &PostgresHolds) -> Fence {
    match store.occupancy(&show()).await.unwrap() {
        OccupancyRead::Known(known) => known.fence,
        OccupancyRead::NotPrimed(fence) => fence,
    }
}

/// Tells a store that nothing of the show is sold.
pub(crate) async fn prime(store: &PostgresHolds, seats: u32) {
    let restored = store.restore(&claims(seats, Vec::new()), fence(store).await).await.unwrap();
    assert_eq!(restored, Restored::Done { added: 0, freed: 0 });
}

pub(crate) async fn occupancy(store: &PostgresHolds) -> Occupancy {
    match store.occupancy(&show()).await.unwrap() {
        OccupancyRead::Known(known) => known,
        OccupancyRead::NotPrimed(_) => panic!("expected the occupancy, saw NotPrimed"),
    }
}
