//! The booking protocol as a model whose every state is looked at. `docs/evidence.md` says what that proves.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "all of this file is a test, its helpers too")]

mod calls;
mod checking;
mod exhaustive;
mod guards;
mod guards_off;
mod holds;
mod orders;
mod promises;
mod protocol;
mod real;
mod state;
mod step;
