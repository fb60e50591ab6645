//! What was asked, and what was answered.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bms_adapters_http::auth::mint_hs256;
use bms_domain::id::UserId;
use bms_domain::time::Timestamp;
use fastrand::Rng;
use parking_lot::Mutex;
use reqwest::{Client, Method};
use secrecy::SecretString;
use serde_json::Value;

use crate::plan::BOOTHS;

/// The secret of the users' tokens.
pub(crate) const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Who nobody answers for so long has been forgotten; every answer is due much sooner.
const NEVER: Duration = Duration::from_secs(60);

/// How long somebody goes on asking for an outcome.
const INSISTS: Duration = Duration::from_secs(8);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum What {
    Hold,
    Look,
    Release,
    Order,
    GiveUp,
    Confirm,
    Cancel,
    Map,
    Notice,
}

/// A request to be made.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) what: What,
    pub(crate) user: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The show, hold or order that it is about.
    pub(crate) about: String,
    /// Its `Idempotency-Key`.
    pub(crate) key: Option<String>,
    /// The payment that it names.
    pub(crate) reference: Option<String>,
    pub(crate) body: Option<Value>,
}

impl Ask {
    /// A member of what is asked for; null if there is none.
    pub(crate) fn wanted(&self, member: &str) -> &Value {
        self.body.as_ref().map_or(&Value::Null, |body| &body[member])
    }

    /// Whose request it is, and under which key: whoever asks again under it means the same.
    pub(crate) fn name(&self) -> Option<(&str, &str)> {
        Some((self.user.as_str(), self.key.as_deref()?))
    }
}

/// A request that was made, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) ask: Ask,
    pub(crate) booth: usize,
    /// Since the beginning of the campaign.
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) answer: Answer,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Given {
        status: u16,
        body: Value,
        replayed: bool,
    },
    /// The connection broke, or could not be made.
    Lost(String),
    /// Whoever asked went away.
    Left,
}

impl Answer {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Given { status, .. } => Some(*status),
            Self::Lost(_) | Self::Left => None,
        }
    }

    /// The body of an answer; null if there was none.
    pub(crate) fn body(&self) -> &Value {
        match self {
            Self::Given { body, .. } => body,
            Self::Lost(_) | Self::Left => &Value::Null,
        }
    }

    /// The texts in a list of the body.
    pub(crate) fn texts(&self, member: &str) -> BTreeSet<&str> {
        texts(self.body(), member)
    }

    /// A text in the body.
    pub(crate) fn text(&self, member: &str) -> Option<&str> {
        self.body()[member].as_str()
    }

    pub(crate) fn is_ok(&self) -> bool {
        matches!(self.status(), Some(200..300))
    }

    pub(crate) fn is_problem(&self, code: &str) -> bool {
        self.text("type").and_then(|urn| urn.strip_prefix("urn:bms:problem:")) == Some(code)
    }

    /// Whether a refusal says that the money is to be given back, by itself or by the order that it shows.
    pub(crate) fn owes_refund(&self) -> bool {
        self.body()["refundDue"] == true || self.body()["order"]["refundDue"] == true
    }

    /// Whether it may have been done, or not, or be under way.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.status(), Some(status) if status != 503) || self.is_problem("request-in-progress")
    }
}

/// What asks the servers, and writes everything down.
pub(crate) struct Desk {
    client: Client,
    urls: [String; BOOTHS],
    began: Instant,
    record: Mutex<Vec<Exchange>>,
}

impl Desk {
    /// A desk whose time begins now.
    pub(crate) fn new(urls: [String; BOOTHS]) -> Self {
        let client = Client::builder().timeout(NEVER).build().unwrap();
        Self { client, urls, began: Instant::now(), record: Mutex::default() }
    }

    /// How long the campaign has lasted.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// All that was asked so far.
    pub(crate) fn record(&self) -> Vec<Exchange> {
        self.record.lock().clone()
    }

    /// Looks at all that was asked so far, and takes no copy.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&[Exchange]) -> T) -> T {
        at(&self.record.lock())
    }

    /// Asks one server once.
    pub(crate) async fn ask(&self, booth: usize, ask: &Ask) -> Answer {
        self.ask_with(booth, ask, None, None).await
    }

    /// The same, by somebody who goes away after `patience`, or with a signature for a header.
    pub(crate) async fn ask_with(&self, booth: usize, ask: &Ask, patience: Option<Duration>, signed: Option<String>) -> Answer {
        let mut request = self.client.request(ask.method.clone(), format!("{}{}", self.urls[booth], ask.path));
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        request = match (ask.what, signed) {
            (What::Map, _) => request.header("cache-control", "no-cache"),
            (_, Some(signature)) => request.header("bms-signature", signature),
            (what, None) => request.bearer_auth(token(&ask.user, what == What::Cancel)),
        };
        if let Some(body) = &ask.body {
            // Of a notice the signature is of these bytes.
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let began = self.now();
        let answered = async {
            let response = request.send().await?;
            let (status, replayed) = (response.status().as_u16(), response.headers().contains_key("idempotency-replayed"));
            let body = response.bytes().await?;
            Ok::<_, reqwest::Error>(Answer::Given { status, body: serde_json::from_slice(&body).unwrap_or_default(), replayed })
        };
        let answer = match tokio::time::timeout(patience.unwrap_or(NEVER), answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Lost(error.without_url().to_string()),
            Err(_) => Answer::Left,
        };
        let exchange = Exchange { ask: ask.clone(), booth, began, ended: self.now(), answer: answer.clone() };
        self.record.lock().push(exchange);
        answer
    }

    /// Asks one server or the other, again and again under the same key, until the outcome is known or patience is over. Now
    /// and then an answer is not waited for.
    pub(crate) async fn insist(&self, rng: &mut Rng, ask: &Ask) -> Answer {
        let begun = self.now();
        let mut booth = rng.usize(..BOOTHS);
        loop {
            let patience = (rng.u8(..20) == 0).then(|| Duration::from_millis(rng.u64(2..300)));
            let answer = self.ask_with(booth, ask, patience, None).await;
            if !answer.is_open() || self.now() > begun + INSISTS {
                return answer;
            }
            booth = (booth + 1) % BOOTHS;
            tokio::time::sleep(Duration::from_millis(rng.u64(30..250))).await;
        }
    }
}

/// The texts in a list of a body.
pub(crate) fn texts<'b>(body: &'b Value, member: &str) -> BTreeSet<&'b str> {
    body[member].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn token(user: &str, admin: bool) -> String {
    let (secret, user) = (SecretString::from(JWT_SECRET), UserId::parse(user).unwrap());
    mint_hs256(&secret, &user, admin, Timestamp::parse("2999-12-31T00:00:00Z").unwrap()).unwrap()
}
