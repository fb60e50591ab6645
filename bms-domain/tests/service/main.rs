//! The use cases on embedded stores, under every fault that a port can have.
#![cfg(all(feature = "memory", feature = "testing"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this file is a test, its helpers too"
)]

mod crashes;
mod flow;
mod interleavings;
mod maps;
mod outages;
mod owners;
mod relay;
mod rig;
