//! An answer on its way back: streamed, and within its time.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, Response, header};
use bms_adapters_http::Shutdown;
use futures::{Stream, stream};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
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
    let (parts, rest) = mpsc::channel(1);
    if is_live {
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.begun() => { _ = parts.send(Part::End).await; }
                () = carry(body, &parts, || Instant::now() + LONGEST_SILENCE) => {}
            }
        });
    } else {
        tokio::spawn(async move { carry(body, &parts, || end).await });
    }
    let mut response = Response::new(Body::from_stream(carried(rest)));
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

/// What is carried over of a body. A body without an end has broken off.
enum Part {
    Data(Bytes),
    End,
}

/// Carries a body over, each step by its end: a function is not kept waiting by a client that does not read.
async fn carry(mut body: reqwest::Body, to: &mpsc::Sender<Part>, end: impl Fn() -> Instant) {
    loop {
        let frame = tokio::select! {
            () = to.closed() => return,
            frame = timeout_at(end(), body.frame()) => frame,
        };
        let part = match frame {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => Part::Data(bytes),
                // Trailers say nothing in this contract.
                Err(_) => continue,
            },
            Ok(None) => Part::End,
            Ok(Some(Err(error))) => {
                let error = error.without_url();
                tracing::warn!(%error, "an answer broke off");
                return;
            }
            Err(_) => {
                tracing::warn!("an answer did not end in time, or a live seat map says nothing any more");
                return;
            }
        };
        let is_end = matches!(part, Part::End);
        match timeout_at(end(), to.send(part)).await {
            Ok(Ok(())) if !is_end => {}
            Ok(_) => return,
            Err(_) => {
                tracing::info!("a client does not read its answer");
                return;
            }
        }
    }
}

fn carried(parts: mpsc::Receiver<Part>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(parts, |mut parts| async move {
        match parts.recv().await {
            Some(Part::Data(bytes)) => Ok(Some((bytes, parts))),
            Some(Part::End) => Ok(None),
            None => Err(io::Error::other("the answer broke off")),
        }
    })
}
