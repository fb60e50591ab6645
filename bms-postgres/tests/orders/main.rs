//! The order store and its outbox on a real server: every rule, and random sequences against the reference model.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod audit;
mod edges;
mod payments;
mod plans;
mod races;
#[path = "../support/mod.rs"]
mod support;
mod together;

use bms_domain::testing::{self, Fresh, ManualClock, conformance, sequences};
use bms_postgres::PostgresOrders;
use tokio::runtime::{Builder, Handle};

use support::Tokio;

async fn fresh(clock: ManualClock) -> Fresh<PostgresOrders> {
    Fresh::new(PostgresOrders::new(support::postgres(clock).await))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_of_an_order_store_is_kept() {
    conformance::order_store(testing::on(Tokio(Handle::current()), fresh)).await;
}

#[test]
fn random_sequences_agree_with_the_model() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    sequences::order_store(sequences::config(60, file!()), testing::on(Tokio(runtime.handle().clone()), fresh));
}

#[test]
fn random_sequences_of_events_agree_with_the_model() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    sequences::outbox(sequences::config(40, file!()), testing::on(Tokio(runtime.handle().clone()), fresh));
}
