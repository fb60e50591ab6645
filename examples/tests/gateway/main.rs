//! `bms-gateway` in front of servers that do what functions do, and what they should not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod failing;
mod passing;
mod refusing;
mod support;
