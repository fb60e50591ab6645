//! A server that cannot be used, or refuses: a clear error at the start, and quick ones afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bms_domain::catalogue::Screen;
use bms_domain::id::ScreenId;
use bms_domain::order::Customer;
use bms_domain::store::{
    CatalogueStore as _, Fingerprint, HoldStore as _, IdempotencyKey, IdempotencyStore as _, NewOrder, OrderStore as _,
    StoreError,
};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::Timestamp;
use bms_postgres::sqlx::postgres::PgPoolOptions;
use bms_postgres::sqlx::{self, Connection as _, PgConnection};
use bms_postgres::testing::Server;
use bms_postgres::{Error, Postgres, PostgresCatalogue, PostgresConfig, PostgresHolds, PostgresIdempotency, Warning};
use tempfile::NamedTempFile;

use crate::support;
use crate::support::shop::{ann, id, orders, paid, wish};

async fn refused(url: &str) -> Error {
    Postgres::connect(&PostgresConfig::new(url).unwrap().deadline(Duration::from_secs(2)).unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_said_at_the_start() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    assert!(matches!(refused(&server.url_of("postgres", "wrong", "postgres")).await, Error::Unauthenticated { .. }));
    assert!(matches!(refused(&server.url_of("nobody-of-this-name", "x", "postgres")).await, Error::Unauthenticated { .. }));
    assert!(matches!(refused(&server.url_in("no_such_database")).await, Error::NoDatabase { .. }));
    assert!(matches!(refused("postgres://u:canary@127.0.0.1:1/x").await, Error::Unreachable { .. }));
    let Error::NotMigrated { missing, .. } = refused(&url).await else { panic!("an empty database was taken") };
    assert!(missing.contains(&1));
    let said =
        format!("{} {:?}", refused("postgres://u:canary@127.0.0.1:1/x").await, refused(&server.url_of("u", "canary", "x")).await);
    assert!(!said.contains("canary"), "{said}");
}

#[tokio::test]
async fn migrating_is_done_once_whoever_asks_and_leaves_the_host_alone() {
    let url = Server::shared().fresh_database().unwrap();
    let config = PostgresConfig::new(&url).unwrap();
    let mut host = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("create table orders (mine int); create table _sqlx_migrations (mine int)").execute(&mut host).await.unwrap();
    let all = futures::future::join_all((0..8).map(|_| Postgres::migrate(&config))).await;
    let applied = all.iter().filter(|migrated| !migrated.as_ref().unwrap().applied.is_empty()).count();
    assert_eq!(applied, 1, "{all:?}");
    Postgres::connect(&config).await.unwrap();
    let theirs: i64 =
        sqlx::query_scalar("select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'")
            .fetch_one(&mut host)
            .await
            .unwrap();
    assert_eq!(theirs, 2, "the host's tables, and none of ours");
}

/// A role whose search path leads elsewhere uses the tables of the schema all the same.
#[tokio::test]
async fn the_hosts_search_path_does_not_leak_in() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let name = url.rsplit('/').next().unwrap();
    server
        .psql_in(name, "create schema trap; create table trap.orders (mine int); create table trap.seat_claims (mine int)")
        .unwrap();
    server.psql_in(name, &format!("alter database \"{name}\" set search_path = trap")).unwrap();
    let config = PostgresConfig::new(&url).unwrap().schema("shop_2").unwrap();
    Postgres::migrate(&config).await.unwrap();
    let store = orders(&Postgres::connect(&config).await.unwrap());
    store.create(&wish(1)).await.unwrap();
    store.settle(&paid(1), &sample::ticket(1)).await.unwrap();
    assert_eq!(server.psql_in(name, "select count(*) from shop_2.orders where state = 'CONFIRMED'").unwrap(), "1");
}

#[tokio::test]
async fn a_schema_that_is_not_this_versions_is_refused_and_left_alone() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let name = url.rsplit('/').next().unwrap();
    let config = PostgresConfig::new(&url).unwrap();
    Postgres::migrate(&config).await.unwrap();
    let sql = |sql: &str| server.psql_in(name, sql).unwrap();
    sql(
        "insert into bms.migrations (version, description, success, checksum, execution_time) values (9999, 'future', true, '', 0)",
    );
    assert!(matches!(Postgres::connect(&config).await.unwrap_err(), Error::TooNew { found: 9999, .. }));
    assert!(matches!(Postgres::migrate(&config).await.unwrap_err(), Error::TooNew { found: 9999, .. }));
    sql("delete from bms.migrations where version = 9999");
    sql("drop index bms.orders_one_open_a_hold; drop trigger only_added_to on bms.order_changes");
    sql("alter table bms.tickets drop constraint tickets_one_an_order");
    let Error::Damaged { missing, .. } = Postgres::connect(&config).await.unwrap_err() else { panic!("a guard is missing") };
    assert_eq!(missing, ["orders.orders_one_open_a_hold", "tickets.tickets_one_an_order", "order_changes.only_added_to"]);
    sql("update bms.migrations set checksum = 'x' where version = 1");
    assert!(matches!(Postgres::connect(&config).await.unwrap_err(), Error::Altered { version: 1, .. }));
    assert!(matches!(Postgres::migrate(&config).await.unwrap_err(), Error::Altered { version: 1, .. }));
}

/// A guard that is there and switched off is none, and one of another table's is no substitute.
#[tokio::test]
async fn a_guard_that_is_switched_off_is_missing() {
    let case = support::case(&ManualClock::default()).await;
    for (sql, guards) in [
        (
            "alter table bms.seat_claims disable trigger all",
            &["seat_claims.seat_claims_order", "seat_claims.seat_claims_stay_sold", "seat_claims.never_emptied"][..],
        ),
        ("alter table bms.seat_claims enable trigger all; drop trigger never_emptied on bms.layouts", &["layouts.never_emptied"]),
        (
            "alter table bms.order_changes enable replica trigger only_added_to",
            &["order_changes.only_added_to", "layouts.never_emptied"],
        ),
        (
            "drop trigger seat_claims_stay_sold on bms.seat_claims; create table bms.others (constraint seat_claims_stay_sold check (true), a int)",
            &["seat_claims.seat_claims_stay_sold", "order_changes.only_added_to", "layouts.never_emptied"],
        ),
    ] {
        case.sql(sql).await.unwrap();
        let refused = Postgres::connect(&case.config).await.unwrap_err();
        assert!(matches!(&refused, Error::Damaged { missing, .. } if missing[..] == *guards), "{sql}: {refused:?}");
        // Whoever audits is told so, too.
        let audit = Postgres::connect_to_audit(&case.config).await.unwrap().audit().await.unwrap();
        let [found] = &audit.findings[..] else { panic!("{:?}", audit.findings) };
        assert_eq!(
            (found.what, &found.examples[..]),
            ("the tables lack a guard", &guards.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>()[..])
        );
    }
}

/// A migration that cannot be done is not begun: nothing is half-migrated.
#[tokio::test]
async fn a_migration_that_fails_leaves_nothing() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let name = url.rsplit('/').next().unwrap();
    let config = PostgresConfig::new(&url).unwrap();
    // A table of the first migration, and one of the last.
    for (table, migration) in [("tickets", 1), ("hold_seats", 4)] {
        server.psql_in(name, &format!("create schema if not exists bms; create table bms.{table} (theirs int)")).unwrap();
        let Error::Migration { version, .. } = Postgres::migrate(&config).await.unwrap_err() else { panic!("{table}") };
        assert_eq!(version, migration);
        let left = "select string_agg(relname, ' ') from pg_class where relnamespace = 'bms'::regnamespace and relkind = 'r'";
        assert_eq!(server.psql_in(name, left).unwrap(), table);
        server.psql_in(name, &format!("drop table bms.{table}")).unwrap();
    }
    let migrated = Postgres::migrate(&config).await.unwrap();
    assert_eq!((migrated.applied, migrated.version), (vec![1, 2, 3, 4], 4));
    Postgres::connect(&config).await.unwrap();
}

/// A server that says it is an old one, or takes no writes, is left as it is.
#[tokio::test]
async fn a_server_that_will_not_do_is_not_migrated() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let name = url.rsplit('/').next().unwrap();
    let old = "create schema old; create function old.current_setting(name text) returns text language sql as
        $$ select case name when 'server_version_num' then '130004' else pg_catalog.current_setting(name) end $$;";
    server.psql_in(name, &format!("{old} alter database \"{name}\" set search_path = old, pg_catalog")).unwrap();
    let config = PostgresConfig::new(&url).unwrap();
    assert!(matches!(Postgres::migrate(&config).await.unwrap_err(), Error::TooOld { .. }));
    assert!(matches!(Postgres::connect(&config).await.unwrap_err(), Error::TooOld { .. }));
    server
        .psql_in(
            name,
            &format!(
                "alter database \"{name}\" reset search_path; alter database \"{name}\" set default_transaction_read_only = on"
            ),
        )
        .unwrap();
    assert!(matches!(Postgres::migrate(&config).await.unwrap_err(), Error::ReadOnly { .. }));
    assert_eq!(server.psql_in(name, "select count(*) from pg_namespace where nspname = 'bms'").unwrap(), "0");
}

/// P14: what may lose an acknowledged payment is warned of, and refused under `strict`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsafe_settings_speak_up() {
    let server = Server::builder().durable().start().unwrap();
    let config = support::schema_in(&server.fresh_database().unwrap()).await;
    assert_eq!(Postgres::connect(&config).await.unwrap().warnings(), []);
    server.setting("synchronous_commit", "off").unwrap();
    assert_eq!(Postgres::connect(&config).await.unwrap().warnings(), [Warning::SynchronousCommitOff]);
    let Error::Unsafe { warnings, .. } = Postgres::connect(&config.clone().strict(true)).await.unwrap_err() else {
        panic!("taken")
    };
    assert_eq!(warnings, [Warning::SynchronousCommitOff]);
    server.setting("synchronous_commit", "on").unwrap();
    server.setting("default_transaction_read_only", "on").unwrap();
    assert!(matches!(Postgres::connect(&config).await.unwrap_err(), Error::ReadOnly { .. }));
}

/// P11: a server that turns read-only, locks that are not given, a pool with nothing left: a definite error, in time, and
/// nothing was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_definite_and_in_time() {
    let server = Server::start().unwrap();
    let url = server.fresh_database().unwrap();
    let config = support::schema_in(&url).await.deadline(Duration::from_secs(2)).unwrap().connections(1).unwrap();
    let store = orders(&Postgres::connect(&config).await.unwrap());
    store.create(&wish(1)).await.unwrap();
    let schema = format!("{config:?}").split("Schema(\"").nth(1).unwrap().split('"').next().unwrap().to_owned();

    let mut locker = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("begin; lock table {schema}.orders in access exclusive mode")))
        .execute(&mut locker)
        .await
        .unwrap();
    let begun = Instant::now();
    // The server gives up before the caller does, and says so: whether it is a call alone, one of several, or a change.
    let locked = store.create(&wish(2)).await.unwrap_err();
    assert!(matches!(locked, StoreError::Unavailable { .. }), "{locked:?}");
    let one = store.settle(&paid(1), &sample::ticket(1)).await;
    let other = store.give_up(id(1), &ann()).await;
    assert!(matches!(one, Err(StoreError::Unavailable { .. })), "{one:?}");
    assert!(matches!(other, Err(StoreError::Unavailable { .. })), "{other:?}");
    assert!(begun.elapsed() < Duration::from_secs(8));
    sqlx::raw_sql("rollback").execute(&mut locker).await.unwrap();
    store.create(&wish(2)).await.unwrap();

    // A host program that has every connection of its pool in use.
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let guest = orders(&Postgres::with_pool(pool.clone(), &config).await.unwrap());
    let taken = pool.acquire().await.unwrap();
    assert!(matches!(guest.create(&wish(3)).await.unwrap_err(), StoreError::Unavailable { .. }));
    drop(taken);
    guest.create(&wish(3)).await.unwrap();

    server.setting("default_transaction_read_only", "on").unwrap();
    support::until("the setting", async || matches!(store.create(&wish(4)).await, Err(StoreError::Unavailable { .. }))).await;
    assert!(store.get(support::shop::id(1)).await.unwrap().is_some(), "reading goes on");
    server.setting("default_transaction_read_only", "off").unwrap();
    support::until("the setting", async || store.create(&wish(5)).await.is_ok()).await;

    tokio::task::block_in_place(|| server.pause()).unwrap();
    let begun = Instant::now();
    let stalled = store.create(&wish(6)).await.unwrap_err();
    assert!(matches!(stalled, StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. }), "{stalled:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    tokio::task::block_in_place(|| server.resume()).unwrap();
    support::until("an answer", async || store.create(&wish(6)).await.is_ok()).await;

    let patient = config.clone().deadline(Duration::from_secs(60)).unwrap();
    let patient = orders(&Postgres::connect(&patient).await.unwrap());
    tokio::task::block_in_place(|| server.kill()).unwrap();
    let begun = Instant::now();
    assert!(matches!(patient.create(&wish(7)).await.unwrap_err(), StoreError::Unavailable { .. }));
    assert!(begun.elapsed() < Duration::from_secs(30), "who is refused is told so at once, whatever the deadline");
    assert!(matches!(
        store.create(&wish(7)).await.unwrap_err(),
        StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. }
    ));
    assert!(matches!(store.create(&wish(7)).await.unwrap_err(), StoreError::Unavailable { .. }), "nobody is there");
}

/// What the server says of a row that it refuses is the row: nothing of it gets into an error, or into what is logged.
#[tokio::test]
async fn a_refused_row_is_told_to_nobody() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let config = support::schema_in(&url).await;
    let log = NamedTempFile::new().unwrap();
    let listens = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(Arc::new(log.reopen().unwrap()));
    let _listening = tracing::subscriber::set_default(listens.finish());
    let store = orders(&Postgres::connect(&config).await.unwrap());
    let schema = format!("{config:?}").split("Schema(\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let name = url.rsplit('/').next().unwrap();
    let order = |n: u32| {
        let customer = Customer { name: "Canary Name".to_owned(), email: "canary@example.org".to_owned() };
        NewOrder { owner: sample::user("canary-user"), customer, ..wish(n) }
    };
    let mut said = String::new();
    // A constraint that fails, a value that does not fit, a refusal in words.
    for (n, what) in (1..).zip([
        "alter table orders add constraint mine check (customer_email = '') not valid",
        "alter table orders add constraint mine check (customer_email::int > 0) not valid",
        "create function mine() returns trigger language plpgsql as $$ begin raise 'not %', new using detail = new.customer_email; end $$; \
         create trigger mine before insert on orders for each row execute function mine()",
    ]) {
        server.psql_in(name, &format!("set search_path = {schema}; {what}")).unwrap();
        let refused = store.create(&order(n)).await.unwrap_err();
        said += &format!("{refused} {refused:?}\n");
        let mut source = std::error::Error::source(&refused);
        while let Some(error) = source {
            said += &format!("{error} {error:?}\n");
            source = error.source();
        }
        let undo = "alter table orders drop constraint if exists mine; drop trigger if exists mine on orders; \
                    drop function if exists mine";
        server.psql_in(name, &format!("set search_path = {schema}; {undo}")).unwrap();
    }
    store.create(&order(9)).await.unwrap();
    let logged = std::fs::read_to_string(log.path()).unwrap();
    assert!(logged.contains("orders"), "nothing was listened to");
    for canary in ["canary@example.org", "Canary Name", "canary-user"] {
        assert!(!said.contains(canary), "{canary} is told: {said}");
        assert!(!logged.contains(canary), "{canary} is logged: {logged}");
    }
}

/// The role of the program that sells has no right to create or change tables, and needs none.
#[tokio::test]
async fn the_runtime_role_needs_no_right_to_change_tables() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let name = url.rsplit('/').next().unwrap();
    // A careful host, whose functions are nobody's to call unless that is granted.
    server.psql_in(name, "alter default privileges revoke execute on functions from public").unwrap();
    Postgres::migrate(&PostgresConfig::new(&url).unwrap()).await.unwrap();
    let seller = server.role(&format!("seller_{name}"), "s3cret", name).unwrap();
    let rights = include_str!("../../README.md").split("```sql").nth(1).unwrap().split("```").next().unwrap();
    server.psql_in(name, &rights.replace("bms_seller", &format!("\"seller_{name}\""))).unwrap();
    let postgres = Postgres::connect(&PostgresConfig::new(&seller).unwrap()).await.unwrap();
    let catalogue = PostgresCatalogue::new(postgres.clone());
    let mut entries = sample::catalogue("s1", 10, Timestamp::from_millis(0));
    let screens = &mut entries.theatres[0].screens;
    screens.push(Screen { screen: ScreenId::parse("two").unwrap(), ..screens[0].clone() });
    catalogue.write(&entries).await.unwrap();
    entries.theatres[0].screens.pop();
    catalogue.write(&entries).await.unwrap();
    let keys = PostgresIdempotency::new(postgres.clone());
    let key = IdempotencyKey::new(sample::user("ann"), "k").unwrap();
    keys.begin(&key, Fingerprint([1; 32]), sample::uuid(1), Duration::ZERO).await.unwrap();
    keys.finish(&key, Vec::new(), Duration::ZERO).await.unwrap();
    assert_eq!(keys.sweep(1).await.unwrap(), 1);
    let store = orders(&postgres);
    store.create(&wish(1)).await.unwrap();
    store.settle(&paid(1), &sample::ticket(1)).await.unwrap();
    store.cancel(support::shop::id(1)).await.unwrap();
    store.create(&wish(2)).await.unwrap();
    store.give_up(support::shop::id(2), &support::shop::ann()).await.unwrap();
    PostgresHolds::new(postgres.clone()).occupancy(&support::shop::show()).await.unwrap();
    let mut connection = PgConnection::connect(&seller).await.unwrap();
    for sql in [
        "create table bms.mine (a int)",
        "alter table bms.orders add column a int",
        "drop table bms.seat_claims",
        "truncate bms.orders",
        "update bms.order_changes set at = now()",
        "delete from bms.order_changes",
        "delete from bms.orders",
        "delete from bms.payments",
        "delete from bms.tickets",
        "update bms.layouts set plan = plan",
        "delete from bms.shows",
    ] {
        let refused = sqlx::raw_sql(sql).execute(&mut connection).await.expect_err(sql);
        assert_eq!(refused.as_database_error().and_then(|said| said.code()).as_deref(), Some("42501"), "{sql}");
    }
}
