//! What the tests share: a cinema on the embedded stores and a clock that stands still, and short ways to ask it things.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bms_adapters_http::auth::mint_hs256;
pub(crate) use bms_adapters_http::testing::catalogue;
use bms_adapters_http::testing::notice_signature;
use bms_adapters_http::{HttpConfig, JwtAuthenticator, RateLimit, Shutdown, router};
use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{Caller, UserId};
use bms_domain::memory::SandboxGateway;
use bms_domain::payment::PaymentGateway;
use bms_domain::service::Ports;
use bms_domain::time::{Clock, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use tower::ServiceExt as _;

pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes";
pub(crate) const WEBHOOK_SECRET: &str = "a secret of the payment provider";

/// A clock that moves when it is told to.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(Timestamp::parse("2030-01-31T12:00:00Z").unwrap().as_millis())))
    }

    pub(crate) fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A cinema that is open.
pub(crate) struct Cinema {
    pub(crate) router: Router,
    pub(crate) service: BookingService,
    pub(crate) clock: TestClock,
    pub(crate) shutdown: Shutdown,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The code of a problem, after checking that it is one.
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        body["type"].as_str().and_then(|name| name.strip_prefix("urn:bms:problem:")).expect("a code").to_owned()
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> Value {
        self.is(status);
        assert_eq!(self.code(), code);
        self.json()
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &str, path: impl Into<String>) -> Self {
        Self { method: method.parse().unwrap(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new("DELETE", path)
    }

    pub(crate) fn post(path: impl Into<String>, body: Value) -> Self {
        Self::new("POST", path).json(body)
    }

    pub(crate) fn put(path: impl Into<String>, body: Value) -> Self {
        Self::new("PUT", path).json(body)
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.body(body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn by(self, user: &str) -> Self {
        let token = token(user, false);
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn by_admin(self) -> Self {
        let token = token("the boss", true);
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn request(&self) -> Request<Body> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body.clone())).unwrap()
    }
}

pub(crate) fn token(user: &str, admin: bool) -> String {
    let end = Timestamp::parse("2030-02-28T00:00:00Z").unwrap();
    mint_hs256(&SecretString::from(SECRET), &UserId::parse(user).unwrap(), admin, end).unwrap()
}

/// How a cinema differs from the usual one.
pub(crate) struct Plan {
    pub(crate) clock: TestClock,
    pub(crate) ports: Ports,
    pub(crate) rate_limit: Option<u32>,
    pub(crate) webhook: bool,
    pub(crate) request_deadline: Duration,
    pub(crate) deadline: Option<Duration>,
}

impl Plan {
    pub(crate) fn new() -> Self {
        Self::paid_by(Arc::new(SandboxGateway))
    }

    pub(crate) fn paid_by(gateway: Arc<dyn PaymentGateway>) -> Self {
        let clock = TestClock::new();
        let ports = Ports::in_memory(Arc::new(clock.clone()), gateway);
        Self { clock, ports, rate_limit: None, webhook: true, request_deadline: Duration::from_secs(10), deadline: None }
    }

    pub(crate) async fn open(self) -> Cinema {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let mut builder = BookingService::builder(self.ports).clock(clock.clone());
        if let Some(deadline) = self.deadline {
            builder = builder.deadline(deadline, Arc::new(bms_adapters_http::TokioTimer));
        }
        let service = builder.build().unwrap();
        let boss = Caller::admin(UserId::parse("the boss").unwrap());
        let document: CatalogueDocument = CatalogueDocument::parse(catalogue().to_string()).unwrap();
        service.import(&boss, &document).await.unwrap();

        let shutdown = Shutdown::new();
        let secret = SecretString::from(SECRET);
        let authenticator = JwtAuthenticator::hs256(&secret).unwrap().clock(clock.clone());
        let mut config = HttpConfig::new(Arc::new(authenticator))
            .clock(clock)
            .shutdown(shutdown.clone())
            .request_deadline(self.request_deadline);
        if self.webhook {
            config = config.payment_webhook_secret(SecretString::from(WEBHOOK_SECRET)).unwrap();
        }
        if let Some(requests) = self.rate_limit {
            let limit = RateLimit::new(NonZeroU32::new(requests).unwrap(), Duration::from_secs(3_600)).unwrap();
            config = config.rate_limit(limit);
        }
        Cinema { router: router(service.clone(), config), service, clock: self.clock, shutdown }
    }
}

pub(crate) async fn cinema() -> Cinema {
    Plan::new().open().await
}

pub(crate) async fn send(router: &Router, ask: &Ask) -> Answer {
    answer(router, ask.request()).await
}

pub(crate) async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

impl Cinema {
    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        send(&self.router, &ask).await
    }

    pub(crate) async fn hold(&self, user: &str, seats: &[&str]) -> Answer {
        self.ask(place(user, seats)).await
    }

    /// A hold's id.
    pub(crate) async fn held(&self, user: &str, seats: &[&str]) -> String {
        self.hold(user, seats).await.is(201).json()["holdId"].as_str().unwrap().to_owned()
    }

    /// An order's id.
    pub(crate) async fn ordered(&self, user: &str, seats: &[&str]) -> String {
        let hold = self.held(user, seats).await;
        self.ask(order(user, &hold)).await.is(201).json()["orderId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn confirm(&self, user: &str, order: &str, payment: &str) -> Answer {
        let body = json!({"paymentReference": payment});
        self.ask(Ask::post(format!("/api/v1/orders/{order}/confirm"), body).by(user)).await
    }

    /// The seats that are taken: sold or blocked, and held.
    pub(crate) async fn taken(&self) -> (Value, Value) {
        let map = self.ask(Ask::get("/api/v1/shows/tonight/seatmap?layout=false")).await;
        let map = map.is(200).json();
        (map["unavailableSeatIds"].clone(), map["heldSeatIds"].clone())
    }
}

pub(crate) fn place(user: &str, seats: &[&str]) -> Ask {
    Ask::post("/api/v1/holds", json!({"showId": "tonight", "seatIds": seats})).by(user)
}

pub(crate) fn order(user: &str, hold: &str) -> Ask {
    let customer = json!({"name": "Ada", "email": "ada@example.org"});
    Ask::post("/api/v1/orders", json!({"holdId": hold, "customer": customer})).by(user)
}

/// A payment provider's notice, signed at a time.
pub(crate) fn notice(body: &Value, at: Timestamp) -> Ask {
    let body = body.to_string();
    let time = at.as_millis() / 1_000;
    let signature = notice_signature(WEBHOOK_SECRET, time, &body);
    Ask::new("POST", "/api/v1/payments/events")
        .body(body)
        .header("content-type", "application/json")
        .header("bms-signature", signature)
}
