//! What stands between a client and the server.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bms_postgres::{
    sqlx::{Connection as _, Error, PgConnection, postgres::PgConnectOptions, query, query_scalar, raw_sql},
    testing::{PgBouncer, Proxy, Server},
};

use super::{ask, block_on};

/// A database with a table of seats; its name and URL.
fn database(server: &Server) -> (String, String) {
    let url = server.fresh_database().unwrap();
    let name = url.rsplit('/').next().unwrap().to_owned();
    server.psql_in(&name, "CREATE TABLE seat (id text PRIMARY KEY)").unwrap();
    (name, url)
}

fn seats(server: &Server, name: &str) -> String {
    server.psql_in(name, "SELECT string_agg(id, ',' ORDER BY id) FROM seat").unwrap()
}

#[test]
fn an_answer_is_lost_after_its_effect() {
    let server = Server::shared();
    let (name, url) = database(server);
    let proxy = Proxy::start(server).unwrap();
    block_on(async {
        let mut connection = PgConnection::connect(&proxy.instead_of(&url)).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        query("INSERT INTO seat VALUES ($1)").bind("A1").execute(&mut *transaction).await.unwrap();
        proxy.drop_reply_of("COMMIT");
        assert!(matches!(transaction.commit().await, Err(Error::Io(_))));
        proxy.wait_until_dropped(1).unwrap();
        assert_eq!(seats(server, &name), "A1");
    });
    // One that was prepared before, and is sent by its name.
    block_on(async {
        let mut connection = PgConnection::connect(&proxy.instead_of(&url)).await.unwrap();
        let insert = "INSERT INTO seat VALUES ($1) RETURNING id";
        for seat in ["A2", "A3"] {
            assert_eq!(query_scalar::<_, String>(insert).bind(seat).fetch_one(&mut connection).await.unwrap(), seat);
        }
        proxy.drop_reply_of("INSERT");
        assert_eq!(query_scalar::<_, i32>("SELECT 1").fetch_one(&mut connection).await.unwrap(), 1);
        assert_eq!(proxy.dropped(), 1);
        let lost = query_scalar::<_, String>(insert).bind("A4").fetch_one(&mut connection).await;
        assert!(matches!(lost, Err(Error::Io(_))));
        proxy.wait_until_dropped(2).unwrap();
        assert_eq!(seats(server, &name), "A1,A2,A3,A4");
    });
    assert_eq!(ask::<i64>(&proxy.instead_of(&url), "SELECT count(*) FROM seat").unwrap(), 4);
}

#[test]
fn round_trips_and_statements_are_counted() {
    let server = Server::shared();
    let proxy = Proxy::start(server).unwrap();
    block_on(async {
        let mut connection = PgConnection::connect(&proxy.url_in("postgres")).await.unwrap();
        let sql = "SELECT $1 + 1";
        let counts = |before: (usize, usize)| (proxy.round_trips() - before.0, proxy.statements() - before.1);
        query(sql).bind(1).execute(&mut connection).await.unwrap();
        let start = counts((0, 0));
        query(sql).bind(2).execute(&mut connection).await.unwrap();
        assert_eq!(counts(start), (1, 1));
        let mut transaction = connection.begin().await.unwrap();
        query(sql).bind(3).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(counts(start), (4, 4));
    });
}

#[test]
fn answers_are_held_until_they_are_released() {
    let server = Server::shared();
    let (name, url) = database(server);
    let proxy = Proxy::start(server).unwrap();
    let address = proxy.instead_of(&url);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut connection = runtime.block_on(PgConnection::connect(&address)).unwrap();
    proxy.hold_replies();
    let answered = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // In one round trip: what is prepared first waits for the answer to that.
            runtime.block_on(raw_sql("INSERT INTO seat VALUES ('B1')").execute(&mut connection)).unwrap();
            answered.store(true, Ordering::SeqCst);
        });
        let held = proxy.wait_until_held();
        let ran = seats(server, &name);
        let early = answered.load(Ordering::SeqCst);
        proxy.release();
        held.unwrap();
        assert_eq!(ran, "B1");
        assert!(!early);
    });
    assert!(answered.into_inner());
}

#[test]
fn connections_are_cut_and_refused() {
    let server = Server::shared();
    let proxy = Proxy::start(server).unwrap();
    let url = proxy.url_in("postgres");
    block_on(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        assert_eq!(proxy.cut(), 1);
        assert!(query("SELECT 1").execute(&mut connection).await.is_err());
        proxy.refuse();
        assert!(matches!(PgConnection::connect(&url).await, Err(Error::Io(_))));
        proxy.accept().unwrap();
        PgConnection::connect(&url).await.unwrap();
    });
}

#[test]
fn pgbouncer_shares_one_connection_out_by_transaction() {
    let server = Server::shared();
    let (name, _) = database(server);
    server.role("guest", "s3cret", &name).unwrap();
    server.psql_in(&name, "GRANT ALL ON seat TO guest").unwrap();
    let bouncer = PgBouncer::start(server, &[("default_pool_size", "1")]).unwrap();
    let login = |password| {
        let options: PgConnectOptions = bouncer.url_of("guest", password, &name).parse().unwrap();
        options.extra_float_digits(None)
    };
    block_on(async {
        let refusal = PgConnection::connect_with(&login("wrong")).await.unwrap_err();
        assert!(refusal.as_database_error().unwrap().message().contains("authentication"), "{refusal}");
        let pid = || query_scalar::<_, i32>("SELECT pg_backend_pid()").persistent(false);
        let mut first = PgConnection::connect_with(&login("s3cret")).await.unwrap();
        let mut second = PgConnection::connect_with(&login("s3cret")).await.unwrap();
        let shared = pid().fetch_one(&mut first).await.unwrap();
        assert_eq!(pid().fetch_one(&mut second).await.unwrap(), shared);
        let insert = || query("INSERT INTO seat VALUES ($1)").persistent(false);
        let mut transaction = first.begin().await.unwrap();
        insert().bind("C1").execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        insert().bind("C2").execute(&mut second).await.unwrap();
    });
    assert_eq!(seats(server, &name), "C1,C2");
}
