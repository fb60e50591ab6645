//! A pooler that has bad news of its own: it says them all with one SQLSTATE, and cuts the connection.

use std::time::Duration;

use bms_domain::store::{Creation, OrderStore as _, StoreError};
use bms_domain::testing::sample;
use bms_postgres::sqlx::{self, Connection as _, PgConnection};
use bms_postgres::testing::{PgBouncer, Server};
use bms_postgres::{Postgres, PostgresConfig};
use futures::future::join_all;

use crate::support;
use crate::support::shop::{id, orders, paid, wish};

/// P11: the server crashes behind a pooler while it commits: unknown, and asking again finds out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_during_commit_behind_a_pooler_is_unknown() {
    let server = Server::builder().durable().start().unwrap();
    let url = server.fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap();
    Postgres::migrate(&PostgresConfig::new(&url).unwrap()).await.unwrap();
    let bouncer = PgBouncer::start(&server, &[]).unwrap();
    let config = PostgresConfig::new(&bouncer.url_in(database)).unwrap().transaction_pooling(true);
    let store = orders(&Postgres::connect(&config.deadline(Duration::from_secs(30)).unwrap()).await.unwrap());
    store.create(&wish(1)).await.unwrap();
    // The order is on disk, and its commit waits for a standby that does not come.
    server.setting("synchronous_standby_names", "nobody").unwrap();
    let making = tokio::spawn({
        let store = store.clone();
        async move { store.create(&wish(2)).await }
    });
    let waits = || server.psql_in(database, "select count(*) from pg_stat_activity where wait_event = 'SyncRep'").unwrap() == "1";
    support::until("a commit that waits", async || waits()).await;
    tokio::task::block_in_place(|| server.kill()).unwrap();
    let said = making.await.unwrap().unwrap_err();
    assert!(matches!(said, StoreError::OutcomeUnknown { .. }), "{said:?}");
    tokio::task::block_in_place(|| server.restart()).unwrap();
    server.setting("synchronous_standby_names", "").unwrap();
    support::until("an answer", async || matches!(store.create(&wish(2)).await, Ok(Creation::Existing(_)))).await;
}

/// Migrating through a pooler leaves nothing behind on the connections that others get: no lock, no setting, nothing prepared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_through_a_pooler_leaves_no_trace() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap();
    let bouncer = PgBouncer::start(server, &[("default_pool_size", "1")]).unwrap();
    let config = PostgresConfig::new(&bouncer.url_in(database)).unwrap().transaction_pooling(true);
    for applied in [4, 0] {
        assert_eq!(Postgres::migrate(&config).await.unwrap().applied.len(), applied);
        let mut host = PgConnection::connect_with(&support::behind(&bouncer.url_in(database))).await.unwrap();
        let left: String = sqlx::query_scalar(
            "select concat_ws(' ', current_setting('search_path'), current_setting('lock_timeout'),
                 (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
                 (select count(*) from pg_prepared_statements where name like 'sqlx%'))",
        )
        .persistent(false)
        .fetch_one(&mut host)
        .await
        .unwrap();
        assert_eq!(left, "\"$user\", public 0 0 0");
        host.close().await.unwrap();
    }
    let store = orders(&Postgres::connect(&config).await.unwrap());
    store.create(&wish(1)).await.unwrap();
}

/// P11: a pooler that has no connection left refuses: definite, and for now only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_without_a_connection_to_spare_is_unavailable() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap();
    Postgres::migrate(&PostgresConfig::new(&url).unwrap()).await.unwrap();
    let bouncer = PgBouncer::start(server, &[("default_pool_size", "1"), ("query_wait_timeout", "1")]).unwrap();
    let config = PostgresConfig::new(&bouncer.url_in(database)).unwrap().transaction_pooling(true);
    let store = orders(&Postgres::connect(&config.deadline(Duration::from_secs(30)).unwrap()).await.unwrap());
    store.create(&wish(1)).await.unwrap();
    let mut host = PgConnection::connect_with(&support::behind(&bouncer.url_in(database))).await.unwrap();
    sqlx::raw_sql("begin").execute(&mut host).await.unwrap();
    let said = store.create(&wish(2)).await.unwrap_err();
    assert!(matches!(said, StoreError::Unavailable { .. }), "{said:?}");
    let said = store.get(id(1)).await.unwrap_err();
    assert!(matches!(said, StoreError::Unavailable { .. }), "{said:?}");
    sqlx::raw_sql("rollback").execute(&mut host).await.unwrap();
    store.create(&wish(2)).await.unwrap();
}

/// P11: a pooler has no connection to spare for longer than anybody waits. All that was sent is `begin`: nothing was done, for
/// whoever was to go together too, and nothing is done afterwards.
#[tokio::test]
async fn who_waits_for_a_pooler_until_the_deadline_has_sent_nothing() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap();
    Postgres::migrate(&PostgresConfig::new(&url).unwrap()).await.unwrap();
    let bouncer = PgBouncer::start(server, &[("default_pool_size", "1"), ("query_wait_timeout", "60")]).unwrap();
    let config = PostgresConfig::new(&bouncer.url_in(database)).unwrap().transaction_pooling(true);
    let store = orders(&Postgres::connect(&config.deadline(Duration::from_secs(2)).unwrap()).await.unwrap());
    store.create(&wish(1)).await.unwrap();
    let mut host = PgConnection::connect_with(&support::behind(&bouncer.url_in(database))).await.unwrap();
    sqlx::raw_sql("begin").execute(&mut host).await.unwrap();
    let wishes: Vec<_> = (10..20).map(wish).collect();
    let answers = join_all(wishes.iter().map(|wish| store.create(wish))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable { .. }))), "{answers:?}");
    let paying = store.settle(&paid(1), &sample::ticket(1)).await;
    assert!(matches!(paying, Err(StoreError::Unavailable { .. })), "{paying:?}");
    sqlx::raw_sql("rollback").execute(&mut host).await.unwrap();
    store.create(&wish(2)).await.unwrap();
    for wish in &wishes {
        assert_eq!(store.get(wish.id).await.unwrap(), None, "order {} was sent after all", wish.id);
    }
}
