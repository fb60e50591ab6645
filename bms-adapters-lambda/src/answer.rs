//! Answers as a function can give them: whole.

use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::http::{HeaderName, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use bms_adapters_http::problem::{Code, Problem};
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use lambda_http::Body;
use tokio::time::{Instant, timeout_at};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a live map is waited for that has nothing new.
const FIRST_EVENT: Duration = Duration::from_secs(1);
/// How soon a page asks again for a live map, in its own words.
const ASK_AGAIN: &[u8] = b"retry: 2000\n\n";

/// The most that Lambda takes of an answer, in bytes of its JSON: 6 MB, less some for its headers.
pub(crate) const LARGEST: usize = 6 * 1024 * 1024 - FOR_THE_HEAD;
/// The most that a load balancer takes: 1 MB.
pub(crate) const LARGEST_OF_BALANCERS: usize = 1024 * 1024 - FOR_THE_HEAD;
const FOR_THE_HEAD: usize = 32 * 1024;

/// Reads an answer to its end. Whoever asked shall be told of one that nobody would take. A live map has none: it gets what is new now, and the page comes back with the id of what it saw
/// last, as pages do when a connection breaks.
pub(crate) async fn whole(answer: Response<HttpBody>, end: Instant, largest: usize) -> Response<Body> {
    let asked_by = answer.headers().get(REQUEST_ID).cloned();
    let answer = read(answer, end).await;
    let size = size(answer.body());
    if size <= largest {
        return answer;
    }
    tracing::error!(size, largest, "an answer is larger than a function can give");
    let problem = Problem::new(Code::Internal, "the answer is too large; ask for less of it").into_response();
    let mut problem = read(problem, end).await;
    problem.headers_mut().extend(asked_by.map(|id| (REQUEST_ID, id)));
    problem
}

/// How many bytes a body has within JSON.
fn size(body: &Body) -> usize {
    match body {
        Body::Text(text) => text.chars().map(|it| if matches!(it, '"' | '\\' | '\n') { 2 } else { it.len_utf8() }).sum(),
        Body::Binary(bytes) => bytes.len().div_ceil(3) * 4,
        _ => 0,
    }
}

async fn read(answer: Response<HttpBody>, end: Instant) -> Response<Body> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_large_is_a_problem() {
        let end = Instant::now() + Duration::from_secs(30);
        // A quotation mark takes two bytes, and three bytes that are no text take four.
        for (body, fits) in [
            ("a".repeat(60).into_bytes(), true),
            ("a".repeat(61).into_bytes(), false),
            ("\"".repeat(30).into_bytes(), true),
            ("\"".repeat(31).into_bytes(), false),
            (vec![0xff; 45], true),
            (vec![0xff; 46], false),
        ] {
            let mut answer = Response::new(HttpBody::from(body));
            answer.headers_mut().insert(REQUEST_ID, "mine".parse().unwrap());
            let told = whole(answer, end, 60).await;
            let status = if fits { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
            assert_eq!((told.status(), told.headers()[REQUEST_ID].to_str().unwrap()), (status, "mine"));
            let is_problem = told.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "application/problem+json");
            assert_eq!(is_problem, !fits);
        }
    }
}
