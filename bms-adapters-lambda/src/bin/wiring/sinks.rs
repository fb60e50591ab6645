//! Where events go: to a webhook where one is named, and what arrived there into the log.

use async_trait::async_trait;
use bms_adapters_http::webhooks::WebhookSink;
use bms_domain::event::{EventSink, LogSink, OrderEvent, PublishError};
use secrecy::ExposeSecret as _;

use super::Failure;
use super::settings::WebhookSettings;

/// The log, and before it a webhook.
pub(crate) struct Sinks {
    webhook: Option<WebhookSink>,
}

impl Sinks {
    /// The sinks that the settings name.
    pub(crate) fn of(settings: &WebhookSettings) -> Result<Self, Failure> {
        let Some(url) = &settings.url else { return Ok(Self { webhook: None }) };
        let Some((first, more)) = settings.secrets.split_first() else {
            let reason =
                "BMS_WEBHOOK_URL needs BMS_WEBHOOK_SECRET: webhooks are signed, so that their receiver can tell them from others";
            return Err(Failure::Refused(reason.to_owned()));
        };
        let refused = |error| Failure::Refused(format!("BMS_WEBHOOK_URL, BMS_WEBHOOK_SECRET: {error}"));
        let mut webhook = WebhookSink::new(url.expose_secret(), first).map_err(refused)?;
        for secret in more {
            webhook = webhook.and_secret(secret).map_err(refused)?;
        }
        if settings.customers {
            webhook = webhook.with_customer();
        }
        if url.expose_secret().starts_with("http:") {
            tracing::warn!("BMS_WEBHOOK_URL is plain http: what happens to orders is sent unencrypted");
        }
        Ok(Self { webhook: Some(webhook) })
    }
}

#[async_trait]
impl EventSink for Sinks {
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        let Some(webhook) = &self.webhook else { return LogSink.publish(events).await };
        match webhook.publish(events).await {
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
