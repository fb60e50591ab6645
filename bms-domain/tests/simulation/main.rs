//! The booking service in worlds where everything goes wrong, and comes back by its seed. `docs/evidence.md` says what that
//! proves.
#![cfg(feature = "testing")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this file is a test, its helpers too"
)]

mod auditor;
mod bank;
mod clients;
mod clocks;
mod dice;
mod flaws;
mod found;
mod keyed;
mod life;
mod meter;
mod plan;
mod process;
mod random;
mod run;
mod seeds;
mod servers;
mod shrink;
mod sim;
mod sometimes;
mod trace;
mod wire;
mod world;
