//! What the gateway refuses by itself, without asking anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Gateway, is_problem, nobody, serving, token};

/// Counts who comes.
async fn counting() -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let server = serving(Router::new().fallback(async move |body: Bytes| {
        counted.fetch_add(1, Ordering::SeqCst);
        body.len().to_string()
    }));
    (server.await, count)
}

#[tokio::test]
async fn who_must_be_known_is_asked_for_a_token_first() {
    let (server, asked) = counting().await;
    let gateway = Gateway::before(&server);
    for (method, path) in [
        (Method::POST, "/api/v1/holds"),
        (Method::GET, "/api/v1/orders"),
        (Method::DELETE, "/api/v1/holds/01890a5d-ac96-774b-bcce-b302099a8057"),
        (Method::PUT, "/api/v1/admin/movies/film"),
    ] {
        let answer = gateway.request(method.clone(), path).send().await.unwrap();
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        is_problem(answer, StatusCode::UNAUTHORIZED, "unauthenticated").await;
        let forged = gateway.request(method, path).bearer_auth(format!("{}x", token("alice"))).send().await.unwrap();
        is_problem(forged, StatusCode::UNAUTHORIZED, "unauthenticated").await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // Anybody may look, also with a token that has expired; and a provider's notice is signed instead.
    assert_eq!(gateway.request(Method::GET, "/movies").bearer_auth("old").send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(gateway.request(Method::POST, "/api/v1/payments/events").send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_is_no_route_is_nobody_s() {
    let (server, asked) = counting().await;
    let gateway = Gateway::before(&server);
    for path in ["/", "/moviesque", "/api/v1/holds/1/2/3", "/api/v1/demo/token", "/movies/", "/internal"] {
        is_problem(gateway.get(path).await, StatusCode::NOT_FOUND, "not-found").await;
    }
    let wrong = gateway.request(Method::DELETE, "/movies").send().await.unwrap();
    assert_eq!(wrong.headers()["allow"], "GET,HEAD");
    is_problem(wrong, StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed").await;
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

/// Clients put such paths in order before they send them; whoever means harm does not.
#[tokio::test]
async fn a_path_that_means_another_one_behind_is_nobody_s() {
    let (server, asked) = counting().await;
    for base in [server.clone(), format!("{server}/prefix/")] {
        let gateway = Gateway::before(&base);
        for path in [
            r"/movies/x\..\..\metrics",
            "/movies/x/../../metrics",
            "/movies/%2e%2e/shows",
            "/movies/%2E./shows",
            "/movies/../shows",
            "/movies/./shows",
            r"/movies/\/shows",
            r"/movies/a\b",
            "/api/v1/shows/../seatmap",
        ] {
            assert_eq!(gateway.first_line_of(path).await, "HTTP/1.1 404", "{path}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        for path in ["/movies/a%2Fb/shows", "/movies/%2e%2e%2e/shows?x=../..", "/movies/a..b:c@d"] {
            assert_eq!(gateway.first_line_of(path).await, "HTTP/1.1 200", "{path}");
        }
        assert_eq!(asked.swap(0, Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let (server, asked) = counting().await;
    let gateway = Gateway::before(&server);
    let answer = gateway.hold().body(vec![b' '; 64 * 1024]).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "65536");
    assert_eq!(gateway.first_line("content-length: 65537", b"").await, "HTTP/1.1 413");
    // It does not say how long it is.
    let chunks = format!("1000\r\n{}\r\n", " ".repeat(0x1000)).repeat(17);
    assert_eq!(gateway.first_line("transfer-encoding: chunked", chunks.as_bytes()).await, "HTTP/1.1 413");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_asks_too_often_waits() {
    let (server, asked) = counting().await;
    let gateway = Gateway::with(&server, &["--rate-limit", "2/h"]);
    let ask = async |user: Option<&str>| {
        let request = gateway.request(Method::GET, "/movies");
        user.map_or(request.try_clone().unwrap(), |user| request.bearer_auth(token(user))).send().await.unwrap()
    };
    for user in [Some("alice"), Some("bob"), None] {
        assert_eq!(ask(user).await.status(), StatusCode::OK);
        assert_eq!(ask(user).await.status(), StatusCode::OK);
        let refused = ask(user).await;
        let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=3_600).contains(&wait), "{wait}");
        is_problem(refused, StatusCode::TOO_MANY_REQUESTS, "rate-limited").await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    // Probes are not counted.
    assert_eq!(gateway.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn functions_that_are_not_ready_are_named() {
    let gateway = Gateway::before(&nobody().await);
    let answer = gateway.get("/readyz").await;
    assert_eq!(answer.headers()["retry-after"], "1");
    let problem = is_problem(answer, StatusCode::SERVICE_UNAVAILABLE, "unavailable").await;
    let all = ["the movies function", "the holds function", "the orders function", "the seats function"];
    assert_eq!(problem["dependencies"], json!(all));
    assert_eq!(gateway.get("/healthz").await.status(), StatusCode::OK);
}

/// Each time would cost an invocation of every function.
#[tokio::test]
async fn whether_functions_are_ready_is_asked_once_for_all_who_want_to_know() {
    let (server, asked) = counting().await;
    let gateway = Gateway::before(&server);
    let begun = Instant::now();
    for answer in join_all((0..100).map(|_| gateway.get("/readyz"))).await {
        assert_eq!(answer.status(), StatusCode::OK);
    }
    // Once for each of the four; again after a second, should this take longer.
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    let asked = asked.load(Ordering::SeqCst);
    assert!((4..=4 * (1 + seconds)).contains(&asked), "{asked} in {seconds} s");
}
