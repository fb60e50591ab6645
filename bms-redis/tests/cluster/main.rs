//! The hold store on a cluster of three shards: its rules, and what becomes of holds when nodes fail and slots move.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation must stop the test"
)]

mod failover;
mod moving;
mod rules;
mod stall;
#[path = "../support/mod.rs"]
mod support;

use bms_domain::id::ShowId;
use bms_domain::testing::sample;
use bms_redis::testing::{Cluster, Server};

/// The slot of a show.
fn slot_of(cluster: &Cluster, show: &ShowId) -> u16 {
    cluster.slot_of(&format!("{{{}}}", show.shard().number())).unwrap()
}

/// A show that a node keeps, and one that another keeps.
fn shows_here_and_elsewhere(cluster: &Cluster, node: &Server) -> (ShowId, ShowId) {
    let is_here = |show: &ShowId| cluster.owner_of(slot_of(cluster, show)).unwrap().port() == node.port();
    let shows = || (0..).map(|n| sample::show(&format!("show-{n}")));
    (shows().find(is_here).unwrap(), shows().find(|show| !is_here(show)).unwrap())
}
