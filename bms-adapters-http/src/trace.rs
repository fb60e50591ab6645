//! What is seen of a request: its id, one span, one line, one count. Never a path with ids, a token, a body.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use tokio::time::Instant;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::edge::Edge;
use crate::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The route of a request that has none.
const NO_ROUTE: &str = "unmatched";

/// Gives the request an id and a span, and answers for a handler that panics.
pub(crate) async fn observe(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let method = request.method().clone();
    let id = request_id(request.headers()).unwrap_or_else(|| made_id(&edge));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    if edge.begins_traces && trace_id(request.headers()).is_none() {
        match made_trace(&edge) {
            Some(trace) => drop(request.headers_mut().insert(TRACEPARENT, trace)),
            None => drop(request.headers_mut().remove(TRACEPARENT)),
        }
    }
    let trace_id = trace_id(request.headers());
    let span = tracing::info_span!(
        "http_request",
        method = %method,
        route,
        request_id = id.to_str().unwrap_or_default(),
        trace_id,
        status = Empty,
        latency_us = Empty,
    );

    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = answer.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("a request handler panicked"));
        Problem::internal().into_response()
    });

    response.headers_mut().insert(REQUEST_ID, id);
    let (status, latency) = (response.status(), begun.elapsed());
    span.record("status", status.as_u16());
    span.record("latency_us", u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    span.in_scope(|| tracing::info!("request answered"));
    edge.metrics.request(&method, route, status, latency);
    response
}

/// The client's id for the request, if it is one id of 1–128 visible ASCII characters.
fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut given = headers.get_all(REQUEST_ID).iter();
    let id = given.next().filter(|_| given.next().is_none())?;
    let sane = (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    sane.then(|| id.clone())
}

fn made_id(edge: &Edge) -> HeaderValue {
    HeaderValue::try_from(edge.ids.uuid().to_string()).unwrap_or(HeaderValue::from_static("none"))
}

/// A trace that begins here, and that nobody records until somebody behind decides to.
fn made_trace(edge: &Edge) -> Option<HeaderValue> {
    let mut random = [0_u8; 24];
    edge.ids.fill(&mut random).ok()?;
    let hex = random.map(|byte| format!("{byte:02x}")).concat();
    let (trace, span) = hex.split_at_checked(32)?;
    HeaderValue::try_from(format!("00-{trace}-{span}-00")).ok()
}

/// The trace id of a W3C `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get(TRACEPARENT)?.to_str().ok()?.split('-');
    let version = fields.next().filter(|version| version.len() == 2 && is_hex(version))?;
    let trace = fields.next().filter(|trace| trace.len() == 32 && is_hex(trace) && trace.bytes().any(|b| b != b'0'))?;
    let _span = fields.next().filter(|span| span.len() == 16 && is_hex(span))?;
    let _flags = fields.next().filter(|flags| flags.len() == 2 && is_hex(flags))?;
    (version != "ff").then_some(trace)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_taken_from_a_well_formed_traceparent_alone() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_static(value));
            trace_id(&headers).map(ToOwned::to_owned)
        };
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(), Some(trace));
        assert_eq!(of("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), None);
        assert_eq!(of("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), None);
        assert_eq!(of("00-4bf92f3577b34da6a3ce929d0e0e4736-01"), None);
        assert_eq!(of("secret"), None);
    }
}
