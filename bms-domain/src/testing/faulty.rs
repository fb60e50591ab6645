//! Ports that fail, lose replies and wait, on command.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::Shared;
use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use crate::catalogue::{Listing, Movie, Theatre};
use crate::event::{EventKey, EventSink, OrderEvent, PublishError};
use crate::hold::Hold;
use crate::id::{Caller, HoldId, LayoutId, MovieId, OrderId, ShowId, TheatreId, UserId};
use crate::layout::Layout;
use crate::money::Money;
use crate::order::{Order, Ticket, TicketCode};
use crate::payment::{GatewayError, PaymentGateway, PaymentKey, PaymentReference, PaymentReport, PaymentStatus, RefundDue};
use crate::seat::SeatBits;
use crate::store::{
    Attempt, Begun, CatalogueStore, CatalogueWrite, Changes, Checkout, Counts, Creation, Delivery, Fence, Fingerprint,
    HoldChange, HoldStore, IdempotencyKey, IdempotencyStore, LayoutPin, MovieQuery, NewOrder, OccupancyRead, OrderChange,
    OrderStore, Outbox, PendingClaim, PlaceHold, Placed, Replay, Restored, Settlement, ShowClaims, SoldSeats, StoreError,
};
use crate::time::Timestamp;

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It fails before it does anything: `Unavailable`.
    Unavailable,
    /// It takes effect, and its reply is lost: `OutcomeUnknown`.
    LoseReply,
    /// It waits at a gate, and then takes effect.
    WaitBefore(Gate),
    /// It takes effect, and its reply waits at a gate.
    WaitAfter(Gate),
    /// Something happens first; then it takes effect.
    After(Hook),
}

/// Something that happens between two calls: another store takes a port's place, the clock moves.
#[derive(Clone)]
pub struct Hook(Arc<dyn Fn() + Send + Sync>);

impl Hook {
    /// Something that happens.
    pub fn new(what: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(what))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook(…)")
    }
}

/// Lets calls through once it was opened.
#[derive(Clone)]
pub struct Gate {
    open: Arc<Mutex<Option<oneshot::Sender<()>>>>,
    opened: Shared<oneshot::Receiver<()>>,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        let (open, opened) = oneshot::channel();
        Self { open: Arc::new(Mutex::new(Some(open))), opened: opened.shared() }
    }

    /// Lets every call through that waits here, and all later ones.
    pub fn open(&self) {
        if let Some(open) = self.open.lock().take() {
            let _ = open.send(());
        }
    }

    async fn pass(&self) {
        let _ = self.opened.clone().await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate(…)")
    }
}

enum When {
    /// The call of this number, of any method, counted from 0.
    Call(usize),
    /// The call of this number of one method, counted from 0.
    Nth(&'static str, usize),
    /// Every call of the methods whose names begin so.
    Every(&'static str),
}

#[derive(Default)]
struct Script {
    calls: Vec<&'static str>,
    /// How often `holds.newest` was called, which asks no backend and has no number.
    newest: usize,
    rules: Vec<(When, Fault)>,
}

/// The one method that asks no backend.
const NEWEST: &str = "holds.newest";

/// Says which calls fail, and remembers which were made. A clone is the same script: one script for all ports of a
/// service numbers their calls in one row. Methods are named `holds.place`, `orders.settle`, `outbox.claim`,
/// `catalogue.show`, `keys.begin`, `gateway.verify`, `sink.publish` and so on. Whatever [`at_every`](Self::at_every) has for
/// `holds.newest`, which asks no backend, makes it `None`.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Script>>);

impl Faults {
    /// No faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The `n`-th call of any method from the last [`heal`](Self::heal) on, counted from 0.
    pub fn at_call(&self, n: usize, fault: Fault) {
        self.0.lock().rules.push((When::Call(n), fault));
    }

    /// The `n`-th call of a method from the last [`heal`](Self::heal) on, counted from 0.
    pub fn at_nth(&self, method: &'static str, n: usize, fault: Fault) {
        self.0.lock().rules.push((When::Nth(method, n), fault));
    }

    /// Every call of the methods whose names begin so: `holds.place`, or `holds.` for the whole port.
    pub fn at_every(&self, prefix: &'static str, fault: Fault) {
        self.0.lock().rules.push((When::Every(prefix), fault));
    }

    /// Nothing fails any more, and calls are counted anew.
    pub fn heal(&self) {
        *self.0.lock() = Script::default();
    }

    /// The methods that were called since the last [`heal`](Self::heal), in order; without `holds.newest`.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.0.lock().calls.clone()
    }

    /// How often a method was called since the last [`heal`](Self::heal).
    #[must_use]
    pub fn count(&self, method: &str) -> usize {
        let script = self.0.lock();
        if method == NEWEST { script.newest } else { script.calls.iter().filter(|call| **call == method).count() }
    }

    fn next(&self, method: &'static str) -> Option<Fault> {
        let mut script = self.0.lock();
        let (call, nth) = (script.calls.len(), script.calls.iter().filter(|call| **call == method).count());
        script.calls.push(method);
        let hit = script.rules.iter().find(|(when, _)| match when {
            When::Call(n) => *n == call,
            When::Nth(name, n) => *name == method && *n == nth,
            When::Every(prefix) => method.starts_with(prefix),
        });
        hit.map(|(_, fault)| fault.clone())
    }

    /// Whether `holds.newest`, which is called now, has a rule.
    fn rules_out_newest(&self) -> bool {
        let mut script = self.0.lock();
        script.newest += 1;
        script.rules.iter().any(|(when, _)| matches!(when, When::Every(prefix) if NEWEST.starts_with(prefix)))
    }

    /// `call` is made of the port as it is then: a hook may have replaced it.
    async fn around<T, E: Failure, Call>(&self, method: &'static str, call: impl FnOnce() -> Call) -> Result<T, E>
    where
        Call: Future<Output = Result<T, E>>,
    {
        match self.next(method) {
            None => call().await,
            Some(Fault::After(Hook(happens))) => {
                happens();
                call().await
            }
            Some(Fault::Unavailable) => Err(E::unavailable()),
            Some(Fault::LoseReply) => {
                let _lost = call().await;
                Err(E::lost())
            }
            Some(Fault::WaitBefore(gate)) => {
                gate.pass().await;
                call().await
            }
            Some(Fault::WaitAfter(gate)) => {
                let answer = call().await;
                gate.pass().await;
                answer
            }
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults(after {:?})", self.calls())
    }
}

/// How a port says that a call failed.
trait Failure {
    fn unavailable() -> Self;
    fn lost() -> Self;
}

impl Failure for StoreError {
    fn unavailable() -> Self {
        Self::unavailable("a faulty store")
    }

    fn lost() -> Self {
        Self::outcome_unknown("a faulty store")
    }
}

impl Failure for GatewayError {
    fn unavailable() -> Self {
        Self::Unavailable { source: None }
    }

    fn lost() -> Self {
        Self::Unavailable { source: None }
    }
}

impl Failure for PublishError {
    fn unavailable() -> Self {
        Self { published: Vec::new(), untried: Vec::new(), source: None }
    }

    fn lost() -> Self {
        Self { published: Vec::new(), untried: Vec::new(), source: None }
    }
}

/// A port whose calls go by a script of [`Faults`].
pub struct Faulty<S: ?Sized> {
    faults: Faults,
    inner: RwLock<Arc<S>>,
}

impl<S: ?Sized> Faulty<S> {
    /// A port that does what `inner` does, but for what `faults` says.
    pub fn new(inner: Arc<S>, faults: Faults) -> Self {
        Self { faults, inner: RwLock::new(inner) }
    }

    /// Puts another in the place of the port: a store that has lost everything, say.
    pub fn replace(&self, inner: Arc<S>) {
        *self.inner.write() = inner;
    }

    fn inner(&self) -> Arc<S> {
        self.inner.read().clone()
    }
}

impl<S: ?Sized> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("faults", &self.faults).finish_non_exhaustive()
    }
}

/// Writes the methods of a port that only pass their arguments on.
macro_rules! faulty {
    ($port:ident as $prefix:literal { $(fn $method:ident($($name:ident: $type:ty),*) -> $answer:ty;)* } $($rest:item)*) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<S: $port + ?Sized> $port for Faulty<S> {
            $(
                async fn $method(&self, $($name: $type),*) -> $answer {
                    let method = concat!($prefix, ".", stringify!($method));
                    self.faults.around(method, async || self.inner().$method($($name),*).await).await
                }
            )*
            $($rest)*
        }
    };
}

faulty!(HoldStore as "holds" {
    fn place(request: &PlaceHold) -> Result<Placed, StoreError>;
    fn get(ids: &[HoldId]) -> Result<Vec<Option<Hold>>, StoreError>;
    fn release(id: HoldId, by: &Caller) -> Result<HoldChange, StoreError>;
    fn begin_checkout(id: HoldId, by: &Caller, checkout: &Checkout) -> Result<HoldChange, StoreError>;
    fn end_checkout(id: HoldId, order: OrderId) -> Result<HoldChange, StoreError>;
    fn give_back(id: HoldId, order: OrderId, until: Timestamp) -> Result<HoldChange, StoreError>;
    fn mark_sold(sold: &SoldSeats) -> Result<(), StoreError>;
    fn mark_free(sold: &SoldSeats) -> Result<(), StoreError>;
    fn restore(claims: &ShowClaims, fence: Fence) -> Result<Restored, StoreError>;
    fn occupancy(show: &ShowId) -> Result<OccupancyRead, StoreError>;
    fn counts(shows: &[ShowId]) -> Result<Vec<Option<Counts>>, StoreError>;
    fn changes(show: &ShowId, after: u64) -> Result<Changes, StoreError>;
    fn sweep(limit: usize) -> Result<usize, StoreError>;
    fn ping() -> Result<(), StoreError>;
} fn newest(&self, show: &ShowId) -> Option<u64> {
    if self.faults.rules_out_newest() { None } else { self.inner().newest(show) }
});

faulty!(OrderStore as "orders" {
    fn create(order: &NewOrder) -> Result<Creation, StoreError>;
    fn get(id: OrderId) -> Result<Option<Order>, StoreError>;
    fn by_holds(holds: &[HoldId]) -> Result<Vec<Option<Order>>, StoreError>;
    fn list(owner: &UserId, before: Option<OrderId>, limit: usize) -> Result<Vec<Order>, StoreError>;
    fn by_ticket(code: &TicketCode) -> Result<Option<Order>, StoreError>;
    fn settle(report: &PaymentReport, ticket: &Ticket) -> Result<Settlement, StoreError>;
    fn give_up(id: OrderId, by: &Caller) -> Result<OrderChange, StoreError>;
    fn cancel(id: OrderId) -> Result<OrderChange, StoreError>;
    fn expire_overdue(limit: usize) -> Result<Vec<Order>, StoreError>;
    fn claim_attempts(limit: usize, lease: Duration) -> Result<Vec<Attempt>, StoreError>;
    fn refunds_due(after: Option<&(OrderId, PaymentReference)>, limit: usize) -> Result<Vec<RefundDue>, StoreError>;
    fn sold(show: &ShowId, seats: u32) -> Result<SeatBits, StoreError>;
    fn claims(show: &ShowId) -> Result<(Vec<SoldSeats>, Vec<PendingClaim>), StoreError>;
    fn sales_within(span: Duration, after: Option<&(Timestamp, ShowId)>, limit: usize) -> Result<Vec<(Timestamp, ShowId)>, StoreError>;
    fn pin_layout(show: &ShowId, layout: LayoutId) -> Result<LayoutPin, StoreError>;
    fn ping() -> Result<(), StoreError>;
});

faulty!(Outbox as "outbox" {
    fn claim(limit: usize, lease: Duration) -> Result<Vec<Delivery>, StoreError>;
    fn published(events: &[EventKey]) -> Result<(), StoreError>;
    fn postpone(events: &[EventKey], by: Duration) -> Result<(), StoreError>;
    fn bury(events: &[EventKey]) -> Result<(), StoreError>;
    fn dead(after: Option<EventKey>, limit: usize) -> Result<Vec<Delivery>, StoreError>;
    fn replay(which: &Replay) -> Result<usize, StoreError>;
    fn prune(older_than: Duration, limit: usize) -> Result<usize, StoreError>;
});

faulty!(IdempotencyStore as "keys" {
    fn begin(key: &IdempotencyKey, request: Fingerprint, seed: Uuid, lease: Duration) -> Result<Begun, StoreError>;
    fn finish(key: &IdempotencyKey, answer: Vec<u8>, keep: Duration) -> Result<Vec<u8>, StoreError>;
    fn abandon(key: &IdempotencyKey) -> Result<(), StoreError>;
    fn sweep(limit: usize) -> Result<usize, StoreError>;
    fn ping() -> Result<(), StoreError>;
});

faulty!(CatalogueStore as "catalogue" {
    fn movies(query: &MovieQuery) -> Result<Vec<Arc<Movie>>, StoreError>;
    fn movie(id: &MovieId) -> Result<Option<Arc<Movie>>, StoreError>;
    fn theatre(id: &TheatreId) -> Result<Option<Arc<Theatre>>, StoreError>;
    fn layout(id: &LayoutId) -> Result<Option<Arc<Layout>>, StoreError>;
    fn show(id: &ShowId) -> Result<Option<Arc<Listing>>, StoreError>;
    fn shows(movie: &MovieId, from: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Arc<Listing>>, StoreError>;
    fn write(entries: &CatalogueWrite) -> Result<(), StoreError>;
    fn ping() -> Result<(), StoreError>;
});

faulty!(PaymentGateway as "gateway" {
    fn verify(order: &Order, reference: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError>;
    fn ping() -> Result<(), GatewayError>;
} fn key(&self, order: OrderId, reference: &PaymentReference) -> PaymentKey {
    self.inner().key(order, reference)
} fn is_there(&self) -> bool {
    self.inner().is_there()
});

faulty!(EventSink as "sink" {
    fn publish(events: &[OrderEvent]) -> Result<(), PublishError>;
});
