//! The hold store under the guard of sentinels: a primary with two replicas, which fails over, with and without a loss.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation must stop the test"
)]

#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/office.rs"]
mod office;
#[path = "support/watcher.rs"]
mod watcher;

#[path = "sentinel/failover.rs"]
mod failover;
#[path = "sentinel/loss.rs"]
mod loss;

use bms_domain::id::ShowId;
use bms_domain::testing::sample;
use bms_redis::testing::{Replicated, Server};

fn url(group: &Replicated) -> String {
    let sentinels: Vec<String> = group.sentinels().iter().map(Server::address).collect();
    format!("redis+sentinel://{}/{}", sentinels.join(","), group.service_name())
}

fn gala() -> ShowId {
    sample::show("gala")
}
