//! The hold store under the guard of sentinels: a primary with two replicas, which fails over, with and without a loss.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation must stop the test"
)]

mod failover;
mod loss;
#[path = "../support/mod.rs"]
mod support;

use bms_domain::id::ShowId;
use bms_domain::testing::sample;

fn gala() -> ShowId {
    sample::show("gala")
}
