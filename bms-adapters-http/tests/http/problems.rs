//! Every row of the table of problems, provoked.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde_json::{Value, json};

use crate::stores::{BrokenGateway, Mishap, UnluckyHolds};
use crate::support::{Ask, Cinema, Plan, cinema, order, place};

async fn status_of(cinema: &Cinema, order: &str) -> Value {
    cinema.ask(Ask::get(format!("/api/v1/orders/{order}")).by("alice")).await.is(200).json()["status"].clone()
}

#[tokio::test]
async fn payment_declined_carries_the_order() {
    let cinema = cinema().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    let problem = cinema.confirm("alice", &id, "pay_declined_1").await.is_problem(402, "payment-declined");
    assert_eq!(problem["order"]["orderId"], json!(id));
    assert_eq!(problem["order"]["status"], "FAILED");
    // Its hold lives on: the seats can be ordered again.
    let hold = problem["order"]["holdId"].as_str().unwrap();
    cinema.ask(order("alice", hold)).await.is(201);
}

#[tokio::test]
async fn somebody_elses_is_not_found() {
    let cinema = cinema().await;
    let hold = cinema.held("alice", &["A1"]).await;
    let id = cinema.ordered("alice", &["A2"]).await;
    let asks = [
        Ask::get(format!("/api/v1/holds/{hold}")),
        Ask::delete(format!("/api/v1/holds/{hold}")),
        Ask::get(format!("/api/v1/orders/{id}")),
        Ask::delete(format!("/api/v1/orders/{id}")),
        Ask::post(format!("/api/v1/orders/{id}/confirm"), json!({"paymentReference": "pay_ok"})),
    ];
    for ask in asks {
        cinema.ask(ask.by("bob")).await.is_problem(404, "not-found");
    }
    cinema.ask(order("bob", &hold)).await.is_problem(404, "not-found");
    assert_eq!(status_of(&cinema, &id).await, "PAYMENT_PENDING");
}

#[tokio::test]
async fn seats_unavailable_names_all_that_are_held_sold_or_blocked() {
    let cinema = cinema().await;
    cinema.held("alice", &["A1"]).await;
    let id = cinema.ordered("alice", &["A2"]).await;
    cinema.confirm("alice", &id, "pay_ok").await.is(200);
    let problem = cinema.hold("bob", &["A3", "A2", "A1", "A20"]).await.is_problem(409, "seats-unavailable");
    assert_eq!(problem["seatIds"], json!(["A1", "A2", "A20"]));
}

#[tokio::test]
async fn holds_that_are_over_say_how() {
    let cinema = cinema().await;
    let hold = cinema.held("alice", &["A1"]).await;
    cinema.ask(Ask::delete(format!("/api/v1/holds/{hold}")).by("alice")).await.is(200);
    let problem = cinema.ask(order("alice", &hold)).await.is_problem(409, "hold-not-active");
    assert_eq!(problem["state"], "RELEASED");

    let hold = cinema.held("alice", &["A1"]).await;
    cinema.clock.advance(Duration::from_mins(10));
    cinema.ask(order("alice", &hold)).await.is_problem(410, "hold-expired");
    cinema.ask(Ask::delete(format!("/api/v1/holds/{hold}")).by("alice")).await.is_problem(410, "hold-expired");
    let found = cinema.ask(Ask::get(format!("/api/v1/holds/{hold}")).by("alice")).await.is(200).json();
    assert_eq!(found["status"], "EXPIRED");
}

#[tokio::test]
async fn orders_that_are_over_say_how() {
    let cinema = cinema().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    let cancel = |id: &str| Ask::post(format!("/api/v1/admin/orders/{id}/cancel"), json!({})).by_admin();
    let problem = cinema.ask(cancel(&id)).await.is_problem(409, "order-pending");
    assert_eq!(problem["state"], "PAYMENT_PENDING");

    cinema.confirm("alice", &id, "pay_ok_1").await.is(200);
    let problem = cinema.ask(Ask::delete(format!("/api/v1/orders/{id}")).by("alice")).await.is_problem(409, "order-not-pending");
    assert_eq!((&problem["state"], problem.get("refundDue")), (&json!("CONFIRMED"), None));
    // A second payment is to be given back.
    let problem = cinema.confirm("alice", &id, "pay_ok_2").await.is_problem(409, "order-not-pending");
    assert_eq!(problem["refundDue"], true);

    let id = cinema.ordered("alice", &["A2"]).await;
    cinema.clock.advance(Duration::from_mins(16));
    let give_up = Ask::delete(format!("/api/v1/orders/{id}")).by("alice");
    let problem = cinema.ask(give_up).await.is_problem(410, "order-expired");
    assert_eq!(problem.get("refundDue"), None);
}

#[tokio::test]
async fn a_payment_for_an_expired_order_whose_seats_are_gone_is_to_be_given_back() {
    let cinema = cinema().await;
    let late = cinema.ordered("alice", &["A1"]).await;
    cinema.clock.advance(Duration::from_mins(16));
    let next = cinema.ordered("bob", &["A1"]).await;
    cinema.confirm("bob", &next, "pay_ok").await.is(200);
    let problem = cinema.confirm("alice", &late, "pay_ok_late").await.is_problem(410, "order-expired");
    assert_eq!(problem["refundDue"], true);
}

#[tokio::test]
async fn shows_that_are_not_on_sale_are_not_sold() {
    let cinema = cinema().await;
    for show in ["soon", "closed", "off", "begun"] {
        let ask = Ask::post("/api/v1/holds", json!({"showId": show, "seatIds": ["A1"]})).by("alice");
        cinema.ask(ask).await.is_problem(409, "sales-closed");
        let map = cinema.ask(Ask::get(format!("/api/v1/shows/{show}/seatmap"))).await.is(200).json();
        assert_eq!(map["heldSeatIds"], json!([]));
    }
}

#[tokio::test]
async fn limits_of_seats_are_named() {
    let cinema = cinema().await;
    let eleven: Vec<String> = (1..=11).map(|n| format!("A{n}")).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    let problem = cinema.hold("alice", &eleven).await.is_problem(422, "too-many-seats");
    assert_eq!(problem["limit"], 10);
    // Over the limit of a user and show in two holds.
    cinema.held("alice", &eleven[..6]).await;
    let problem = cinema.hold("alice", &["A12", "A13", "A14", "A15", "A16"]).await.is_problem(422, "too-many-seats");
    assert_eq!(problem["limit"], 10);
    assert_eq!(cinema.taken().await.1, json!(eleven[..6]));
}

#[tokio::test]
async fn unknown_seats_are_named() {
    let cinema = cinema().await;
    let problem = cinema.hold("alice", &["A1", "Z9", "A99"]).await.is_problem(422, "unknown-seats");
    assert_eq!(problem["seatIds"], json!(["Z9", "A99"]));
    assert_eq!(cinema.taken().await.1, json!([]));
}

#[tokio::test]
async fn a_payment_that_is_not_the_orders_is_named() {
    let cinema = cinema().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    for payment in ["unheard-of", "", "with space"] {
        let problem = cinema.confirm("alice", &id, payment).await.is_problem(422, "validation");
        assert_eq!(problem["errors"][0]["pointer"], "/paymentReference");
    }
    assert_eq!(status_of(&cinema, &id).await, "PAYMENT_PENDING");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let cinema = Plan { rate_limit: Some(3), ..Plan::new() }.open().await;
    for _ in 0..3 {
        cinema.ask(Ask::get("/api/v1/orders").by("alice")).await.is(200);
    }
    let answer = cinema.ask(place("alice", &["A1"])).await;
    answer.is_problem(429, "rate-limited");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=1_200).contains(&wait), "{wait}");
    // Others are not held up by it, and probes are never.
    cinema.ask(Ask::get("/api/v1/orders").by("bob")).await.is(200);
    for path in ["/healthz", "/readyz", "/metrics"] {
        for _ in 0..4 {
            cinema.ask(Ask::get(path)).await.is(200);
        }
    }
    for _ in 0..3 {
        cinema.ask(Ask::get("/movies")).await.is(200);
    }
    cinema.ask(Ask::get("/movies")).await.is_problem(429, "rate-limited");
    assert_eq!(cinema.service.my_orders(&caller("alice"), None, 1).await.unwrap().items, []);
}

fn caller(user: &str) -> bms_domain::id::Caller {
    bms_domain::id::Caller::user(bms_domain::id::UserId::parse(user).unwrap())
}

#[tokio::test]
async fn a_provider_that_is_down_leaves_the_order_pending() {
    let cinema = cinema().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    let answer = cinema.confirm("alice", &id, "pay_unavailable").await;
    answer.is_problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(status_of(&cinema, &id).await, "PAYMENT_PENDING");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_not_waited_for() {
    for (deadline, request_deadline) in [(Some(Duration::from_secs(2)), Duration::from_secs(10)), (None, Duration::from_secs(3))]
    {
        let cinema = Plan { deadline, request_deadline, ..Plan::paid_by(Arc::new(BrokenGateway)) }.open().await;
        let id = cinema.ordered("alice", &["A1"]).await;
        let begun = tokio::time::Instant::now();
        let answer = tokio::time::timeout(Duration::from_secs(60), cinema.confirm("alice", &id, "hang")).await.unwrap();
        answer.is_problem(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(begun.elapsed().as_secs(), if deadline.is_some() { 2 } else { 3 });
        assert_eq!(status_of(&cinema, &id).await, "PAYMENT_PENDING");
    }
}

#[tokio::test]
async fn a_dependency_that_is_down_is_named_by_readiness() {
    let cinema = Plan::paid_by(Arc::new(BrokenGateway)).open().await;
    let problem = cinema.ask(Ask::get("/readyz")).await.is_problem(503, "unavailable");
    assert_eq!(problem["dependencies"], json!(["the payment provider"]));
    cinema.ask(Ask::get("/healthz")).await.is(200);
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_tells_nothing() {
    let cinema = Plan::paid_by(Arc::new(BrokenGateway)).open().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    for key in [None, Some("k")] {
        let mut ask = Ask::post(format!("/api/v1/orders/{id}/confirm"), json!({"paymentReference": "panic"})).by("alice");
        ask = if let Some(key) = key { ask.key(key) } else { ask };
        let answer = cinema.ask(ask).await;
        let problem = answer.is_problem(500, "internal");
        assert!(!problem.to_string().contains("as it was told"));
        assert!(answer.header("x-request-id").is_some());
    }
    assert_eq!(status_of(&cinema, &id).await, "PAYMENT_PENDING");
}

async fn unlucky(mishap: Mishap, times: usize) -> Cinema {
    let mut plan = Plan::new();
    plan.ports.holds = Arc::new(UnluckyHolds { inner: plan.ports.holds, mishap, times: AtomicUsize::new(times), told: true });
    plan.open().await
}

#[tokio::test]
async fn an_answer_that_was_lost_names_what_to_ask_for_and_trying_again_gives_the_same_hold() {
    let cinema = unlucky(Mishap::AnswerLost, 1).await;
    let answer = cinema.ask(place("alice", &["A1"]).key("k")).await;
    let problem = answer.is_problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    let hold = problem["holdId"].as_str().unwrap();
    let found = cinema.ask(Ask::get(format!("/api/v1/holds/{hold}")).by("alice")).await.is(200).json();
    assert_eq!(found["status"], "HELD");
    let again = cinema.ask(place("alice", &["A1"]).key("k")).await.is(201).json();
    assert_eq!(again["holdId"], *hold);
}

#[tokio::test]
async fn a_store_that_is_down_is_unavailable_and_nothing_is_held() {
    let cinema = unlucky(Mishap::Down, 1).await;
    let answer = cinema.ask(place("alice", &["A1"])).await;
    assert_eq!(answer.is_problem(503, "unavailable").get("holdId"), None);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(cinema.taken().await.1, json!([]));
}

#[tokio::test]
async fn a_store_that_is_broken_is_an_internal_error_that_tells_nothing() {
    let cinema = unlucky(Mishap::Broken, 1).await;
    let problem = cinema.hold("alice", &["A1"]).await.is_problem(500, "internal");
    assert!(!problem.to_string().contains("canary"));
}

#[tokio::test]
async fn a_request_that_panicked_can_be_run_again_under_its_key() {
    let cinema = Plan::paid_by(Arc::new(BrokenGateway)).open().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    let ask = Ask::post(format!("/api/v1/orders/{id}/confirm"), json!({"paymentReference": "panic"})).by("alice").key("k");
    cinema.ask(ask.clone()).await.is_problem(500, "internal");
    while cinema.ask(ask.clone()).await.status == 409 {
        tokio::task::yield_now().await;
    }
    cinema.ask(Ask::delete(format!("/api/v1/orders/{id}")).by("alice")).await.is(200);
}
