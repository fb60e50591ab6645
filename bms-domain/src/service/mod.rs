//! The use cases. [`BookingService`] is what an adapter, or an embedding program, calls.

mod admin;
mod catalogue;
mod holds;
mod orders;
mod payments;
mod policy;
mod relay;
mod requests;
mod seatmap;
mod upkeep;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, select};
use parking_lot::Mutex;

pub use catalogue::{Page, ShowAvailability};
pub use holds::BookedHold;
pub use orders::PlacedOrder;
pub use payments::{Notice, Payment};
pub use policy::{Policy, PolicyError};
pub use relay::Relayed;
pub use seatmap::{SeatMap, SeatMapReads};
pub use upkeep::{Readiness, Reconciled, Swept};

use crate::id::{IdSource, ShowId, SystemIds};
use crate::payment::PaymentGateway;
use crate::store::{CatalogueStore, HoldStore, IdempotencyStore, OrderStore, Outbox, StoreError};
use crate::time::{Clock, SystemClock, Timer, Timestamp};
use seatmap::{MapCache, Primes};

/// The implementations that a program wires together.
#[derive(Clone)]
pub struct Ports {
    /// Who holds what.
    pub holds: Arc<dyn HoldStore>,
    /// The durable truth.
    pub orders: Arc<dyn OrderStore>,
    /// Events on their way out.
    pub outbox: Arc<dyn Outbox>,
    /// What is on sale.
    pub catalogue: Arc<dyn CatalogueStore>,
    /// Answers to repeated requests.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// The payment provider.
    pub gateway: Arc<dyn PaymentGateway>,
}

/// Sells limited seats: holds, orders, payments, tickets. Cheap to clone.
///
/// Every method may be dropped at any await point and called again: a crash between any two steps leaves a state from
/// which a retry, or time alone, leads to a legal end.
#[derive(Clone)]
pub struct BookingService {
    shared: Arc<Shared>,
}

struct Shared {
    ports: Ports,
    policy: Policy,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    deadline: Option<(Duration, Arc<dyn Timer>)>,
    maps: MapCache,
    primes: Primes,
    /// The show that sweeps have reconciled last, while there are others behind it.
    reconciled: Mutex<Option<(Timestamp, ShowId)>>,
}

/// Puts a [`BookingService`] together.
pub struct Builder {
    ports: Ports,
    policy: Policy,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    deadline: Option<(Duration, Arc<dyn Timer>)>,
}

impl Builder {
    /// Replaces the limits and times.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Replaces the machine's clock, which decides whether a show is on sale.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Replaces the source of ids, codes and secrets.
    #[must_use]
    pub fn ids(mut self, ids: Arc<dyn IdSource>) -> Self {
        self.ids = ids;
        self
    }

    /// Ends every call of a port after `limit`, with an error that says so (promise P11). Without it a call may take as
    /// long as its store lets it.
    #[must_use]
    pub fn deadline(mut self, limit: Duration, timer: Arc<dyn Timer>) -> Self {
        self.deadline = Some((limit, timer));
        self
    }

    /// Checks the policy.
    ///
    /// # Errors
    /// [`PolicyError`] when times or limits contradict each other or the promises.
    pub fn build(self) -> Result<BookingService, PolicyError> {
        let Self { ports, policy, clock, ids, deadline } = self;
        policy.check(deadline.as_ref().map(|(limit, _)| *limit))?;
        let maps = MapCache::new(&policy);
        let (primes, reconciled) = (Primes::default(), Mutex::default());
        Ok(BookingService { shared: Arc::new(Shared { ports, policy, clock, ids, deadline, maps, primes, reconciled }) })
    }
}

impl BookingService {
    /// Starts to put a service together from its ports.
    #[must_use]
    pub fn builder(ports: Ports) -> Builder {
        Builder { ports, policy: Policy::default(), clock: Arc::new(SystemClock), ids: Arc::new(SystemIds), deadline: None }
    }

    /// The limits and times in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    fn ports(&self) -> &Ports {
        &self.shared.ports
    }

    fn holds(&self) -> &dyn HoldStore {
        &*self.shared.ports.holds
    }

    fn orders(&self) -> &dyn OrderStore {
        &*self.shared.ports.orders
    }

    /// Awaits a call of a port, for no longer than the deadline. A call that is ready at once costs no timer.
    async fn bounded<T, E>(&self, call: impl Future<Output = Result<T, E>>, late: impl FnOnce() -> E) -> Result<T, E> {
        let Some((limit, timer)) = &self.shared.deadline else { return call.await };
        let mut call = pin!(call);
        if let Poll::Ready(answer) = futures::poll!(call.as_mut()) {
            return answer;
        }
        match select(call, timer.sleep(*limit)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => Err(late()),
        }
    }

    /// Awaits a call of the hold store.
    async fn of_holds<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.bounded(call, || StoreError::outcome_unknown("the hold store")).await
    }

    /// Awaits a call of the order store (or its outbox).
    async fn of_orders<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.bounded(call, || StoreError::outcome_unknown("the order store")).await
    }

    /// Awaits a call of the catalogue store.
    async fn of_catalogue<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.bounded(call, || StoreError::outcome_unknown("the catalogue store")).await
    }
}
