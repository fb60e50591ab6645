//! An answer on its way back: streamed, and within its time.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, Response, header};
use bms_adapters_http::Shutdown;
use futures::{Stream, stream};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::arrival::remove_hop_by_hop;

/// How long a live map may say nothing: three of the comments that keep it alive may be lost.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

const PROBLEM_JSON: &str = "application/problem+json";

/// Whether an answer is one that a function of ours gives: whatever goes wrong there is told as a problem. Anything else is the
/// platform's word, of a function that crashed, is throttled, or is not there.
pub(crate) fn is_of_the_contract(head: &Parts) -> bool {
    let is_fault = head.status.is_client_error() || head.status.is_server_error();
    !is_fault || head.headers.get(header::CONTENT_TYPE).is_some_and(|it| it == PROBLEM_JSON)
}

/// The answer as the client gets it. It breaks off where the function's did, and at its end: then the client learns that it
/// has not got all of it. A live map has no end, unless it says nothing any more, or the gateway goes down.
pub(crate) fn passed_on(head: Parts, body: reqwest::Body, end: Instant, shutdown: Shutdown) -> Response<Body> {
    let is_live = head.headers.get(header::CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
    let body = if is_live { Body::from_stream(live(body, shutdown)) } else { Body::from_stream(in_time(body, end)) };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    remove_hop_by_hop(response.headers_mut());
    remove_platform(response.headers_mut());
    response
}

/// What the platform says of the function is nobody else's business.
fn remove_platform(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("x-amz")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn in_time(body: reqwest::Body, end: Instant) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(body, move |mut body| async move {
        match timeout_at(end, body.frame()).await {
            Ok(frame) => data(frame, body),
            Err(_) => Err(late("the answer did not end in time")),
        }
    })
}

fn live(body: reqwest::Body, shutdown: Shutdown) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(body, move |mut body| {
        let shutdown = shutdown.clone();
        async move {
            let silent = Instant::now() + LONGEST_SILENCE;
            tokio::select! {
                () = shutdown.begun() => Ok(None),
                frame = timeout_at(silent, body.frame()) => match frame {
                    Ok(frame) => data(frame, body),
                    Err(_) => Err(late("a live seat map says nothing any more")),
                },
            }
        }
    })
}

type Frame = Result<http_body::Frame<Bytes>, reqwest::Error>;

fn data(frame: Option<Frame>, body: reqwest::Body) -> io::Result<Option<(Bytes, reqwest::Body)>> {
    match frame {
        Some(Ok(frame)) => Ok(frame.into_data().ok().map(|bytes| (bytes, body))),
        Some(Err(error)) => {
            let error = error.without_url();
            tracing::warn!(%error, "an answer broke off");
            Err(io::Error::other(error))
        }
        None => Ok(None),
    }
}

fn late(what: &'static str) -> io::Error {
    tracing::warn!("{what}");
    io::Error::new(io::ErrorKind::TimedOut, what)
}
