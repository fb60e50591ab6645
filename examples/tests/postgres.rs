//! `bms-server` on Postgres: what outlives it, what servers share, and its commands.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot speak to its server has failed"
)]

mod support;

use std::process::{Command, Output};

use bms_postgres::testing::Server as Postgres;
use bms_redis::testing::{Server as Redis, eventually};
use reqwest::StatusCode;
use serde_json::json;

use support::office::{BoxOffice, body};

/// Runs a command of the server on a database.
fn run(database: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bms-server"));
    command.args(arguments).env("DATABASE_URL", database).env("RUST_LOG", "warn").output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A migrated database, and its name.
fn database() -> (String, String) {
    let url = Postgres::shared().fresh_database().unwrap();
    let migrated = run(&url, &["migrate"]);
    assert!(migrated.status.success(), "{}", said(&migrated));
    let name = url.rsplit('/').next().unwrap().to_owned();
    (url, name)
}

fn sql(database: &str, statement: &str) -> String {
    Postgres::shared().psql_in(database, statement).unwrap()
}

#[tokio::test]
async fn what_was_sold_outlives_the_server() {
    let (url, _) = database();
    let options = ["--database-url", &url];
    let office = BoxOffice::open_with(&options);
    let order = office.ordered("ann", &["A1", "A2"]).await;
    let paid = office.paid("ann", &order).await;
    assert!(paid["ticketCode"].as_str().unwrap().starts_with("BMS-"), "{paid}");
    office.held("bob", &["A5"]).await;
    // Killed: nothing is said goodbye to.
    drop(office);
    let again = BoxOffice::open_with(&options);
    assert_eq!(again.map().await, (json!(["A5"]), json!(["A1", "A2"])), "holds outlive it too");
    again.is_refused("carl", &["A1", "A5", "A6"], &["A1", "A5"]).await;
    let doctor = run(&url, &["doctor"]);
    assert_eq!(doctor.status.code(), Some(0), "{}", said(&doctor));
}

#[tokio::test]
async fn servers_share_a_database_and_sell_a_seat_once() {
    let (url, _) = database();
    let options = ["--database-url", &url];
    let (one, two) = (BoxOffice::open_with(&options), BoxOffice::open_with(&options));
    one.held("ann", &["A1"]).await;
    two.is_refused("bob", &["A1", "A2"], &["A1"]).await;
    let order = two.ordered("bob", &["A2"]).await;
    two.paid("bob", &order).await;
    assert_eq!(one.map().await, (json!(["A1"]), json!(["A2"])));
    let wanted = json!({"showId": "tonight", "seatIds": ["A7"]});
    let mut answers = Vec::new();
    for office in [&one, &two] {
        let request = office.post("carol", "/api/v1/holds", wanted.clone()).await.header("idempotency-key", "k");
        answers.push(body(request.send().await.unwrap(), StatusCode::CREATED).await);
    }
    assert_eq!(answers[0], answers[1]);
}

/// P10: holds in Redis, orders in Postgres, and Redis forgets everything.
#[tokio::test]
async fn a_redis_that_forgets_sells_nothing_twice() {
    let (url, _) = database();
    let redis = Redis::start().unwrap();
    let office = BoxOffice::open_with(&["--database-url", &url, "--redis-url", &redis.url()]);
    let order = office.ordered("ann", &["A1", "A2"]).await;
    office.paid("ann", &order).await;
    office.ordered("bob", &["A3"]).await;
    redis.command::<()>(&["FLUSHALL"]).unwrap();
    office.is_refused("carl", &["A1", "A3", "A4"], &["A1", "A3"]).await;
    assert_eq!(office.map().await, (json!(["A3"]), json!(["A1", "A2"])));
    let doctor = run(&url, &["doctor"]);
    assert_eq!(doctor.status.code(), Some(0), "{}", said(&doctor));
}

/// P13: a server that is started while Redis is away confirms payments, and holds seats when it is back.
#[tokio::test]
async fn a_server_that_has_never_seen_redis_confirms_payments() {
    let (url, _) = database();
    let redis = Redis::start().unwrap();
    let options = ["--database-url", &url, "--redis-url", &redis.url()];
    let order = BoxOffice::open_with(&options).ordered("ann", &["A1"]).await;
    redis.kill();
    let office = BoxOffice::open_with(&options);
    body(office.hold("bob", &["A2"]).await, StatusCode::SERVICE_UNAVAILABLE).await;
    office.paid("ann", &order).await;
    redis.restart().unwrap();
    eventually("a server that sees Redis", || async { office.get("/readyz").await.status() == StatusCode::OK }).await.unwrap();
    office.is_refused("bob", &["A1", "A2"], &["A1"]).await;
    office.held("bob", &["A2"]).await;
}

#[test]
fn an_empty_database_is_refused_with_the_command_that_fills_it() {
    let url = Postgres::shared().fresh_database().unwrap();
    let refused = run(&url, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("bms-server migrate"), "{}", said(&refused));
    for _ in 0..2 {
        assert!(run(&url, &["migrate"]).status.success());
    }
    let doctor = run(&url, &["doctor"]);
    assert_eq!(doctor.status.code(), Some(0), "{}", said(&doctor));
}

#[tokio::test]
async fn the_doctor_tells_what_is_wrong() {
    let (url, name) = database();
    let office = BoxOffice::open_with(&["--database-url", &url]);
    let order = office.ordered("ann", &["A1", "A2"]).await;
    office.paid("ann", &order).await;
    sql(
        &name,
        "alter table bms.seat_claims disable trigger seat_claims_stay_sold; delete from bms.seat_claims where seat_id = 'A2'",
    );
    let doctor = run(&url, &["doctor"]);
    assert_eq!(doctor.status.code(), Some(2), "{}", said(&doctor));
    assert!(said(&doctor).contains(order.rsplit('/').next().unwrap()), "it names the order: {}", said(&doctor));
    assert!(said(&doctor).contains("seat_claims.seat_claims_stay_sold"), "it names the guard: {}", said(&doctor));
    let server = run(&url, &[]);
    assert!(said(&server).contains("seat_claims.seat_claims_stay_sold"), "nothing is sold without it: {}", said(&server));
    let unseen = run("postgres://u:canary@127.0.0.1:1/x", &["doctor"]);
    assert_eq!(unseen.status.code(), Some(1));
    assert!(!said(&unseen).contains("canary"), "{}", said(&unseen));
}

#[tokio::test]
async fn commands_sweep_and_replay() {
    let (url, name) = database();
    // A server that sweeps and tells nobody for a while, so that the commands find something to do.
    let office = BoxOffice::open_with(&["--database-url", &url, "--sweep-every", "1h"]);
    office.ordered("ann", &["A1"]).await;
    sql(&name, "update bms.orders set created_at = now() - interval '1 h', expires_at = now() - interval '1 s'");
    sql(&name, "update bms.seat_claims set expires_at = now() - interval '1 s'");
    let swept = run(&url, &["sweep"]);
    assert!(swept.status.success(), "{}", said(&swept));
    assert_eq!(sql(&name, "select state from bms.orders"), "EXPIRED");
    assert_eq!(sql(&name, "select count(*) from bms.seat_claims"), "0");
    sql(&name, "update bms.outbox set dead_at = now(), published_at = null");
    let replayed = run(&url, &["replay", "--dead"]);
    assert!(replayed.status.success(), "{}", said(&replayed));
    assert_eq!(sql(&name, "select count(*) from bms.outbox where dead_at is not null"), "0");
}

/// Another program may know a provider that this one does not: its payments are not taken for failed.
#[tokio::test]
async fn a_sweep_asks_after_payments_only_the_provider_that_it_is_told_of() {
    let (url, name) = database();
    let office = BoxOffice::open_with(&["--database-url", &url, "--sweep-every", "1h"]);
    let order = office.ordered("ann", &["A1"]).await;
    let pending = office.post("ann", &format!("{order}/confirm"), json!({"paymentReference": "pay_pending_1"})).await;
    body(pending.send().await.unwrap(), StatusCode::ACCEPTED).await;
    // The server would ask, too.
    drop(office);
    // As it would be called elsewhere.
    sql(&name, "update bms.payments set reference = 'pi_1', key = replace(key, 'pay_pending_1', 'pi_1')");
    sql(&name, "update bms.orders set created_at = now() - interval '1 h', expires_at = now() - interval '1 s'");
    let payment = || sql(&name, "select state from bms.payments");
    let order = || sql(&name, "select state from bms.orders");
    assert!(run(&url, &["sweep"]).status.success());
    assert_eq!((payment().as_str(), order().as_str()), ("PENDING", "PAYMENT_PENDING"), "it is left to those who can ask");
    assert!(run(&url, &["sweep", "--payments", "sandbox"]).status.success());
    assert_eq!((payment().as_str(), order().as_str()), ("FAILED", "EXPIRED"));
}
