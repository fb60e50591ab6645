//! Notifications through a topic.

use std::fmt;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use bms_adapters_http::EventBody;
use bms_domain::store::BoxError;

use super::Notifier;
use crate::events::{DestinationError, Refusal, attribute, attributes, bounded, check_region, check_topic, is_fifo};

/// Publishes a sentence for people to a topic of SNS, which may send it on by mail, say: the order, the show, the seats and the
/// price. Its attributes are those of the event. Nothing of the customer is in it.
///
/// A FIFO topic has it once within five minutes. It has to be another topic than the events', or this function would hear itself.
pub struct SnsNotifier {
    client: Client,
    arn: String,
}

impl SnsNotifier {
    /// A notifier for the topic of this ARN. Region, credentials and endpoint are those of the configuration; how long a call
    /// takes and how often it is tried are decided here.
    ///
    /// # Errors
    /// [`DestinationError`] when the ARN is none of a topic, or the region is not known.
    pub fn new(config: &SdkConfig, arn: &str) -> Result<Self, DestinationError> {
        check_topic(arn)?;
        check_region(config)?;
        Ok(Self { client: Client::new(&bounded(config)), arn: arn.to_owned() })
    }
}

#[async_trait]
impl Notifier for SnsNotifier {
    async fn confirmed(&self, event: &EventBody) -> Result<(), BoxError> {
        let mut call = self.client.publish().topic_arn(&self.arn).subject("Order confirmed").message(sentence(event));
        for (name, value) in attributes(event) {
            call = call.message_attributes(name, attribute(value).ok_or("an attribute cannot be written")?);
        }
        if is_fifo(&self.arn) {
            call = call.message_group_id(event.id.order.to_string()).message_deduplication_id(event.id.to_string());
        }
        call.send().await.map_err(|error| Refusal::of(&self.arn, &error))?;
        Ok(())
    }
}

fn sentence(event: &EventBody) -> String {
    let order = &event.order;
    let seats: Vec<String> = order.seat_ids.iter().map(ToString::to_string).collect();
    let (seats, word) = (seats.join(", "), if seats.len() == 1 { "seat" } else { "seats" });
    format!("Order {} is confirmed: {word} {seats} of show {}, {}.", order.order_id, order.show_id, order.price)
}

impl fmt::Debug for SnsNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnsNotifier").field("arn", &self.arn).finish_non_exhaustive()
    }
}
