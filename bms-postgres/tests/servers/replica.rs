//! A server that follows another.

use bms_postgres::testing::Server;

use super::ask;

#[test]
fn a_replica_follows_and_takes_no_writes() {
    let server = Server::start().unwrap();
    server.psql("CREATE TABLE seat AS SELECT 1 AS id").unwrap();
    let replica = server.replica().unwrap();
    assert_eq!(ask::<i64>(&replica.url(), "SELECT count(*) FROM seat").unwrap(), 1);
    let refusal = ask::<i32>(&replica.url(), "INSERT INTO seat VALUES (2) RETURNING id").unwrap_err();
    assert_eq!(refusal.as_database_error().unwrap().code().unwrap(), "25006");
    // While it is paused it falls behind, and after the restart of either it goes on.
    replica.pause().unwrap();
    server.psql("INSERT INTO seat VALUES (3)").unwrap();
    replica.resume().unwrap();
    replica.wait_for(&server).unwrap();
    assert_eq!(ask::<i64>(&replica.url(), "SELECT count(*) FROM seat").unwrap(), 2);
    server.kill().unwrap();
    assert_eq!(ask::<i64>(&replica.url(), "SELECT count(*) FROM seat").unwrap(), 2);
    server.restart().unwrap();
    replica.restart().unwrap();
    server.psql("INSERT INTO seat VALUES (4)").unwrap();
    replica.wait_for(&server).unwrap();
    assert_eq!(ask::<i64>(&replica.url(), "SELECT count(*) FROM seat").unwrap(), 3);
}
