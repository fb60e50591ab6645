//! What passes through, and what does not.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use futures::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, behaving, serving, token, write};

/// Tells what it was asked.
async fn echo() -> String {
    serving(Router::new().fallback(async |request: Request| {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let headers: Vec<Value> =
            head.headers.iter().map(|(name, value)| json!([name.as_str(), value.to_str().unwrap()])).collect();
        let told = json!({"method": head.method.as_str(), "uri": head.uri.to_string(), "headers": headers,
            "body": String::from_utf8_lossy(&body)});
        let mut answer = HeaderMap::new();
        for (name, value) in [("x-amzn-requestid", "1"), ("x-kept", "yes"), ("connection", "x-hop"), ("x-hop", "1")] {
            answer.insert(name, value.parse().unwrap());
        }
        (answer, Json(told))
    }))
    .await
}

/// All values of a header that reached the function.
fn values<'a>(told: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = told["headers"].as_array().unwrap().iter();
    headers.filter(|header| header[0] == name).map(|header| header[1].as_str().unwrap()).collect()
}

async fn told(answer: reqwest::Response) -> Value {
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn method_path_query_body_and_token_reach_the_function() {
    let gateway = Gateway::before(&echo().await);
    let held = told(gateway.hold().header("idempotency-key", "k-1").send().await.unwrap()).await;
    assert_eq!((&held["method"], &held["uri"]), (&json!("POST"), &json!("/api/v1/holds")));
    assert_eq!(held["body"], r#"{"showId":"tonight","seatIds":["A1"]}"#);
    assert_eq!(values(&held, "content-length"), ["37"]);
    assert_eq!(values(&held, "content-type"), ["application/json"]);
    assert_eq!(values(&held, "idempotency-key"), ["k-1"]);
    assert!(values(&held, "authorization")[0].starts_with("Bearer "));
    let movie = told(gateway.get("/movies/a%2Fb/shows?date=2030-01-31&x=%20").await).await;
    assert_eq!(movie["uri"], "/movies/a%2Fb/shows?date=2030-01-31&x=%20");
}

#[tokio::test]
async fn a_client_does_not_say_who_it_is_or_what_only_gateways_say() {
    let gateway = Gateway::before(&echo().await);
    let request = gateway.request(Method::GET, "/movies").header("host", "shop.example");
    let told = told(
        request
            .header("x-forwarded-for", "6.6.6.6")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-prefix", "/admin")
            .header("forwarded", "for=6.6.6.6")
            .header("x-real-ip", "6.6.6.6")
            .header("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8")
            .header("x-amzn-oidc-identity", "root")
            .header("connection", "x-mine")
            .header("x-mine", "1")
            .header("te", "trailers")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(values(&told, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&told, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&told, "x-forwarded-host"), ["shop.example"]);
    for gone in ["x-forwarded-prefix", "forwarded", "x-real-ip", "x-amzn-trace-id", "x-amzn-oidc-identity", "x-mine", "te"] {
        assert!(values(&told, gone).is_empty(), "{gone}");
    }
    assert_ne!(values(&told, "host"), ["shop.example"]);
}

#[tokio::test]
async fn a_proxy_in_front_is_believed_when_it_is_one_of_ours() {
    let gateway = Gateway::with(&echo().await, &["--trusted-proxies", "1", "--rate-limit", "1/h"]);
    let from = async |chain: &str| {
        let request = gateway.request(Method::GET, "/movies").header("x-forwarded-for", chain);
        request.header("x-forwarded-proto", "https").send().await.unwrap()
    };
    let told = told(from("6.6.6.6, 198.51.100.7").await).await;
    assert_eq!(values(&told, "x-forwarded-for"), ["198.51.100.7, 127.0.0.1"]);
    assert_eq!(values(&told, "x-forwarded-proto"), ["https"]);
    // The limit is the client's, whatever it makes up, and not the proxy's.
    assert_eq!(from("7.7.7.7, 198.51.100.7").await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(from("198.51.100.8").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn ids_and_traces_are_kept_and_made_where_there_are_none() {
    let gateway = Gateway::before(&echo().await);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = gateway.request(Method::GET, "/movies").header("x-request-id", "mine-1").header("traceparent", trace);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine-1");
    let kept = told(answer).await;
    assert_eq!((values(&kept, "x-request-id"), values(&kept, "traceparent")), (vec!["mine-1"], vec![trace]));

    let request = gateway.request(Method::GET, "/movies").header("x-request-id", "not an id").header("traceparent", "nonsense");
    let answer = request.send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let made = told(answer).await;
    assert!(!id.contains(' ') && values(&made, "x-request-id") == [id.as_str()], "{made}");
    let [trace] = values(&made, "traceparent")[..] else { panic!("{made}") };
    let fields: Vec<&str> = trace.split('-').collect();
    assert_eq!(fields.iter().map(|field| field.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{trace}");
    let again = told(gateway.get("/movies").await).await;
    assert_ne!(values(&again, "traceparent"), [trace]);
}

#[tokio::test]
async fn what_the_platform_says_and_what_is_for_one_connection_ends_here() {
    let gateway = Gateway::before(&echo().await);
    let answer = gateway.get("/movies").await;
    assert_eq!(answer.headers()["x-kept"], "yes");
    for gone in ["x-amzn-requestid", "x-hop", "connection"] {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn the_first_event_of_a_live_map_comes_while_it_is_open() {
    let (events, coming) = mpsc::unbounded_channel::<Bytes>();
    let coming = Arc::new(Mutex::new(coming));
    let (dropped, mut gone) = watch::channel(());
    let dropped = Arc::new(dropped);
    let late = Router::new().route("/movies", get(std::future::pending::<()>));
    let server = serving(late.fallback(async move || {
        let (coming, dropped) = (coming.clone(), dropped.clone());
        // Open as long as its client is.
        let open = scopeguard(dropped);
        let events = stream::unfold((coming, open), |(coming, open)| async move {
            let event = coming.lock().await.recv().await?;
            Some((Ok::<_, Infallible>(event), (coming, open)))
        });
        ([("content-type", "text/event-stream")], Body::from_stream(events))
    }))
    .await;
    let gateway = Gateway::with(&server, &["--answer-timeout", "200ms"]);
    let mut map = gateway.get("/api/v1/shows/tonight/seatmap/events").await;
    assert_eq!(map.headers()["content-type"], "text/event-stream");
    for number in 0..3 {
        // The end of another answer is not that of a live one.
        assert_eq!(gateway.get("/movies").await.status(), StatusCode::GATEWAY_TIMEOUT);
        let event = Bytes::from(format!("id: {number}\n\n"));
        events.send(event.clone()).unwrap();
        assert_eq!(timeout(PATIENCE, map.chunk()).await.unwrap().unwrap().unwrap(), event);
    }
    // A page that is closed is closed behind, too: the function need not go on.
    drop(map);
    events.send(Bytes::from_static(b": still there?\n\n")).ok();
    timeout(PATIENCE, gone.changed()).await.unwrap().ok();
}

/// Tells when it is dropped.
fn scopeguard(told: Arc<watch::Sender<()>>) -> impl Send {
    struct Guard(Arc<watch::Sender<()>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.send_replace(());
        }
    }
    Guard(told)
}

#[tokio::test]
async fn a_body_is_passed_on_while_it_comes() {
    let (seen, mut first) = mpsc::unbounded_channel();
    let (server, _) = behaving(5, move |mut stream, _| {
        seen.send(()).unwrap();
        async move { write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await }
    })
    .await;
    let gateway = Gateway::before(&server);
    let (part, parts) = mpsc::unbounded_channel::<Bytes>();
    let body =
        stream::unfold(parts, |mut parts| async move { Some((Ok::<_, Infallible>(Frame::data(parts.recv().await?)), parts)) });
    let request = gateway.hold().body(reqwest::Body::wrap(StreamBody::new(body)));
    let answer = tokio::spawn(request.send());
    part.send(Bytes::from_static(b"begun")).unwrap();
    // The function has the beginning, though the client has not sent the end.
    timeout(PATIENCE, first.recv()).await.unwrap().unwrap();
    drop(part);
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_gateway_tells_of_itself() {
    let ready = serving(Router::new().route("/readyz", get("{}"))).await;
    let gateway = Gateway::before(&ready);
    assert_eq!(told(gateway.get("/healthz").await).await["status"], "ok");
    assert_eq!(told(gateway.get("/readyz").await).await["status"], "ready");
    gateway.request(Method::GET, "/movies").bearer_auth(token("alice")).send().await.unwrap();
    let metrics = gateway.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains(r#"bms_http_requests_total{route="/movies""#), "{metrics}");
}
