//! Signed webhooks against a receiver on this machine.
#![cfg(feature = "webhooks")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this file is a test"
)]

mod receiver;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use bms_adapters_http::EventBody;
use bms_adapters_http::webhooks::{WebhookError, WebhookSink};
use bms_domain::BookingService;
use bms_domain::event::{EventKey, EventSink, OrderEvent};
use bms_domain::memory::{MemoryOrders, SandboxGateway};
use bms_domain::money::Money;
use bms_domain::payment::PaymentStatus;
use bms_domain::service::{Ports, Relayed};
use bms_domain::store::{Creation, NewOrder, OrderStore, Outbox};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::Clock as _;
use parking_lot::Mutex;
use receiver::{Receiver, Taken};
use secrecy::SecretString;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEXT_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD6PB3NkSLmuM=";
const LEASE: Duration = Duration::from_mins(1);

/// Orders in memory with a clock that stands still, and their events.
struct Office {
    clock: ManualClock,
    orders: Arc<MemoryOrders>,
}

impl Office {
    fn new() -> Self {
        let clock = ManualClock::new();
        Self { orders: Arc::new(MemoryOrders::new(Arc::new(clock.clone()))), clock }
    }

    fn sink(&self, receiver: &Receiver) -> WebhookSink {
        WebhookSink::new(&receiver.url, &secret(SECRET)).unwrap().clock(Arc::new(self.clock.clone()))
    }

    /// An order of two seats, paid.
    async fn paid(&self, n: u32) {
        let show = sample::show("gala");
        let price: Money = sample::euro(2_500);
        let order = NewOrder {
            id: sample::order_id(&show, n),
            hold: sample::hold_id(&show, n),
            show,
            layout: sample::layout_id("plan-1"),
            owner: sample::user("ann"),
            seats: sample::seat_list(&sample::seats(&[2 * n, 2 * n + 1])),
            price,
            customer: sample::customer(),
            ttl: Duration::from_mins(5),
        };
        assert!(matches!(self.orders.create(&order).await.unwrap(), Creation::Created(_)));
        let report = sample::report(order.id, &format!("pay-{n}"), PaymentStatus::Succeeded, price);
        self.orders.settle(&report, &sample::ticket(n)).await.unwrap();
    }

    async fn events(&self) -> Vec<OrderEvent> {
        self.orders.claim(1_000, LEASE).await.unwrap().into_iter().map(|delivery| delivery.event).collect()
    }

    fn service(&self) -> BookingService {
        let mut ports = Ports::in_memory(Arc::new(self.clock.clone()), Arc::new(SandboxGateway));
        (ports.orders, ports.outbox) = (self.orders.clone(), self.orders.clone());
        BookingService::builder(ports).clock(Arc::new(self.clock.clone())).build().unwrap()
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn key(order: u32, sequence: u32) -> EventKey {
    EventKey { order: sample::order_id(&sample::show("gala"), order), sequence }
}

fn of(order: u32) -> impl Fn(&&Taken) -> bool {
    move |taken| taken.id.starts_with(&key(order, 1).order.to_string())
}

#[tokio::test]
async fn an_event_arrives_signed_and_as_it_is_documented() {
    let office = Office::new();
    let receiver = Receiver::start(async |_| StatusCode::NO_CONTENT).await;
    office.paid(1).await;
    let events = office.events().await;
    office.sink(&receiver).publish(&events).await.unwrap();
    let taken = receiver.taken();
    assert_eq!(taken.iter().map(|taken| taken.id.clone()).collect::<Vec<_>>(), [key(1, 1).to_string(), key(1, 2).to_string()]);
    for taken in &taken {
        assert!(taken.is_signed_with(SECRET));
        assert!(!taken.is_signed_with(NEXT_SECRET));
        assert!(!Taken { body: b"{}".to_vec(), ..taken.clone() }.is_signed_with(SECRET));
        assert!(!Taken { id: key(1, 3).to_string(), ..taken.clone() }.is_signed_with(SECRET));
        assert_eq!(taken.timestamp, (office.clock.now().as_millis() / 1_000).to_string());
        assert_eq!(taken.content_type.as_deref(), Some("application/json"));
    }
    let order = &events[1].order;
    let body: serde_json::Value = serde_json::from_slice(&taken[1].body).unwrap();
    let expected = json!({
        "id": key(1, 2).to_string(),
        "type": "order.confirmed",
        "at": office.clock.now().to_string(),
        "order": {
            "orderId": order.id.to_string(),
            "showId": "gala",
            "seatIds": [sample::seat_name(2).to_string(), sample::seat_name(3).to_string()],
            "status": "CONFIRMED",
            "amount": 2_500,
            "currency": "EUR",
            "refundDue": false,
        },
    });
    assert_eq!(body, expected);
    assert_eq!(serde_json::from_value::<EventBody>(body).unwrap(), EventBody::of(&events[1], false));
}

#[tokio::test]
async fn customers_are_sent_only_when_asked_for() {
    let office = Office::new();
    let receiver = Receiver::start(async |_| StatusCode::OK).await;
    office.paid(1).await;
    let events = office.events().await;
    office.sink(&receiver).publish(&events[..1]).await.unwrap();
    office.sink(&receiver).with_customer().publish(&events[..1]).await.unwrap();
    let customers: Vec<_> = receiver
        .taken()
        .iter()
        .map(|taken| serde_json::from_slice::<serde_json::Value>(&taken.body).unwrap()["order"]["customer"].clone())
        .collect();
    let customer = sample::customer();
    assert_eq!(customers, [json!(null), json!({ "name": customer.name, "email": customer.email })]);
}

/// While secrets change, the receiver may know either.
#[tokio::test]
async fn every_secret_signs() {
    let office = Office::new();
    let receiver = Receiver::start(async |_| StatusCode::OK).await;
    office.paid(1).await;
    let sink = office.sink(&receiver).and_secret(&secret(NEXT_SECRET)).unwrap();
    sink.publish(&office.events().await).await.unwrap();
    assert!(receiver.taken().iter().all(|taken| taken.is_signed_with(SECRET) && taken.is_signed_with(NEXT_SECRET)));
}

/// What the receiver could not take comes again with the same id and a new signature, and what is behind it after it.
#[tokio::test]
async fn what_was_not_taken_comes_again() {
    for status in [500, 503, 429, 410, 404, 302, 304] {
        let office = Office::new();
        let down = Arc::new(AtomicBool::new(true));
        let is_down = down.clone();
        let receiver = Receiver::start(move |_| {
            let answer = if is_down.load(Ordering::SeqCst) { StatusCode::from_u16(status).unwrap() } else { StatusCode::OK };
            std::future::ready(answer)
        })
        .await;
        office.paid(1).await;
        let (service, sink) = (office.service(), office.sink(&receiver));
        let postponed = Relayed { postponed: 1, ..Relayed::default() };
        assert_eq!(service.relay(&sink, 10, LEASE).await.unwrap(), postponed, "{status}");
        down.store(false, Ordering::SeqCst);
        assert_eq!(service.relay(&sink, 10, LEASE).await.unwrap(), Relayed::default(), "it waits");
        office.clock.advance(Duration::from_secs(1));
        let published = Relayed { published: 2, ..Relayed::default() };
        assert_eq!(service.relay(&sink, 10, LEASE).await.unwrap(), published);
        let taken = receiver.taken();
        assert_eq!(taken.iter().map(|taken| taken.id.clone()).collect::<Vec<_>>(), [1, 1, 2].map(|n| key(1, n).to_string()));
        assert!(taken.iter().all(|taken| taken.is_signed_with(SECRET)));
        assert_ne!(taken[0].timestamp, taken[1].timestamp);
        assert_eq!(taken[0].body, taken[1].body);
    }
}

/// A receiver that refuses one order takes all the others, each in its order.
#[tokio::test]
async fn one_orders_failure_is_its_own() {
    let office = Office::new();
    let refused = key(7, 1).to_string();
    let receiver = Receiver::start(move |taken| {
        std::future::ready(if taken.id == refused { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::ACCEPTED })
    })
    .await;
    for n in 1..=20 {
        office.paid(n).await;
    }
    let error = office.sink(&receiver).publish(&office.events().await).await.unwrap_err();
    assert_eq!(error.untried, []);
    let mut published = error.published;
    published.sort();
    let expected: Vec<EventKey> = (1..=20).filter(|n| *n != 7).flat_map(|n| [key(n, 1), key(n, 2)]).collect();
    assert_eq!(published, expected);
    let taken = receiver.taken();
    for n in 1..=20 {
        let ids: Vec<String> = taken.iter().filter(of(n)).map(|taken| taken.id.clone()).collect();
        let sent = if n == 7 { 1 } else { 2 };
        assert_eq!(ids, (1..=sent).map(|sequence| key(n, sequence).to_string()).collect::<Vec<_>>());
    }
}

/// P11: a receiver that never answers costs one deadline, and what was not sent does not count as tried.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_is_given_up() {
    let office = Office::new();
    let receiver = Receiver::start(async |_| std::future::pending().await).await;
    for n in 1..=20 {
        office.paid(n).await;
    }
    let (sink, events) = (office.sink(&receiver), office.events().await);
    let in_time = WebhookSink::REQUEST_DEADLINE + Duration::from_secs(1);
    let error = tokio::time::timeout(in_time, sink.publish(&events)).await.unwrap().unwrap_err();
    assert_eq!((error.published.len(), error.untried.len(), receiver.taken().len()), (0, 12, 8));
}

/// P11: a receiver that takes its time has no more of it than a batch may take.
#[tokio::test(start_paused = true)]
async fn a_slow_receiver_is_bounded() {
    let office = Office::new();
    let receiver = Receiver::start(async |_| {
        tokio::time::sleep(Duration::from_secs(9)).await;
        StatusCode::OK
    })
    .await;
    for n in 1..=10 {
        office.paid(n).await;
    }
    let (sink, events) = (office.sink(&receiver), office.events().await);
    let error = tokio::time::timeout(WebhookSink::LONGEST_BATCH, sink.publish(&events)).await.unwrap().unwrap_err();
    // Eight orders at once, each for two times nine seconds, of which the second begins before the last moment.
    assert_eq!((error.published.len(), error.untried), (16, vec![key(9, 1), key(10, 1)]));
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_a_failure() {
    let office = Office::new();
    let receiver = Receiver::start(async |_| StatusCode::OK).await;
    let sink = office.sink(&receiver);
    receiver.stop().await;
    office.paid(1).await;
    let error = sink.publish(&office.events().await).await.unwrap_err();
    assert_eq!((error.published, error.untried), (vec![], vec![]));
}

/// The log names the events that were not taken, and shows neither secret nor address nor body, nor does the error.
#[tokio::test]
async fn nothing_that_is_secret_is_shown() {
    let log = Captured::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let office = Office::new();
    office.paid(1).await;
    let events = office.events().await;
    let receiver = Receiver::start(async |_| StatusCode::INTERNAL_SERVER_ERROR).await;
    let url = format!("{}?token=canary-token", receiver.url.replace("//", "//user:canary-password@"));
    let sink = WebhookSink::new(&url, &secret(SECRET)).unwrap().with_customer();
    let mut errors = vec![sink.publish(&events).await.unwrap_err()];
    receiver.stop().await;
    errors.push(sink.publish(&events).await.unwrap_err());
    let log = log.text();
    assert_eq!(log.matches(&key(1, 1).to_string()).count(), 2, "{log}");
    let customer = sample::customer();
    for canary in ["canary", &SECRET[6..], &customer.name, &customer.email, "seatIds", "v1,"] {
        assert!(!log.contains(canary), "{canary} in {log}");
        assert!(!format!("{errors:?} {sink:?}").contains(canary), "{canary} in {errors:?}");
    }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn an_address_or_a_secret_that_is_none_is_refused() {
    for url in ["", "example.com/hook", "ftp://example.com", "file:///etc/passwd", "http://", "unix:/run/hook"] {
        assert!(matches!(WebhookSink::new(url, &secret(SECRET)), Err(WebhookError::Address)), "{url}");
    }
    let sink = WebhookSink::new("https://user:canary@example.com/hook?token=canary", &secret(SECRET)).unwrap();
    assert!(matches!(sink.and_secret(&secret("short")), Err(WebhookError::Secret)));
    let sink = WebhookSink::new("https://user:canary@example.com/hook?token=canary", &secret(SECRET)).unwrap();
    assert!(!format!("{sink:?}").contains("canary"));
}
