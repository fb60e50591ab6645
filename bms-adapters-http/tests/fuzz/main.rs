//! Input that nobody would write. `docs/evidence.md` says what that proves, and `bms_domain::testing::fuzz` how it is made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod notices;
mod requests;
#[path = "../http/support.rs"]
#[allow(dead_code, reason = "only a part of it is used here")]
mod support;
mod tokens;

use bms_domain::testing::fuzz::{Target, TestCaseError};
use proptest::{prop_assert, prop_assert_eq};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use support::{Answer, Ask};

fn target(name: &'static str) -> Target {
    Target::new(env!("CARGO_MANIFEST_DIR"), name)
}

/// A runtime whose time stands still, and goes on at once where somebody waits for it.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// What every answer is, whatever was asked: named, and a problem where it is none that was asked for. Embedded stores answer, so what a
/// server may say when something is broken, it says here of a payment provider alone.
fn is_an_answer(ask: &Ask, answer: &Answer) -> Result<(), TestCaseError> {
    prop_assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "without an id: {:?}", answer);
    let status = answer.status.as_u16();
    prop_assert!(status < 500 || status == 503, "{:?}", answer);
    if status < 400 || ask.method == "HEAD" {
        return Ok(());
    }
    prop_assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{:?}", answer);
    let problem = answer.json();
    prop_assert_eq!(&problem["status"], &Value::from(status));
    prop_assert!(problem["type"].as_str().is_some_and(|name| name.starts_with("urn:bms:problem:")), "{}", problem);
    prop_assert!(problem["title"].is_string() && problem["detail"].is_string(), "{}", problem);
    prop_assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    Ok(())
}
