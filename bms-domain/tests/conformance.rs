//! The embedded stores keep every rule of their ports.
#![cfg(all(feature = "memory", feature = "testing"))]

use std::sync::Arc;

use bms_domain::memory::{MemoryCatalogue, MemoryHolds, MemoryIdempotency, MemoryOrders};
use bms_domain::testing::{Fresh, ManualClock, conformance};
use futures::executor::block_on;

#[test]
fn holds() {
    block_on(conformance::hold_store(|clock| async move { Fresh::new(MemoryHolds::new(Arc::new(clock))) }));
}

#[test]
fn orders() {
    block_on(conformance::order_store(|clock| async move { Fresh::new(MemoryOrders::new(Arc::new(clock))) }));
}

#[test]
fn idempotency_keys() {
    block_on(conformance::idempotency_store(|clock| async move { Fresh::new(MemoryIdempotency::new(Arc::new(clock))) }));
}

#[test]
fn catalogue() {
    block_on(conformance::catalogue_store(|_: ManualClock| async { Fresh::new(MemoryCatalogue::new()) }));
}
