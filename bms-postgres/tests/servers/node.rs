//! One server.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use bms_postgres::{
    sqlx::{Connection as _, Error, PgConnection, query_scalar},
    testing::{Failure, Server},
};

use super::{ask, block_on};

#[test]
fn what_was_committed_survives_a_kill() {
    let server = Server::builder().durable().start().unwrap();
    assert_eq!(server.psql("SHOW fsync").unwrap(), "on");
    let url = server.database("shop").unwrap();
    server.psql_in("shop", "CREATE TABLE seat (id text PRIMARY KEY)").unwrap();
    server.psql_in("shop", "INSERT INTO seat VALUES ('A1')").unwrap();
    // A transaction that never ends does not come back.
    let mut open = block_on(PgConnection::connect(&url)).map(drop);
    assert!(open.is_ok());
    server.kill().unwrap();
    assert!(!server.is_running());
    open = block_on(PgConnection::connect(&url)).map(drop);
    assert!(matches!(open, Err(Error::Io(_))));
    server.restart().unwrap();
    assert_eq!(ask::<String>(&url, "SELECT string_agg(id, ',') FROM seat").unwrap(), "A1");
    assert!(server.log().contains("automatic recovery"));
    for end in [Server::stop, Server::stop_immediately] {
        end(&server).unwrap();
        assert!(!server.is_running());
        server.restart().unwrap();
        assert_eq!(server.psql_in("shop", "SELECT count(*) FROM seat").unwrap(), "1");
    }
    let data = server.directory().to_owned();
    drop(server);
    assert!(!data.exists());
}

#[test]
fn speed_comes_first_unless_it_is_to_be_durable() {
    let server = Server::builder().setting("max_connections", "17").setting("application_name", r"o'\brien").start().unwrap();
    assert_eq!(server.psql("SHOW fsync").unwrap(), "off");
    assert_eq!(server.psql("SHOW synchronous_commit; SHOW max_connections").unwrap(), "local\n17");
    assert_eq!(ask::<String>(&server.url(), "SELECT boot_val FROM pg_settings WHERE name = 'fsync'").unwrap(), "on");
}

#[test]
fn a_wrong_password_is_refused() {
    let server = Server::shared();
    let url = server.role("clerk", "it's 100% @secret/", "postgres").unwrap();
    assert_eq!(ask::<String>(&url, "SELECT current_user::text").unwrap(), "clerk");
    for wrong in [server.url_of("clerk", "secret", "postgres"), server.url_of("nobody", "secret", "postgres")] {
        let refusal = block_on(PgConnection::connect(&wrong)).err().unwrap();
        assert_eq!(refusal.as_database_error().unwrap().code().unwrap(), "28P01");
    }
}

#[test]
fn each_test_has_a_database_of_its_own() {
    let server = Server::shared();
    let (one, other) = (server.fresh_database().unwrap(), server.fresh_database().unwrap());
    assert_ne!(one, other);
    let name = one.rsplit('/').next().unwrap();
    server.psql_in(name, "CREATE TABLE seat AS SELECT 7 AS id").unwrap();
    let copy = server.copy_of(name).unwrap();
    assert_eq!(ask::<i32>(&copy, "SELECT id FROM seat").unwrap(), 7);
    assert_eq!(ask::<Option<String>>(&other, "SELECT to_regclass('seat')::text").unwrap(), None);
    assert!(matches!(server.database(name), Err(Failure::Command { .. })));
}

#[test]
fn a_paused_server_takes_connections_and_answers_none() {
    let server = Server::start().unwrap();
    let (tls, gssapi) = ([0, 0, 0, 8, 4, 210, 22, 47], [0, 0, 0, 8, 4, 210, 22, 48]);
    let mut answer = [0];
    // This one has a process of its own already.
    let mut connection = TcpStream::connect(server.address()).unwrap();
    connection.write_all(&tls).unwrap();
    connection.read_exact(&mut answer).unwrap();
    server.pause().unwrap();
    assert!(!server.is_running());
    connection.write_all(&gssapi).unwrap();
    let mut late = TcpStream::connect(server.address()).unwrap();
    late.write_all(&tls).unwrap();
    for stream in [&mut connection, &mut late] {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(stream.read(&mut answer).is_err());
    }
    server.resume().unwrap();
    for stream in [&mut connection, &mut late] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.read_exact(&mut answer).unwrap();
        // No, or with GSSAPI, as the server was built.
        assert!(b"NG".contains(&answer[0]), "{answer:?}");
    }
    server.pause().unwrap();
    server.kill().unwrap();
    server.restart().unwrap();
    assert_eq!(server.psql("SELECT 1").unwrap(), "1");
}

#[test]
fn backends_that_are_ended_are_gone() {
    let server = Server::start().unwrap();
    let url = server.role("clerk", "secret", "postgres").unwrap();
    block_on(async {
        let mut own = PgConnection::connect(&server.url()).await.unwrap();
        let mut clerk = PgConnection::connect(&url).await.unwrap();
        assert_eq!(server.terminate_backends("usename = 'clerk'").unwrap(), 1);
        assert!(query_scalar::<_, i32>("SELECT 1").fetch_one(&mut clerk).await.is_err());
        assert_eq!(query_scalar::<_, i32>("SELECT 1").fetch_one(&mut own).await.unwrap(), 1);
    });
    assert_eq!(server.terminate_backends("usename = 'clerk'").unwrap(), 0);
}

#[test]
fn a_setting_holds_from_the_next_connection_on() {
    let server = Server::start().unwrap();
    server.setting("default_transaction_read_only", "on").unwrap();
    assert_eq!(ask::<String>(&server.url(), "SHOW default_transaction_read_only").unwrap(), "on");
    // The harness itself is not bound by it.
    server.psql("CREATE TABLE seat (id text)").unwrap();
    server.setting("default_transaction_read_only", "off").unwrap();
    assert_eq!(ask::<String>(&server.url(), "SHOW default_transaction_read_only").unwrap(), "off");
    assert!(matches!(server.setting("no_such_setting", "1"), Err(Failure::Command { .. })));
}

#[test]
fn tls_is_spoken_by_the_authority_that_the_url_names() {
    let server = Server::builder().tls().start().unwrap();
    let sql = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(ask::<String>(&server.url(), sql).unwrap(), "true");
    let other = Server::builder().tls().start().unwrap();
    let crossed = server.url().replace(&server.directory().display().to_string(), &other.directory().display().to_string());
    let refusal = block_on(PgConnection::connect(&crossed)).err().unwrap();
    let Error::Io(refusal) = refusal else { panic!("{refusal:?}") };
    assert_eq!(refusal.kind(), ErrorKind::InvalidData);
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let refusal = Server::builder().setting("no_such_setting", "1").start().err().unwrap();
    let Failure::Start { log, .. } = &refusal else { panic!("{refusal:?}") };
    assert!(log.contains("no_such_setting"));
}
