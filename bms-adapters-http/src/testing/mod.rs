//! The contract as data (feature `testing`): requests, and the answers that they must get from whatever serves these routes:
//! a router in this process, or programs anywhere else that serve them together.
//!
//! ```no_run
//! use axum::Router;
//! use axum::body::{Body, Bytes, to_bytes};
//! use axum::http::{Request, Response};
//! use bms_adapters_http::testing::{Ask, Who, run};
//! use tower::ServiceExt as _;
//!
//! struct InProcess(Router);
//!
//! impl Ask for InProcess {
//!     async fn ask(&mut self, who: Who<'_>, request: Request<Bytes>) -> Response<Bytes> {
//!         // What proves who asks goes into the headers here.
//! #       let _ = who;
//!         let (head, body) = self.0.clone().oneshot(request.map(Body::from)).await.unwrap().into_parts();
//!         Response::from_parts(head, to_bytes(body, usize::MAX).await.unwrap())
//!     }
//! }
//!
//! # async fn test(router: Router) {
//! run(&mut InProcess(router)).await;
//! # }
//! ```
#![allow(clippy::unwrap_used, clippy::panic, reason = "this module is test code: a broken expectation must stop the test")]

mod table;

use axum::body::Bytes;
use axum::http::{Request, Response, header};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

pub use table::ROWS;

/// One request and what must come back. `{name}` in its path, headers or body, and in what must come back, is replaced by what an
/// earlier row's answer had.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is about, for whoever reads of its failure.
    pub name: &'static str,
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub path: &'static str,
    /// Who asks: nobody, a user, or `the boss`, who is an administrator.
    pub user: &'static str,
    /// Further headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// JSON, or empty for no body.
    pub body: &'static str,
    /// The status that must come.
    pub status: u16,
    /// Headers that must be there; `*` for any value.
    pub has: &'static [(&'static str, &'static str)],
    /// JSON pointers and what must stand there, as JSON; `*` for anything, empty for nothing.
    pub shape: &'static [(&'static str, &'static str)],
    /// What later rows may name: a name, and the JSON pointer to it, or the header.
    pub keep: &'static [(&'static str, &'static str)],
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// Nobody in particular: no token.
    Nobody,
    /// A user of this id.
    User(&'a str),
    /// An administrator of this id.
    Admin(&'a str),
}

/// Sends requests to what is tested.
pub trait Ask {
    /// Sends a request with what tells who asks, and reads the answer to its end.
    fn ask(&mut self, who: Who<'_>, request: Request<Bytes>) -> impl Future<Output = Response<Bytes>>;
}

/// Asks everything that stands in [`ROWS`] of a server that carries the [`catalogue`] and nothing else.
///
/// # Panics
/// At the first answer that is not as its row says.
pub async fn run(server: &mut impl Ask) {
    let mut kept = Vec::new();
    for row in ROWS {
        let who = match row.user {
            "" => Who::Nobody,
            "the boss" => Who::Admin(row.user),
            user => Who::User(user),
        };
        let answer = server.ask(who, request(row, &kept)).await;
        check(row, &answer, &mut kept);
    }
}

fn request(row: &Row, kept: &[(String, String)]) -> Request<Bytes> {
    let mut request = Request::builder().method(row.method).uri(filled(row.path, kept));
    for (name, value) in row.headers {
        request = request.header(*name, filled(value, kept));
    }
    if !row.body.is_empty() && row.headers.iter().all(|(name, _)| *name != header::CONTENT_TYPE) {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request.body(Bytes::from(filled(row.body, kept))).unwrap()
}

/// Replaces `{name}` by what was kept.
fn filled(text: &str, kept: &[(String, String)]) -> String {
    kept.iter().rev().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// Checks an answer, and keeps what later rows name.
fn check(row: &Row, answer: &Response<Bytes>, kept: &mut Vec<(String, String)>) {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
    assert_eq!(answer.status().as_u16(), row.status, "{}: {body}", row.name);
    for (name, wanted) in row.has {
        let found = answer.headers().get(*name).map(|value| value.to_str().unwrap());
        assert!(found.is_some(), "{}: no {name}", row.name);
        assert!(*wanted == "*" || found == Some(&*filled(wanted, kept)), "{}: {name} is {found:?}", row.name);
    }
    for (pointer, wanted) in row.shape {
        let found = body.pointer(pointer);
        match *wanted {
            "" => assert_eq!(found, None, "{}: {pointer}", row.name),
            "*" => assert!(found.is_some_and(|found| !found.is_null()), "{}: {pointer} in {body}", row.name),
            wanted => {
                let wanted: Value = serde_json::from_str(&filled(wanted, kept)).unwrap();
                assert_eq!(found, Some(&wanted), "{}: {pointer} in {body}", row.name);
            }
        }
    }
    for (name, pointer) in row.keep {
        let value = match pointer.starts_with('/') {
            true => body.pointer(pointer).and_then(Value::as_str),
            false => answer.headers().get(*pointer).map(|value| value.to_str().unwrap()),
        };
        kept.push(((*name).to_owned(), value.unwrap_or_else(|| panic!("{}: {pointer}", row.name)).to_owned()));
    }
}

/// The `Bms-Signature` of a payment provider's notice: of its body, with a secret, at a time in seconds since 1970.
#[must_use]
pub fn notice_signature(secret: &str, time: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let signature = mac.chain_update(format!("{time}.{body}")).finalize().into_bytes();
    format!("t={time},v1={}", signature.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Twenty seats, A1 to A20, A20 blocked; one show on sale, and one in each of the other conditions.
/// Its shows begin in 2030.
#[must_use]
pub fn catalogue() -> Value {
    let show = |id: &str, status: &str, start: &str| {
        json!({"showId": id, "movieId": "film", "theatreId": "club", "screen": "one", "startTime": start, "status": status,
            "prices": [{"category": "stalls", "amount": 1250, "currency": "EUR"}], "blockedSeats": ["A20"]})
    };
    json!({
        "movies": [
            {"movieId": "film", "title": "A Film", "durationMinutes": 101, "language": "en", "genres": ["drama"],
             "certificate": "12", "synopsis": "Somebody books a seat."},
            {"movieId": "other", "title": "Another", "durationMinutes": 90, "language": "fr", "genres": [], "certificate": "U"},
        ],
        "theatres": [{"theatreId": "club", "name": "The Club", "city": "Berlin", "timeZone": "Europe/Berlin", "screens": [
            {"screen": "one", "name": "One", "layout": {"layoutId": "club-1", "name": "One",
                "categories": [{"category": "stalls", "name": "Stalls"}],
                "sections": [{"sectionId": "s", "name": "Stalls", "rows": [
                    {"rowId": "A", "numbers": "1-20", "category": "stalls", "line": {"x": 0.0, "y": 0.0}}]}]}}]}],
        "shows": [
            show("tonight", "ON_SALE", "2030-01-31T20:00:00Z"),
            show("tomorrow", "ON_SALE", "2030-02-01T20:00:00Z"),
            show("soon", "SCHEDULED", "2030-02-02T20:00:00Z"),
            show("closed", "CLOSED", "2030-02-02T20:00:00Z"),
            show("off", "CANCELLED", "2030-02-02T20:00:00Z"),
            show("begun", "ON_SALE", "2030-01-31T11:00:00Z"),
        ],
    })
}
