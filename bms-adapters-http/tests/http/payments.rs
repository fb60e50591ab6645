//! Payment notices: signed, durable, once.

use std::sync::Arc;

use bms_adapters_http::testing::notice_signature;
use bms_domain::testing::{Fault, Faults, Faulty};
use bms_domain::time::{Clock as _, Timestamp};
use serde_json::{Value, json};

use crate::support::{Ask, Plan, WEBHOOK_SECRET, cinema, notice};

fn body(order: &str, event: &str) -> Value {
    json!({"eventId": event, "orderId": order, "paymentReference": "p1", "status": "succeeded", "amount": 1250, "currency": "EUR"})
}

#[tokio::test]
async fn a_signed_notice_confirms_its_order_and_again_changes_nothing() {
    let cinema = cinema().await;
    let order = cinema.ordered("alice", &["A1"]).await;
    let now = cinema.clock.now();
    for _ in 0..2 {
        let answer = cinema.ask(notice(&body(&order, "e1"), now)).await;
        assert_eq!(answer.is(200).json(), json!({"received": true}));
    }
    let found = cinema.ask(Ask::get(format!("/api/v1/orders/{order}")).by("alice")).await.is(200).json();
    assert_eq!((&found["status"], &found["refundDue"]), (&json!("CONFIRMED"), &json!(false)));
}

/// P4, P13: the provider sends again what was not answered with success.
#[tokio::test]
async fn a_notice_that_could_not_be_written_down_is_refused_and_taken_when_it_comes_again() {
    let faults = Faults::new();
    let mut plan = Plan::new();
    plan.ports.orders = Arc::new(Faulty::new(plan.ports.orders, faults.clone()));
    let cinema = plan.open().await;
    let order = cinema.ordered("alice", &["A1"]).await;
    let now = cinema.clock.now();
    for fault in [Fault::Unavailable, Fault::LoseReply] {
        faults.at_every("orders.settle", fault);
        cinema.ask(notice(&body(&order, "e1"), now)).await.is_problem(503, "unavailable");
        faults.heal();
    }
    cinema.ask(notice(&body(&order, "e1"), now)).await.is(200);
    let found = cinema.ask(Ask::get(format!("/api/v1/orders/{order}")).by("alice")).await.is(200).json();
    assert_eq!((&found["status"], &found["refundDue"]), (&json!("CONFIRMED"), &json!(false)));
}

#[tokio::test]
async fn a_failure_ends_the_order_and_an_order_that_is_unknown_is_taken_all_the_same() {
    let cinema = cinema().await;
    let order = cinema.ordered("alice", &["A1"]).await;
    let now = cinema.clock.now();
    let mut failed = body(&order, "e1");
    failed["status"] = json!("failed");
    cinema.ask(notice(&failed, now)).await.is(200);
    let found = cinema.ask(Ask::get(format!("/api/v1/orders/{order}")).by("alice")).await.is(200).json();
    assert_eq!(found["status"], "FAILED");
    cinema.ask(notice(&body("01890a5d-ac96-774b-bcce-b302099a8057", "e2"), now)).await.is(200);
}

/// The signature by itself.
fn sign(secret: &str, time: i64, body: &str) -> String {
    notice_signature(secret, time, body).split_once(",v1=").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_notice_that_is_not_signed_by_the_provider_or_too_old_changes_nothing() {
    let cinema = cinema().await;
    let order = cinema.ordered("alice", &["A1"]).await;
    let text = body(&order, "e1").to_string();
    let now = cinema.clock.now().as_millis() / 1_000;
    let good = sign(WEBHOOK_SECRET, now, &text);
    let post = |signature: String| {
        Ask::new("POST", "/api/v1/payments/events")
            .body(text.clone())
            .header("content-type", "application/json")
            .header("bms-signature", signature)
    };
    let old = now - 301;
    let early = now + 301;
    let bad = [
        String::new(),
        format!("t={now}"),
        format!("v1={good}"),
        format!("t={now},v1={}", sign("another secret of somebody", now, &text)),
        format!("t={now},v1={}", sign(WEBHOOK_SECRET, now, &text.replace("1250", "1251"))),
        format!("t={now},v1={}", &good[..62]),
        format!("t={now},v0={good}"),
        format!("t={},v1={good}", now + 1),
        format!("t={old},v1={}", sign(WEBHOOK_SECRET, old, &text)),
        format!("t={early},v1={}", sign(WEBHOOK_SECRET, early, &text)),
        format!("t={now},t={now},v1={good}"),
        format!("t=99999999999999999999,v1={good}"),
    ];
    for signature in bad {
        let answer = cinema.ask(post(signature)).await;
        answer.is_problem(401, "unauthenticated");
    }
    let unsigned = Ask::post("/api/v1/payments/events", body(&order, "e1")).by_admin();
    cinema.ask(unsigned).await.is_problem(401, "unauthenticated");
    let found = cinema.ask(Ask::get(format!("/api/v1/orders/{order}")).by("alice")).await.is(200).json();
    assert_eq!(found["status"], "PAYMENT_PENDING");

    // While secrets change there are two signatures.
    let two = format!("t={now},v1={},v1={good}", sign("the secret that was before", now, &text));
    cinema.ask(post(two)).await.is(200);
}

#[tokio::test]
async fn a_notice_must_be_of_the_shape() {
    let cinema = cinema().await;
    let order = cinema.ordered("alice", &["A1"]).await;
    let now = cinema.clock.now();
    let cases = [
        ("status", json!("maybe"), 422, "validation"),
        ("amount", json!(-1), 422, "validation"),
        ("amount", json!("1250"), 400, "malformed-request"),
        ("currency", json!("XYZ"), 422, "validation"),
        ("orderId", json!("{}"), 422, "validation"),
        ("eventId", json!("with space"), 422, "validation"),
        ("paymentReference", json!(""), 422, "validation"),
        ("more", json!(1), 422, "validation"),
    ];
    for (field, value, status, code) in cases {
        let mut body = body(&order, "e1");
        body[field] = value;
        let problem = cinema.ask(notice(&body, now)).await.is_problem(status, code);
        if status == 422 {
            assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{problem}");
        }
    }
}

#[tokio::test]
async fn without_a_secret_there_is_no_such_route() {
    let cinema = Plan { webhook: false, ..Plan::new() }.open().await;
    cinema.ask(notice(&json!({}), Timestamp::MIN)).await.is_problem(404, "not-found");
}
