//! Calls of several statements (promise P11).

use std::time::{Duration, Instant};

use bms_domain::store::{OrderStore as _, StoreError};
use bms_domain::testing::ManualClock;
use bms_postgres::sqlx;
use bms_postgres::testing::Server;

use crate::support;
use crate::support::shop::{orders, wish};

/// Each statement of a call is slow, and none for so long that it ends by itself: the call does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_statements_of_a_call_have_one_deadline() {
    // Long beside what a busy machine adds. The server's own clock ends statements, so this one test takes real time.
    const DEADLINE: Duration = Duration::from_secs(4);
    let clock = ManualClock::default();
    let case =
        support::case_in(&Server::shared().fresh_database().unwrap(), &clock, |config| config.deadline(DEADLINE).unwrap()).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    let waiting = async |number| {
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(case.postgres.pool()).await.unwrap() == number
    };
    // The claim of the seats waits for one transaction, and the look at what is in its way for another.
    let claim = "insert into bms.seat_claims (shard, show_id, seat_id, seat_index, order_id, expires_at)
        select shard, show_id, 'S4', 4, id, expires_at from bms.orders";
    let first = case.schema.open(claim).await;
    let begun = Instant::now();
    let making = tokio::spawn({
        let store = store.clone();
        async move { store.create(&wish(2)).await }
    });
    support::until("the claim that waits", async || waiting(1).await).await;
    let second = async { case.schema.open("lock table bms.seat_claims in access exclusive mode").await };
    let release = async {
        support::until("both", async || waiting(2).await).await;
        tokio::time::sleep((DEADLINE * 7 / 10).saturating_sub(begun.elapsed())).await;
        first.commit().await.unwrap();
    };
    let (_second, ()) = tokio::join!(second, release);
    let said = making.await.unwrap().unwrap_err();
    assert!(matches!(said, StoreError::Unavailable { .. }), "{said:?}");
    assert!(begun.elapsed() < DEADLINE * 14 / 10, "{:?}", begun.elapsed());
}
