//! Recorded events of every sender, whole and broken.

use bms_adapters_lambda::{Function, ScheduledEvent};
use serde_json::{Value, json};

use crate::support::{ask, event, function, jwt, names, post, read, recorded};

#[tokio::test]
async fn every_sender_is_understood_and_answered_in_its_own_form() {
    for (name, id) in [
        ("v1-hold", "77375676-xmpl-4b79-853a-f982474efe18"),
        ("v2-hold", "JKJaXmPLvHcESHA="),
        ("function-url-hold", "e1506fd5-9e7b-434f-bd42-4f8fa224b599"),
        ("alb-hold", "the-invocation"),
    ] {
        let holds = function(Function::Holds, jwt()).await;
        let answer = ask(&holds, &recorded(name)).await.is(201);
        assert_eq!(answer.json()["userId"], "alice", "{name}");
        assert_eq!(answer.json()["seatIds"], json!(["A1"]), "{name}");
        assert_eq!(answer.header("x-request-id"), Some(id), "{name}");
        assert!(answer.header("location").unwrap().starts_with("/api/v1/holds/"), "{name}");
    }
}

#[tokio::test]
async fn headers_queries_and_ids_arrive_as_they_were_sent() {
    let (movies, holds) = (function(Function::Movies, jwt()).await, function(Function::Holds, jwt()).await);
    // An id of the client's counts before the gateway's.
    let mut sent = event("GET", "/movies?city=berlin&limit=1");
    sent["headers"]["x-request-id"] = "mine-7".into();
    let answer = ask(&movies, &sent).await.is(200);
    assert_eq!(answer.header("x-request-id"), Some("mine-7"));
    assert_eq!(answer.json()["movies"][0]["movieId"], "film");

    // A REST API tells a query decoded, and all values of a name.
    let mut sent = recorded("v1-hold");
    (sent["httpMethod"], sent["requestContext"]["httpMethod"], sent["body"]) = ("GET".into(), "GET".into(), Value::Null);
    sent["path"] = "/movies".into();
    sent["multiValueQueryStringParameters"] = json!({"city": ["ber&lin=1"]});
    assert_eq!(ask(&movies, &sent).await.is(200).json()["movies"], json!([]));
    sent["multiValueQueryStringParameters"] = json!({"limit": ["1", "2"]});
    ask(&movies, &sent).await.is_problem(400, "malformed-request");

    // A name of which there is no value is not there, for a load balancer as well.
    let mut balanced = recorded("alb-hold");
    (balanced["httpMethod"], balanced["path"], balanced["body"]) = ("GET".into(), "/movies".into(), "".into());
    for mut sent in [sent, balanced] {
        sent["multiValueQueryStringParameters"] = json!({"city": [], "limit": ["1"]});
        assert_eq!(ask(&movies, &sent).await.is(200).json()["movies"][0]["movieId"], "film");
    }

    // Two of a header that may be there once are two, though the event has the last by itself, too.
    let mut sent = recorded("v1-hold");
    let token = sent["headers"]["authorization"].clone();
    sent["multiValueHeaders"]["authorization"] = json!(["Bearer other", token]);
    ask(&holds, &sent).await.is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn the_same_key_again_gives_the_same_answer() {
    let holds = function(Function::Holds, jwt()).await;
    let mut sent = post("/api/v1/holds", &json!({"showId": "tonight", "seatIds": ["A1"]}));
    sent["headers"]["idempotency-key"] = "k".into();
    let first = ask(&holds, &sent).await.is(201);
    let again = ask(&holds, &sent).await.is(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.text(), first.text());
}

#[tokio::test]
async fn a_limit_counts_for_the_address_that_the_gateway_tells() {
    use bms_adapters_http::{HttpConfig, RateLimit};
    use bms_adapters_lambda::Handler;
    let limit = RateLimit::new(1.try_into().unwrap(), std::time::Duration::from_secs(3_600)).unwrap();
    let service = crate::support::cinema(std::sync::Arc::new(bms_domain::memory::SandboxGateway)).await;
    let movies = Handler::new(Function::Movies, service, HttpConfig::new(jwt()).rate_limit(limit));
    for name in ["v1-hold", "v2-hold", "alb-hold"] {
        let mut sent = recorded(name);
        // All three were sent from one address; what the client says of itself counts for nothing.
        for place in ["path", "rawPath"].into_iter().filter(|it| recorded(name)[*it].is_string()) {
            sent[place] = "/movies".into();
        }
        for method in [&["httpMethod"][..], &["requestContext", "httpMethod"], &["requestContext", "http", "method"]] {
            if let Some(place) = sent.pointer_mut(&format!("/{}", method.join("/"))) {
                *place = "GET".into();
            }
        }
        sent["headers"].as_object_mut().unwrap().remove("authorization");
        if let Some(all) = sent["multiValueHeaders"].as_object_mut() {
            all.remove("authorization");
        }
        let answer = ask(&movies, &sent).await;
        assert_eq!(answer.status(), if name == "v1-hold" { 200 } else { 429 }, "{name}");
    }
    let mut other = event("GET", "/movies");
    other["headers"].as_object_mut().unwrap().remove("authorization");
    other["requestContext"]["http"]["sourceIp"] = "2001:db8::1".into();
    ask(&movies, &other).await.is(200);
}

#[tokio::test]
async fn what_is_broken_is_a_problem() {
    let holds = function(Function::Holds, jwt()).await;
    for (name, status, code) in [
        ("broken-v1-base64", 400, "malformed-request"),
        ("broken-v2-base64", 400, "malformed-request"),
        ("broken-function-url-base64", 400, "malformed-request"),
        ("broken-v1-path", 404, "not-found"),
        ("broken-v2-path", 404, "not-found"),
        ("broken-v1-fields", 404, "not-found"),
        ("broken-v2-fields", 404, "not-found"),
        ("broken-v2-address", 400, "malformed-request"),
    ] {
        println!("{name}");
        ask(&holds, &recorded(name)).await.is_problem(status, code);
    }
    // Nobody reads these.
    ask(&holds, &recorded("broken-v1-host")).await.is(201);
    ask(&holds, &recorded("broken-v2-host")).await.is_problem(409, "seats-unavailable");
    assert_eq!(names("broken-").len(), 10, "each has its line here");
}

#[test]
fn what_is_no_event_of_a_gateway_is_not_taken_for_one() {
    for name in ["foreign-", "scheduled-", "sqs-"].into_iter().flat_map(names) {
        assert!(read(&recorded(&name)).is_none(), "{name}");
    }
}

#[test]
fn schedules_are_told_from_everything_else() {
    let is_scheduled = |event: &Value| serde_json::from_str::<ScheduledEvent>(&event.to_string()).is_ok();
    for name in names("scheduled-") {
        assert!(is_scheduled(&recorded(&name)), "{name}");
    }
    assert!(is_scheduled(&json!({})));
    for beginning in ["v1-", "v2-", "function-url-", "alb-", "broken-", "foreign-", "sqs-"] {
        for name in names(beginning).iter().filter(|name| *name != "foreign-empty") {
            assert!(!is_scheduled(&recorded(name)), "{name}");
        }
    }
    for (field, value) in [("source", "somebody.else"), ("detail-type", "Scheduled event"), ("source", "")] {
        let mut event = recorded("scheduled-rule");
        event[field] = value.into();
        assert!(!is_scheduled(&event), "{field}: {value}");
    }
}
