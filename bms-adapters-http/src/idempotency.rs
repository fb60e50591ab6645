//! Idempotency keys: the first answer to a POST, again and byte for byte (promise P6).

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bms_domain::store::{Begun, Fingerprint, IdempotencyKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::auth::Identity;
use crate::extract::read_body;
use crate::problem::{Code, Problem};
use crate::state::App;

/// The header that names a request.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that tells a repeated answer.
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What the ids that this request makes are made of.
#[derive(Clone, Copy)]
pub(crate) enum Seed {
    /// The same in every try under one key.
    Kept(Uuid),
    /// The key's store does not answer: whatever would be done twice in two tries must wait.
    Unknown,
}

/// An answer as it is kept.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    status: u16,
    content_type: Option<String>,
    location: Option<String>,
    body: String,
}

/// Runs a POST with an `Idempotency-Key` once, and repeats its first answer.
///
/// It runs in a task of its own: a client that goes away leaves no key half-run. While the store of keys does not answer, a
/// request that holds seats is refused, and all others run without their keys: each of them changes once by itself, a hold
/// has one order, a payment counts once.
pub(crate) async fn run_once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    // Nobody's request is refused, or is signed and has an id of its own: it has no key.
    let Some(Identity(Ok(caller))) = request.extensions().get::<Identity>() else { return next.run(request).await };
    let key = match key(request.headers()).and_then(|text| IdempotencyKey::new(caller.id().clone(), text).ok()) {
        Some(key) => key,
        None => {
            return Problem::malformed("an Idempotency-Key is one header of 1 to 255 visible ASCII characters").into_response();
        }
    };
    let (parts, body) = request.into_parts();
    // Read out here, where the deadline ends it and a client that stalls: what runs on alone waits for no client.
    let body = match read_body(body, app.body_limit).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let tasks = app.edge.shutdown.running().clone();
    let task = tasks.spawn(run(app, key, parts, body, next).in_current_span());
    match task.await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a request under an idempotency key was cut short");
            Problem::internal().into_response()
        }
    }
}

fn key(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let first = given.next()?;
    if given.next().is_some() { None } else { first.to_str().ok() }
}

async fn run(app: Arc<App>, key: IdempotencyKey, mut parts: Parts, body: Bytes, next: Next) -> Response {
    match app.service.begin_request(&key, fingerprint(&parts, &body)).await {
        Ok(Begun::Run { seed }) => {
            parts.extensions.insert(Seed::Kept(seed));
            let lease = Lease::new(app.clone(), key);
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            lease.keep(response).await
        }
        Ok(Begun::Finished(answer)) => replay(&answer),
        Ok(Begun::InProgress) => {
            Problem::new(Code::RequestInProgress, "ask again for its answer when it has ended").into_response()
        }
        Ok(Begun::Reused) => Problem::new(Code::IdempotencyKeyReused, "another request needs another key").into_response(),
        Err(error) => {
            // What is safe to repeat without its key goes on: a payment is confirmed though the keys are out of reach (P13).
            tracing::warn!(%error, "a request runs without its idempotency key");
            parts.extensions.insert(Seed::Unknown);
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            // It may have been begun, and the answer lost: nobody who asks again shall wait for the end of a lease.
            abandon(&app, &key).await;
            response
        }
    }
}

/// What makes two requests the same: method, path with query, body. Whose they are is in the key.
fn fingerprint(parts: &Parts, body: &[u8]) -> Fingerprint {
    let path = parts.uri.path_and_query().map_or(parts.uri.path(), |it| it.as_str());
    let mut digest = Sha256::new();
    for field in [parts.method.as_str().as_bytes(), path.as_bytes(), body] {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field);
    }
    Fingerprint(digest.finalize().into())
}

/// The right to run a request. Dropped without an answer (the handler panicked), it lets the next caller run it.
struct Lease {
    app: Arc<App>,
    key: Option<IdempotencyKey>,
}

impl Lease {
    fn new(app: Arc<App>, key: IdempotencyKey) -> Self {
        Self { app, key: Some(key) }
    }

    /// Keeps an answer that is definite, and gives the key back for one that is not.
    async fn keep(mut self, response: Response) -> Response {
        let Some(key) = self.key.take() else { return response };
        if !is_definite(response.status()) {
            abandon(&self.app, &key).await;
            return response;
        }
        let (parts, body) = response.into_parts();
        let body = match axum::body::to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(_) => {
                abandon(&self.app, &key).await;
                return Problem::internal().into_response();
            }
        };
        let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(ToOwned::to_owned);
        let kept = Kept {
            status: parts.status.as_u16(),
            content_type: text(header::CONTENT_TYPE),
            location: text(header::LOCATION),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let ours = match serde_json::to_vec(&kept) {
            Ok(ours) => ours,
            Err(_) => {
                abandon(&self.app, &key).await;
                return Response::from_parts(parts, Body::from(body));
            }
        };
        match self.app.service.finish_request(&key, ours.clone()).await {
            // Somebody else ran it too, after our lease was over, and was faster: his answer is the first.
            Ok(first) if first != ours => replay(&first),
            Ok(_) => Response::from_parts(parts, Body::from(body)),
            Err(error) => {
                // It was done. A retry finds the key running until its lease is over, and then does the same again.
                tracing::warn!(%error, "the answer to an idempotency key was not kept");
                Response::from_parts(parts, Body::from(body))
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let app = self.app.clone();
            let tasks = self.app.edge.shutdown.running().clone();
            if tokio::runtime::Handle::try_current().is_ok() {
                tasks.spawn(async move { abandon(&app, &key).await }.in_current_span());
            }
        }
    }
}

async fn abandon(app: &App, key: &IdempotencyKey) {
    if let Err(error) = app.service.abandon_request(key).await {
        tracing::warn!(%error, "an idempotency key is taken until its lease is over");
    }
}

/// Whether the same request would be answered the same again.
fn is_definite(status: StatusCode) -> bool {
    let passing = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
    (status.is_success() || status.is_client_error()) && !passing.contains(&status)
}

fn replay(answer: &[u8]) -> Response {
    let Ok(Kept { status, content_type, location, body }) = serde_json::from_slice(answer) else {
        tracing::error!("a kept answer cannot be read");
        return Problem::internal().into_response();
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    for (name, value) in [(header::CONTENT_TYPE, content_type), (header::LOCATION, location)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}
