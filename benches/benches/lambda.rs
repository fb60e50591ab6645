//! What the Lambda adapter adds to a request: from the text of a gateway's event to the text of the answer, against the same
//! request to the plain router.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark that cannot run has failed; criterion's macros document nothing"
)]

use std::hint::black_box;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use bms_adapters_http::testing::catalogue;
use bms_adapters_http::{HttpConfig, JwtAuthenticator, router};
use bms_adapters_lambda::lambda_runtime::{Context, LambdaEvent};
use bms_adapters_lambda::{Function, Handler};
use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{Caller, UserId};
use criterion::{Criterion, criterion_group, criterion_main};
use secrecy::SecretString;
use serde_json::json;
use tower::ServiceExt as _;

fn requests(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (service, plain) = runtime.block_on(cinema());
    let movies = Handler::new(Function::Movies, service.clone(), config());
    let seats = Handler::new(Function::Seats, service, config());
    let mut group = criterion.benchmark_group("lambda");
    for (name, path, function) in [("movie", "/movies/film", &movies), ("seat map", "/api/v1/shows/tonight/seatmap", &seats)] {
        group.bench_function(format!("{name}, plain router"), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let request = Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
                let answer = plain.clone().oneshot(request).await.unwrap();
                black_box(axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap())
            });
        });
        for (form, event) in [("REST API", v1(path)), ("HTTP API", v2(path))] {
            group.bench_function(format!("{name}, {form}"), |bencher| {
                bencher.to_async(&runtime).iter(|| async {
                    let event = LambdaEvent::new(serde_json::from_str(&event).unwrap(), Context::default());
                    black_box(serde_json::to_vec(&function.handle(event).await.unwrap()).unwrap())
                });
            });
        }
    }
    group.finish();
}

async fn cinema() -> (BookingService, Router) {
    let service = BookingService::in_memory().build().unwrap();
    let boss = Caller::admin(UserId::parse("the boss").unwrap());
    service.import(&boss, &CatalogueDocument::parse(catalogue().to_string()).unwrap()).await.unwrap();
    let plain = router(service.clone(), config());
    (service, plain)
}

fn config() -> HttpConfig {
    let secret = SecretString::from("a secret of at least thirty-two bytes");
    HttpConfig::new(Arc::new(JwtAuthenticator::hs256(&secret).unwrap()))
}

fn headers() -> serde_json::Value {
    json!({"accept": "*/*", "host": "xmpl.execute-api.us-east-2.amazonaws.com", "user-agent": "curl/8.5.0",
        "x-amzn-trace-id": "Root=1-5e6722a7-cc560000000000002d4da47e;Parent=53995c3f42cd8ad8;Sampled=1",
        "x-forwarded-for": "198.51.100.7", "x-forwarded-port": "443", "x-forwarded-proto": "https"})
}

fn v1(path: &str) -> String {
    json!({"resource": "/{proxy+}", "path": path, "httpMethod": "GET", "headers": headers(), "body": null,
        "isBase64Encoded": false, "requestContext": {"httpMethod": "GET", "stage": "prod", "path": path,
        "requestId": "77375676-xmpl-4b79-853a-f982474efe18", "identity": {"sourceIp": "198.51.100.7"}}})
    .to_string()
}

fn v2(path: &str) -> String {
    json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers(),
        "isBase64Encoded": false, "requestContext": {"stage": "$default", "requestId": "JKJaXmPLvHcESHA=",
        "http": {"method": "GET", "path": path, "sourceIp": "198.51.100.7"}}})
    .to_string()
}

criterion_group!(benches, requests);
criterion_main!(benches);
