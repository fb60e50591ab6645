//! The fixtures start, do their trick, and leave nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation must stop the test"
)]

mod cluster;
mod network;
mod node;
mod replicated;
