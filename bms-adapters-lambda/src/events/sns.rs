//! Events to a topic.

use std::fmt;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use bms_domain::event::{EventSink, OrderEvent, PublishError};

use super::delivery::{self, Destination, Verdicts, verdicts};
use super::message::{Message, TEXT, is_fifo};
use super::refusal::{Refusal, Why};
use super::{DestinationError, client};

/// Publishes events to one topic of SNS, FIFO or standard.
///
/// A FIFO topic keeps the order of each order's events for its FIFO queues, and has an event once though it is published again
/// within five minutes. A standard topic keeps no order and may have an event more than once.
pub struct SnsSink {
    client: Client,
    arn: String,
    with_customer: bool,
}

impl SnsSink {
    /// A sink for the topic of this ARN, whose name ends with `.fifo` if it is one. Region, credentials and endpoint are those of the
    /// configuration; how long a call takes and how often it is tried are decided here.
    ///
    /// # Errors
    /// [`DestinationError`] when the ARN is none of a topic, or the region is not known.
    pub fn new(config: &SdkConfig, arn: &str) -> Result<Self, DestinationError> {
        check_topic(arn)?;
        client::check_region(config)?;
        Ok(Self { client: Client::new(&client::bounded(config)), arn: arn.to_owned(), with_customer: false })
    }

    /// Sends the customer's name and e-mail address too. Personal data: only to a topic whose subscribers all need it.
    #[must_use]
    pub fn with_customer(mut self) -> Self {
        self.with_customer = true;
        self
    }

    /// None when the SDK finds that something is missing.
    fn entry(&self, number: usize, message: Message) -> Option<PublishBatchRequestEntry> {
        let mut entry = PublishBatchRequestEntry::builder().id(number.to_string()).message(message.body);
        for (name, value) in message.attributes {
            entry = entry.message_attributes(name, attribute(value)?);
        }
        if is_fifo(&self.arn) {
            let key = message.key;
            entry = entry.message_group_id(key.order.to_string()).message_deduplication_id(key.to_string());
        }
        entry.build().ok()
    }
}

/// A message's attribute. None when the SDK finds that something is missing.
pub(crate) fn attribute(value: String) -> Option<MessageAttributeValue> {
    MessageAttributeValue::builder().data_type(TEXT).string_value(value).build().ok()
}

/// Whether this is the ARN of a topic.
pub(crate) fn check_topic(arn: &str) -> Result<(), DestinationError> {
    match arn.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "sns", _, _, name] if !name.is_empty() => Ok(()),
        _ => Err(DestinationError::Topic),
    }
}

impl Destination for SnsSink {
    fn name(&self) -> &str {
        &self.arn
    }

    async fn send(&self, messages: Vec<Message>) -> Result<Verdicts, Refusal> {
        let count = messages.len();
        let entries = messages.into_iter().enumerate().map(|(number, message)| self.entry(number, message));
        let entries: Option<Vec<_>> = entries.collect();
        let entries = entries.ok_or_else(|| Refusal::new(&self.arn, Why::Unwritten))?;
        let call = self.client.publish_batch().topic_arn(&self.arn).set_publish_batch_request_entries(Some(entries));
        let said = call.send().await.map_err(|error| Refusal::of(&self.arn, &error))?;
        let taken = said.successful().iter().map(|one| one.id());
        Ok(verdicts(self, count, taken, said.failed().iter().map(|one| (one.id(), one.code()))))
    }
}

#[async_trait]
impl EventSink for SnsSink {
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        delivery::publish(self, events, self.with_customer).await
    }
}

impl fmt::Debug for SnsSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnsSink").field("arn", &self.arn).field("with_customer", &self.with_customer).finish_non_exhaustive()
    }
}
