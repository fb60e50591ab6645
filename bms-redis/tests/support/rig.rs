//! The whole service with its holds in Redis; orders, catalogue and answers are embedded, money is the sandbox's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::error::Error;
use bms_domain::id::{Caller, HoldId, OrderId, SeatId, ShowId};
use bms_domain::memory::{MemoryCatalogue, MemoryIdempotency, MemoryOrders, SandboxGateway};
use bms_domain::order::{Order, OrderState};
use bms_domain::service::{BookedHold, BookingService, Payment, Policy, Ports, SeatMap};
use bms_domain::store::{CatalogueStore as _, HoldStore as _, OrderStore as _, StoreError};
use bms_domain::testing::{Faults, Faulty, ManualClock, sample};
use bms_domain::time::{Clock, SystemClock};
use bms_redis::testing::Server;
use bms_redis::{Redis, RedisConfig, RedisHolds};

use parking_lot::Mutex;

use super::audit::{Kept, audit};
use super::until;

/// What every key of these tests starts with.
pub const PREFIX: &str = "box-office";

/// The users of these tests.
pub const USERS: [&str; 3] = ["ann", "bob", "cid"];

/// The deadline of a call of the hold store.
pub const DEADLINE: Duration = Duration::from_millis(500);
/// How much later a busy machine may come to what is due. Whoever waits for a server that does not answer waits for longer.
pub const MARGIN: Duration = Duration::from_secs(5);
/// The longest that one use case may take: it makes a few calls of the hold store, one after the other, and the machine
/// is busy.
pub const LONGEST: Duration = Duration::from_secs(4);
/// How long real servers may take for what takes them a few seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The seats of each show.
pub const SEATS: u32 = 300;

/// A service of one process, and what it is made of. Most sell one show.
#[derive(Clone)]
pub struct Rig {
    /// What all of it goes by; the hold store only if it was told so.
    pub clock: ManualClock,
    /// What happens at which call of a port.
    pub faults: Faults,
    /// The hold store, without the faults.
    pub holds: RedisHolds,
    /// The order store, without the faults.
    pub orders: Arc<MemoryOrders>,
    /// The service.
    pub service: BookingService,
    seats: u32,
}

/// Connects with the prefix of these tests.
pub async fn connect_within(url: &str, deadline: Duration) -> Redis {
    Redis::connect(RedisConfig::new(url).unwrap().prefix(PREFIX).unwrap().deadline(deadline).unwrap()).await.unwrap()
}

impl Rig {
    /// A service for a show of so many seats. Everything goes by one clock, which stands still.
    pub async fn new(url: &str, seats: u32) -> Self {
        Self::on(connect_within(url, Duration::from_secs(5)).await, seats).await
    }

    /// The same on a connection that is there.
    pub async fn on(redis: Redis, seats: u32) -> Self {
        let clock = ManualClock::new();
        let holds = RedisHolds::new(redis).with_clock(Arc::new(clock.clone()));
        Self::of(holds, clock.clone(), Arc::new(clock), &[show()], seats).await
    }

    /// A service for some shows of [`SEATS`] seats, whose calls end by [`DEADLINE`]. Everything goes by one clock, which
    /// stands still.
    pub async fn open(url: &str, shows: &[ShowId]) -> Self {
        let clock = ManualClock::new();
        let holds = RedisHolds::new(connect_within(url, DEADLINE).await).with_clock(Arc::new(clock.clone()));
        Self::of(holds, clock.clone(), Arc::new(clock), shows, SEATS).await
    }

    /// A service whose hold store goes by the clock of the Redis server, and all else by the machine's.
    pub async fn on_real_time(redis: Redis, seats: u32) -> Self {
        Self::of(RedisHolds::new(redis), ManualClock::new(), Arc::new(SystemClock), &[show()], seats).await
    }

    async fn of(holds: RedisHolds, clock: ManualClock, time: Arc<dyn Clock>, shows: &[ShowId], seats: u32) -> Self {
        let faults = Faults::new();
        let orders = Arc::new(MemoryOrders::new(Arc::clone(&time)));
        let catalogue = MemoryCatalogue::new();
        let mut on_sale = sample::catalogue("unused", seats, time.now());
        let (layout, start) = (on_sale.layouts[0].id(), on_sale.shows[0].start_time);
        on_sale.shows = shows.iter().map(|show| sample::listed_show(show.as_str(), "film", "odeon", layout, start)).collect();
        catalogue.write(&on_sale).await.unwrap();
        let faulty_orders = Arc::new(Faulty::new(orders.clone(), faults.clone()));
        let ports = Ports {
            holds: Arc::new(Faulty::new(Arc::new(holds.clone()), faults.clone())),
            orders: faulty_orders.clone(),
            outbox: faulty_orders,
            catalogue: Arc::new(Faulty::new(Arc::new(catalogue), faults.clone())),
            idempotency: Arc::new(MemoryIdempotency::new(Arc::clone(&time))),
            gateway: Arc::new(Faulty::new(Arc::new(SandboxGateway), faults.clone())),
        };
        let mut policy = Policy::default();
        policy.limits.per_user_and_show = policy.limits.per_user_and_show.max(seats);
        let service = BookingService::builder(ports).clock(time).policy(policy).build().unwrap();
        Self { clock, faults, holds, orders, service, seats }
    }

    /// Holds seats; the hold's id is made of `seed`.
    pub async fn place(&self, user: &str, seats: &[u32], seed: u32) -> Result<BookedHold, Error> {
        self.place_in(&show(), user, seats, seed).await
    }

    /// Holds seats of any show.
    pub async fn place_in(&self, show: &ShowId, user: &str, seats: &[u32], seed: u32) -> Result<BookedHold, Error> {
        self.service.place_hold(&caller(user), show, &names(seats), sample::uuid(seed)).await
    }

    /// Orders the hold of a seed.
    pub async fn order(&self, user: &str, seed: u32) -> Result<Order, Error> {
        self.order_of(user, hold_id(seed)).await
    }

    /// Orders any hold.
    pub async fn order_of(&self, user: &str, hold: HoldId) -> Result<Order, Error> {
        self.service.create_order(&caller(user), hold, sample::customer()).await.map(|placed| placed.order)
    }

    /// Pays an order.
    pub async fn pay(&self, user: &str, order: OrderId, payment: &str) -> Result<Payment, Error> {
        self.service.confirm_order(&caller(user), order, &sample::reference(payment)).await
    }

    /// A hold, its order, and the payment `pay_ok-<seed>`.
    pub async fn buy(&self, user: &str, seats: &[u32], seed: u32) -> Result<Order, Error> {
        self.place(user, seats, seed).await?;
        let order = self.order(user, seed).await?;
        self.paid(user, &order, &format!("pay_ok-{seed}")).await
    }

    /// Pays an order, once and for all.
    pub async fn paid(&self, user: &str, order: &Order, payment: &str) -> Result<Order, Error> {
        match self.pay(user, order.id, payment).await? {
            Payment::Confirmed(order) => Ok(order),
            other @ Payment::Pending(_) => panic!("expected CONFIRMED, saw {other:?}"),
        }
    }

    /// Repeats a use case for as long as it says that it may be repeated.
    pub async fn eventually<T>(&self, attempt: impl AsyncFn(&Self) -> Result<T, Error>) -> T {
        let done = Mutex::new(None);
        until("a use case that succeeds", || async {
            match attempt(self).await {
                Ok(outcome) => drop(done.lock().replace(outcome)),
                Err(error) => assert!(is_retryable(&error), "{error:?}"),
            }
            done.lock().is_some()
        })
        .await;
        done.into_inner().unwrap()
    }

    /// Whether the loss of the connection has been noticed.
    pub async fn holds_are_down(&self) -> bool {
        self.holds.ping().await.is_err()
    }

    /// Whether a call does not lose its own answer any more, but is told that nobody can be connected to.
    pub async fn holds_are_refused(&self) -> bool {
        match self.holds.ping().await {
            Err(StoreError::Unavailable { source: Some(source), .. }) => {
                matches!(source.downcast_ref(), Some(bms_redis::Error::Unreachable { .. }))
            }
            _ => false,
        }
    }

    /// The seats that nobody can be shown wrongly.
    pub async fn map(&self) -> Arc<SeatMap> {
        self.service.seat_map_fresh(&show()).await.unwrap()
    }

    /// The orders of all users, as the durable store knows them.
    pub async fn all_orders(&self) -> Vec<Order> {
        let mut all = Vec::new();
        for user in USERS {
            all.extend(self.orders.list(&sample::user(user), None, 100).await.unwrap());
        }
        all
    }

    /// What must hold at any time, whatever was lost, if the hold store was told of every sale; asks for the map, which
    /// restores what was lost. `payments` are all that succeeded.
    pub async fn check(&self, server: &Server, payments: &[String]) -> Kept {
        let map = self.check_map(server, payments).await;
        let kept = audit(server, PREFIX, &show()).expect("the show is primed");
        let (held, sold): (BTreeSet<u32>, BTreeSet<u32>) = (map.held.iter().collect(), map.unavailable.iter().collect());
        assert_eq!((&kept.held, &kept.sold), (&held, &sold), "what is kept, and the map");
        kept
    }

    /// The same when the hold store may not have been told of a sale yet.
    pub async fn check_map(&self, server: &Server, payments: &[String]) -> Arc<SeatMap> {
        let orders = self.all_orders().await;
        let mut sold = BTreeSet::new();
        for order in orders.iter().filter(|order| order.state.is_confirmed()) {
            assert!(order.seats.indices().iter().all(|seat| sold.insert(seat)), "P1: a seat is in two confirmed orders");
        }
        let due = self.orders.refunds_due(None, 1_000).await.unwrap();
        for payment in payments {
            let pays =
                |order: &&Order| matches!(&order.state, OrderState::Confirmed { payment: by, .. } if by.as_str() == payment);
            let counted = orders.iter().filter(pays).count();
            let owed = due.iter().filter(|refund| refund.reference.as_str() == payment).count();
            assert_eq!(counted + owed, 1, "P4: {payment} is counted {counted} times, and to be given back {owed} times");
        }

        audit(server, PREFIX, &show());
        let map = self.map().await;
        let shown: BTreeSet<u32> = map.unavailable.iter().collect();
        assert_eq!(shown, sold, "P12, P5: the seats that are shown sold, and those that are");
        let waiting = orders
            .iter()
            .filter(|order| order.state.is_pending())
            .flat_map(|order| order.seats.indices().iter().collect::<Vec<_>>());
        for seat in waiting {
            assert!(map.held.contains(seat), "P8: seat {seat} of a pending order is shown free");
        }
        assert_eq!(map.available() + map.held.count() + map.unavailable.count(), self.seats, "every seat is somewhere");
        map
    }
}

/// The show.
pub fn show() -> ShowId {
    sample::show("gala")
}

/// The hold of a seed.
pub fn hold_id(seed: u32) -> HoldId {
    hold_of(&show(), seed)
}

/// The hold of a seed, in any show.
pub fn hold_of(show: &ShowId, seed: u32) -> HoldId {
    HoldId::of(show, sample::uuid(seed))
}

/// What a caller may repeat: nothing has happened, or it is not known.
pub fn is_retryable(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. } | Error::OutcomeUnknown { .. })
}

/// The seats that an error names.
pub fn seats_in_the_way(error: Error) -> Vec<SeatId> {
    match error {
        Error::SeatsUnavailable(seats) => seats,
        other => panic!("expected the seats in the way, saw {other:?}"),
    }
}

/// A user who asks.
pub fn caller(user: &str) -> Caller {
    Caller::user(sample::user(user))
}

/// An administrator.
pub fn admin() -> Caller {
    Caller::admin(sample::user("root"))
}

/// Seats by name.
pub fn names(seats: &[u32]) -> Vec<SeatId> {
    seats.iter().map(|seat| sample::seat_name(*seat)).collect()
}
