//! Connections that grow old, that are closed under their users, and that have prepared statements for tables that change.

use std::time::Duration;

use bms_domain::store::{Creation, OrderStore as _, Settled, StoreError};
use bms_domain::testing::{ManualClock, sample};
use tokio::task::JoinSet;

use crate::support;
use crate::support::shop::{TTL, ann, assert_sound, id, orders, paid, wish};

/// However much it is needed: the pool ends connections that have grown old.
#[tokio::test]
async fn a_connection_that_was_kept_for_long_goes_back_to_the_pool() {
    let postgres = support::postgres(ManualClock::default()).await;
    let (store, pool) = (orders(&postgres), postgres.pool());
    for _ in 0..3 {
        store.get(id(1)).await.unwrap();
        assert_eq!((pool.size(), pool.num_idle()), (1, 0), "it is kept");
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(301)).await;
    tokio::time::resume();
    store.get(id(1)).await.unwrap();
    support::until("a connection in the pool", async || pool.num_idle() == 1).await;
    store.get(id(1)).await.unwrap();
    assert_eq!((pool.size(), pool.num_idle()), (1, 0), "the same is taken again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_who_is_busy_and_who_comes_later() {
    let postgres = support::postgres(ManualClock::default()).await;
    let store = orders(&postgres);
    let mut busy = JoinSet::new();
    for n in 0..32 {
        let store = store.clone();
        busy.spawn(async move {
            loop {
                if let Err(refused) = store.create(&wish(n)).await {
                    return refused;
                }
            }
        });
    }
    support::until("orders", async || store.get(id(31)).await.unwrap().is_some()).await;
    tokio::time::timeout(Duration::from_secs(20), postgres.close()).await.expect("closing ends");
    while let Some(ended) = busy.join_next().await {
        let refused = ended.unwrap();
        assert!(matches!(refused, StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. }), "{refused:?}");
    }
    assert!(matches!(store.get(id(1)).await, Err(StoreError::Unavailable { .. })));
}

/// A newer version of this library has added a column while a program of this one runs.
#[tokio::test]
async fn a_column_that_is_added_breaks_no_prepared_statement() {
    let clock = ManualClock::default();
    let case = support::case(&clock).await;
    let store = orders(&case.postgres);
    let each = async |first: u32| {
        for n in first..first + 4 {
            assert!(matches!(store.create(&wish(n)).await.unwrap(), Creation::Created(_)));
        }
        assert_eq!(store.settle(&paid(first), &sample::ticket(first)).await.unwrap().settled, Settled::Confirmed);
        store.give_up(id(first + 1), &ann()).await.unwrap();
        store.settle(&paid(first + 2), &sample::ticket(first + 2)).await.unwrap();
        store.cancel(id(first + 2)).await.unwrap();
        assert_eq!(store.list(&sample::user("ann"), None, 4).await.unwrap().len(), 4);
        clock.advance(TTL);
        assert_eq!(store.expire_overdue(10).await.unwrap().len(), 1);
    };
    each(0).await;
    for table in ["orders", "payments", "payment_notices", "tickets", "outbox", "order_changes", "show_plans", "seat_claims"] {
        case.sql(&format!("alter table bms.{table} add column added_later text")).await.unwrap();
    }
    each(4).await;
    assert_sound(&case.postgres).await;
}
