//! What the router tells of itself to a gateway, and what such a gateway puts around its own routes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use bms_adapters_http::auth::Identity;
use bms_adapters_http::{HttpConfig, JwtAuthenticator, RateLimit, Shutdown, around, operations};
use secrecy::SecretString;

use crate::support::{Answer, Ask, SECRET, TestClock, cinema, send};

#[tokio::test]
async fn the_operations_are_those_of_the_document_and_say_who_must_be_known() {
    let cinema = cinema().await;
    let document = cinema.ask(Ask::get("/api/v1/openapi.json")).await.json();
    let mut served = 0;
    for item in document["paths"].as_object().unwrap().values() {
        served += item.as_object().unwrap().keys().filter(|name| *name != "parameters").count();
    }
    let operations = operations();
    assert_eq!(operations.len(), served);
    for operation in operations {
        let method = operation.method.as_str().to_lowercase();
        assert!(document["paths"][&operation.path][&method].is_object(), "{operation:?}");
        if operation.path.ends_with("/events") && method == "get" {
            continue; // does not end
        }
        let answer = cinema.ask(Ask::new(operation.method.as_str(), operation.path.replace(['{', '}'], ""))).await;
        assert_eq!(answer.status == 401 && operation.path != "/api/v1/payments/events", operation.needs_user, "{operation:?}");
    }
}

fn config() -> HttpConfig {
    let authenticator = JwtAuthenticator::hs256(&SecretString::from(SECRET)).unwrap().clock(Arc::new(TestClock::new()));
    HttpConfig::new(Arc::new(authenticator))
}

/// Tells who asked, and under which id and trace.
fn gateway(config: &HttpConfig) -> Router {
    let told = async |request: Request| {
        let who = match request.extensions().get() {
            Some(Identity(Ok(caller))) => caller.id().as_str().to_owned(),
            Some(Identity(Err(error))) => format!("{error:?}"),
            None => "nobody asked".to_owned(),
        };
        let header = |name| request.headers()[name].to_str().unwrap().to_owned();
        [who, header("x-request-id"), header("traceparent")].join(" ")
    };
    around(Router::new().route("/told", post(told)), config)
}

#[tokio::test]
async fn what_stands_around_these_routes_stands_around_others() {
    let shutdown = Shutdown::new();
    let limit = RateLimit::new(NonZeroU32::new(3).unwrap(), Duration::from_secs(3_600)).unwrap();
    let router = gateway(&config().shutdown(shutdown.clone()).rate_limit(limit));
    let told = || Ask::new("POST", "/told");
    let text = |answer: &Answer| String::from_utf8(answer.is(200).bytes.to_vec()).unwrap();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    let known = send(&router, &told().by("alice").header("x-request-id", "mine").header("traceparent", trace)).await;
    assert_eq!((known.header("x-request-id"), text(&known)), (Some("mine"), format!("alice mine {trace}")));
    assert_eq!(known.header("cache-control"), Some("no-store"));

    let made = send(&router, &told().header("traceparent", "00-nonsense")).await;
    let said = text(&made);
    let words: Vec<&str> = said.split(' ').collect();
    assert_eq!((words[0], Some(words[1])), ("Missing", made.header("x-request-id")));
    assert_eq!(words[2].len(), trace.len(), "{said}");
    let refused = send(&router, &told().header("authorization", "Bearer x")).await;
    assert!(text(&refused).starts_with("Refused "), "{refused:?}");

    send(&router, &Ask::get("/told")).await.is_problem(405, "method-not-allowed");
    send(&router, &Ask::get("/elsewhere")).await.is_problem(429, "rate-limited");
    send(&router, &Ask::get("/elsewhere").by("bob")).await.is_problem(404, "not-found");
    let metrics = text(&send(&router, &Ask::get("/metrics")).await);
    assert!(metrics.contains(r#"bms_http_requests_total{route="/told",method="POST",status="200"} 3"#), "{metrics}");

    shutdown.begin();
    send(&router, &told().by("bob")).await.is_problem(503, "unavailable");
    send(&router, &Ask::get("/healthz")).await.is(200);
}
