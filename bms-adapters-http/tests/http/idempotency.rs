//! The first answer again.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::{StreamExt as _, stream};
use serde_json::json;
use tower::ServiceExt as _;

use crate::stores::{NoKeys, SlowGateway, UnluckyKeys};
use crate::support::{Ask, Plan, cinema, order, place, send};

#[tokio::test]
async fn the_same_request_gives_the_first_answer_byte_for_byte() {
    let cinema = cinema().await;
    let first = cinema.ask(place("alice", &["A1"]).key("k1")).await;
    assert_eq!(first.is(201).header("idempotency-replayed"), None);
    cinema.clock.advance(Duration::from_mins(1));
    let again = cinema.ask(place("alice", &["A1"]).key("k1").header("x-request-id", "other")).await;
    again.is(201);
    assert_eq!(again.bytes, first.bytes);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    for name in ["content-type", "location"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(again.header("x-request-id"), Some("other"));
    // It is the answer that is kept, not the request that is run again.
    let hold = first.json()["holdId"].as_str().unwrap().to_owned();
    cinema.ask(Ask::delete(format!("/api/v1/holds/{hold}")).by("alice")).await.is(200);
    assert_eq!(cinema.ask(place("alice", &["A1"]).key("k1")).await.bytes, first.bytes);
    assert_eq!(cinema.taken().await.1, json!([]));
}

#[tokio::test]
async fn a_refusal_is_kept_too() {
    let cinema = cinema().await;
    let hold = cinema.held("bob", &["A1"]).await;
    let first = cinema.ask(place("alice", &["A1"]).key("k1")).await;
    first.is_problem(409, "seats-unavailable");
    cinema.ask(Ask::delete(format!("/api/v1/holds/{hold}")).by("bob")).await.is(200);
    let again = cinema.ask(place("alice", &["A1"]).key("k1")).await;
    assert_eq!((again.bytes, again.status), (first.bytes, first.status));
    cinema.ask(place("alice", &["A1"]).key("k2")).await.is(201);
}

#[tokio::test]
async fn an_answer_that_is_not_definite_is_not_kept() {
    let cinema = cinema().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    let confirm = |payment: &str| {
        Ask::post(format!("/api/v1/orders/{id}/confirm"), json!({"paymentReference": payment})).by("alice").key("k")
    };
    for _ in 0..2 {
        let answer = cinema.ask(confirm("pay_unavailable")).await;
        answer.is_problem(503, "unavailable");
        assert_eq!(answer.header("idempotency-replayed"), None);
    }
}

#[tokio::test]
async fn a_key_is_one_users_and_one_requests() {
    let cinema = cinema().await;
    let first = cinema.ask(place("alice", &["A1"]).key("k")).await;
    first.is(201);
    cinema.ask(place("alice", &["A2"]).key("k")).await.is_problem(422, "idempotency-key-reused");
    let elsewhere = Ask::post("/api/v1/orders", json!({"showId": "tonight", "seatIds": ["A1"]})).by("alice").key("k");
    cinema.ask(elsewhere).await.is_problem(422, "idempotency-key-reused");
    cinema.ask(place("bob", &["A2"]).key("k")).await.is(201);
    assert_eq!(cinema.taken().await.1, json!(["A1", "A2"]));
    // After a day the key is new again.
    let tomorrow = || Ask::post("/api/v1/holds", json!({"showId": "tomorrow", "seatIds": ["A3"]})).by("alice").key("k");
    cinema.clock.advance(Duration::from_hours(24) - Duration::from_millis(1));
    cinema.ask(tomorrow()).await.is_problem(422, "idempotency-key-reused");
    cinema.clock.advance(Duration::from_millis(1));
    cinema.ask(tomorrow()).await.is(201);
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let cinema = cinema().await;
    for key in ["", "a b", &"x".repeat(256), "é"] {
        cinema.ask(place("alice", &["A1"]).key(key)).await.is_problem(400, "malformed-request");
    }
    cinema.ask(place("alice", &["A1"]).key("a").key("b")).await.is_problem(400, "malformed-request");
    assert_eq!(cinema.taken().await.1, json!([]));
    cinema.ask(place("alice", &["A1"]).key(&"x".repeat(255))).await.is(201);
}

#[tokio::test]
async fn a_caller_who_is_not_known_leaves_no_key_behind() {
    let cinema = cinema().await;
    let mut ask = place("alice", &["A1"]).key("k");
    let good = ask.headers.clone();
    ask.headers.retain(|(name, _)| name != "authorization");
    cinema.ask(ask.clone()).await.is_problem(401, "unauthenticated");
    ask.headers = good;
    cinema.ask(ask).await.is(201);
}

#[tokio::test]
async fn while_it_runs_nobody_else_runs_it_and_its_answer_survives_a_client_that_goes_away() {
    let gateway = SlowGateway::new();
    let cinema = Plan::paid_by(gateway.clone()).open().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    let confirm = Ask::post(format!("/api/v1/orders/{id}/confirm"), json!({"paymentReference": "p"})).by("alice").key("k");

    let mut request = Box::pin(cinema.router.clone().oneshot(confirm.request()));
    tokio::select! {
        _ = &mut request => panic!("the provider has not answered"),
        () = gateway.is_asked() => {}
    }
    let second = send(&cinema.router, &confirm).await;
    second.is_problem(409, "request-in-progress");
    // The client goes away in the middle.
    drop(request);
    gateway.answers.add_permits(1);
    cinema.shutdown.begin();
    cinema.shutdown.drained().await;

    let order = cinema.service.order(&caller(), id.parse().unwrap()).await.unwrap();
    assert!(order.state.is_confirmed());
    assert_eq!(gateway.times.load(Ordering::SeqCst), 1);
}

fn caller() -> bms_domain::id::Caller {
    bms_domain::id::Caller::user(bms_domain::id::UserId::parse("alice").unwrap())
}

#[tokio::test]
async fn the_answer_to_a_client_that_went_away_is_there_when_it_comes_back() {
    let gateway = SlowGateway::new();
    let cinema = Plan::paid_by(gateway.clone()).open().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    let confirm = Ask::post(format!("/api/v1/orders/{id}/confirm"), json!({"paymentReference": "p"})).by("alice").key("k");
    let mut request = Box::pin(cinema.router.clone().oneshot(confirm.request()));
    tokio::select! {
        _ = &mut request => panic!("the provider has not answered"),
        () = gateway.is_asked() => {}
    }
    drop(request);
    gateway.answers.add_permits(1);
    let answer = loop {
        let answer = cinema.ask(confirm.clone()).await;
        if answer.status != 409 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(answer.is(200).json()["status"], "CONFIRMED");
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    assert_eq!(gateway.times.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_order_under_a_key_is_made_once() {
    let cinema = cinema().await;
    let hold = cinema.held("alice", &["A1"]).await;
    let first = cinema.ask(order("alice", &hold).key("o")).await;
    let again = cinema.ask(order("alice", &hold).key("o")).await;
    assert_eq!((first.is(201).bytes.clone(), 201), (again.bytes.clone(), again.status.as_u16()));
}

/// A client that stalls in the middle of a body has its answer by the deadline, runs nothing, and leaves its key free.
#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_takes_no_key() {
    let cinema = cinema().await;
    let ask = Ask::post("/api/v1/holds", json!({"showId": "tonight", "seatIds": ["A1"]})).by("alice").key("k");
    let (head, _) = ask.request().into_parts();
    let stalled = Body::from_stream(stream::once(async { Ok::<_, Infallible>("{") }).chain(stream::pending()));
    let answer = cinema.router.clone().oneshot(Request::from_parts(head, stalled)).await.unwrap();
    assert_eq!(answer.status(), 503);
    cinema.ask(ask).await.is(201);
    cinema.shutdown.begin();
    tokio::time::timeout(Duration::from_secs(1), cinema.shutdown.drained()).await.expect("nothing runs on for the client");
}

/// P13: a payment is confirmed though nobody knows the keys; holding would be done twice in two tries, and waits.
#[tokio::test]
async fn without_the_store_of_keys_only_holding_waits() {
    let mut plan = Plan::new();
    plan.ports.idempotency = Arc::new(NoKeys);
    let cinema = plan.open().await;
    let refused = cinema.ask(place("alice", &["A1"]).key("k")).await;
    refused.is_problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(cinema.taken().await.1, json!([]));
    let hold = cinema.held("alice", &["A1"]).await;
    let made = cinema.ask(order("alice", &hold).key("k")).await;
    let id = made.is(201).json()["orderId"].as_str().unwrap().to_owned();
    assert_eq!(cinema.ask(order("alice", &hold).key("k")).await.is(200).json()["orderId"], id);
    let confirm =
        || Ask::post(format!("/api/v1/orders/{id}/confirm"), json!({"paymentReference": "pay_ok"})).by("alice").key("k");
    let first = cinema.ask(confirm()).await.is(200).json()["ticketCode"].clone();
    assert_eq!(cinema.ask(confirm()).await.is(200).json()["ticketCode"], first);
}

/// P6: the key was taken, and nobody was told so: who asks again does not wait until the lease is over.
#[tokio::test]
async fn a_key_whose_beginning_was_lost_is_given_back() {
    for holds_first in [false, true] {
        let mut plan = Plan::new();
        plan.ports.idempotency = Arc::new(UnluckyKeys { inner: plan.ports.idempotency, times: AtomicUsize::new(0) });
        let cinema = plan.open().await;
        // A hold is refused without its key, an order is made without it.
        let ask = if holds_first {
            place("alice", &["A2"]).key("k")
        } else {
            let hold = cinema.held("alice", &["A1"]).await;
            order("alice", &hold).key("k")
        };
        let lost = cinema.ask(ask.clone()).await;
        assert_eq!(lost.status, if holds_first { 503 } else { 201 });
        let again = cinema.ask(ask.clone()).await;
        again.is(if holds_first { 201 } else { 200 });
        assert_eq!(again.header("idempotency-replayed"), None, "it runs again, with its key");
        let kept = cinema.ask(ask).await;
        assert_eq!((kept.header("idempotency-replayed"), &kept.bytes), (Some("true"), &again.bytes));
    }
}
