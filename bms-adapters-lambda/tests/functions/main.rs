//! The functions' programs under an emulator of the Lambda runtime interface, over real Postgres and Redis.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod contract;
mod deployment;
mod emulator;
mod freezing;
mod moto;
mod queues;
mod relaying;
mod scheduled;
mod starting;
