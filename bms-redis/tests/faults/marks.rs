//! Seats are held in pieces of the marks: what lies between a hold's seats is others'. And a hall has more seats than a script can
//! hand to a function at once.

use std::collections::BTreeSet;
use std::time::Duration;

use bms_domain::seat::SeatBits;
use bms_domain::store::{HoldStore as _, Occupancy, OccupancyRead, PlaceHold, Placed, Restored, ShowClaims, SoldSeats};
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

async fn occupancy(holds: &RedisHolds) -> Occupancy {
    match holds.occupancy(&sample::show("wide")).await.unwrap() {
        OccupancyRead::Known(known) => known,
        OccupancyRead::NotPrimed(_) => panic!("not primed"),
    }
}

async fn held(holds: &RedisHolds) -> BTreeSet<u32> {
    set(&occupancy(holds).await.held)
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

/// The sales of a hundred orders are told by one call. Lua's stack has room for 8,000 values.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_seats_are_sold_and_freed_at_once() {
    let server = Server::start().unwrap();
    let holds = RedisHolds::new(connect(&server.url()).await);
    let show = sample::show("wide");
    prime(&holds, &show, SEATS).await;
    let order = |n: u32| SoldSeats {
        show,
        order: sample::order_id(&show, n),
        hold: sample::hold_id(&show, n),
        owner: sample::user(&format!("user-{n}")),
        seats: (n * 100..n * 100 + 100).collect(),
    };
    let (layout, grace) = (sample::layout_id("hall-1"), Duration::from_secs(2));
    let sold = ShowClaims { show, layout, seats: SEATS, sold: (0..100).map(order).collect(), pending: Vec::new(), grace };
    let fence = occupancy(&holds).await.fence;
    assert_eq!(holds.restore(&sold, fence).await.unwrap(), Restored::Done { added: 10_000, freed: 0 });
    let known = occupancy(&holds).await;
    assert!(known.sold.iter().eq(0..10_000));
    // None of them was sold after all.
    let none = ShowClaims { sold: Vec::new(), ..sold };
    assert_eq!(holds.restore(&none, known.fence).await.unwrap(), Restored::Done { added: 0, freed: 10_000 });
    assert_eq!(occupancy(&holds).await.sold.count(), 0);
}
