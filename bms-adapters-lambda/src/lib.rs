#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod arrival;
mod authorizer;
mod function;
mod handler;
mod scheduled;
mod thaw;
mod time;

pub use authorizer::AuthorizerClaims;
pub use function::Function;
pub use handler::{Handler, serve};
pub use lambda_http;
pub use lambda_runtime;
pub use scheduled::{NotScheduled, Relaying, ScheduledEvent, Sweeping, Upkeep};
