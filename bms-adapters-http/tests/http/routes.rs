//! Every route's happy path, and the document that describes them all.

use std::collections::BTreeSet;

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{Request, Response};
use bms_adapters_http::testing::{self, Who};
use bms_adapters_http::{HttpConfig, JwtAuthenticator, router};
use secrecy::SecretString;
use serde_json::Value;

use crate::support::{Ask, Cinema, SECRET, cinema, send};

impl testing::Ask for Cinema {
    async fn ask(&mut self, who: Who<'_>, request: Request<Bytes>) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        let mut ask = Ask::new(head.method.as_str(), head.uri.to_string()).body(body);
        ask = match who {
            Who::Nobody => ask,
            Who::User(user) => ask.by(user),
            Who::Admin(_) => ask.by_admin(),
        };
        for (name, value) in &head.headers {
            ask = ask.header(name.as_str(), value.to_str().unwrap());
        }
        let answer = Cinema::ask(self, ask).await;
        let mut response = Response::new(answer.bytes);
        (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
        response
    }
}

#[tokio::test]
async fn every_row_of_the_table_is_answered_as_it_says() {
    testing::run(&mut cinema().await).await;
}

#[tokio::test]
async fn a_part_of_the_routes_is_served_with_the_document_of_all() {
    let whole = cinema().await;
    let authenticator = JwtAuthenticator::hs256(&SecretString::from(SECRET)).unwrap();
    let config = HttpConfig::new(Arc::new(authenticator)).only(|path| path == "/movies/{movieId}" || path.ends_with(".json"));
    let part = router(whole.service.clone(), config);
    send(&part, &Ask::get("/movies/film")).await.is(200);
    for path in ["/movies", "/movies/film/shows", "/healthz", "/api/v1/orders"] {
        send(&part, &Ask::get(path)).await.is_problem(404, "not-found");
    }
    send(&part, &Ask::new("PATCH", "/movies/film")).await.is(405);
    let document = Ask::get("/api/v1/openapi.json");
    assert_eq!(send(&part, &document).await.json(), whole.ask(document).await.json());
}

/// The route table of the contract.
const CONTRACT: [(&str, &str); 25] = [
    ("get", "/movies"),
    ("get", "/movies/{movieId}"),
    ("get", "/movies/{movieId}/shows"),
    ("get", "/api/v1/shows/{showId}/seatmap"),
    ("get", "/api/v1/shows/{showId}/seatmap/events"),
    ("post", "/api/v1/holds"),
    ("get", "/api/v1/holds"),
    ("get", "/api/v1/holds/{holdId}"),
    ("delete", "/api/v1/holds/{holdId}"),
    ("post", "/api/v1/orders"),
    ("get", "/api/v1/orders"),
    ("get", "/api/v1/orders/{orderId}"),
    ("delete", "/api/v1/orders/{orderId}"),
    ("post", "/api/v1/orders/{orderId}/confirm"),
    ("post", "/api/v1/orders/{orderId}/confirm-payment"),
    ("post", "/api/v1/payments/events"),
    ("get", "/api/v1/tickets/{ticketCode}"),
    ("put", "/api/v1/admin/movies/{id}"),
    ("put", "/api/v1/admin/theatres/{id}"),
    ("put", "/api/v1/admin/shows/{id}"),
    ("post", "/api/v1/admin/orders/{orderId}/cancel"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/api/v1/openapi.json"),
];

#[tokio::test]
async fn the_document_has_every_route_of_the_contract_and_no_other() {
    let cinema = cinema().await;
    let document = cinema.ask(Ask::get("/api/v1/openapi.json")).await.is(200).json();
    let documented: BTreeSet<(String, String)> = operations(&document).map(|(path, method, _)| (method, path)).collect();
    let contract = CONTRACT.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(documented, contract);
    for (path, method, _) in operations(&document) {
        let there = path.replace("{movieId}", "film").replace("{showId}", "no-show").replace("{id}", "x");
        let answer = cinema.ask(Ask::new(&method.to_uppercase(), there)).await;
        assert_ne!(answer.status.as_u16(), 405, "{method} {path}");
    }
}

#[tokio::test]
async fn the_document_is_whole_and_ours() {
    let cinema = cinema().await;
    let document = cinema.ask(Ask::get("/api/v1/openapi.json")).await.is(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["title"], "Booking API");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["info"]["license"]["identifier"], "MIT OR Apache-2.0");
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].to_string()), "{method} {path}: its id is there twice");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("500"), "{method} {path}");
        assert_eq!(operation["security"].is_array(), responses.contains_key("401") && !path.contains("payments"), "{path}");
        for (status, response) in responses {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{method} {path} {status}");
            let problem = response["content"].get("application/problem+json").is_some();
            assert_eq!(problem, status.as_str() >= "400", "{method} {path} {status}");
        }
        for name in path.split('/').filter_map(|part| part.strip_prefix('{')).map(|part| part.trim_end_matches('}')) {
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|it| it["name"] == name && it["in"] == "path"), "{path}: {name}");
        }
        if operation["requestBody"].is_object() {
            for status in ["400", "413", "415", "422"] {
                assert!(responses.contains_key(status), "{method} {path} {status}");
            }
        }
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (String, String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, operation)| (path.clone(), method.clone(), operation))
    })
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.push(reference.clone());
            }
            fields.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
