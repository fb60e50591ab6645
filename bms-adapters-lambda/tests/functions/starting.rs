//! What a function does at its start when something is wrong, and with events that make no sense.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use bms_adapters_http::testing::Who;
use bms_adapters_lambda::Function;
use bms_postgres::testing::Server as PostgresServer;
use bms_redis::testing::Server as RedisServer;
use serde_json::Value;

use crate::deployment::{Form, Servers, answered, ordered, program, told, with_token};
use crate::emulator::Instance;

fn movies() -> Value {
    told(Form::V2, &Request::get("/movies").body(Bytes::new()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_at_the_start_is_told_and_tried_again() {
    let postgres = PostgresServer::builder().start().unwrap();
    let servers = Servers::of(RedisServer::start().unwrap(), &postgres).await;
    postgres.kill().unwrap();
    let function = servers.instance(program(Function::Movies), &[]).await;
    let answer = answered(function.invoke(&movies()).await);
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    postgres.restart().unwrap();
    assert_eq!(answered(function.invoke(&movies()).await).status(), 200);
}

/// P13: an instance that is started while Redis is away confirms payments.
#[tokio::test(flavor = "multi_thread")]
async fn payments_are_confirmed_by_an_instance_that_has_never_seen_redis() {
    let servers = Servers::start().await;
    let order = ordered(&servers.service().await, "A1").await;
    servers.redis.stop().unwrap();
    let function = servers.instance(program(Function::Orders), &[]).await;
    let confirm = Request::post(format!("/api/v1/orders/{order}/confirm")).header("content-type", "application/json");
    let confirm = confirm.body(Bytes::from_static(br#"{"paymentReference":"pay_ok_1"}"#)).unwrap();
    let answer = answered(function.invoke(&told(Form::V2, &with_token(Who::User("alice"), confirm))).await);
    assert_eq!(answer.status(), 200);
    assert_eq!(servers.sql("select state from bms.orders").await, "CONFIRMED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_redis_holds_seats_in_the_database() {
    let servers = Servers::of(RedisServer::start().unwrap(), bms_postgres::testing::Server::shared()).await;
    servers.redis.stop().unwrap();
    let function = servers.instance(program(Function::Holds), &[("REDIS_URL", "")]).await;
    let hold = Request::post("/api/v1/holds").header("content-type", "application/json");
    let hold = hold.body(Bytes::from_static(br#"{"showId":"tonight","seatIds":["A1"]}"#)).unwrap();
    let answer = answered(function.invoke(&told(Form::V2, &with_token(Who::User("alice"), hold))).await);
    assert_eq!(answer.status(), 201, "{:?} {}", answer.body(), function.log());
    assert_eq!(servers.sql("select count(*) from bms.holds").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense_end_it_at_once_and_show_no_secret() {
    let usual = [
        ("DATABASE_URL", "postgres://u:canary@127.0.0.1:1/d"),
        ("BMS_JWT_SECRET", "a canary of at least thirty-two bytes"),
        ("BMS_PAYMENTS", "sandbox"),
    ];
    for wrong in [
        ("DATABASE_URL", "mysql://u:canary@h/d"),
        ("DATABASE_URL", ""),
        ("REDIS_URL", "http://canary"),
        ("BMS_JWT_SECRET", "canary"),
        ("BMS_PAYMENT_WEBHOOK_SECRET", "canary"),
        ("BMS_PAYMENTS", ""),
        ("BMS_HOLD_TTL", "0s"),
    ] {
        let variables: Vec<(&str, &str)> = usual.iter().filter(|(name, _)| *name != wrong.0).copied().chain([wrong]).collect();
        let mut function = Instance::start(program(Function::Orders), &variables).await;
        function.ends();
        assert!(!function.log().contains("canary"), "{wrong:?}: {}", function.log());
    }
}

/// A password may be in the address of the keys.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_fetched_are_told_of_without_their_address() {
    let servers = Servers::start().await;
    let keys = [("BMS_JWT_SECRET", ""), ("BMS_JWKS", "http://canary:canary@127.0.0.1:1/canary")];
    let function = servers.instance(program(Function::Movies), &keys).await;
    assert_eq!(answered(function.invoke(&movies()).await).status(), 503);
    assert!(function.log().contains("key set"), "{}", function.log());
    assert!(!function.log().contains("canary"), "{}", function.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_make_no_sense_fail_alone() {
    let servers = Servers::start().await;
    let function = servers.instance(program(Function::Movies), &[]).await;
    for nonsense in ["", "{", "null", "[]", "{}", r#"{"version":"2.0"}"#, r#"{"httpMethod":"GET"}"#, "\u{0}"] {
        function.invoke_within(nonsense, Duration::from_secs(15)).await.unwrap_err();
    }
    let folder = format!("{}/tests/events", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let event = std::fs::read_to_string(file.path()).unwrap();
        let name = file.file_name().into_string().unwrap();
        let outcome = function.invoke_within(&event, Duration::from_secs(15)).await;
        let is_answered = !["foreign-", "scheduled-", "sqs-"].iter().any(|beginning| name.starts_with(beginning));
        assert_eq!(outcome.is_ok(), is_answered, "{name}: {outcome:?}");
    }
    assert_eq!(answered(function.invoke(&movies()).await).status(), 200);
    assert!(!function.log().contains("panicked"), "{}", function.log());
}
