//! What is kept, and for how long.

use std::time::Duration;

use bms_domain::store::{Changes, HoldStore as _, OccupancyRead, Placed, Restored};
use bms_domain::testing::ManualClock;
use bms_postgres::testing::Server;

use crate::kit::{TTL, by, claims, fence, hold_id, holds, occupancy, prime, show, sold, wish};
use crate::support;

/// A hold that ended is told of for an hour, and then forgotten by the sweeper.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_hold_is_kept_for_an_hour() {
    let clock = ManualClock::new();
    let store = holds(&support::schema().await, &clock).await;
    prime(&store, 100).await;
    store.place(&wish(1, "ann", &[1])).await.unwrap();
    store.place(&wish(2, "bob", &[2])).await.unwrap();
    store.release(hold_id(1), &by("ann")).await.unwrap();
    clock.advance(Duration::from_mins(60) - Duration::from_millis(1));
    store.sweep(100).await.unwrap();
    assert!(store.get(&[hold_id(1)]).await.unwrap()[0].is_some());
    clock.advance(Duration::from_millis(1));
    store.sweep(100).await.unwrap();
    let [first, second] = store.get(&[hold_id(1), hold_id(2)]).await.unwrap().try_into().unwrap();
    assert!(first.is_none() && second.is_some(), "the other ended ten minutes later");
    clock.advance(TTL);
    store.sweep(100).await.unwrap();
    assert_eq!(store.get(&[hold_id(2)]).await.unwrap(), [None]);
}

/// However many come and go within the hour: a thousand ended holds and a thousand changes are kept, and not many more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_a_busy_show_is_bounded() {
    let clock = ManualClock::new();
    let url = Server::shared().fresh_database().unwrap();
    let config = support::schema_in(&url).await;
    let store = holds(&config, &clock).await;
    prime(&store, 100).await;
    let start = occupancy(&store).await.version;
    for n in 0..1_700_u32 {
        clock.advance(Duration::from_millis(1));
        assert!(matches!(store.place(&wish(n, "ann", &[n % 100])).await.unwrap(), Placed::Placed(_)));
        store.release(hold_id(n), &by("ann")).await.unwrap();
    }
    let (first, last): (Vec<_>, Vec<_>) = ((0..300).map(hold_id).collect(), (676..1_700).map(hold_id).collect());
    assert!(store.get(&first).await.unwrap().iter().all(Option::is_none), "the oldest");
    assert!(store.get(&last).await.unwrap().iter().all(Option::is_some), "the last thousand");
    let version = occupancy(&store).await.version;
    assert_eq!(version, start + 3_400);
    let Changes::Since(changes) = store.changes(&show(), version - 1_023).await.unwrap() else { panic!("a thousand are kept") };
    assert_eq!(changes.len(), 1_023);
    assert_eq!(store.changes(&show(), version - 1_300).await.unwrap(), Changes::Gap);
}

/// An arena that is sold out is told, told again and freed in a moment each: no step looks through all orders for each seat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_orders_are_restored_and_freed_at_once() {
    const SEATS: u32 = 20_000;
    let config = support::schema().await.deadline(Duration::from_secs(10)).unwrap();
    let store = bms_postgres::PostgresHolds::new(bms_postgres::Postgres::connect(&config).await.unwrap());
    let sales = (0..SEATS / 2).map(|n| sold(n, &format!("user-{n}"), &[2 * n, 2 * n + 1])).collect();
    let (all, none) = (claims(SEATS, sales), claims(SEATS, Vec::new()));
    for (told, added, freed) in [(&none, 0, 0), (&all, SEATS, 0), (&all, 0, 0), (&none, 0, SEATS)] {
        let restored = store.restore(told, fence(&store).await).await.unwrap();
        assert_eq!(restored, Restored::Done { added, freed });
        let expected = if told.sold.is_empty() { 0 } else { SEATS };
        assert_eq!(occupancy(&store).await.sold.count(), expected);
    }
}

/// A show that nothing has happened to for a week is forgotten, whole; one with a live hold is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_show_that_is_over_is_forgotten() {
    let clock = ManualClock::new();
    let url = Server::shared().fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap();
    let config = support::schema_in(&url).await.schema("bms").unwrap();
    bms_postgres::Postgres::migrate(&config).await.unwrap();
    let store = holds(&config, &clock).await;
    prime(&store, 100).await;
    let mut long = wish(1, "ann", &[1]);
    long.ttl = Duration::from_hours(8 * 24);
    store.place(&long).await.unwrap();
    clock.advance(Duration::from_hours(7 * 24));
    store.sweep(100).await.unwrap();
    assert!(matches!(store.occupancy(&show()).await.unwrap(), OccupancyRead::Known(_)));
    clock.advance(Duration::from_hours(8 * 24));
    // Retires the hold, and forgets it; a week later there is nothing that the show could be kept for.
    store.sweep(100).await.unwrap();
    clock.advance(Duration::from_hours(7 * 24));
    store.sweep(100).await.unwrap();
    let rows = "select (select count(*) from bms.hold_shows) + (select count(*) from bms.hold_seats) \
                + (select count(*) from bms.holds) + (select count(*) from bms.hold_changes)";
    assert_eq!(Server::shared().psql_in(database, rows).unwrap(), "0");
    assert!(matches!(store.occupancy(&show()).await.unwrap(), OccupancyRead::NotPrimed(_)));
}
