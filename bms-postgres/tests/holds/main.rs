//! The hold store on a real server: every rule, and random sequences against the reference model.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

use bms_domain::testing::{self, Fresh, ManualClock, conformance, sequences};
use bms_postgres::PostgresHolds;
use tokio::runtime::{Builder, Handle};

use support::Tokio;

async fn fresh(clock: ManualClock) -> Fresh<PostgresHolds> {
    Fresh::new(PostgresHolds::new(support::postgres(clock).await))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_of_a_hold_store_is_kept() {
    conformance::hold_store(testing::on(Tokio(Handle::current()), fresh)).await;
}

#[test]
fn random_sequences_agree_with_the_model() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    sequences::hold_store(sequences::config(100, file!()), testing::on(Tokio(runtime.handle().clone()), fresh));
}
