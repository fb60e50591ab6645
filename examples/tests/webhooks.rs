//! `bms-server` with `--webhook-url`: what it sells is told, signed, and told again until it was taken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot speak to its server has failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use parking_lot::Mutex;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use support::Server;

/// Nothing here takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

const SECRETS: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD6PB3NkSLmuM=";

/// A show of twelve seats that is always on sale.
const CATALOGUE: &str = r#"{
  "movies": [{"movieId": "sand", "title": "Sand", "durationMinutes": 155, "language": "en"}],
  "theatres": [{"theatreId": "roxy", "name": "Roxy", "city": "Leeds", "timeZone": "Europe/London", "screens": [
    {"screen": "1", "name": "Screen 1", "layout": {"layoutId": "roxy-1", "name": "Screen 1",
      "categories": [{"category": "stalls", "name": "Stalls"}],
      "sections": [{"sectionId": "stalls", "name": "Stalls", "rows": [
        {"rowId": "A", "numbers": "1-12", "category": "stalls", "line": {"x": 0, "y": 0}}]}]}}]}],
  "shows": [{"showId": "tonight", "movieId": "sand", "theatreId": "roxy", "screen": "1",
    "startTime": "2999-12-31T19:30:00Z", "prices": [{"category": "stalls", "amount": 1250, "currency": "GBP"}]}]
}"#;

/// Takes every request but the first; gives what came, in order.
async fn receiver() -> (String, mpsc::UnboundedReceiver<(HeaderMap, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = mpsc::unbounded_channel();
    let first = Arc::new(Mutex::new(true));
    let hook = async move |headers: HeaderMap, body: Bytes| {
        tell.send((headers, serde_json::from_slice(&body).unwrap())).unwrap();
        if std::mem::take(&mut *first.lock()) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", post(hook))).await.unwrap() });
    (url, told)
}

async fn next(told: &mut mpsc::UnboundedReceiver<(HeaderMap, Value)>) -> (HeaderMap, Value) {
    tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap()
}

async fn answer(request: reqwest::RequestBuilder) -> Value {
    request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

#[tokio::test]
async fn an_order_is_told_again_until_it_was_taken() {
    let (url, mut told) = receiver().await;
    let catalogue = NamedTempFile::new().unwrap();
    std::fs::write(catalogue.path(), CATALOGUE).unwrap();
    let file = catalogue.path().to_str().unwrap();
    let options = ["--webhook-url", &url, "--webhook-secret", SECRETS, "--sweep-every", "1h", "--catalogue", file];
    let server = Server::start(&options);
    let client = Client::builder().timeout(PATIENCE).build().unwrap();
    let at = |path: &str| format!("{}/api/v1{path}", server.url());
    let token = answer(client.post(at("/demo/token")).json(&json!({"userId": "ann"}))).await;
    let token = token["token"].as_str().unwrap();
    let hold = client.post(at("/holds")).bearer_auth(token).json(&json!({"showId": "tonight", "seatIds": ["A1"]}));
    let hold = answer(hold).await;
    let customer = json!({"name": "Ann", "email": "ann@example.org"});
    let order = client.post(at("/orders")).bearer_auth(token).json(&json!({"holdId": hold["holdId"], "customer": customer}));
    let order = answer(order).await;

    let (headers, body) = next(&mut told).await;
    assert_eq!((&body["type"], &body["order"]["orderId"]), (&json!("order.created"), &order["orderId"]));
    assert_eq!(body["order"]["customer"], json!(null));
    assert_eq!(headers["webhook-id"].to_str().unwrap(), body["id"].as_str().unwrap());
    assert_eq!(headers["webhook-signature"].to_str().unwrap().split(' ').count(), 2);
    let (again, same) = next(&mut told).await;
    assert_eq!((&again["webhook-id"], &same), (&headers["webhook-id"], &body));
    let paid = client.post(at(&format!("/orders/{}/confirm", order["orderId"].as_str().unwrap())));
    answer(paid.bearer_auth(token).json(&json!({"paymentReference": "pay_ok_1"}))).await;
    let (_, body) = next(&mut told).await;
    assert_eq!((&body["type"], &body["order"]["status"]), (&json!("order.confirmed"), &json!("CONFIRMED")));
}
