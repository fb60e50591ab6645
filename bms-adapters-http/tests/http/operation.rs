//! How it runs: request ids, metrics, hosts, and going down.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bms_adapters_http::{HttpConfig, JwtAuthenticator, router};
use secrecy::SecretString;
use serde_json::json;
use tower::ServiceExt as _;

use crate::stores::SlowGateway;
use crate::support::{Ask, Plan, SECRET, WEBHOOK_SECRET, cinema, place, send};

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let cinema = cinema().await;
    for path in ["/healthz", "/nowhere", "/movies/none", "/api/v1/orders"] {
        let made = cinema.ask(Ask::get(path)).await;
        assert!(made.header("x-request-id").is_some_and(|id| id.len() >= 16), "{path}");
        let taken = cinema.ask(Ask::get(path).header("x-request-id", "mine-7")).await;
        assert_eq!(taken.header("x-request-id"), Some("mine-7"), "{path}");
    }
    let wrong_method = cinema.ask(Ask::new("PATCH", "/movies").header("x-request-id", "mine-8")).await;
    assert_eq!(wrong_method.header("x-request-id"), Some("mine-8"));
    for bad in ["", "with space", &"x".repeat(129), "é"] {
        let answer = cinema.ask(Ask::get("/healthz").header("x-request-id", bad)).await;
        assert_ne!(answer.header("x-request-id"), Some(bad));
        assert!(answer.header("x-request-id").is_some());
    }
    let two = Ask::get("/healthz").header("x-request-id", "a").header("x-request-id", "b");
    let id = cinema.ask(two).await.header("x-request-id").unwrap().to_owned();
    assert!(id != "a" && id != "b");
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let cinema = cinema().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    cinema.hold("bob", &["A1"]).await.is(409);
    cinema.confirm("alice", &id, "pay_ok").await.is(200);
    cinema.ask(Ask::post(format!("/api/v1/admin/orders/{id}/cancel"), json!({})).by_admin()).await.is(200);
    for asked in [None, None, None, Some("no-cache")] {
        let ask = Ask::get("/api/v1/shows/tonight/seatmap");
        cinema.ask(asked.into_iter().fold(ask, |ask, value| ask.header("cache-control", value))).await.is(200);
    }
    cinema.ask(Ask::get("/some/where/else")).await.is(404);
    cinema.ask(Ask::new("BREW", "/movies")).await.is(405);
    let metrics = cinema.ask(Ask::get("/metrics")).await;
    let text = String::from_utf8(metrics.is(200).bytes.to_vec()).unwrap();
    for line in [
        "bms_holds_placed_total 1",
        "bms_holds_refused_total{code=\"seats-unavailable\"} 1",
        "bms_orders_created_total 1",
        "bms_orders_confirmed_total 1",
        "bms_refunds_due_total 1",
        "bms_seat_map_reads_total{source=\"cache\"} 2",
        "bms_seat_map_reads_total{source=\"stores\"} 2",
        "bms_http_requests_total{route=\"/api/v1/holds\",method=\"POST\",status=\"201\"} 1",
        "bms_http_requests_total{route=\"unmatched\",method=\"GET\",status=\"404\"} 1",
        "bms_http_requests_total{route=\"/movies\",method=\"OTHER\",status=\"405\"} 1",
        "bms_http_request_duration_seconds_count{route=\"/api/v1/holds\",method=\"POST\",status=\"201\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.contains("bms_http_request_duration_seconds_bucket{"));
    assert!(!text.contains(&id) && !text.contains("/some/where"));
}

#[tokio::test]
async fn two_routers_live_in_one_process_and_in_one_host() {
    let (one, two) = (cinema().await, cinema().await);
    one.held("alice", &["A1"]).await;
    let text = String::from_utf8(two.ask(Ask::get("/metrics")).await.bytes.to_vec()).unwrap();
    assert!(!text.contains("bms_holds_placed_total 1"));

    let authenticator = JwtAuthenticator::hs256(&SecretString::from(SECRET)).unwrap();
    let config = HttpConfig::new(Arc::new(authenticator)).without_fallback();
    let booking = router(one.service.clone(), config);
    let host = Router::new().route("/", get(async || "home")).fallback(async || "the host's own").merge(booking);
    assert_eq!(send(&host, &Ask::get("/")).await.bytes, "home");
    assert_eq!(send(&host, &Ask::get("/nowhere")).await.bytes, "the host's own");
    send(&host, &Ask::get("/movies")).await.is(200);
    // The layers are those of the booking routes alone.
    assert_eq!(send(&host, &Ask::get("/")).await.header("x-request-id"), None);
}

#[tokio::test]
async fn going_down_finishes_what_runs_and_refuses_what_is_new() {
    let gateway = SlowGateway::new();
    let cinema = Plan::paid_by(gateway.clone()).open().await;
    let id = cinema.ordered("alice", &["A1"]).await;
    let confirm = Ask::post(format!("/api/v1/orders/{id}/confirm"), json!({"paymentReference": "p"})).by("alice");
    let running = tokio::spawn(cinema.router.clone().oneshot(confirm.request()));
    gateway.is_asked().await;
    cinema.shutdown.begin();
    let answer = cinema.ask(place("bob", &["A2"])).await;
    answer.is_problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    cinema.ask(Ask::get("/readyz")).await.is_problem(503, "unavailable");
    cinema.ask(Ask::get("/healthz")).await.is(200);
    cinema.ask(Ask::get("/metrics")).await.is(200);
    gateway.answers.add_permits(1);
    assert_eq!(running.await.unwrap().unwrap().status(), 200);
}

#[test]
fn a_configuration_shows_no_secret_and_takes_no_weak_one() {
    let authenticator = Arc::new(JwtAuthenticator::hs256(&SecretString::from(SECRET)).unwrap());
    let text = format!("{authenticator:?}");
    let config = HttpConfig::new(authenticator);
    let config = config.payment_webhook_secret(SecretString::from(WEBHOOK_SECRET)).unwrap();
    let text = format!("{text}{config:?}");
    assert!(!text.contains(SECRET) && !text.contains(WEBHOOK_SECRET));
    assert!(config.payment_webhook_secret(SecretString::from("short")).is_err());
}
