//! Seats are held in pieces of the marks: what lies between a hold's seats is others'.

use std::collections::BTreeSet;

use bms_domain::seat::SeatBits;
use bms_domain::store::{HoldStore as _, Occupancy, OccupancyRead, PlaceHold, Placed};
use bms_domain::testing::sample;
use bms_redis::RedisHolds;
use bms_redis::testing::Server;

use crate::support::{connect, prime, wish};

/// Seats of a byte and over its border, over gaps of all lengths, and in the last byte of the plan.
const SCATTERED: [u32; 20] = [0, 3, 4, 9, 40, 41, 77, 78, 79, 80, 150, 151, 409, 700, 701, 702, 5_000, 5_003, 19_996, 19_998];
const SEATS: u32 = 19_999;

fn many(n: u32, seats: &[u32]) -> PlaceHold {
    let mut wish = wish(&sample::show("wide"), n, seats);
    wish.limits.per_hold = SEATS;
    wish.limits.per_user_and_show = SEATS;
    wish
}

fn set(bits: &SeatBits) -> BTreeSet<u32> {
    (0..SEATS).filter(|seat| bits.contains(*seat)).collect()
}

async fn held(holds: &RedisHolds) -> BTreeSet<u32> {
    match holds.occupancy(&sample::show("wide")).await.unwrap() {
        OccupancyRead::Known(Occupancy { held, .. }) => set(&held),
        OccupancyRead::NotPrimed(_) => panic!("not primed"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_far_apart_are_held_all_or_none() {
    let server = Server::start().unwrap();
    let holds = RedisHolds::new(connect(&server.url()).await);
    prime(&holds, &sample::show("wide"), SEATS).await;

    assert!(matches!(holds.place(&many(1, &SCATTERED)).await.unwrap(), Placed::Placed(_)));
    assert_eq!(held(&holds).await, BTreeSet::from(SCATTERED));
    assert!(matches!(holds.place(&many(1, &SCATTERED)).await.unwrap(), Placed::Existing(_)), "again");

    // Each of them stands in the way alone, and the seats beside it stay free.
    for (n, seat) in (2..).zip(SCATTERED) {
        let others: BTreeSet<u32> = [seat.saturating_sub(1), seat, (seat + 1).min(SEATS - 1), 1_000, 19_990].into();
        let others: Vec<u32> = others.into_iter().filter(|other| *other == seat || !SCATTERED.contains(other)).collect();
        let Placed::Taken(taken) = holds.place(&many(n, &others)).await.unwrap() else { panic!("{seat} is held") };
        assert_eq!(taken, sample::seats(&[seat]));
    }
    assert_eq!(held(&holds).await, BTreeSet::from(SCATTERED));

    // All seats between them, in the same bytes.
    let rest: Vec<u32> = (0..800).filter(|seat| !SCATTERED.contains(seat)).collect();
    assert!(matches!(holds.place(&many(50, &rest)).await.unwrap(), Placed::Placed(_)));
    assert_eq!(held(&holds).await, rest.iter().copied().chain(SCATTERED).collect());
    assert!(holds.place(&many(51, &[SEATS - 1, SEATS])).await.is_err(), "the plan has no such seat");
}
