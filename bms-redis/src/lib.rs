#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod cluster;
mod codec;
mod config;
mod connection;
mod dial;
mod error;
mod facts;
mod feed;
mod holds;
mod idempotency;
mod keys;
mod link;
mod node;
mod notices;
mod reply;
mod restore;
mod script;
mod scripts;
mod sentinel;
mod slots;
#[cfg(feature = "testing")]
pub mod testing;

pub use redis;

pub use config::RedisConfig;
pub use connection::Redis;
pub use error::Error;
pub use facts::Warning;
pub use holds::RedisHolds;
pub use idempotency::RedisIdempotency;
