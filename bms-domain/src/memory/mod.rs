//! The embedded stores: everything in this process's memory, gone when it ends.
//!
//! Holds of different shows never wait for each other: each show has a lock of its own, found through the 4,096 shards that
//! its id hashes to. Orders share small maps beside: tickets, users and payments in stripes, refunds and the outbox whole.

mod catalogue;
mod holds;
mod idempotency;
mod orders;
mod sandbox;
mod shards;

use std::sync::Arc;

pub use catalogue::MemoryCatalogue;
pub use holds::MemoryHolds;
pub use idempotency::MemoryIdempotency;
pub use orders::MemoryOrders;
pub use sandbox::SandboxGateway;

use crate::payment::PaymentGateway;
use crate::service::{BookingService, Builder, Ports};
use crate::time::{Clock, SystemClock};

impl Ports {
    /// The embedded stores, all on one clock, and a payment provider.
    #[must_use]
    pub fn in_memory(clock: Arc<dyn Clock>, gateway: Arc<dyn PaymentGateway>) -> Self {
        let orders = Arc::new(MemoryOrders::new(clock.clone()));
        Self {
            holds: Arc::new(MemoryHolds::new(clock.clone())),
            orders: orders.clone(),
            outbox: orders,
            catalogue: Arc::new(MemoryCatalogue::new()),
            idempotency: Arc::new(MemoryIdempotency::new(clock)),
            gateway,
        }
    }
}

impl BookingService {
    /// Starts to put a service together on the embedded stores, with payments in the sandbox.
    #[must_use]
    pub fn in_memory() -> Builder {
        Self::builder(Ports::in_memory(Arc::new(SystemClock), Arc::new(SandboxGateway)))
    }
}
