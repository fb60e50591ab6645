//! Following the changes of a show.

use std::time::{Duration, Instant};

use bms_domain::store::{Changes, HoldStore as _, Placed};
use bms_domain::testing::ManualClock;
use bms_postgres::PostgresConfig;
use bms_postgres::testing::{Proxy, Server};
use tokio::task::JoinSet;

use crate::kit::{TTL, holds, occupancy, prime, show, wish};
use crate::support;

/// What another process changes is seen without a notice, by all who wait, and one asks for all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_wait_ask_four_times_a_second() {
    const WAITERS: usize = 50;
    let (server, clock) = (Server::shared(), ManualClock::new());
    let proxy = Proxy::start(server).unwrap();
    let url = server.fresh_database().unwrap();
    let config = support::schema_in(&url).await;
    let other = holds(&config, &clock).await;
    prime(&other, 100).await;
    let schema = server.psql_in(url.rsplit('/').next().unwrap(), "select nspname from pg_namespace where nspname like 'case%'");
    let through = PostgresConfig::new(&proxy.instead_of(&url)).unwrap().schema(&schema.unwrap()).unwrap();
    let store = holds(&through, &clock).await;
    let version = occupancy(&store).await.version;
    let mut waiting = JoinSet::new();
    for _ in 0..WAITERS {
        let store = store.clone();
        waiting.spawn(async move { store.changes(&show(), version).await.unwrap() });
    }
    // Each may have looked once by itself.
    support::until("the first looks", async || proxy.statements() > 1).await;
    let (began, asked) = (Instant::now(), proxy.statements());
    support::until("later looks", async || proxy.statements() >= asked + WAITERS + 4).await;
    assert!(began.elapsed() >= Duration::from_millis(3 * 250), "{:?}", began.elapsed());
    assert!(matches!(other.place(&wish(1, "ann", &[7])).await.unwrap(), Placed::Placed(_)));
    for seen in waiting.join_all().await {
        assert!(matches!(&seen, Changes::Since(changes) if changes[0].held.as_slice() == [7]), "{seen:?}");
    }
    // P5: what expires while nobody else asks is seen as well.
    let version = occupancy(&store).await.version;
    clock.advance(TTL);
    let Changes::Since(changes) = store.changes(&show(), version).await.unwrap() else { panic!("it expired") };
    assert_eq!(changes[0].freed.as_slice(), [7]);
}

/// What is changed through the same handle wakes those who wait on it: they do not wait for the next look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_through_the_same_handle_wakes_at_once() {
    let store = holds(&support::schema().await, &ManualClock::new()).await;
    prime(&store, 100).await;
    let began = Instant::now();
    for n in 0..20_u32 {
        let version = occupancy(&store).await.version;
        let follower = store.clone();
        let waiting = tokio::spawn(async move { follower.changes(&show(), version).await.unwrap() });
        tokio::task::yield_now().await;
        store.place(&wish(n, &format!("user-{n}"), &[n])).await.unwrap();
        assert!(matches!(waiting.await.unwrap(), Changes::Since(_)));
    }
    assert!(began.elapsed() < 20 * Duration::from_millis(200), "{:?}", began.elapsed());
}
