#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod codec;
mod config;
mod connection;
mod error;
mod feed;
#[cfg(test)]
mod fuzz;
mod holds;
mod idempotency;
mod keys;
mod lua;
mod reply;
mod restore;
mod script;
#[cfg(feature = "testing")]
pub mod testing;

pub use redis;

pub use config::RedisConfig;
pub use connection::{Redis, Warning};
pub use error::Error;
pub use holds::RedisHolds;
pub use idempotency::RedisIdempotency;
