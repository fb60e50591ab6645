//! Events into queues and topics, with the SDK: into local ones, and past services that fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use axum::http::StatusCode;
use bms_adapters_http::EventBody;
use bms_adapters_http::testing::catalogue;
use bms_adapters_lambda::aws_config::SdkConfig;
use bms_adapters_lambda::events::DestinationError;
use bms_adapters_lambda::{SnsNotifier, SnsSink, SqsSink};
use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::event::{EventSink as _, OrderEvent, PublishError};
use bms_domain::id::{Caller, SeatId, ShowId, UserId};
use bms_domain::memory::SandboxGateway;
use bms_domain::order::Customer;
use bms_domain::payment::PaymentReference;
use bms_domain::service::Ports;
use bms_domain::store::Outbox;
use bms_domain::time::SystemClock;
use serde_json::{Value, json};

use crate::moto::{self, LEASE, Moto, Service, attribute, body, config};

const JSON: &str = "application/x-amz-json-1.0";

/// Orders one seat, and pays for it.
pub(crate) async fn bought(service: &BookingService, seat: &str) {
    let buyer = Caller::user(UserId::parse(&format!("buyer of {seat}")).unwrap());
    let (show, seat) = (ShowId::parse("tonight").unwrap(), SeatId::parse(seat).unwrap());
    let hold = service.place_hold(&buyer, &show, &[seat], service.new_seed()).await.unwrap();
    let customer = Customer { name: "Ada".into(), email: "ada@example.org".into() };
    let order = service.create_order(&buyer, hold.hold.id, customer).await.unwrap();
    service.confirm_order(&buyer, order.order.id, &PaymentReference::parse("pay_ok").unwrap()).await.unwrap();
}

/// The events of so many orders, each made and confirmed.
async fn events(orders: usize) -> Vec<OrderEvent> {
    let ports = Ports::in_memory(Arc::new(SystemClock), Arc::new(SandboxGateway));
    let outbox: Arc<dyn Outbox> = ports.outbox.clone();
    let service = BookingService::builder(ports).build().unwrap();
    let boss = Caller::admin(UserId::parse("the boss").unwrap());
    service.import(&boss, &CatalogueDocument::parse(catalogue().to_string()).unwrap()).await.unwrap();
    for seat in 1..=orders {
        bought(&service, &format!("A{seat}")).await;
    }
    let events: Vec<OrderEvent> = outbox.claim(1_000, LEASE).await.unwrap().into_iter().map(|it| it.event).collect();
    assert_eq!(events.len(), 2 * orders);
    events
}

/// The numbers of each order's events, as they came out.
fn by_order(bodies: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut orders = BTreeMap::<_, Vec<_>>::new();
    for body in bodies {
        let (order, number) = body["id"].as_str().unwrap().split_once('/').unwrap();
        orders.entry(order.to_owned()).or_default().push(number.to_owned());
    }
    orders
}

fn system(message: &Message, name: MessageSystemAttributeName) -> Option<String> {
    message.attributes()?.get(&name).cloned()
}

fn is_as_documented(message: &Message, events: &[OrderEvent]) {
    let body: EventBody = serde_json::from_value(body(message)).unwrap();
    let event = events.iter().find(|event| event.key == body.id).unwrap();
    assert_eq!(body, EventBody::of(event, false));
    for (name, value) in
        [("eventType", event.kind.name().to_owned()), ("orderId", event.order.id.to_string()), ("showId", "tonight".to_owned())]
    {
        assert_eq!(attribute(message, name), Some(value));
    }
    assert!(!message.body().unwrap().contains("ada@example.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_has_every_event_once_in_order_for_each_order() {
    let moto = Moto::shared();
    let queue = moto.queue("in-order.fifo", &[]).await;
    let sink = SqsSink::new(&config(&moto.url()).await, &queue.url).unwrap();
    let events = events(12).await;
    sink.publish(&events).await.unwrap();
    // Nobody has written down that they are published.
    sink.publish(&events).await.unwrap();
    let messages = queue.empty().await;
    assert_eq!(messages.len(), 24);
    assert!(by_order(&messages.iter().map(body).collect::<Vec<_>>()).values().all(|numbers| *numbers == ["1", "2"]));
    for message in &messages {
        is_as_documented(message, &events);
        let key = body(message)["id"].as_str().unwrap().to_owned();
        assert_eq!(system(message, MessageSystemAttributeName::MessageGroupId).as_deref(), key.split('/').next());
        assert_eq!(system(message, MessageSystemAttributeName::MessageDeduplicationId), Some(key));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_queue_has_every_event_and_may_have_it_twice() {
    let moto = Moto::shared();
    let queue = moto.queue("any-order", &[]).await;
    let sink = SqsSink::new(&config(&moto.url()).await, &queue.url).unwrap();
    let events = events(3).await;
    sink.publish(&events).await.unwrap();
    sink.publish(&events[..1]).await.unwrap();
    let messages = queue.empty().await;
    messages.iter().for_each(|message| is_as_documented(message, &events));
    let mut keys = moto::keys(&messages);
    keys.sort();
    let mut wanted: Vec<_> = events.iter().chain(&events[..1]).map(|event| event.key.to_string()).collect();
    wanted.sort();
    assert_eq!(keys, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_customer_is_sent_only_when_asked_for() {
    let moto = Moto::shared();
    let config = config(&moto.url()).await;
    let queue = moto.queue("customers", &[]).await;
    let (arn, heard) = moto.topic("customers-topic", true).await;
    let events = events(1).await;
    SqsSink::new(&config, &queue.url).unwrap().with_customer().publish(&events).await.unwrap();
    SnsSink::new(&config, &arn).unwrap().with_customer().publish(&events).await.unwrap();
    for message in queue.empty().await.iter().chain(&heard.empty().await) {
        assert_eq!(body(message)["order"]["customer"], json!({"name": "Ada", "email": "ada@example.org"}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queues_of_a_fifo_topic_have_every_event_once_in_order_for_each_order() {
    let moto = Moto::shared();
    let (arn, queue) = moto.topic("orders-topic.fifo", true).await;
    let sink = SnsSink::new(&config(&moto.url()).await, &arn).unwrap();
    let events = events(12).await;
    sink.publish(&events).await.unwrap();
    sink.publish(&events).await.unwrap();
    let messages = queue.empty().await;
    assert_eq!(messages.len(), 24);
    assert!(by_order(&messages.iter().map(body).collect::<Vec<_>>()).values().all(|numbers| *numbers == ["1", "2"]));
    messages.iter().for_each(|message| is_as_documented(message, &events));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queues_of_a_standard_topic_have_every_event_in_its_envelope() {
    let moto = Moto::shared();
    let (arn, queue) = moto.topic("any-topic", false).await;
    let events = events(2).await;
    SnsSink::new(&config(&moto.url()).await, &arn).unwrap().publish(&events).await.unwrap();
    let envelopes: Vec<Value> = queue.empty().await.iter().map(body).collect();
    let bodies: Vec<Value> = envelopes.iter().map(|it| serde_json::from_str(it["Message"].as_str().unwrap()).unwrap()).collect();
    assert_eq!(by_order(&bodies).values().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    assert!(envelopes.iter().all(|it| it["MessageAttributes"]["showId"]["Value"] == "tonight"));
}

/// The messages of a call of SQS, by the numbers that it gives them.
fn to_queue(call: &str) -> Vec<(String, String)> {
    let call: Value = serde_json::from_str(call).unwrap();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    call["Entries"].as_array().unwrap().iter().map(|entry| (text(entry, "Id"), text(entry, "MessageBody"))).collect()
}

/// The messages of a call of SNS, by the numbers that it gives them.
fn to_topic(call: &str) -> Vec<(String, String)> {
    let form: BTreeMap<String, String> =
        reqwest::Url::parse(&format!("http://form/?{call}")).unwrap().query_pairs().into_owned().collect();
    let field = |number: usize, name: &str| form.get(&format!("PublishBatchRequestEntries.member.{number}.{name}")).cloned();
    (1..=10).map_while(|number| Some((field(number, "Id")?, field(number, "Message")?))).collect()
}

/// Whether a message is of the order that the services refuse.
fn is_refused((_, message): &(String, String)) -> bool {
    message.contains(r#""seatIds":["A1"]"#)
}

/// What is said of one event, not of the call, stops its order, and nothing else.
fn stops_the_first_order_alone(error: PublishError, events: &[OrderEvent]) {
    let mut wanted: Vec<_> = events.iter().map(|event| event.key).filter(|key| key.order != events[0].key.order).collect();
    let mut published = error.published;
    wanted.sort();
    published.sort();
    assert_eq!(published, wanted);
    assert!(error.untried.is_empty());
    assert!(error.source.unwrap().to_string().contains("InternalError"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_a_queue_refuses_stops_its_order_alone() {
    let service = Service::start(|call| {
        let (refused, taken): (Vec<_>, Vec<_>) = to_queue(call).into_iter().partition(is_refused);
        let taken: Vec<_> = taken.iter().map(|(id, _)| json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": ""})).collect();
        let refused: Vec<_> =
            refused.iter().map(|(id, _)| json!({"Id": id, "SenderFault": false, "Code": "InternalError"})).collect();
        (StatusCode::OK, JSON, json!({"Successful": taken, "Failed": refused}).to_string())
    })
    .await;
    let sink = SqsSink::new(&config(&service.url).await, "http://queues/123456789012/orders.fifo").unwrap();
    let events = events(3).await;
    stops_the_first_order_alone(sink.publish(&events).await.unwrap_err(), &events);
    assert_eq!(service.asked().iter().map(|call| to_queue(call).len()).collect::<Vec<_>>(), [3, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_a_topic_refuses_stops_its_order_alone() {
    let service = Service::start(|call| {
        let (refused, taken): (Vec<_>, Vec<_>) = to_topic(call).into_iter().partition(is_refused);
        let taken: String =
            taken.iter().map(|(id, _)| format!("<member><Id>{id}</Id><MessageId>m</MessageId></member>")).collect();
        let failed =
            |id: &str| format!("<member><Id>{id}</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member>");
        let refused: String = refused.iter().map(|(id, _)| failed(id)).collect();
        let result = format!("<Successful>{taken}</Successful><Failed>{refused}</Failed>");
        let answer = format!(
            "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishBatchResult>{result}\
             </PublishBatchResult></PublishBatchResponse>"
        );
        (StatusCode::OK, "text/xml", answer)
    })
    .await;
    let sink = SnsSink::new(&config(&service.url).await, "arn:aws:sns:eu-west-1:123456789012:orders.fifo").unwrap();
    let events = events(3).await;
    stops_the_first_order_alone(sink.publish(&events).await.unwrap_err(), &events);
    assert_eq!(service.asked().iter().map(|call| to_topic(call).len()).collect::<Vec<_>>(), [3, 2]);
}

/// The error names the queue and what to do, and neither the key nor whom it belongs to.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_publishes_nothing_and_tells_why() {
    let denied = Service::start(|_| {
        let said = json!({"__type": "com.amazonaws.sqs#AccessDenied", "message": "arn:aws:sts::1:assumed-role/canary may not"});
        (StatusCode::FORBIDDEN, JSON, said.to_string())
    })
    .await;
    let queue = "http://queues/123456789012/orders.fifo";
    let sink = SqsSink::new(&config(&denied.url).await, queue).unwrap();
    let error = sink.publish(&events(12).await).await.unwrap_err();
    assert!(error.published.is_empty());
    let said = error.source.unwrap().to_string();
    assert!(said.contains(queue) && said.contains("AccessDenied") && said.contains("sqs:SendMessage"), "{said}");
    assert!(!said.contains("canary") && !format!("{sink:?}").contains("canary"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_publishes_nothing() {
    let moto = Moto::shared();
    let events = events(1).await;
    let gone = SqsSink::new(&config(&moto.url()).await, &format!("{}/123456789012/gone", moto.url())).unwrap();
    let gone = gone.publish(&events).await.unwrap_err();
    assert!(gone.published.is_empty());
    assert!(gone.source.unwrap().to_string().contains("correct its name"));
    // A port that was free a moment ago.
    let port = bms_domain::testing::servers::Port::free().unwrap();
    let config = config(&format!("http://127.0.0.1:{}", port.number())).await;
    let unreachable = SqsSink::new(&config, "http://queues/123456789012/orders").unwrap().publish(&events).await.unwrap_err();
    assert!(unreachable.published.is_empty() && unreachable.source.unwrap().to_string().contains("credentials"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_queue_and_no_topic_is_refused_at_once() {
    let config = config("http://127.0.0.1:1").await;
    for wrong in
        ["", "orders", "/orders", "ftp://h/q", "https://h", "https://h/", "https://user:canary@h/q", "https://h/q?x=canary"]
    {
        assert_eq!(SqsSink::new(&config, wrong).unwrap_err(), DestinationError::Queue, "{wrong}");
    }
    for wrong in ["", "orders", "arn:aws:sqs:r:1:q", "arn:aws:sns:r:1:", "arn:aws:sns:r:1", "arn:aws:sns:r:1:t:x"] {
        assert_eq!(SnsSink::new(&config, wrong).unwrap_err(), DestinationError::Topic, "{wrong}");
        assert_eq!(SnsNotifier::new(&config, wrong).unwrap_err(), DestinationError::Topic, "{wrong}");
    }
    let nowhere = SdkConfig::builder().build();
    assert_eq!(SqsSink::new(&nowhere, "https://h/q").unwrap_err(), DestinationError::Region);
    assert_eq!(SnsSink::new(&nowhere, "arn:aws:sns:r:1:t").unwrap_err(), DestinationError::Region);
}
