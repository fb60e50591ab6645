//! The payment provider: it keeps the ledger, and sends notices until they are taken.
//!
//! Asked by a server, it is the sandbox, which decides by how a reference begins; what is charged here fits that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::time::{Clock as _, SystemClock};
use fastrand::Rng;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::json;
use sha2::Sha256;
use tokio::task::JoinHandle;

use crate::counters::Counters;
use crate::deployment::WEBHOOK_SECRET;
use crate::plan::BOOTHS;
use crate::record::{Ask, Desk, What};

/// How long a notice may be under way, in milliseconds: longer than an order waits.
const LATE_MS: u64 = 6_000;

/// How long the provider waits before it sends a notice again that was not taken, in milliseconds.
const AGAIN_MS: std::ops::Range<u64> = 50..400;

/// A payment, by its reference.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub(crate) order: String,
    /// In minor units.
    pub(crate) amount: i64,
    /// Whether the money was taken.
    pub(crate) succeeded: bool,
    /// Whether a notice of that was taken.
    pub(crate) reported: bool,
}

pub(crate) struct Provider {
    desk: Arc<Desk>,
    counters: Arc<Counters>,
    ledger: Mutex<HashMap<String, Charge>>,
    under_way: Mutex<Vec<JoinHandle<()>>>,
}

impl Provider {
    pub(crate) fn new(desk: Arc<Desk>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { desk, counters, ledger: Mutex::default(), under_way: Mutex::default() })
    }

    /// Every payment.
    pub(crate) fn ledger(&self) -> HashMap<String, Charge> {
        self.ledger.lock().clone()
    }

    /// A customer pays, or fails to.
    pub(crate) fn charge(&self, reference: &str, order: &str, amount: i64, succeeded: bool) {
        let charge = Charge { order: order.to_owned(), amount, succeeded, reported: false };
        assert!(self.ledger.lock().insert(reference.to_owned(), charge).is_none(), "{reference} is charged twice");
    }

    /// Sends a notice of how a payment ended: after some time, which may be too late, and perhaps more than once. `failed_first`: the
    /// customer needed two attempts, of which a notice is sent each, in any order.
    pub(crate) fn tell(self: &Arc<Self>, rng: &mut Rng, reference: &str, failed_first: bool) {
        let succeeded = self.ledger.lock()[reference].succeeded;
        if failed_first {
            self.send(rng, reference, false);
        }
        self.send(rng, reference, succeeded);
    }

    fn send(self: &Arc<Self>, rng: &mut Rng, reference: &str, succeeded: bool) {
        let delay = if rng.bool() { rng.u64(..LATE_MS / 10) } else { rng.u64(..LATE_MS) };
        let copies = if rng.u8(..3) == 0 { 2 } else { 1 };
        let (provider, mut rng, reference) = (Arc::clone(self), rng.fork(), reference.to_owned());
        let task = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            provider.deliver(&mut rng, &reference, succeeded, copies).await;
        });
        self.under_way.lock().push(task);
    }

    async fn deliver(&self, rng: &mut Rng, reference: &str, succeeded: bool, copies: usize) {
        let charge = self.ledger.lock()[reference].clone();
        let status = if succeeded { "succeeded" } else { "failed" };
        let body = json!({"eventId": format!("notice-{reference}-{status}"), "orderId": charge.order, "paymentReference": reference,
            "status": status, "amount": charge.amount, "currency": "GBP"});
        let ask = Ask {
            what: What::Notice,
            user: "provider".to_owned(),
            method: Method::POST,
            path: "/api/v1/payments/events".to_owned(),
            about: charge.order,
            key: None,
            reference: Some(reference.to_owned()),
            body: Some(body),
        };
        for copy in 0..copies {
            let mut booth = rng.usize(..BOOTHS);
            // Until it is taken, however long that is; the campaign has an end that fails.
            loop {
                let signature = signature(&ask.body.as_ref().unwrap().to_string());
                if self.desk.ask_with(booth, &ask, None, Some(signature)).await.is_ok() {
                    break;
                }
                self.counters.add("notices sent again", 1);
                booth = (booth + 1) % BOOTHS;
                tokio::time::sleep(Duration::from_millis(rng.u64(AGAIN_MS))).await;
            }
            self.counters.add(if copy == 0 { "notices taken" } else { "notices taken twice" }, 1);
        }
        if succeeded {
            self.ledger.lock().get_mut(reference).unwrap().reported = true;
        }
    }

    /// Waits until every notice was taken.
    pub(crate) async fn done(&self) {
        loop {
            let Some(task) = self.under_way.lock().pop() else { return };
            task.await.unwrap();
        }
    }
}

fn signature(body: &str) -> String {
    let time = SystemClock.now().as_millis() / 1_000;
    let mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap().chain_update(format!("{time}.{body}"));
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={hex}")
}
