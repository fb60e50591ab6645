//! Who may do what: every route, asked by the owner of what it is about, another user, nobody and an administrator.

use std::collections::BTreeSet;

use bms_adapters_http::operations;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Ask, Cinema, catalogue, cinema};

/// A route, and the status that the owner, another user, nobody and an administrator get.
struct Row(&'static str, &'static str, [u16; 4]);

const PUBLIC: [u16; 4] = [200; 4];
/// Everybody his own.
const USERS: [u16; 4] = [200, 200, 401, 200];
/// What is somebody's is to others as if it were not there.
const OWNER: [u16; 4] = [200, 404, 401, 200];
const ADMIN: [u16; 4] = [403, 403, 401, 200];

const ROWS: [Row; 25] = [
    Row("GET", "/movies", PUBLIC),
    Row("GET", "/movies/{movieId}", PUBLIC),
    Row("GET", "/movies/{movieId}/shows", PUBLIC),
    Row("GET", "/api/v1/shows/{showId}/seatmap", PUBLIC),
    Row("GET", "/api/v1/shows/{showId}/seatmap/events", PUBLIC),
    Row("POST", "/api/v1/holds", [201, 201, 401, 201]),
    Row("GET", "/api/v1/holds", USERS),
    Row("GET", "/api/v1/holds/{holdId}", OWNER),
    Row("DELETE", "/api/v1/holds/{holdId}", OWNER),
    Row("POST", "/api/v1/orders", [201, 404, 401, 201]),
    Row("GET", "/api/v1/orders", USERS),
    Row("GET", "/api/v1/orders/{orderId}", OWNER),
    Row("DELETE", "/api/v1/orders/{orderId}", OWNER),
    Row("POST", "/api/v1/orders/{orderId}/confirm", OWNER),
    Row("POST", "/api/v1/orders/{orderId}/confirm-payment", OWNER),
    // Opened by the provider's signature, and by nothing else.
    Row("POST", "/api/v1/payments/events", [401; 4]),
    Row("GET", "/api/v1/tickets/{ticketCode}", ADMIN),
    Row("PUT", "/api/v1/admin/movies/{id}", ADMIN),
    Row("PUT", "/api/v1/admin/theatres/{id}", ADMIN),
    Row("PUT", "/api/v1/admin/shows/{id}", ADMIN),
    Row("POST", "/api/v1/admin/orders/{orderId}/cancel", ADMIN),
    Row("GET", "/healthz", PUBLIC),
    Row("GET", "/readyz", PUBLIC),
    Row("GET", "/metrics", PUBLIC),
    Row("GET", "/api/v1/openapi.json", PUBLIC),
];

const SECRET_OF_ALICE: &str = "alice's.canary@example.org";

/// A cinema in which Alice has a hold, an order that waits and a ticket.
struct Alices {
    cinema: Cinema,
    hold: String,
    order: String,
    sold: String,
    code: String,
}

impl Alices {
    async fn new() -> Self {
        let cinema = cinema().await;
        let ordered = async |seat: &str| {
            let hold = cinema.held("alice", &[seat]).await;
            let customer = json!({"name": "Alice", "email": SECRET_OF_ALICE});
            let order = Ask::post("/api/v1/orders", json!({"holdId": hold, "customer": customer})).by("alice");
            cinema.ask(order).await.is(201).json()["orderId"].as_str().unwrap().to_owned()
        };
        let (hold, order, sold) = (cinema.held("alice", &["A1"]).await, ordered("A2").await, ordered("A3").await);
        let confirmed = cinema.confirm("alice", &sold, "pay_ok_1").await.is(200).json();
        let code = confirmed["ticketCode"].as_str().unwrap().to_owned();
        Self { cinema, hold, order, sold, code }
    }

    /// A request that does what the route is for.
    fn request(&self, method: &str, path: &str) -> Ask {
        let order = if path.contains("/admin/") { &self.sold } else { &self.order };
        let filled = path.replace("{movieId}", "film").replace("{showId}", "tonight").replace("{holdId}", &self.hold);
        let filled = filled.replace("{orderId}", order).replace("{ticketCode}", &self.code);
        let document = catalogue();
        let entry = |list: &str, id: &str| {
            let entry = document[list].as_array().unwrap().iter().find(|entry| entry[id].is_string()).unwrap();
            (filled.replace("{id}", entry[id].as_str().unwrap()), entry.clone())
        };
        let with = |body: Value| Ask::new(method, filled.clone()).json(body);
        match (method, path) {
            ("POST", "/api/v1/holds") => with(json!({"showId": "tonight", "seatIds": ["A9"]})),
            ("GET", "/api/v1/holds") => Ask::get(format!("{filled}?ids={}", self.hold)),
            ("POST", "/api/v1/orders") => {
                with(json!({"holdId": self.hold, "customer": {"name": "Alice", "email": SECRET_OF_ALICE}}))
            }
            ("POST", path) if path.contains("/confirm") => with(json!({"paymentReference": "pay_ok_2"})),
            ("POST", "/api/v1/payments/events") => with(json!({"eventId": "e", "orderId": self.order,
                "paymentReference": "p", "status": "succeeded", "amount": 1250, "currency": "EUR"})),
            ("PUT", path) => {
                let (list, id) = match path.split('/').nth(4) {
                    Some("movies") => ("movies", "movieId"),
                    Some("theatres") => ("theatres", "theatreId"),
                    _ => ("shows", "showId"),
                };
                let (filled, entry) = entry(list, id);
                Ask::put(filled, entry)
            }
            _ => Ask::new(method, filled),
        }
    }

    /// Everything that Alice can see.
    async fn seen(&self) -> Vec<Value> {
        let mut seen = Vec::new();
        for path in [format!("/api/v1/holds/{}", self.hold), "/api/v1/orders".to_owned()] {
            seen.push(self.cinema.ask(Ask::get(path).by("alice")).await.is(200).json());
        }
        seen
    }
}

#[test]
fn every_route_has_its_row() {
    let known: BTreeSet<_> = operations().into_iter().map(|it| (it.method.to_string(), it.path)).collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|Row(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(rows, known);
}

#[tokio::test]
async fn everybody_gets_what_is_his_and_nothing_else() {
    for Row(method, path, statuses) in &ROWS {
        for (who, status) in ["alice", "mallory", "", "the boss"].into_iter().zip(statuses) {
            let alices = Alices::new().await;
            let ask = alices.request(method, path);
            let ask = match who {
                "" => ask,
                "the boss" => ask.by_admin(),
                user => ask.by(user),
            };
            let before = alices.seen().await;
            let answer = alices.cinema.router.clone().oneshot(ask.request()).await.unwrap();
            assert_eq!(answer.status().as_u16(), *status, "{method} {path} by {who:?}");
            if matches!(who, "mallory" | "") {
                assert_eq!(alices.seen().await, before, "{method} {path} by {who:?} changed what is Alice's");
            }
            // Its stream has no end.
            if matches!(who, "mallory" | "") && !path.ends_with("/events") {
                let said = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
                let said = String::from_utf8(said.to_vec()).unwrap();
                for canary in [SECRET_OF_ALICE, &alices.hold, &alices.order, &alices.sold, &alices.code] {
                    assert!(!said.contains(canary), "{method} {path} tells {who:?} {canary}: {said}");
                }
            }
        }
    }
}
