//! Answers as a function can give them: whole.

use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::http::{Response, StatusCode, header};
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use lambda_http::Body;
use tokio::time::{Instant, timeout_at};

/// How long a live map is waited for that has nothing new.
const FIRST_EVENT: Duration = Duration::from_secs(1);
/// How soon a page asks again for a live map, in its own words.
const ASK_AGAIN: &[u8] = b"retry: 2000\n\n";

/// Reads an answer to its end. A live map has none: it gets what is new now, and the page comes back with the id of what it saw
/// last, as pages do when a connection breaks.
pub(crate) async fn whole(answer: Response<HttpBody>, end: Instant) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let is_live = head.headers.get(header::CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
    let bytes = if is_live { Some(events(body, end).await) } else { all(body, end).await };
    let body = match bytes.map(String::from_utf8) {
        Some(Ok(text)) => Body::Text(text),
        Some(Err(binary)) => Body::Binary(binary.into_bytes()),
        None => {
            tracing::error!("an answer was not ready in time, or broke off");
            head.status = StatusCode::INTERNAL_SERVER_ERROR;
            head.headers.clear();
            Body::Empty
        }
    };
    Response::from_parts(head, body)
}

async fn all(body: HttpBody, end: Instant) -> Option<Vec<u8>> {
    Some(timeout_at(end, body.collect()).await.ok()?.ok()?.to_bytes().into())
}

async fn events(mut body: HttpBody, end: Instant) -> Vec<u8> {
    let mut bytes = ASK_AGAIN.to_vec();
    let mut frame = timeout_at(end.min(Instant::now() + FIRST_EVENT), body.frame()).await.ok().flatten();
    while let Some(Ok(some)) = frame {
        bytes.extend(some.into_data().unwrap_or_default());
        frame = body.frame().now_or_never().flatten();
    }
    bytes
}
