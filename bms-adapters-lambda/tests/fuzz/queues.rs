//! Batches of a queue: exactly what failed is named, and what was told is not.

use std::collections::BTreeSet;
use std::str::from_utf8;
use std::sync::Arc;

use async_trait::async_trait;
use bms_adapters_http::EventBody;
use bms_adapters_lambda::aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use bms_adapters_lambda::lambda_runtime::{Context, LambdaEvent};
use bms_adapters_lambda::{Notifier, Notify};
use bms_domain::event::OrderEventKind;
use bms_domain::store::BoxError;
use parking_lot::Mutex;
use proptest::{prop_assert, prop_assert_eq};
use serde::Deserialize;

use crate::{runtime, target};

/// The order in the recorded batches of which the notifier does not take any event.
const REFUSED: &str = "0190163d-8694-7abc-9bf5-4b3c4c8fd001";

/// Remembers what it was told of.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

#[async_trait]
impl Notifier for Recorder {
    async fn confirmed(&self, event: &EventBody) -> Result<(), BoxError> {
        if event.order.order_id.to_string() == REFUSED {
            return Err("the notifier is down".into());
        }
        self.0.lock().push(event.id.to_string());
        Ok(())
    }
}

/// What a topic puts round a message.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Message")]
    message: String,
}

/// The event in a message, as it is or in a topic's envelope.
fn event(message: &SqsMessage) -> Option<EventBody> {
    let body = message.body.as_deref().unwrap_or_default();
    let enveloped = || serde_json::from_str(&serde_json::from_str::<Envelope>(body).ok()?.message).ok();
    let event: EventBody = serde_json::from_str(body).ok().or_else(enveloped)?;
    (event.id.order == event.order.order_id).then_some(event)
}

/// Which messages fail: those that are no event of ours, those that are not taken, and what is behind one of these in its group.
fn failing(messages: &[SqsMessage]) -> Vec<bool> {
    let is_bad = |message: &SqsMessage| {
        event(message).is_none_or(|event| event.is(OrderEventKind::Confirmed) && event.order.order_id.to_string() == REFUSED)
    };
    let group = |message: &SqsMessage| message.attributes.get("MessageGroupId").cloned();
    let fails = |(at, message): (usize, &SqsMessage)| {
        let of_group = messages[..at].iter().filter(|other| group(message).is_some() && group(other) == group(message));
        is_bad(message) || of_group.into_iter().any(is_bad)
    };
    messages.iter().enumerate().map(fails).collect()
}

#[test]
fn fuzz() {
    let runtime = runtime();
    target("queues").check(&["no batch", "all was told", "some comes again", "all comes again"], |input| {
        let Some(batch) = from_utf8(input).ok().and_then(|text| serde_json::from_str::<SqsEvent>(text).ok()) else {
            return Ok("no batch");
        };
        let messages = batch.records.clone();
        let failing = failing(&messages);
        let failed: Vec<&SqsMessage> =
            messages.iter().zip(&failing).filter(|(_, fails)| **fails).map(|(message, _)| message).collect();
        let is_named = |message: &&SqsMessage| message.message_id.as_deref().is_some_and(|id| !id.is_empty());
        let recorder = Arc::new(Recorder::default());
        let notify = Notify::new(recorder.clone());
        let answer = runtime.block_on(notify.handle(LambdaEvent::new(batch, Context::default())));
        // What is told is what is confirmed and does not fail, once for each message.
        let good = messages.iter().zip(&failing).filter(|(_, fails)| !**fails).filter_map(|(message, _)| event(message));
        let mut expected: Vec<String> =
            good.filter(|event| event.is(OrderEventKind::Confirmed)).map(|event| event.id.to_string()).collect();
        let mut told = recorder.0.lock().clone();
        told.sort();
        expected.sort();
        prop_assert_eq!(told, expected);
        let Ok(answer) = answer else {
            prop_assert!(!failed.iter().all(is_named), "all of the batch comes again, though all that failed has a name");
            return Ok("all comes again");
        };
        prop_assert!(failed.iter().all(is_named), "what failed has no name, and is lost");
        let named: BTreeSet<&str> = answer.batch_item_failures.iter().map(|item| item.item_identifier.as_str()).collect();
        let wanted: BTreeSet<&str> = failed.iter().filter_map(|message| message.message_id.as_deref()).collect();
        prop_assert_eq!(&named, &wanted);
        prop_assert_eq!(answer.batch_item_failures.len(), failed.len());
        Ok(if failed.is_empty() { "all was told" } else { "some comes again" })
    });
}
