//! Dependencies that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::hold::Hold;
use bms_domain::id::{Caller, HoldId, OrderId, ShowId};
use bms_domain::money::Money;
use bms_domain::order::Order;
use bms_domain::payment::{GatewayError, PaymentGateway, PaymentReference, PaymentStatus};
use bms_domain::store::{
    Begun, Changes, Checkout, Counts, Fence, Fingerprint, HoldChange, HoldStore, IdempotencyKey, IdempotencyStore, OccupancyRead,
    PlaceHold, Placed, Restored, ShowClaims, SoldSeats, StoreError,
};
use bms_domain::time::Timestamp;
use tokio::sync::Semaphore;
use uuid::Uuid;

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

/// What goes wrong with the placing of holds.
#[derive(Clone, Copy)]
pub(crate) enum Mishap {
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// It does not take effect.
    Down,
    /// The store finds itself broken.
    Broken,
}

/// A hold store that places holds with a mishap, the first `times` times.
pub(crate) struct UnluckyHolds {
    pub(crate) inner: Arc<dyn HoldStore>,
    pub(crate) mishap: Mishap,
    pub(crate) times: AtomicUsize,
    /// Whether it is told of changes.
    pub(crate) told: bool,
}

#[async_trait]
impl HoldStore for UnluckyHolds {
    async fn place(&self, request: &PlaceHold) -> Result<Placed, StoreError> {
        let one_less = |times: usize| times.checked_sub(1);
        if self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err() {
            return self.inner.place(request).await;
        }
        match self.mishap {
            Mishap::AnswerLost => {
                while let Placed::NotPrimed(fence) = self.inner.place(request).await? {
                    let claims = ShowClaims {
                        show: request.show,
                        layout: request.layout,
                        seats: 20,
                        sold: Vec::new(),
                        pending: Vec::new(),
                        grace: std::time::Duration::from_secs(2),
                    };
                    self.inner.restore(&claims, fence).await?;
                }
                Err(StoreError::outcome_unknown("the hold store"))
            }
            Mishap::Down => Err(StoreError::unavailable("the hold store")),
            Mishap::Broken => Err(StoreError::Broken { store: "the hold store", detail: "canary detail".to_owned() }),
        }
    }

    async fn get(&self, ids: &[HoldId]) -> Result<Vec<Option<Hold>>, StoreError> {
        self.inner.get(ids).await
    }

    async fn release(&self, id: HoldId, by: &Caller) -> Result<HoldChange, StoreError> {
        self.inner.release(id, by).await
    }

    async fn begin_checkout(&self, id: HoldId, by: &Caller, checkout: &Checkout) -> Result<HoldChange, StoreError> {
        self.inner.begin_checkout(id, by, checkout).await
    }

    async fn end_checkout(&self, id: HoldId, order: OrderId) -> Result<HoldChange, StoreError> {
        self.inner.end_checkout(id, order).await
    }

    async fn give_back(&self, id: HoldId, order: OrderId, until: Timestamp) -> Result<HoldChange, StoreError> {
        self.inner.give_back(id, order, until).await
    }

    async fn mark_sold(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        self.inner.mark_sold(sold).await
    }

    async fn mark_free(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        self.inner.mark_free(sold).await
    }

    async fn restore(&self, claims: &ShowClaims, fence: Fence) -> Result<Restored, StoreError> {
        self.inner.restore(claims, fence).await
    }

    async fn occupancy(&self, show: &ShowId) -> Result<OccupancyRead, StoreError> {
        self.inner.occupancy(show).await
    }

    async fn counts(&self, shows: &[ShowId]) -> Result<Vec<Option<Counts>>, StoreError> {
        self.inner.counts(shows).await
    }

    async fn changes(&self, show: &ShowId, after: u64) -> Result<Changes, StoreError> {
        self.inner.changes(show, after).await
    }

    fn newest(&self, show: &ShowId) -> Option<u64> {
        if self.told { self.inner.newest(show) } else { None }
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        self.inner.sweep(limit).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// A store of keys that is away.
pub(crate) struct NoKeys;

fn away() -> StoreError {
    StoreError::unavailable("the idempotency store")
}

#[async_trait]
impl IdempotencyStore for NoKeys {
    async fn begin(&self, _: &IdempotencyKey, _: Fingerprint, _: Uuid, _: Duration) -> Result<Begun, StoreError> {
        Err(away())
    }

    async fn finish(&self, _: &IdempotencyKey, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, StoreError> {
        Err(away())
    }

    async fn abandon(&self, _: &IdempotencyKey) -> Result<(), StoreError> {
        Err(away())
    }

    async fn sweep(&self, _: usize) -> Result<usize, StoreError> {
        Err(away())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Err(away())
    }
}

/// A store of keys whose answer to the first `begin` is lost.
pub(crate) struct UnluckyKeys {
    pub(crate) inner: Arc<dyn IdempotencyStore>,
    pub(crate) times: AtomicUsize,
}

#[async_trait]
impl IdempotencyStore for UnluckyKeys {
    async fn begin(&self, key: &IdempotencyKey, request: Fingerprint, seed: Uuid, lease: Duration) -> Result<Begun, StoreError> {
        let begun = self.inner.begin(key, request, seed, lease).await?;
        match self.times.fetch_add(1, Ordering::SeqCst) {
            0 => Err(StoreError::outcome_unknown("the idempotency store")),
            _ => Ok(begun),
        }
    }

    async fn finish(&self, key: &IdempotencyKey, answer: Vec<u8>, keep: Duration) -> Result<Vec<u8>, StoreError> {
        self.inner.finish(key, answer, keep).await
    }

    async fn abandon(&self, key: &IdempotencyKey) -> Result<(), StoreError> {
        self.inner.abandon(key).await
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        self.inner.sweep(limit).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}
