//! A box office: a server in demo mode that sells one show, and a client of it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test program uses some of it; a test fails by panicking"
)]

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::Server;

/// Nothing here takes this long; a test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A show of twelve seats that is always on sale.
pub(crate) const CATALOGUE: &str = r#"{
  "movies": [{"movieId": "sand", "title": "Sand", "durationMinutes": 155, "language": "en"}],
  "theatres": [{"theatreId": "roxy", "name": "Roxy", "city": "Leeds", "timeZone": "Europe/London", "screens": [
    {"screen": "1", "name": "Screen 1", "layout": {"layoutId": "roxy-1", "name": "Screen 1",
      "categories": [{"category": "stalls", "name": "Stalls"}],
      "sections": [{"sectionId": "stalls", "name": "Stalls", "rows": [
        {"rowId": "A", "numbers": "1-12", "category": "stalls", "line": {"x": 0, "y": 0}}]}]}}]}],
  "shows": [{"showId": "tonight", "movieId": "sand", "theatreId": "roxy", "screen": "1",
    "startTime": "2999-12-31T19:30:00Z", "prices": [{"category": "stalls", "amount": 1250, "currency": "GBP"}]}]
}"#;

/// A server in demo mode, and a client of it.
pub(crate) struct BoxOffice {
    pub(crate) server: Server,
    pub(crate) client: reqwest::Client,
    _catalogue: NamedTempFile,
}

impl BoxOffice {
    /// With holds in this Redis, and orders in memory.
    pub(crate) fn on_redis(url: &str) -> Self {
        Self::open_with(&["--redis-url", url, "--volatile-orders"])
    }

    pub(crate) fn open_with(options: &[&str]) -> Self {
        Self::start(options, Server::start)
    }

    pub(crate) fn start(options: &[&str], start: impl FnOnce(&[&str]) -> Server) -> Self {
        let catalogue = NamedTempFile::new().unwrap();
        std::fs::write(catalogue.path(), CATALOGUE).unwrap();
        let file = catalogue.path().to_str().unwrap();
        let server = start(&[options, &["--catalogue", file]].concat());
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { server, client, _catalogue: catalogue }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).header("cache-control", "no-cache").send().await.unwrap()
    }

    pub(crate) async fn post(&self, user: &str, path: &str, body: Value) -> RequestBuilder {
        let token = self.client.post(self.url("/api/v1/demo/token")).json(&json!({"userId": user})).send().await.unwrap();
        let token: Value = token.json().await.unwrap();
        self.client.post(self.url(path)).bearer_auth(token["token"].as_str().unwrap()).json(&body)
    }

    pub(crate) async fn hold(&self, user: &str, seats: &[&str]) -> Response {
        let wanted = json!({"showId": "tonight", "seatIds": seats});
        self.post(user, "/api/v1/holds", wanted).await.send().await.unwrap()
    }

    /// Holds seats that are free.
    pub(crate) async fn held(&self, user: &str, seats: &[&str]) -> Value {
        body(self.hold(user, seats).await, StatusCode::CREATED).await
    }

    /// Holds and orders seats that are free; gives the path of the order.
    pub(crate) async fn ordered(&self, user: &str, seats: &[&str]) -> String {
        let hold = self.held(user, seats).await;
        let wanted = json!({"holdId": hold["holdId"], "customer": {"name": "A", "email": "a@example.org"}});
        let order = self.post(user, "/api/v1/orders", wanted).await.send().await.unwrap();
        let order = body(order, StatusCode::CREATED).await;
        format!("/api/v1/orders/{}", order["orderId"].as_str().unwrap())
    }

    pub(crate) async fn paid(&self, user: &str, order: &str) -> Value {
        let payment = self.post(user, &format!("{order}/confirm"), json!({"paymentReference": "pay_ok_1"})).await;
        body(payment.send().await.unwrap(), StatusCode::OK).await
    }

    pub(crate) async fn is_refused(&self, user: &str, seats: &[&str], in_the_way: &[&str]) {
        let problem = body(self.hold(user, seats).await, StatusCode::CONFLICT).await;
        assert_eq!((&problem["type"], &problem["seatIds"]), (&json!("urn:bms:problem:seats-unavailable"), &json!(in_the_way)));
    }

    /// The seats that are held, and those that are sold.
    pub(crate) async fn map(&self) -> (Value, Value) {
        let map = body(self.get("/api/v1/shows/tonight/seatmap?layout=false").await, StatusCode::OK).await;
        (map["heldSeatIds"].clone(), map["unavailableSeatIds"].clone())
    }
}

pub(crate) async fn body(answer: Response, status: StatusCode) -> Value {
    let (found, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(found, status, "{text}");
    serde_json::from_str(&text).unwrap()
}
