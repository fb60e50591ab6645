//! Input that nobody would write. `docs/evidence.md` says what that proves, and `bms_domain::testing::fuzz` how it is made.
//!
//! Every target is tried with the recorded events of all senders, because a function may be wired to the wrong one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod gateways;
mod queues;
mod schedules;
#[path = "../adapter/support.rs"]
#[allow(dead_code, reason = "only a part of it is used here")]
mod support;

use bms_domain::testing::fuzz::Target;
use tokio::runtime::{Builder, Runtime};

/// The target of this name, whose corpus has the recorded events, too.
fn target(name: &'static str) -> Target {
    let crate_folder = env!("CARGO_MANIFEST_DIR");
    Target::new(crate_folder, name).and([crate_folder, "tests", "events"].iter().collect::<std::path::PathBuf>())
}

/// A runtime whose time stands still, and goes on at once where somebody waits for it.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}
