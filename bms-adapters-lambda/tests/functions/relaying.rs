//! From an order to whoever is told of it: relay, queue, notify, as programs.

use aws_sdk_sqs::types::{Message, QueueAttributeName};
use bms_adapters_lambda::aws_lambda_events::sqs::SqsBatchResponse;
use serde_json::{Value, json};

use crate::deployment::Servers;
use crate::emulator::Instance;
use crate::moto::{Between, Moto, Queue, attribute, body, keys, variables};
use crate::queues::bought;

const RELAY: &str = env!("CARGO_BIN_EXE_bms-lambda-relay");
const NOTIFY: &str = env!("CARGO_BIN_EXE_bms-lambda-notify");

async fn relay(servers: &Servers, url: &str, more: (&str, &str)) -> Instance {
    servers.instance(RELAY, &[&variables(url)[..], &[more]].concat()).await
}

/// Kills a relay when a queue has an order's confirmation, and the relay does not know it yet; then another takes over. Gives what
/// the queue has.
async fn killed_between_sending_and_marking(queue: &Queue) -> Vec<Message> {
    let servers = Servers::start().await;
    bought(&servers.service().await, "A1").await;
    let mut between = Between::start(Moto::shared(), "order.confirmed").await;
    let queue_url = ("BMS_SQS_QUEUE_URL", queue.url.as_str());
    let mut first = relay(&servers, &between.url, queue_url).await;
    let invocation = async { first.invoke(&json!({})).await };
    tokio::select! {
        () = between.has_kept() => {}
        ended = invocation => panic!("{ended:?}"),
    }
    first.kill();
    assert_eq!(servers.sql("select count(*) from bms.outbox where published_at is null").await, "2");
    // Its lease is over, sooner than it would be.
    servers.sql("update bms.outbox set available_at = now()").await;
    let second = relay(&servers, &Moto::shared().url(), queue_url).await;
    let relayed = second.invoke(&json!({})).await.unwrap();
    assert_eq!((&relayed["published"], &relayed["complete"]), (&json!(2), &json!(true)), "{relayed} {}", second.log());
    assert_eq!(servers.sql("select count(*) from bms.outbox where published_at is null").await, "0");
    queue.empty().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_arrives_once_in_a_fifo_queue_though_the_relay_was_killed() {
    let queue = Moto::shared().queue("killed.fifo", &[]).await;
    let messages = killed_between_sending_and_marking(&queue).await;
    let order = body(&messages[0])["order"]["orderId"].as_str().unwrap().to_owned();
    assert_eq!(keys(&messages), [format!("{order}/1"), format!("{order}/2")]);
    let kinds: Vec<_> = messages.iter().map(|message| attribute(message, "eventType").unwrap()).collect();
    assert_eq!(kinds, ["order.created", "order.confirmed"]);
}

/// At least once: the key tells that they are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_arrives_twice_in_a_standard_queue_when_the_relay_was_killed() {
    let queue = Moto::shared().queue("killed", &[]).await;
    let messages = killed_between_sending_and_marking(&queue).await;
    let order = body(&messages[0])["order"]["orderId"].as_str().unwrap().to_owned();
    let mut keys = keys(&messages);
    keys.sort();
    assert_eq!(keys, [1, 1, 2, 2].map(|number| format!("{order}/{number}")));
}

/// What Lambda does with a queue: hands a function what is there, and deletes what the function does not name in its answer.
async fn drain(queue: &Queue, function: &Instance) -> Vec<Value> {
    let mut answers = Vec::new();
    loop {
        let messages = queue.receive().await;
        if messages.is_empty() {
            return answers;
        }
        let answer = function.invoke(&queue.event(&messages)).await.unwrap();
        let failed: SqsBatchResponse = serde_json::from_value(answer.clone()).unwrap();
        let is_failed =
            |message: &Message| failed.batch_item_failures.iter().any(|it| Some(&*it.item_identifier) == message.message_id());
        for message in messages.iter().filter(|message| !is_failed(message)) {
            queue.delete(message).await;
        }
        answers.push(answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_is_told_of_and_what_is_broken_ends_with_the_dead_letters() {
    let moto = Moto::shared();
    let dead = moto.queue("dead", &[]).await;
    let redrive = json!({"deadLetterTargetArn": dead.arn, "maxReceiveCount": "2"}).to_string();
    // A message that has failed comes again at once.
    let now = [(QueueAttributeName::RedrivePolicy, redrive.as_str()), (QueueAttributeName::VisibilityTimeout, "0")];
    let queue = moto.queue("to-be-told", &now).await;
    let (topic, told) = moto.topic("told", true).await;

    let servers = Servers::start().await;
    bought(&servers.service().await, "A1").await;
    let url = moto.url();
    let relay = relay(&servers, &url, ("BMS_SQS_QUEUE_URL", &queue.url)).await;
    assert_eq!(relay.invoke(&json!({})).await.unwrap()["published"], 2);
    queue.send("{").await;

    let notify = Instance::start(NOTIFY, &[&variables(&url)[..], &[("BMS_NOTIFY_TOPIC_ARN", &topic)]].concat()).await;
    let answers = drain(&queue, &notify).await;
    let failures: usize = answers.iter().map(|answer| answer["batchItemFailures"].as_array().unwrap().len()).sum();
    assert_eq!(failures, 2, "{answers:?} {}", notify.log());
    let dead: Vec<_> = dead.empty().await.into_iter().map(|message| message.body.unwrap()).collect();
    assert_eq!(dead, ["{"]);

    let told = told.empty().await;
    assert_eq!(told.len(), 1);
    let order = servers.sql("select id from bms.orders").await;
    let sentence = format!("Order {order} is confirmed: seat A1 of show tonight, 12.50 EUR.");
    assert_eq!(told[0].body(), Some(&*sentence));
    assert_eq!(attribute(&told[0], "orderId"), Some(order));
    assert!(!notify.log().contains("ada@example.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_a_queue_through_a_topic_raw_or_in_an_envelope() {
    let moto = Moto::shared();
    let notify = Instance::start(NOTIFY, &[]).await;
    for (name, is_raw) in [("through.fifo", true), ("through-envelope", false)] {
        let (topic, queue) = moto.topic(name, is_raw).await;
        let servers = Servers::start().await;
        bought(&servers.service().await, "A1").await;
        let relay = relay(&servers, &moto.url(), ("BMS_SNS_TOPIC_ARN", &topic)).await;
        assert_eq!(relay.invoke(&json!({})).await.unwrap()["published"], 2, "{}", relay.log());
        let answers = drain(&queue, &notify).await;
        assert!(!answers.is_empty() && answers.iter().all(|answer| *answer == json!({"batchItemFailures": []})), "{answers:?}");
        // Without a topic of its own it tells the log.
        let order = servers.sql("select id from bms.orders").await;
        assert!(
            notify.log().lines().any(|line| line.contains(&order) && line.contains("an order is confirmed")),
            "{}",
            notify.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_named_in_the_answer_and_what_names_nothing_fails_the_invocation() {
    let recorded = |name: &str| {
        let file = format!("{}/tests/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(file).unwrap()
    };
    let url = Moto::shared().url();
    // No topic takes its notifications.
    let gone = ("BMS_NOTIFY_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:gone");
    let gone = Instance::start(NOTIFY, &[&variables(&url)[..], &[gone]].concat()).await;
    let log = Instance::start(NOTIFY, &[]).await;
    for (notify, name, failed) in [
        (&log, "sqs-fifo", 0),
        (&log, "sqs-broken", 9),
        (&log, "sqs-broken-fifo", 3),
        (&gone, "sqs-fifo", 2),
        (&gone, "sqs-other-kinds", 0),
    ] {
        let answer = notify.invoke(&serde_json::from_str(&recorded(name)).unwrap()).await.unwrap();
        assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), failed, "{name}: {answer}");
    }
    for nonsense in ["", "{", "null", "[]", "{}", r#"{"Records":{}}"#, &recorded("sqs-broken-nameless"), &recorded("v2-hold")] {
        log.invoke_within(nonsense, std::time::Duration::from_secs(15)).await.unwrap_err();
    }
    assert!(!log.log().contains("panicked") && !gone.log().contains("canary"), "{}{}", log.log(), gone.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_make_no_sense_end_the_functions_at_once() {
    let stores = [("DATABASE_URL", "postgres://u:canary@127.0.0.1:1/d"), ("BMS_JWT_SECRET", "x"), ("BMS_PAYMENTS", "sandbox")];
    let aws = variables("http://127.0.0.1:1");
    let region = ("AWS_REGION", "eu-west-1");
    let queue = ("BMS_SQS_QUEUE_URL", "http://queues/123456789012/orders");
    let topic = ("BMS_SNS_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:orders");
    for (program, wrong, knows_region) in [
        (RELAY, &[("BMS_SQS_QUEUE_URL", "http://u:canary@queues/orders")][..], true),
        (RELAY, &[("BMS_SNS_TOPIC_ARN", "canary")], true),
        (RELAY, &[queue, topic], true),
        (RELAY, &[queue], false),
        (NOTIFY, &[("BMS_NOTIFY_TOPIC_ARN", "canary")], true),
        (NOTIFY, &[("BMS_NOTIFY_TOPIC_ARN", topic.1)], false),
    ] {
        let aws: Vec<_> = aws.into_iter().filter(|variable| knows_region || *variable != region).collect();
        let mut function = Instance::start(program, &[&stores[..], &aws, wrong].concat()).await;
        function.ends();
        assert!(!function.log().contains("canary"), "{wrong:?}: {}", function.log());
    }
}
