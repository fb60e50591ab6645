//! For tests of stores and of programs that embed this library (feature `testing`).
//!
//! Whoever writes a store runs the conformance suite on it, a line for each port, and the random sequences:
//!
//! ```
//! use std::sync::Arc;
//! use bms_domain::memory::MemoryHolds;
//! use bms_domain::testing::{Fresh, conformance, sequences};
//!
//! # fn main() {
//! let holds = |clock| async move { Fresh::new(MemoryHolds::new(Arc::new(clock))) };
//! futures::executor::block_on(conformance::hold_store(holds));
//! # let config = sequences::Config { cases: 2, failure_persistence: None, ..sequences::Config::default() };
//! sequences::hold_store(config, holds);
//! # }
//! ```
//!
//! A store whose client needs a runtime names it: [`on`]`(runtime, factory)`.
//!
//! - [`conformance`] proves every rule of the ports, races included;
//! - [`model`] is what a store is compared with, and [`sequences`] compares it in random sequences, and stores with each other;
//! - [`histories`] has many clients use a store at the same time, and checks that what they saw is [linearizable](linearizability);
//! - [`fuzz`] edits good and bad input until something breaks;
//! - [`calls`] are calls as values, to be made of several stores;
//! - [`ManualClock`], [`ManualTimer`] and [`SeededIds`] make time and ids arguments of a test;
//! - [`Faulty`] fails, loses and delays the calls of a port on command;
//! - [`sample`] makes shows, users and catalogues to test with;
//! - `servers` (a feature of that name) starts, kills and pauses the server behind a store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this module is test code: a broken expectation must stop the test"
)]

mod backend;
pub mod calls;
mod clock;
pub mod conformance;
mod faulty;
pub mod fuzz;
pub mod histories;
pub(crate) mod ids;
pub mod linearizability;
pub mod model;
mod replay;
pub mod sample;
pub mod sequences;
#[cfg(feature = "servers")]
pub mod servers;

pub use backend::{Backend, Fresh, OnRuntime, Runtime, Threads, on};
pub use clock::{ManualClock, ManualTimer};
pub use faulty::{Fault, Faults, Faulty, Gate, Hook};
pub use ids::SeededIds;
