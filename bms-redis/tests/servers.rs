//! The fixtures start, do their trick, and leave nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation must stop the test"
)]

#[path = "servers/cluster.rs"]
mod cluster;
#[path = "servers/network.rs"]
mod network;
#[path = "servers/node.rs"]
mod node;
#[path = "servers/replicated.rs"]
mod replicated;
