//! The functions in this process, over the embedded stores: recorded events in, answers out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod authorizer;
mod cut;
mod events;
mod live;
mod notify;
mod support;
mod thawing;
mod winding_up;
