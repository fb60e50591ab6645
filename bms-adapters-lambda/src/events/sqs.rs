//! Events into a queue.

use std::fmt;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use axum::http::Uri;
use axum::http::uri::Scheme;
use bms_domain::event::{EventSink, OrderEvent, PublishError};

use super::delivery::{self, Destination, Verdicts, verdicts};
use super::message::{Message, TEXT, is_fifo};
use super::refusal::{Refusal, Why};
use super::{DestinationError, client};

/// Sends events to one queue of SQS, FIFO or standard.
///
/// A FIFO queue keeps the order of each order's events, and has an event once though it is sent again within five minutes. A
/// standard queue keeps no order and may have an event more than once.
pub struct SqsSink {
    client: Client,
    url: String,
    with_customer: bool,
}

impl SqsSink {
    /// A sink for the queue of this URL, whose name ends with `.fifo` if it is one. Region, credentials and endpoint are those of the
    /// configuration; how long a call takes and how often it is tried are decided here.
    ///
    /// # Errors
    /// [`DestinationError`] when the URL is none of a queue, or the region is not known.
    pub fn new(config: &SdkConfig, url: &str) -> Result<Self, DestinationError> {
        let parsed = url.parse::<Uri>().map_err(|_| DestinationError::Queue)?;
        let is_web = parsed.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
        // What stands before an @ might be secret, and the address is logged.
        let has_host = parsed.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if !is_web || !has_host || parsed.path().len() < 2 || parsed.query().is_some() {
            return Err(DestinationError::Queue);
        }
        client::check_region(config)?;
        Ok(Self { client: Client::new(&client::bounded(config)), url: url.to_owned(), with_customer: false })
    }

    /// Sends the customer's name and e-mail address too. Personal data: only to a queue whose readers need it.
    #[must_use]
    pub fn with_customer(mut self) -> Self {
        self.with_customer = true;
        self
    }

    /// None when the SDK finds that something is missing.
    fn entry(&self, number: usize, message: Message) -> Option<SendMessageBatchRequestEntry> {
        let mut entry = SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(message.body);
        for (name, value) in message.attributes {
            let value = MessageAttributeValue::builder().data_type(TEXT).string_value(value).build().ok()?;
            entry = entry.message_attributes(name, value);
        }
        if is_fifo(&self.url) {
            let key = message.key;
            entry = entry.message_group_id(key.order.to_string()).message_deduplication_id(key.to_string());
        }
        entry.build().ok()
    }
}

impl Destination for SqsSink {
    fn name(&self) -> &str {
        &self.url
    }

    async fn send(&self, messages: Vec<Message>) -> Result<Verdicts, Refusal> {
        let count = messages.len();
        let entries = messages.into_iter().enumerate().map(|(number, message)| self.entry(number, message));
        let entries: Option<Vec<_>> = entries.collect();
        let entries = entries.ok_or_else(|| Refusal::new(&self.url, Why::Unwritten))?;
        let call = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let said = call.send().await.map_err(|error| Refusal::of(&self.url, &error))?;
        let taken = said.successful().iter().map(|one| Some(one.id()));
        Ok(verdicts(self, count, taken, said.failed().iter().map(|one| (one.id(), one.code()))))
    }
}

#[async_trait]
impl EventSink for SqsSink {
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        delivery::publish(self, events, self.with_customer).await
    }
}

impl fmt::Debug for SqsSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsSink").field("url", &self.url).field("with_customer", &self.with_customer).finish_non_exhaustive()
    }
}
