//! Holds in Redis.
#![allow(dead_code, reason = "the stores that use the connection are the next step")]

mod config;
mod connection;
mod dial;
mod error;
mod facts;
mod link;
mod node;
mod script;
#[cfg(test)]
mod testserver;

pub use redis;

pub use config::RedisConfig;
pub use connection::Redis;
pub use error::Error;
pub use facts::Warning;
