//! Signed webhooks: an [`EventSink`] that posts every event to an address of yours (feature `webhooks`).
//!
//! One request an event, in order for each order: whether an event was taken is then one answer, a slow one holds nobody but
//! its own order up, and a receiver needs no batches. The body is an [`EventBody`]:
//!
//! ```json
//! {
//!   "id": "0190163d-8694-7abc-9bf5-4b3c4c8fd001/2",
//!   "type": "order.confirmed",
//!   "at": "2030-01-31T18:04:05.678Z",
//!   "order": {
//!     "orderId": "0190163d-8694-7abc-9bf5-4b3c4c8fd001",
//!     "showId": "heat-2030-01-31-2000",
//!     "seatIds": ["F7", "F8"],
//!     "status": "CONFIRMED",
//!     "amount": 2500,
//!     "currency": "EUR",
//!     "refundDue": false
//!   }
//! }
//! ```
//!
//! `order` is the order just after it happened, `amount` is in minor units. The customer's name and address are sent
//! [only when asked for](WebhookSink::with_customer); tickets never are.
//!
//! Requests are signed as [Standard Webhooks 1.0.0](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
//! says, so a receiver verifies them with any library for that: `webhook-id` is the event's key (the same each time it
//! comes, so a receiver that knows it has had the event), `webhook-timestamp` the second of the attempt, and
//! `webhook-signature` one `v1,<base64 of HMAC-SHA256>` for each secret, of `<id>.<timestamp>.<body>`.
//!
//! A receiver in Rust, without such a library:
//!
//! ```
//! use base64::Engine as _;
//! use base64::engine::general_purpose::STANDARD;
//! use hmac::{Hmac, KeyInit as _, Mac as _};
//!
//! /// Whether a request is from who knows the secret (`whsec_…`), and not an old one that was recorded. `now` in seconds.
//! fn is_ours(secret: &str, id: &str, timestamp: &str, signatures: &str, body: &[u8], now: u64) -> bool {
//!     let Ok(key) = STANDARD.decode(secret.trim_start_matches("whsec_")) else { return false };
//!     let Ok(mac) = Hmac::<sha2::Sha256>::new_from_slice(&key) else { return false };
//!     let mac = mac.chain_update(format!("{id}.{timestamp}.")).chain_update(body);
//!     let is_fresh = timestamp.parse::<u64>().is_ok_and(|at| at.abs_diff(now) <= 5 * 60);
//!     let mut signatures = signatures.split(' ').filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok());
//!     // Compares in constant time.
//!     is_fresh && signatures.any(|signature| mac.clone().verify_slice(&signature).is_ok())
//! }
//!
//! let (secret, id, at) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
//! let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
//! assert!(is_ours(secret, id, at, signature, br#"{"test": 2432232314}"#, 1_614_265_400));
//! assert!(!is_ours(secret, id, at, signature, br#"{"test": 0}"#, 1_614_265_400));
//! assert!(!is_ours(secret, id, at, signature, br#"{"test": 2432232314}"#, 1_700_000_000));
//! ```
//!
//! Any 2xx says that the event was taken. Everything else, redirects and 410 too, says that it was not: it comes again
//! after a pause, and is a dead letter in the end, as the service's policy has it.

mod signature;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::event::{EventKey, EventSink, OrderEvent, PublishError, by_order};
use bms_domain::time::{Clock, SystemClock};
use futures::StreamExt as _;
use futures::stream;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::EventBody;
use signature::Key;

/// How many requests are under way at once, each of another order.
const AT_ONCE: usize = 8;

/// After so long no further request of a batch is begun.
const LAST_START: Duration = Duration::from_secs(15);

/// After so many failures no further request of a batch is begun: the receiver is down, and what was not tried has not
/// failed.
const FAILURES: usize = 8;

/// Posts events to one address, signed. See the [module](self).
pub struct WebhookSink {
    client: Client,
    url: Url,
    keys: Vec<Key>,
    with_customer: bool,
    clock: Arc<dyn Clock>,
}

/// Why a sink is refused. Shows neither address nor secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// Not an `http` or `https` address with a host.
    #[error("a webhook's address is an http or https URL")]
    Address,
    /// Not a secret of Standard Webhooks.
    #[error("a webhook's secret is 24 to 64 random bytes in base64, behind whsec_ or alone")]
    Secret,
    /// The client could not be made: no certificates to trust, say.
    #[error("the client for webhooks could not be made")]
    Client(#[source] reqwest::Error),
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the receiver answered {0}")]
    Status(StatusCode),
    #[error("the receiver did not answer in time")]
    Late,
    #[error("the receiver cannot be reached")]
    Unreachable,
    #[error("the event cannot be written")]
    Unwritten,
}

/// What came of the events of one order.
#[derive(Default)]
struct Delivered {
    published: Vec<EventKey>,
    untried: Vec<EventKey>,
    refusal: Option<Refusal>,
}

impl WebhookSink {
    /// How long one request may take, from the connection to the end of the answer's head.
    pub const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

    /// The longest that a batch takes, whatever the receiver does. Give [the relay](bms_domain::BookingService::relay) a longer
    /// lease:
    ///
    /// ```
    /// # use bms_adapters_http::webhooks::{WebhookError, WebhookSink};
    /// # use bms_domain::{BookingService, Error};
    /// # use std::time::Duration;
    /// # async fn example(service: BookingService, secret: secrecy::SecretString) -> Result<(), Box<dyn std::error::Error>> {
    /// let sink = WebhookSink::new("https://example.org/hook", &secret)?;
    /// let mut ticks = tokio::time::interval(Duration::from_secs(1));
    /// loop {
    ///     ticks.tick().await;
    ///     service.relay(&sink, 1_000, WebhookSink::LONGEST_BATCH + Duration::from_secs(20)).await?;
    /// }
    /// # }
    /// ```
    pub const LONGEST_BATCH: Duration = Duration::from_secs(LAST_START.as_secs() + Self::REQUEST_DEADLINE.as_secs());

    /// A sink that posts to `url`, signed with `secret`: 24 to 64 random bytes in base64, behind `whsec_` or alone.
    ///
    /// # Errors
    /// [`WebhookError`] when the address or the secret is none, or no client can be made.
    pub fn new(url: &str, secret: &SecretString) -> Result<Self, WebhookError> {
        let url = Url::parse(url).map_err(|_| WebhookError::Address)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(WebhookError::Address);
        }
        let client = Client::builder()
            .timeout(Self::REQUEST_DEADLINE)
            .redirect(Policy::none())
            .user_agent(concat!("bms/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(WebhookError::Client)?;
        Ok(Self { client, url, keys: vec![Key::parse(secret)?], with_customer: false, clock: Arc::new(SystemClock) })
    }

    /// Signs with this secret too, while secrets change: the receiver accepts either.
    ///
    /// # Errors
    /// [`WebhookError::Secret`].
    pub fn and_secret(mut self, secret: &SecretString) -> Result<Self, WebhookError> {
        self.keys.push(Key::parse(secret)?);
        Ok(self)
    }

    /// Sends the customer's name and e-mail address too. Personal data: only to a receiver that needs it.
    #[must_use]
    pub fn with_customer(mut self) -> Self {
        self.with_customer = true;
        self
    }

    /// Replaces the machine's clock, which dates the signatures.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sends the events of one order, one after the other, up to the first that is not taken.
    async fn deliver(&self, events: Vec<&OrderEvent>, begun: Instant, failures: &AtomicUsize) -> Delivered {
        let mut delivered = Delivered::default();
        for event in events {
            if begun.elapsed() >= LAST_START || failures.load(Ordering::Relaxed) >= FAILURES {
                delivered.untried.push(event.key);
                break;
            }
            match self.send(event).await {
                Ok(()) => delivered.published.push(event.key),
                Err(refusal) => {
                    tracing::warn!(event = %event.key, kind = event.kind.name(), %refusal, "a webhook was not taken");
                    failures.fetch_add(1, Ordering::Relaxed);
                    delivered.refusal = Some(refusal);
                    break;
                }
            }
        }
        delivered
    }

    async fn send(&self, event: &OrderEvent) -> Result<(), Refusal> {
        let id = event.key.to_string();
        let timestamp = self.clock.now().as_millis().div_euclid(1_000).to_string();
        let body = serde_json::to_vec(&EventBody::of(event, self.with_customer)).map_err(|_| Refusal::Unwritten)?;
        let signature = signature::sign(&self.keys, &id, &timestamp, &body).ok_or(Refusal::Unwritten)?;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        // The error is not passed on: it may show the address, and with it what is secret there.
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Refusal::Status(answer.status())),
            Err(error) if error.is_timeout() => Err(Refusal::Late),
            Err(_) => Err(Refusal::Unreachable),
        }
    }
}

#[async_trait]
impl EventSink for WebhookSink {
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        let (begun, failures) = (Instant::now(), AtomicUsize::new(0));
        let deliveries: Vec<_> = by_order(events).into_iter().map(|events| self.deliver(events, begun, &failures)).collect();
        let mut deliveries = pin!(stream::iter(deliveries).buffer_unordered(AT_ONCE));
        let mut all = Delivered::default();
        while let Some(delivered) = deliveries.next().await {
            all.published.extend(delivered.published);
            all.untried.extend(delivered.untried);
            all.refusal = all.refusal.or(delivered.refusal);
        }
        if all.published.len() == events.len() {
            return Ok(());
        }
        let source = all.refusal.map(|refusal| refusal.into());
        Err(PublishError { published: all.published, untried: all.untried, source })
    }
}

impl fmt::Debug for WebhookSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSink").field("with_customer", &self.with_customer).finish_non_exhaustive()
    }
}
