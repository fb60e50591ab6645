//! What is logged, traced and counted, and what never is. In a process of its own, because it listens to all that is logged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

#[path = "../http/support.rs"]
#[allow(dead_code, reason = "only a part of it is used here")]
mod support;

use std::io;
use std::sync::{Arc, Mutex};

use bms_domain::time::Clock as _;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use support::{Ask, SECRET, WEBHOOK_SECRET, cinema, notice, token};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn what_is_seen_of_a_request_has_nothing_of_the_customer() {
    let captured = Captured::default();
    // Spans tell their fields when they begin, and when they end, also those in which nothing is logged.
    let spans = FmtSpan::NEW | FmtSpan::CLOSE;
    let listens = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_span_events(spans);
    listens.with_writer(captured.clone()).with_ansi(false).init();

    let cinema = cinema().await;
    let hold = cinema.held("alice", &["A1"]).await;
    let customer = json!({"name": "Canary Name", "email": "canary@example.org"});
    let body = json!({"holdId": hold, "customer": customer});
    let traced = Ask::post("/api/v1/orders", body.clone())
        .by("alice")
        .key("canary-key")
        .header("x-request-id", "request-of-the-log")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let id = cinema.ask(traced).await.is(201).json()["orderId"].as_str().unwrap().to_owned();
    let nameless = json!({"holdId": hold, "customer": {"email": "canary@example.org"}});
    let mut problems = vec![
        cinema.ask(Ask::post("/api/v1/orders", nameless).by("alice")).await.is(400).clone(),
        cinema.confirm("alice", &id, "pay_unavailable_canary").await.is(503).clone(),
    ];
    let order = cinema.confirm("alice", &id, "pay_ok_canary").await.is(200).json();
    let event =
        json!({"eventId": "e", "orderId": id, "paymentReference": "x", "status": "succeeded", "amount": 1, "currency": "EUR"});
    cinema.ask(notice(&event, cinema.clock.now())).await.is(200);
    let bad_token = format!("{}x", token("alice", false));
    let refused = Ask::get("/api/v1/orders").header("authorization", format!("Bearer {bad_token}"));
    problems.push(cinema.ask(refused).await.is(401).clone());
    // A second payment, and one that another order has.
    problems.push(cinema.confirm("alice", &id, "pay_ok_another_canary").await.is(409).clone());
    let other = cinema.ordered("alice", &["A2"]).await;
    problems.push(cinema.confirm("bob", &other, "pay_ok_canary").await.is(404).clone());
    let code = order["ticketCode"].as_str().unwrap();
    problems.push(cinema.ask(Ask::get(format!("/api/v1/tickets/{code}")).by("alice")).await.is(403).clone());
    problems.push(cinema.ask(Ask::get(format!("/canary/{code}?email=canary@example.org"))).await.is(404).clone());
    cinema.ask(Ask::get(format!("/api/v1/tickets/{code}")).by_admin()).await.is(200);
    cinema.ask(Ask::get("/movies?city=canary-city")).await.is(200);
    let metrics = cinema.ask(Ask::get("/metrics")).await.is(200).clone();

    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    for wanted in
        ["request-of-the-log", "/api/v1/orders/{orderId}/confirm", "4bf92f3577b34da6a3ce929d0e0e4736", "status=201", "latency_us"]
    {
        assert!(log.contains(wanted), "{wanted} is not in the log");
    }
    let alices = token("alice", false);
    let secret = order["ticketSecret"].as_str().unwrap();
    let signature = alices.rsplit('.').next().unwrap();
    let canaries = [
        "canary@example.org",
        "Canary Name",
        "canary-key",
        "canary-city",
        "pay_unavailable_canary",
        "pay_ok_canary",
        "pay_ok_another_canary",
        &alices,
        &bad_token,
        signature,
        secret,
        code,
        SECRET,
        WEBHOOK_SECRET,
    ];
    let said = problems.iter().map(|problem| format!("{:?} {}", problem.headers, String::from_utf8_lossy(&problem.bytes)));
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    assert!(log.contains("close") && metrics.contains("bms_orders_confirmed_total 1"), "{metrics}");
    for seen in said.chain([log, metrics]) {
        for canary in canaries {
            assert!(!seen.contains(canary), "{canary} is told: {seen}");
        }
    }
}
