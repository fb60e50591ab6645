#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod audit;
mod catalogue;
mod codec;
mod config;
mod connection;
mod connections;
mod error;
mod facts;
mod holds;
mod idempotency;
mod migrate;
mod orders;
mod run;
mod statements;
#[cfg(feature = "testing")]
pub mod testing;

pub use sqlx;

pub use audit::{Audit, Finding, Total};
pub use catalogue::PostgresCatalogue;
pub use config::PostgresConfig;
pub use connection::{Postgres, Warning};
pub use error::Error;
pub use holds::PostgresHolds;
pub use idempotency::PostgresIdempotency;
pub use migrate::Migrated;
pub use orders::PostgresOrders;
