//! What becomes of holds and sales when Redis loses, stalls, lies about the time or is full: on real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation must stop the test"
)]

mod canaries;
mod clock_steps;
mod costs;
mod expiry;
mod full_memory;
mod live_changes;
mod losses;
mod lost_replies;
mod marks;
mod races;
mod random_losses;
mod restarts;
mod stalls;
#[path = "../support/mod.rs"]
mod support;
