//! Who is told of confirmed orders: a topic where one is named, else the log.

use std::sync::Arc;

use bms_adapters_lambda::{LogNotifier, Notifier, SnsNotifier, aws_config};

use super::Failure;
use super::settings::NotifySettings;

/// The notifier that the settings name.
pub(crate) async fn of(settings: &NotifySettings) -> Result<Arc<dyn Notifier>, Failure> {
    let Some(arn) = &settings.topic else { return Ok(Arc::new(LogNotifier)) };
    let config = aws_config::load_from_env().await;
    let notifier = SnsNotifier::new(&config, arn);
    Ok(Arc::new(notifier.map_err(|error| Failure::Refused(format!("BMS_NOTIFY_TOPIC_ARN: {error}")))?))
}
