//! What wakes the functions that tidy up: a schedule, an empty object, and nothing else.

use std::str::from_utf8;

use bms_adapters_lambda::ScheduledEvent;
use bms_adapters_lambda::aws_lambda_events::sqs::SqsEvent;
use bms_adapters_lambda::lambda_http::request::LambdaRequest;
use proptest::{prop_assert, prop_assert_eq};
use serde_json::Value;

use crate::target;

/// Whether the documentation calls it one.
fn is_scheduled(event: &Value) -> bool {
    let of_schedule = event["source"] == "aws.events" || event["source"] == "aws.scheduler";
    event.as_object().is_some_and(|fields| fields.is_empty()) || event["detail-type"] == "Scheduled Event" && of_schedule
}

#[test]
fn fuzz() {
    target("schedules").check(&["a schedule", "something else"], |input| {
        let Ok(text) = from_utf8(input) else { return Ok("something else") };
        let event: Option<Value> = serde_json::from_str(text).ok();
        let wakes = serde_json::from_str::<ScheduledEvent>(text).is_ok();
        prop_assert_eq!(wakes, event.as_ref().is_some_and(is_scheduled));
        if !wakes {
            return Ok("something else");
        }
        // A function that is wired to the wrong sender fails, and does not do something else.
        prop_assert!(serde_json::from_str::<SqsEvent>(text).is_err() || text.contains("Records"));
        prop_assert!(serde_json::from_str::<LambdaRequest>(text).is_err() || text.contains("requestContext"));
        Ok("a schedule")
    });
}
