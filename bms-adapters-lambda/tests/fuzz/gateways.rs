//! Events of API Gateway, of function URLs and of load balancers: each that is one is answered in their form.

use std::str::from_utf8;

use bms_adapters_lambda::Function;
use bms_adapters_lambda::lambda_http::request::LambdaRequest;
use bms_adapters_lambda::lambda_runtime::{Context, LambdaEvent};
use bms_domain::testing::fuzz::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use serde_json::Value;

use crate::support::{Answer, filled, function, jwt};
use crate::{runtime, target};

/// What an answer is, whatever was asked: a status, a name, and a problem where it is none that was asked for.
fn is_an_answer(answer: &Value, method: &str) -> Result<u64, TestCaseError> {
    let status = answer["statusCode"].as_u64();
    prop_assert!(status.is_some_and(|status| (100..500).contains(&status) || status == 503), "{}", answer);
    let (status, answer) = (status.unwrap_or_default(), Answer::new(answer.clone()));
    prop_assert!(answer.header("x-request-id").is_some(), "{:?}", answer);
    if status >= 400 && method != "HEAD" {
        prop_assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{:?}", answer);
        prop_assert_eq!(&answer.json()["status"], &Value::from(status));
    }
    Ok(status)
}

#[test]
fn fuzz() {
    let runtime = runtime();
    target("gateways").check(&["no event of theirs", "refused", "carried out"], |input| {
        let Ok(text) = from_utf8(input) else { return Ok("no event of theirs") };
        let Ok(event) = serde_json::from_str::<LambdaRequest>(&filled(text)) else { return Ok("no event of theirs") };
        let event_of: Value = serde_json::from_slice(input).unwrap_or_default();
        let (path, method) = match &event {
            LambdaRequest::ApiGatewayV2(_) => (&event_of["rawPath"], &event_of["requestContext"]["http"]["method"]),
            _ => (&event_of["path"], &event_of["httpMethod"]),
        };
        // The function that serves the path, or another.
        let path = path.as_str().unwrap_or_default();
        let part = Function::of(path.strip_prefix("/prod").unwrap_or(path)).unwrap_or(Function::Holds);
        runtime.block_on(async {
            let mut context = Context::default();
            context.request_id = "the-invocation".to_owned();
            let answer = function(part, jwt()).await.handle(LambdaEvent::new(event, context)).await.unwrap();
            let status = is_an_answer(&serde_json::to_value(answer).unwrap(), method.as_str().unwrap_or_default())?;
            Ok(if status < 400 { "carried out" } else { "refused" })
        })
    });
}
