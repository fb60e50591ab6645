#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod arrival;
mod authorizer;
#[cfg(any(feature = "sqs", feature = "sns"))]
pub mod events;
mod function;
mod handler;
mod notify;
mod scheduled;
#[cfg(feature = "testing")]
pub mod testing;
mod thaw;
mod time;

pub use authorizer::AuthorizerClaims;
#[cfg(any(feature = "sqs", feature = "sns"))]
pub use aws_config;
pub use aws_lambda_events;
#[cfg(feature = "sns")]
pub use events::SnsSink;
#[cfg(feature = "sqs")]
pub use events::SqsSink;
pub use function::Function;
pub use handler::{Handler, serve};
pub use lambda_http;
pub use lambda_runtime;
#[cfg(feature = "sns")]
pub use notify::SnsNotifier;
pub use notify::{LogNotifier, Notifier, Notify};
pub use scheduled::{NotScheduled, Relaying, ScheduledEvent, Sweeping, Upkeep};
