//! The server is killed, or stopped at once, at any moment: what was acknowledged is there afterwards, and what was not is there
//! whole or not at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bms_domain::order::OrderState;
use bms_domain::store::{Creation, OrderStore as _, Settled, StoreError};
use bms_domain::testing::sample;
use bms_postgres::testing::Server;
use bms_postgres::{Postgres, PostgresConfig};
use tokio::task::JoinSet;

use crate::support;
use crate::support::shop::{assert_sound, id, orders, paid, wish};

const BUYERS: u32 = 32;

/// What a buyer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Created,
    Confirmed,
}

/// Buyers order and pay until they are stopped; what each was told last.
async fn buyers(config: &PostgresConfig, stop: Arc<AtomicBool>) -> JoinSet<HashMap<u32, Told>> {
    let postgres = Postgres::connect(config).await.unwrap();
    let mut tasks = JoinSet::new();
    // One handle for all: what they want goes to the server together.
    let store = orders(&postgres);
    for buyer in 0..BUYERS {
        let (store, stop) = (store.clone(), stop.clone());
        tasks.spawn(async move {
            let mut told = HashMap::new();
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let n = round * BUYERS + buyer;
                told.insert(n, Told::Nothing);
                if matches!(store.create(&wish(n)).await, Ok(Creation::Created(_))) {
                    told.insert(n, Told::Created);
                    if store.settle(&paid(n), &sample::ticket(n)).await.is_ok_and(|settled| settled.settled == Settled::Confirmed)
                    {
                        told.insert(n, Told::Confirmed);
                    }
                }
            }
            told
        });
    }
    tasks
}

/// Runs a sale, does something to the server in its midst, and holds what is there against what buyers were told.
async fn survives(crash: impl FnOnce(&Server) + Send + 'static) {
    let server = Arc::new(Server::builder().durable().start().unwrap());
    let config = support::schema_in(&server.fresh_database().unwrap()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut sale = buyers(&config, stop.clone()).await;
    let before = Postgres::connect(&config).await.unwrap();
    support::until("a sale", async || before.audit().await.unwrap().confirmed > 20).await;
    let crashed = server.clone();
    tokio::task::spawn_blocking(move || crash(&crashed)).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut told = HashMap::new();
    while let Some(buyer) = sale.join_next().await {
        told.extend(buyer.unwrap());
    }
    let after = Postgres::connect(&config).await.unwrap();
    assert_sound(&after).await;
    let store = orders(&after);
    let mut confirmed = 0;
    for (n, told) in &told {
        let state = store.get(id(*n)).await.unwrap().map(|order| order.state);
        match told {
            Told::Nothing => {}
            Told::Created => assert!(state.is_some(), "order {n} was acknowledged, and is gone"),
            Told::Confirmed => {
                confirmed += 1;
                assert!(matches!(state, Some(OrderState::Confirmed { .. })), "order {n} was confirmed, and is {state:?}");
            }
        }
        // Asking again finds out, and completes it.
        if *told != Told::Confirmed {
            assert!(matches!(store.create(&wish(*n)).await.unwrap(), Creation::Created(_) | Creation::Existing(_)));
            store.settle(&paid(*n), &sample::ticket(*n)).await.unwrap();
            assert!(store.get(id(*n)).await.unwrap().unwrap().state.is_confirmed());
        }
    }
    assert!(confirmed > 0, "nothing was sold before the crash");
    assert_sound(&after).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_what_it_acknowledged() {
    survives(|server| {
        server.kill().unwrap();
        server.restart().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stopped_at_once_keeps_what_it_acknowledged() {
    survives(|server| {
        server.stop_immediately().unwrap();
        server.restart().unwrap();
    })
    .await;
}

/// Connections are ended again and again, in the midst of commits too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_connections_lose_nothing_that_was_acknowledged() {
    survives(|server| {
        let mut ended = 0;
        for _ in 0..20 {
            ended += server.terminate_backends("application_name = 'bms' AND state = 'active'").unwrap();
        }
        assert!(ended > 0, "nobody was cut off");
    })
    .await;
}

/// A connection is ended while its commit, which is on disk already, waits for a standby that is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_terminated_in_its_commit_has_an_unknown_outcome() {
    let server = Server::builder().durable().setting("synchronous_standby_names", "nobody").start().unwrap();
    let url = server.fresh_database().unwrap();
    // A session that waits for no standby prepares, and looks at what came of it.
    let patient = PostgresConfig::new(&format!("{url}?options=-c%20synchronous_commit%3Dlocal")).unwrap();
    Postgres::migrate(&patient).await.unwrap();
    let watcher = Postgres::connect(&patient).await.unwrap();
    let waiting = PostgresConfig::new(&url).unwrap().deadline(Duration::from_secs(20)).unwrap();
    let waiting = orders(&Postgres::connect(&waiting).await.unwrap());
    let store = orders(&watcher);
    store.create(&wish(1)).await.unwrap();
    let paying = tokio::spawn(async move { waiting.settle(&paid(1), &sample::ticket(1)).await });
    let commits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
    support::until("a commit that waits", async || server.psql(commits).unwrap() == "1").await;
    server.terminate_backends("wait_event = 'SyncRep'").unwrap();
    let told = paying.await.unwrap();
    assert!(matches!(told, Err(StoreError::OutcomeUnknown { .. })), "{told:?}");
    assert!(store.get(id(1)).await.unwrap().unwrap().state.is_confirmed());
    let again = store.settle(&paid(1), &sample::ticket(2)).await.unwrap();
    assert!(again.order.unwrap().state.is_confirmed());
    assert_sound(&watcher).await;
}
