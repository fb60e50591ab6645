//! Events out of a queue: whoever waits for it is told that an order is confirmed.

#[cfg(feature = "sns")]
mod sns;

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use bms_adapters_http::EventBody;
use bms_domain::event::OrderEventKind;
use bms_domain::store::BoxError;
use futures::StreamExt as _;
use futures::stream;
use lambda_runtime::{Error, LambdaEvent};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

#[cfg(feature = "sns")]
pub use sns::SnsNotifier;

use crate::time;

/// How many messages are worked on at once, each of another group.
const AT_ONCE: usize = 8;

/// Tells whoever waits for it that an order is confirmed: by mail, on a screen, in another system.
#[async_trait]
pub trait Notifier: Send + Sync + 'static {
    /// Tells of a confirmed order. At least once: the same event may come again, also after it was told of, and is known by its
    /// key, `event.id`. What tells people twice keeps the keys that it has had, or hands the key to something that does.
    ///
    /// May be dropped at any await, when the invocation is over: then the event comes again.
    ///
    /// # Errors
    /// When it is not told: the event comes again, until the queue puts it with its dead letters. The error is logged, so it
    /// names no customer.
    async fn confirmed(&self, event: &EventBody) -> Result<(), BoxError>;
}

/// A notifier that writes a line to the log: ids and seats, no personal data.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    async fn confirmed(&self, event: &EventBody) -> Result<(), BoxError> {
        let order = &event.order;
        tracing::info!(event = %event.id, show = %order.show_id, seats = order.seat_ids.len(), "an order is confirmed");
        Ok(())
    }
}

/// The work of a function that a queue of SQS invokes, with `ReportBatchItemFailures`.
///
/// The queue holds messages of [`SqsSink`](crate::SqsSink), or of [`SnsSink`](crate::SnsSink) through a subscription: as they are
/// (raw message delivery) or in the topic's envelope. Whoever may send to the queue is believed, so its policy decides who may.
pub struct Notify {
    notifier: Arc<dyn Notifier>,
}

impl Notify {
    /// Tells this notifier.
    #[must_use]
    pub fn new(notifier: Arc<dyn Notifier>) -> Self {
        Self { notifier }
    }

    /// Tells of the confirmed orders in a batch. Events of other kinds are done with. What is no event of ours, what the notifier did
    /// not take and what there was no time for is named in the answer, and comes again; behind it in a FIFO queue, all that the
    /// batch has of the same group, which is left alone.
    ///
    /// # Errors
    /// When a message has failed that has no id to be named by: then all of the batch comes again.
    pub async fn handle(&self, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
        let LambdaEvent { payload, context } = event;
        let end = time::end(&context);
        let groups: Vec<_> = by_group(&payload.records).into_iter().map(|group| self.tell_group(group, end)).collect();
        let mut groups = pin!(stream::iter(groups).buffer_unordered(AT_ONCE));
        let mut failed = Vec::new();
        while let Some(of_group) = groups.next().await {
            failed.extend(of_group);
        }
        tracing::info!(messages = payload.records.len(), failed = failed.len(), "told");
        let mut answer = SqsBatchResponse::default();
        for message in failed {
            // An empty id in the answer would bring all of the batch again, too, without a word in the log.
            let id = message.message_id.as_deref().filter(|id| !id.is_empty());
            answer.add_failure(id.ok_or("a message without an id has failed: this function is invoked by a queue of SQS")?);
        }
        Ok(answer)
    }

    /// Tells of a group's events up to the first that fails, and gives that and those behind it back.
    async fn tell_group<'a>(&self, group: Vec<&'a SqsMessage>, end: Instant) -> Vec<&'a SqsMessage> {
        for (number, message) in group.iter().enumerate() {
            if let Err(failure) = self.tell(message, end).await {
                let id = message.message_id.as_deref().unwrap_or("without an id");
                tracing::warn!(id, %failure, "a message failed; it comes again");
                return group.into_iter().skip(number).collect();
            }
        }
        Vec::new()
    }

    async fn tell(&self, message: &SqsMessage, end: Instant) -> Result<(), BoxError> {
        let event = read(message.body.as_deref().unwrap_or_default()).ok_or(NotOurs)?;
        if !event.is(OrderEventKind::Confirmed) {
            return Ok(());
        }
        timeout_at(end, self.notifier.confirmed(&event)).await.unwrap_or_else(|_| Err(OutOfTime.into()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it is no event of an order; look at who sends to the queue, and for the message with its dead letters")]
struct NotOurs;

#[derive(Debug, thiserror::Error)]
#[error("there was no time left for it; give the function more, or smaller batches")]
struct OutOfTime;

/// The messages of a batch by their groups, each in its order. Without a group each is alone.
fn by_group(messages: &[SqsMessage]) -> Vec<Vec<&SqsMessage>> {
    let mut groups: Vec<Vec<&SqsMessage>> = Vec::new();
    let mut places = HashMap::new();
    for message in messages {
        let group = message.attributes.get("MessageGroupId");
        let place = group.map_or(groups.len(), |group| *places.entry(group).or_insert(groups.len()));
        match groups.get_mut(place) {
            Some(of_group) => of_group.push(message),
            None => groups.push(vec![message]),
        }
    }
    groups
}

/// What SNS puts round a message, unless it is told to deliver raw ones.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    message: String,
}

/// The event in a message's body. What is wrong with others is not told: it may show what stands in them.
fn read(body: &str) -> Option<EventBody> {
    let event = serde_json::from_str(body).ok().or_else(|| {
        let envelope = serde_json::from_str::<Envelope>(body).ok()?;
        serde_json::from_str::<EventBody>(&envelope.message).ok()
    });
    event.filter(|event| event.id.order == event.order.order_id)
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notify(…)")
    }
}
