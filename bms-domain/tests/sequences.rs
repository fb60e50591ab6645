//! Random sequences on the embedded stores.
#![cfg(all(feature = "memory", feature = "testing"))]

use std::sync::Arc;

use bms_domain::memory::{MemoryHolds, MemoryOrders};
use bms_domain::testing::{Fresh, sequences};

#[test]
fn holds() {
    sequences::hold_store(sequences::config(250, file!()), |clock| async move { Fresh::new(MemoryHolds::new(Arc::new(clock))) });
}

#[test]
fn orders() {
    sequences::order_store(
        sequences::config(250, file!()),
        |clock| async move { Fresh::new(MemoryOrders::new(Arc::new(clock))) },
    );
}

#[test]
fn outbox() {
    sequences::outbox(sequences::config(250, file!()), |clock| async move { Fresh::new(MemoryOrders::new(Arc::new(clock))) });
}
