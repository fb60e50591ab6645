//! Dependencies that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bms_domain::money::Money;
use bms_domain::order::Order;
use bms_domain::payment::{GatewayError, PaymentGateway, PaymentReference, PaymentStatus};
use tokio::sync::Semaphore;

/// A payment provider that answers when it is let.
pub(crate) struct SlowGateway {
    /// A permit for each time it is asked.
    pub(crate) asked: Semaphore,
    /// A permit for each answer it may give.
    pub(crate) answers: Semaphore,
    pub(crate) times: AtomicUsize,
}

impl SlowGateway {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { asked: Semaphore::new(0), answers: Semaphore::new(0), times: AtomicUsize::new(0) })
    }

    /// Ends once it has been asked.
    pub(crate) async fn is_asked(&self) {
        self.asked.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl PaymentGateway for SlowGateway {
    async fn verify(&self, order: &Order, _: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError> {
        self.times.fetch_add(1, Ordering::SeqCst);
        self.asked.add_permits(1);
        self.answers.acquire().await.unwrap().forget();
        Ok((PaymentStatus::Succeeded, order.price))
    }
}

/// A payment provider that panics, or is down.
pub(crate) struct BrokenGateway;

#[async_trait]
impl PaymentGateway for BrokenGateway {
    async fn verify(&self, _: &Order, reference: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError> {
        assert!(!reference.as_str().starts_with("panic"), "as it was told");
        std::future::pending().await
    }

    async fn ping(&self) -> Result<(), GatewayError> {
        Err(GatewayError::Unavailable { source: None })
    }
}
