//! Where events go: to a webhook, a queue or a topic where one is named, and what arrived there into the log.

use async_trait::async_trait;
use bms_adapters_http::webhooks::WebhookSink;
use bms_adapters_lambda::{SnsSink, SqsSink, aws_config};
use bms_domain::event::{EventSink, LogSink, OrderEvent, PublishError};
use secrecy::{ExposeSecret as _, SecretString};

use super::Failure;
use super::settings::EventSettings;

/// The log, and before it one other sink, or none.
pub(crate) struct Sinks {
    first: Option<Box<dyn EventSink>>,
}

impl Sinks {
    /// The sinks that the settings name.
    pub(crate) async fn of(settings: &EventSettings) -> Result<Self, Failure> {
        let first: Box<dyn EventSink> = match settings {
            EventSettings::Nowhere => return Ok(Self { first: None }),
            EventSettings::Webhook { url, secrets, customers } => Box::new(webhook(url, secrets, *customers)?),
            EventSettings::Queue { url, customers } => {
                let sink = SqsSink::new(&aws_config::load_from_env().await, url);
                let sink = sink.map_err(|error| Failure::Refused(format!("BMS_SQS_QUEUE_URL: {error}")))?;
                Box::new(if *customers { sink.with_customer() } else { sink })
            }
            EventSettings::Topic { arn, customers } => {
                let sink = SnsSink::new(&aws_config::load_from_env().await, arn);
                let sink = sink.map_err(|error| Failure::Refused(format!("BMS_SNS_TOPIC_ARN: {error}")))?;
                Box::new(if *customers { sink.with_customer() } else { sink })
            }
        };
        Ok(Self { first: Some(first) })
    }
}

fn webhook(url: &SecretString, secrets: &[SecretString], customers: bool) -> Result<WebhookSink, Failure> {
    let Some((first, more)) = secrets.split_first() else {
        let reason =
            "BMS_WEBHOOK_URL needs BMS_WEBHOOK_SECRET: webhooks are signed, so that their receiver can tell them from others";
        return Err(Failure::Refused(reason.to_owned()));
    };
    let refused = |error| Failure::Refused(format!("BMS_WEBHOOK_URL, BMS_WEBHOOK_SECRET: {error}"));
    let mut webhook = WebhookSink::new(url.expose_secret(), first).map_err(refused)?;
    for secret in more {
        webhook = webhook.and_secret(secret).map_err(refused)?;
    }
    if url.expose_secret().starts_with("http:") {
        tracing::warn!("BMS_WEBHOOK_URL is plain http: what happens to orders is sent unencrypted");
    }
    Ok(if customers { webhook.with_customer() } else { webhook })
}

#[async_trait]
impl EventSink for Sinks {
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        let Some(first) = &self.first else { return LogSink.publish(events).await };
        match first.publish(events).await {
            Ok(()) => LogSink.publish(events).await,
            Err(error) => {
                let arrived: Vec<OrderEvent> =
                    events.iter().filter(|event| error.published.contains(&event.key)).cloned().collect();
                LogSink.publish(&arrived).await?;
                Err(error)
            }
        }
    }
}
