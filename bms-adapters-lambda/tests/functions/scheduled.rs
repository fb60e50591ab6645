//! The functions that a schedule wakes.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use bms_adapters_http::testing::Who;
use serde_json::{Value, json};

use crate::deployment::{Form, Servers, ordered, told, with_token};

const SWEEPER: &str = env!("CARGO_BIN_EXE_bms-lambda-sweeper");
const RELAY: &str = env!("CARGO_BIN_EXE_bms-lambda-relay");

fn recorded(name: &str) -> Value {
    let file = format!("{}/tests/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_expires_what_is_overdue_and_a_relay_publishes_it() {
    let servers = Servers::start().await;
    let service = servers.service().await;
    ordered(&service, "A1").await;
    ordered(&service, "A2").await;
    servers.sql("update bms.orders set created_at = now() - interval '1 h', expires_at = now() - interval '1 s'").await;
    servers.sql("update bms.seat_claims set expires_at = now() - interval '1 s'").await;

    let sweeper = servers.instance(SWEEPER, &[]).await;
    let swept = sweeper.invoke(&recorded("scheduled-rule")).await.unwrap();
    assert_eq!((&swept["orders"], &swept["complete"]), (&json!(2), &json!(true)), "{swept}");
    assert_eq!(servers.sql("select distinct state from bms.orders").await, "EXPIRED");
    assert_eq!(sweeper.invoke(&json!({})).await.unwrap()["orders"], 0);

    let relay = servers.instance(RELAY, &[]).await;
    let relayed = relay.invoke(&recorded("scheduled-scheduler")).await.unwrap();
    assert_eq!((&relayed["published"], &relayed["complete"]), (&json!(4), &json!(true)), "{relayed}");
    assert_eq!(servers.sql("select count(*) from bms.outbox where published_at is null").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_time_nothing_is_taken_out_and_the_rest_is_for_the_next_time() {
    let servers = Servers::start().await;
    ordered(&servers.service().await, "A1").await;
    let relay = servers.instance(RELAY, &[]).await;
    let late = relay.invoke_within("{}", Duration::from_millis(500)).await.unwrap();
    assert_eq!((&late["published"], &late["complete"]), (&json!(0), &json!(false)), "{late}");
    assert_eq!(relay.invoke(&json!({})).await.unwrap()["published"], 1);
}

/// A relay that is killed while a receiver has the events: they come again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_relay_had_comes_again() {
    let servers = Servers::start().await;
    ordered(&servers.service().await, "A1").await;
    // Takes the connection, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
    let mut relay = servers.instance(RELAY, &[("BMS_WEBHOOK_URL", &url), ("BMS_WEBHOOK_SECRET", secret)]).await;
    let invocation = async { relay.invoke_within("{}", Duration::from_secs(10)).await };
    tokio::select! {
        _ = silent.accept() => {}
        ended = invocation => panic!("{ended:?}"),
    }
    relay.kill();
    // Its lease is over, sooner than it would be.
    servers.sql("update bms.outbox set available_at = now()").await;
    let relay = servers.instance(RELAY, &[]).await;
    assert_eq!(relay.invoke(&json!({})).await.unwrap()["published"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_wakes_them_is_refused_and_they_go_on() {
    let servers = Servers::start().await;
    let sweeper = servers.instance(SWEEPER, &[]).await;
    let request = Request::get("/movies").body(Bytes::new()).unwrap();
    let request = told(Form::V2, &with_token(Who::Nobody, request));
    for event in [request, recorded("foreign-sqs"), json!([]), json!(null), json!("sweep")] {
        sweeper.invoke(&event).await.unwrap_err();
    }
    sweeper.invoke_within("{", Duration::from_secs(15)).await.unwrap_err();
    sweeper.invoke_within("", Duration::from_secs(15)).await.unwrap_err();
    sweeper.invoke(&json!({})).await.unwrap();
    assert!(!sweeper.log().contains("panicked"), "{}", sweeper.log());
}
