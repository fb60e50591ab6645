//! Input that nobody would write. `docs/evidence.md` says what that proves, and `bms_domain::testing::fuzz` how it is made.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "all of this file is a test, its helpers too")]

mod catalogue;
mod ids;
