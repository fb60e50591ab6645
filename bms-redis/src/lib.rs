//! Holds in Redis.
