//! What can happen between a program and its database: callers that go away, crashes, lost answers, a server that refuses.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod connections;
mod crashes;
mod deadlines;
mod drops;
mod network;
mod pooler;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
mod together;
