//! The rules that every hold store keeps, and random sequences against the reference model, on real servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bms_domain::testing::{self, ManualClock, conformance, sequences};
use bms_redis::testing::Server;
use tokio::runtime::{Builder, Handle};

use support::{Tokio, fresh_holds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_keeps_every_rule_of_a_hold_store() {
    let server = Server::start().unwrap();
    let url = server.url();
    let fresh = |clock: ManualClock| {
        let url = url.clone();
        async move { fresh_holds(&url, clock).await }
    };
    conformance::hold_store(testing::on(Tokio(Handle::current()), fresh)).await;
}

#[test]
fn random_sequences_on_one_node_agree_with_the_model() {
    let server = Server::start().unwrap();
    let url = server.url();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fresh = |clock: ManualClock| {
        let url = url.clone();
        async move { fresh_holds(&url, clock).await }
    };
    sequences::hold_store(sequences::config(100, file!()), testing::on(Tokio(runtime.handle().clone()), fresh));
}
