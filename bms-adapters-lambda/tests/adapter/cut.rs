//! The four functions are the whole contract, and no two of them the same part of it.

use axum::http::Request;
use bms_adapters_http::{HttpConfig, router};
use bms_adapters_lambda::Function;
use bms_domain::memory::SandboxGateway;
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt as _;

use crate::support::{ask, cinema, event, function, jwt};

const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The paths of the contract, from the document of the plain router.
async fn contract() -> Vec<String> {
    let router = router(cinema(Arc::new(SandboxGateway)).await, HttpConfig::new(jwt()));
    let request = Request::get("/api/v1/openapi.json").body(axum::body::Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let document = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    document["paths"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn each_route_is_served_by_one_function_and_each_probe_by_all() {
    let mut served = Vec::new();
    for each in Function::ALL {
        served.push((each, function(each, jwt()).await));
    }
    let contract = contract().await;
    assert!(contract.len() > 15);
    for path in &contract {
        let mut by = Vec::new();
        for (each, handler) in &served {
            // No route has this method: where the path is served it is refused, elsewhere it is unknown.
            let answer = ask(handler, &event("PATCH", &path.replace('{', "x").replace('}', ""))).await;
            match answer.status() {
                405 => by.push(*each),
                _ => answer.is_problem(404, "not-found"),
            }
        }
        let wanted = if PROBES.contains(&path.as_str()) { 4 } else { 1 };
        assert_eq!(by.len(), wanted, "{path}: {by:?}");
        if wanted == 1 {
            assert_eq!(Function::of(path), Some(by[0]), "{path}");
        }
    }
}

#[tokio::test]
async fn the_document_that_is_served_is_that_of_the_whole() {
    let movies = function(Function::Movies, jwt()).await;
    let document = ask(&movies, &event("GET", "/api/v1/openapi.json")).await.is(200).json();
    let served: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(served, contract().await.iter().collect::<Vec<_>>());
}

#[test]
fn what_only_begins_alike_belongs_to_nobody() {
    for path in ["/moviesque", "/api/v1/holdsx", "/api/v1", "/", "", "/api/v1/administration"] {
        assert_eq!(Function::of(path), None, "{path}");
    }
}
