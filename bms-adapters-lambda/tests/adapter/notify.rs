//! Batches of a queue, whole and broken.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bms_adapters_http::EventBody;
use bms_adapters_lambda::aws_lambda_events::sqs::SqsEvent;
use bms_adapters_lambda::lambda_runtime::{Context, Error, LambdaEvent};
use bms_adapters_lambda::{LogNotifier, Notifier, Notify};
use bms_domain::store::BoxError;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::recorded;

const FIRST: &str = "0190163d-8694-7abc-9bf5-4b3c4c8fd001";
const SECOND: &str = "0190163d-8695-7abc-9bf5-4b3c4c8fd002";

/// Remembers whom it was told of; fails for one order, and takes for ever for another.
#[derive(Default)]
struct Recorder {
    told: Mutex<Vec<String>>,
    fails: Option<&'static str>,
    hangs: Option<&'static str>,
}

#[async_trait]
impl Notifier for Recorder {
    async fn confirmed(&self, event: &EventBody) -> Result<(), BoxError> {
        let order = event.order.order_id.to_string();
        if self.hangs == Some(&order) {
            std::future::pending::<()>().await;
        }
        if self.fails == Some(&order) {
            return Err("the notifier is down".into());
        }
        self.told.lock().push(event.id.to_string());
        Ok(())
    }
}

async fn handle(recorder: Recorder, event: &Value, context: Context) -> (Vec<String>, Result<Value, Error>) {
    let recorder = Arc::new(recorder);
    let event: SqsEvent = serde_json::from_str(&event.to_string()).unwrap();
    let answer = Notify::new(recorder.clone()).handle(LambdaEvent::new(event, context)).await;
    let told = recorder.told.lock().clone();
    (told, answer.map(|answer| serde_json::to_value(answer).unwrap()))
}

/// The answer that names these messages of a recorded batch, by their places.
fn failures(name: &str, places: &[usize]) -> Value {
    let batch = recorded(name);
    let items: Vec<Value> = places.iter().map(|place| json!({"itemIdentifier": batch["Records"][place]["messageId"]})).collect();
    json!({ "batchItemFailures": items })
}

fn sorted(mut answer: Value) -> Value {
    let items = answer["batchItemFailures"].as_array_mut().unwrap();
    items.sort_by_key(|item| item["itemIdentifier"].to_string());
    answer
}

#[tokio::test]
async fn confirmed_orders_are_told_of_however_they_came() {
    for (name, keys) in [
        ("sqs-standard", &[(FIRST, 2)][..]),
        ("sqs-fifo", &[(FIRST, 2), (SECOND, 2)]),
        ("sqs-topic-raw", &[(FIRST, 2)]),
        ("sqs-topic-envelope", &[(FIRST, 2)]),
        ("sqs-other-kinds", &[]),
        ("sqs-nameless", &[(SECOND, 2)]),
        ("sqs-empty", &[]),
    ] {
        let (mut told, answer) = handle(Recorder::default(), &recorded(name), Context::default()).await;
        told.sort();
        assert_eq!(told, keys.iter().map(|(order, number)| format!("{order}/{number}")).collect::<Vec<_>>(), "{name}");
        assert_eq!(answer.unwrap(), failures(name, &[]), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_ours_comes_again_and_the_rest_does_not() {
    let (told, answer) = handle(Recorder::default(), &recorded("sqs-broken"), Context::default()).await;
    assert_eq!(told, [format!("{SECOND}/2")]);
    assert_eq!(sorted(answer.unwrap()), failures("sqs-broken", &[0, 1, 2, 3, 4, 5, 6, 7, 8]));
    let (_, answer) = handle(Recorder::default(), &recorded("foreign-sqs"), Context::default()).await;
    assert_eq!(answer.unwrap(), failures("foreign-sqs", &[0]));
}

#[tokio::test]
async fn a_group_stops_at_its_first_failure_and_others_go_on() {
    let (told, answer) = handle(Recorder::default(), &recorded("sqs-broken-fifo"), Context::default()).await;
    assert_eq!(told, [format!("{SECOND}/2")]);
    assert_eq!(sorted(answer.unwrap()), failures("sqs-broken-fifo", &[1, 3, 4]));
}

#[tokio::test]
async fn what_the_notifier_does_not_take_comes_again() {
    let recorder = Recorder { fails: Some(FIRST), ..Recorder::default() };
    let (told, answer) = handle(recorder, &recorded("sqs-fifo"), Context::default()).await;
    assert_eq!(told, [format!("{SECOND}/2")]);
    assert_eq!(answer.unwrap(), failures("sqs-fifo", &[1]));
}

#[tokio::test(start_paused = true)]
async fn what_there_was_no_time_for_comes_again() {
    let mut context = Context::default();
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(10);
    context.deadline = u64::try_from(end.as_millis()).unwrap();
    let recorder = Recorder { hangs: Some(FIRST), ..Recorder::default() };
    let (told, answer) = handle(recorder, &recorded("sqs-fifo"), context).await;
    assert_eq!(told, [format!("{SECOND}/2")]);
    assert_eq!(answer.unwrap(), failures("sqs-fifo", &[1]));
}

/// It cannot be named, so the queue has to keep everything.
#[tokio::test]
async fn a_failure_without_a_name_fails_the_whole_batch() {
    let (_, answer) = handle(Recorder::default(), &recorded("sqs-broken-nameless"), Context::default()).await;
    answer.unwrap_err();
    let mut event = recorded("sqs-broken");
    event["Records"][0]["messageId"] = "".into();
    let (_, answer) = handle(Recorder::default(), &event, Context::default()).await;
    answer.unwrap_err();
}

#[tokio::test]
async fn a_line_in_the_log_is_a_notification_too() {
    let event: SqsEvent = serde_json::from_str(&recorded("sqs-fifo").to_string()).unwrap();
    let answer = Notify::new(Arc::new(LogNotifier)).handle(LambdaEvent::new(event, Context::default())).await.unwrap();
    assert!(answer.batch_item_failures.is_empty());
}

#[test]
fn what_is_no_batch_of_messages_is_not_taken_for_one() {
    for name in ["v1-hold", "v2-hold", "function-url-hold", "alb-hold", "scheduled-rule", "foreign-empty", "foreign-list"] {
        assert!(serde_json::from_str::<SqsEvent>(&recorded(name).to_string()).is_err(), "{name}");
    }
}
