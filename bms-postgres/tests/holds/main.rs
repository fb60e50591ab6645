//! The hold store on a real server: every rule, random sequences against the reference model, races, and what only this store
//! can get wrong.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod faults;
mod following;
mod keeping;
mod kit;
mod races;
mod schemas;
#[path = "../support/mod.rs"]
mod support;

use bms_domain::testing::{self, Fresh, ManualClock, conformance, sequences};
use bms_postgres::PostgresHolds;
use tokio::runtime::{Builder, Handle};

use support::Tokio;

async fn fresh(clock: ManualClock) -> Fresh<PostgresHolds> {
    let case = support::case_with(&clock, |config| config.deadline(kit::PATIENCE).unwrap()).await;
    Fresh::guarded(PostgresHolds::new(case.postgres), case.schema)
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
