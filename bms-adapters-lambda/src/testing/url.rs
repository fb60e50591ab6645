//! A function URL: HTTP on one side, events on the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PAYLOAD_LIMIT, Runtime};

type Url = (Arc<Runtime>, Duration);

pub(super) fn router(runtime: Arc<Runtime>, time: Duration) -> Router {
    Router::new().fallback(invoke).with_state((runtime, time))
}

async fn invoke(State((runtime, time)): State<Url>, request: Request) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let Some(event) = event(request).await else { return refused(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large") };
    match runtime.invoke(event.to_string(), time).await.ok().and_then(|answer| answered(answer, is_head)) {
        Some(answer) => answer,
        None => refused(StatusCode::BAD_GATEWAY, "Internal Server Error"),
    }
}

/// What Lambda itself answers.
fn refused(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({"Message": message}).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The event of a request.
async fn event(request: Request) -> Option<Value> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, PAYLOAD_LIMIT).await.ok()?;
    let mut headers = BTreeMap::<&str, String>::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers.entry(name.as_str()).and_modify(|values| *values = format!("{values},{value}")).or_insert(value.into_owned());
    }
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    Some(json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "http": {"method": head.method.as_str(), "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
            "requestId": headers.get("x-request-id"),
            "routeKey": "$default",
            "stage": "$default",
        },
        "body": (!body.is_empty()).then(|| BASE64.encode(&body)),
        "isBase64Encoded": !body.is_empty(),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// The response that a function has answered with, if it is one.
fn answered(answer: Value, is_head: bool) -> Option<Response<Body>> {
    let answer: Answer = serde_json::from_value(answer).ok()?;
    let text = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded { Bytes::from(BASE64.decode(text).ok()?) } else { text.into() };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status_code).ok()?;
    let cookies = answer.cookies.into_iter().map(|cookie| ("set-cookie".to_owned(), cookie));
    for (name, value) in answer.headers.into_iter().chain(cookies) {
        let (name, value) = (HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        // The length of what is sent is known better here; what is not sent has one, too.
        if is_head || name != header::CONTENT_LENGTH {
            response.headers_mut().append(name, value);
        }
    }
    Some(response)
}
