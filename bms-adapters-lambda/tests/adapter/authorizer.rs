//! Users whom the gateway has checked.

use std::sync::Arc;

use bms_adapters_lambda::{AuthorizerClaims, Function, Handler};
use serde_json::{Value, json};

use crate::support::{ask, event, function, jwt, recorded};

async fn trusting(part: Function) -> Handler {
    function(part, Arc::new(AuthorizerClaims)).await
}

#[tokio::test]
async fn the_user_is_whom_the_authorizer_names() {
    for name in ["v1-cognito", "v1-lambda-authorizer", "v2-jwt", "v2-lambda-authorizer"] {
        let hold = ask(&trusting(Function::Holds).await, &recorded(name)).await.is(201).json();
        assert_eq!(hold["userId"], "alice", "{name}");
        // Where nobody said that authorizers are trusted, they are not.
        ask(&function(Function::Holds, jwt()).await, &recorded(name)).await.is_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn scopes_are_those_of_the_authorizer() {
    let orders = trusting(Function::Orders).await;
    let path = "/prod/api/v1/tickets/BMS-000000";
    for (name, status) in [("v2-jwt", 404), ("v2-lambda-authorizer", 403)] {
        let mut sent = recorded(name);
        (sent["rawPath"], sent["requestContext"]["http"]["method"]) = (path.into(), "GET".into());
        assert_eq!(ask(&orders, &sent).await.status(), status, "{name}");
    }
    for (name, status) in [("v1-cognito", 404), ("v1-lambda-authorizer", 403)] {
        let mut sent = recorded(name);
        sent["path"] = "/api/v1/tickets/BMS-000000".into();
        (sent["httpMethod"], sent["requestContext"]["httpMethod"]) = ("GET".into(), "GET".into());
        assert_eq!(ask(&orders, &sent).await.status(), status, "{name}");
    }
}

#[tokio::test]
async fn nothing_that_a_client_writes_makes_him_anybody() {
    let orders = trusting(Function::Orders).await;
    // A token, good as it may be, and headers that look like an authorizer's words.
    let mut sent = event("GET", "/api/v1/orders?sub=alice");
    for header in ["sub", "x-amzn-oidc-identity", "x-apigateway-authorizer", "x-user-id", "claims"] {
        sent["headers"][header] = "alice".into();
    }
    sent["authorizer"] = json!({"jwt": {"claims": {"sub": "alice"}}});
    ask(&orders, &sent).await.is_problem(401, "unauthenticated");
    for nobody in
        [json!({}), Value::Null, json!({"lambda": null}), json!({"iam": {"userId": "alice"}}), json!({"jwt": {"claims": {}}})]
    {
        sent["requestContext"]["authorizer"] = nobody.clone();
        ask(&orders, &sent).await.is_problem(401, "unauthenticated");
    }
    for odd in [json!({"lambda": {"sub": 7}}), json!({"lambda": {"sub": ""}}), json!({"lambda": {"sub": "x".repeat(256)}})] {
        sent["requestContext"]["authorizer"] = odd;
        ask(&orders, &sent).await.is_problem(401, "unauthenticated");
    }
    // What a Lambda authorizer adds beside a JWT's claims does not overrule them.
    sent["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"aud": "x"}}, "lambda": {"sub": "alice"}});
    ask(&orders, &sent).await.is_problem(401, "unauthenticated");
}
