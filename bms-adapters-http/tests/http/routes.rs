//! Every route's happy path, and the document that describes them all.

use std::collections::BTreeSet;

use crate::support::{Ask, cinema};
use crate::table::{ROWS, check, filled};
use serde_json::Value;

#[tokio::test]
async fn every_row_of_the_table_is_answered_as_it_says() {
    let cinema = cinema().await;
    let mut kept = Vec::new();
    for row in ROWS {
        let mut ask = Ask::new(row.method, filled(row.path, &kept));
        ask = match row.user {
            "" => ask,
            "the boss" => ask.by_admin(),
            user => ask.by(user),
        };
        for (name, value) in row.headers {
            ask = ask.header(name, filled(value, &kept));
        }
        if !row.body.is_empty() {
            ask = ask.body(filled(row.body, &kept)).header("content-type", "application/json");
        }
        let answer = cinema.ask(ask).await;
        let header = |name: &str| answer.header(name).map(ToOwned::to_owned);
        check(row, answer.status.as_u16(), &header, &answer.json(), &mut kept);
    }
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
