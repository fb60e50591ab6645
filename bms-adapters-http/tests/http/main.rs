//! The router, driven in this process over the embedded stores and a clock that stands still.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod auth;
mod bad_input;
mod contract;
mod idempotency;
mod live;
mod matrix;
mod operation;
mod payments;
mod problems;
mod races;
mod routes;
mod seatmap;
mod stores;
mod support;
