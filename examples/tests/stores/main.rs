//! The stores side by side: on the same sequences they give the same answers, and what many clients see of each at the same
//! time could have come about one call after the other. `docs/evidence.md` says what that proves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod agree;
mod linear;
mod stage;
