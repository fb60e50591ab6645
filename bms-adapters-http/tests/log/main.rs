//! What is logged, and what never is. In a process of its own, because it listens to all that is logged.

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
async fn the_log_has_the_request_and_nothing_of_the_customer() {
    let captured = Captured::default();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(captured.clone()).with_ansi(false).init();

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
    cinema
        .ask(Ask::post("/api/v1/orders", json!({"holdId": hold, "customer": {"email": "canary@example.org"}})).by("alice"))
        .await
        .is(400);
    cinema.confirm("alice", &id, "pay_unavailable_canary").await.is(503);
    let order = cinema.confirm("alice", &id, "pay_ok_canary").await.is(200).json();
    let event =
        json!({"eventId": "e", "orderId": id, "paymentReference": "x", "status": "succeeded", "amount": 1, "currency": "EUR"});
    cinema.ask(notice(&event, cinema.clock.now())).await.is(200);
    let bad_token = format!("{}x", token("alice", false));
    cinema.ask(Ask::get("/api/v1/orders").header("authorization", format!("Bearer {bad_token}"))).await.is(401);
    let code = order["ticketCode"].as_str().unwrap();
    cinema.ask(Ask::get(format!("/api/v1/tickets/{code}")).by_admin()).await.is(200);
    cinema.ask(Ask::get("/movies?city=canary-city")).await.is(200);

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
        &alices,
        &bad_token,
        signature,
        secret,
        code,
        SECRET,
        WEBHOOK_SECRET,
    ];
    for canary in canaries {
        assert!(!log.contains(canary), "{canary} is in the log");
    }
}
