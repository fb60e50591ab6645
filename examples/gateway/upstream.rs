//! The functions behind: asking them, again where that is safe, and telling what went wrong.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode, Uri};
use backon::{BackoffBuilder as _, ExponentialBuilder};
use bms_adapters_http::problem::{Code, Problem};
use bms_adapters_http::{HttpConfig, Shutdown};
use bms_adapters_lambda::Function;
use futures::future::join_all;
use http_body_util::{BodyExt as _, Limited};
use reqwest::{Client, Url, redirect, retry};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::answer::{is_of_the_contract, passed_on};
use crate::body::{Fault, KeptBody};
use crate::cli::Cli;
use crate::routes::Route;

/// How often a request is sent again, at most.
const TRIES_AGAIN: usize = 2;
/// The first pause before it is; the next is twice as long.
const PAUSE: Duration = Duration::from_millis(50);
/// The pause before a function is asked again for the answer of a try that still runs there.
const RUNNING_PAUSE: Duration = Duration::from_millis(250);
/// How long a function may take to say whether it is ready.
const READY_IN: Duration = Duration::from_secs(3);
/// How long its word counts. Anybody may ask, as often as he likes, and each time would be an invocation of every function.
const READY_FOR: Duration = Duration::from_secs(1);
/// How long a connection waits for its next request. Whoever is behind must keep it for longer, else a request may meet its end.
const KEEP_IDLE: Duration = Duration::from_secs(4);

/// No problem is larger.
const LARGEST_PROBLEM: usize = 64 * 1024;

/// An answer's head, and its body as it comes.
type Answer = (axum::http::response::Parts, reqwest::Body);

/// Why there is no answer to pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection: nothing was sent.
    NoConnection,
    /// The connection broke before an answer: what was sent may have been carried out.
    Lost,
    /// No answer in time.
    Late,
    /// An answer that is none of a function of ours: it crashed, or is not there.
    Foreign,
    /// The function has no room for it, and has not begun.
    Busy,
    /// The function is still at a try before this one.
    Running,
    /// The path would be another one for the function.
    OtherPath,
    /// The client's own doing.
    Client(Fault),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        const NOTHING_DONE: &str = "try again soon; nothing was done";
        const UNKNOWN: &str = "whether it was done is not known: ask for what you wanted, or try again";
        match failure {
            Failure::NoConnection | Failure::Busy => Self::new(Code::Unavailable, NOTHING_DONE),
            Failure::Lost | Failure::Foreign | Failure::Running => Self::new(Code::BadGateway, UNKNOWN),
            Failure::Late => Self::new(Code::GatewayTimeout, UNKNOWN),
            Failure::OtherPath => Self::new(Code::NotFound, "there is no such thing here"),
            Failure::Client(fault) => fault.into(),
        }
    }
}

/// The functions.
pub(crate) struct Upstream {
    functions: Vec<Target>,
    client: Client,
    answer_timeout: Duration,
    shutdown: Shutdown,
    /// The last reading, and when it was taken.
    readiness: Mutex<Option<(Instant, Readiness)>>,
}

/// Which functions say that they are ready.
pub(crate) type Readiness = Vec<(&'static str, bool)>;

struct Target {
    function: Function,
    name: &'static str,
    /// Without a slash at its end.
    address: String,
}

impl Target {
    /// Where a request goes: below the address, to exactly the path that was routed. URLs know other ways to write one: `\` is a
    /// slash there, and `..` and `%2e%2e` lead up, to what is nobody's business or another function's.
    fn url(&self, uri: &Uri) -> Option<Url> {
        let url: Url = format!("{}{}", self.address, uri.path_and_query()?).parse().ok()?;
        let base: Url = self.address.parse().ok()?;
        let is_same = url.path().strip_prefix(base.path().trim_end_matches('/')) == Some(uri.path());
        (is_same && url.origin() == base.origin()).then_some(url)
    }
}

impl Upstream {
    pub(crate) fn new(cli: &Cli, shutdown: Shutdown) -> Result<Self, reqwest::Error> {
        // What is sent again, where to, and through whom, is decided here alone.
        let client = Client::builder()
            .connect_timeout(cli.connect_timeout)
            .pool_idle_timeout(KEEP_IDLE)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .build()?;
        let target = |(function, name, url): (Function, &'static str, &Url)| {
            let address = url.as_str().trim_end_matches('/').to_owned();
            Target { function, name, address }
        };
        let functions = cli.functions.all().into_iter().map(target).collect();
        Ok(Self { functions, client, answer_timeout: cli.answer_timeout, shutdown, readiness: Mutex::default() })
    }

    /// Has a function answer a request, within the time for it.
    pub(crate) async fn ask(&self, route: Route, request: Request) -> Result<Response<Body>, Failure> {
        let end = Instant::now() + self.answer_timeout;
        let Some(target) = self.functions.iter().find(|target| target.function == route.function) else {
            return Err(Failure::NoConnection);
        };
        let (head, body) = request.into_parts();
        let body = KeptBody::new(body, HttpConfig::DEFAULT_BODY_LIMIT).map_err(Failure::Client)?;
        let url = target.url(&head.uri).ok_or(Failure::OtherPath)?;
        let repeatable = may_be_repeated(&head, route);
        let answer = match timeout_at(end, self.send_until_answered(target, &url, &head, &body, repeatable)).await {
            Ok(answer) => answer,
            Err(_) if body.is_awaited() => Err(Failure::Client(Fault::Stalled)),
            Err(_) => Err(Failure::Late),
        };
        let (head, body) = answer.inspect_err(|failure| match failure {
            Failure::Client(fault) => tracing::info!(%fault, "a client did not send a whole request"),
            _ => tracing::warn!(function = target.name, ?failure, "no answer"),
        })?;
        Ok(passed_on(head, body, end, self.shutdown.clone()))
    }

    /// Tries, and tries again where that is safe. Once a change may have been carried out, no later try can say that it was not.
    async fn send_until_answered(
        &self,
        target: &Target,
        url: &Url,
        head: &Parts,
        body: &KeptBody,
        repeatable: bool,
    ) -> Result<Answer, Failure> {
        let mut pauses = ExponentialBuilder::default().with_min_delay(PAUSE).with_max_times(TRIES_AGAIN).with_jitter().build();
        let mut may_be_done = false;
        loop {
            let answer = match self.send(target, url, head, body).await {
                Ok(answer) if may_be_done => of_the_first_try(answer).await,
                answer => answer,
            };
            let failure = match answer {
                Err(Failure::NoConnection | Failure::Busy) if may_be_done => Failure::Lost,
                Err(failure) => failure,
                Ok(answer) => return Ok(answer),
            };
            may_be_done |= failure == Failure::Lost && !head.method.is_safe();
            let pause = match failure {
                Failure::NoConnection => pauses.next(),
                Failure::Lost if repeatable => pauses.next(),
                Failure::Running => Some(RUNNING_PAUSE),
                _ => None,
            };
            let Some(pause) = pause else { return Err(failure) };
            tracing::info!(function = target.name, ?failure, ?pause, "sending again");
            sleep(pause).await;
        }
    }

    /// One try.
    async fn send(&self, target: &Target, url: &Url, head: &Parts, body: &KeptBody) -> Result<Answer, Failure> {
        let request = self
            .client
            .request(head.method.clone(), url.clone())
            .headers(head.headers.clone())
            .body(reqwest::Body::wrap(body.begin_try()));
        let answer = request.send().await.map_err(|error| match body.fault() {
            Some(fault) => Failure::Client(fault),
            None if error.is_connect() => Failure::NoConnection,
            None => {
                // Ids and codes of tickets are in it.
                let error = error.without_url();
                tracing::warn!(function = target.name, error = &error as &dyn std::error::Error, "a connection broke");
                Failure::Lost
            }
        })?;
        let (head, body) = Response::<reqwest::Body>::from(answer).into_parts();
        if is_of_the_contract(&head) {
            return Ok((head, body));
        }
        tracing::error!(function = target.name, status = head.status.as_u16(), "not an answer of the function");
        Err(match head.status {
            StatusCode::TOO_MANY_REQUESTS => Failure::Busy,
            StatusCode::GATEWAY_TIMEOUT => Failure::Late,
            _ => Failure::Foreign,
        })
    }

    /// Which functions say that they are ready, or did a moment ago. Whoever asks meanwhile waits, and is told the same.
    pub(crate) async fn readiness(&self) -> Readiness {
        let mut last = self.readiness.lock().await;
        if let Some((_, readiness)) = last.as_ref().filter(|(taken, _)| taken.elapsed() < READY_FOR) {
            return readiness.clone();
        }
        let readiness = self.ask_whether_ready().await;
        *last = Some((Instant::now(), readiness.clone()));
        readiness
    }

    async fn ask_whether_ready(&self) -> Readiness {
        join_all(self.functions.iter().map(async |target| {
            let answer = self.client.get(format!("{}/readyz", target.address)).timeout(READY_IN).send().await;
            (target.name, answer.is_ok_and(|answer| answer.status().is_success()))
        }))
        .await
    }
}

/// An answer to a change whose first try may have been carried out. What says that this try was too early, or that there was no
/// room for it, is no answer to the first.
async fn of_the_first_try((head, body): Answer) -> Result<Answer, Failure> {
    match head.status {
        StatusCode::SERVICE_UNAVAILABLE => Err(Failure::Busy),
        StatusCode::CONFLICT => {
            let bytes = Limited::new(body, LARGEST_PROBLEM).collect().await.map_err(|_| Failure::Lost)?.to_bytes();
            if is_still_running(&bytes) { Err(Failure::Running) } else { Ok((head, bytes.into())) }
        }
        _ => Ok((head, body)),
    }
}

fn is_still_running(problem: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    let code = Code::RequestInProgress.name();
    serde_json::from_slice(problem).is_ok_and(|kind: Kind| kind.r#type.strip_prefix("urn:bms:problem:") == Some(code))
}

/// Whether a request that may have been carried out can be sent once more: it changes nothing, or its key makes sure that it
/// does so once. Everything else may be repeated as well, but only its client knows what it has done in between: a catalogue entry,
/// say, would be written over a newer one.
fn may_be_repeated(head: &Parts, route: Route) -> bool {
    match head.method {
        Method::GET | Method::HEAD => true,
        Method::POST => route.needs_user && head.headers.contains_key("idempotency-key"),
        _ => false,
    }
}
