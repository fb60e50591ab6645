//! The rules that the catalogue and the store of idempotency keys keep, on a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use bms_domain::testing::{self, Backend, Fresh, ManualClock, conformance};
use bms_postgres::{Postgres, PostgresCatalogue, PostgresConfig, PostgresIdempotency};
use tokio::runtime::Handle;

use support::{Tokio, case_with};

/// Makes a store for each rule.
fn stores<S>(set: fn(PostgresConfig) -> PostgresConfig, make: fn(Postgres) -> S) -> impl Backend<Store = S>
where
    S: Send + Sync + 'static,
{
    let fresh = move |clock: ManualClock| async move {
        let case = case_with(&clock, set).await;
        Fresh::guarded(make(case.postgres), case.schema)
    };
    testing::on(Tokio(Handle::current()), fresh)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_of_an_idempotency_store_is_kept() {
    conformance::idempotency_store(stores(|config| config, PostgresIdempotency::new)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_of_a_catalogue_store_is_kept() {
    conformance::catalogue_store(stores(|config| config, PostgresCatalogue::new)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_of_a_catalogue_store_is_kept_when_nothing_is_remembered() {
    let forgetful = |config: PostgresConfig| config.listing_life(Duration::ZERO).unwrap();
    conformance::catalogue_store(stores(forgetful, PostgresCatalogue::new)).await;
}
