//! Box offices that sell through Redis: the hold store under test, and embedded stores for what must be durable.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test file uses a part of it; a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bms_domain::error::Error;
use bms_domain::hold::Hold;
use bms_domain::id::{Caller, HoldId, SeatId, ShowId};
use bms_domain::memory::{MemoryCatalogue, MemoryIdempotency, MemoryOrders, SandboxGateway};
use bms_domain::order::Order;
use bms_domain::seat::SeatIndex;
use bms_domain::service::{BookedHold, BookingService, Payment, Ports};
use bms_domain::store::{CatalogueStore, Counts, HoldStore, Occupancy, OccupancyRead, OrderStore, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::Clock;
use bms_redis::{Redis, RedisConfig, RedisHolds};

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

/// A service of one process, with its stores.
#[derive(Clone)]
pub struct Office {
    pub service: BookingService,
    pub holds: RedisHolds,
    pub orders: Arc<MemoryOrders>,
    pub clock: ManualClock,
}

impl Office {
    /// An office that sells these shows.
    pub async fn open(url: &str, shows: &[ShowId]) -> Self {
        let clock = ManualClock::new();
        let redis = Redis::connect(RedisConfig::new(url).unwrap().deadline(DEADLINE).unwrap()).await.unwrap();
        let holds = RedisHolds::new(redis).with_clock(Arc::new(clock.clone()));
        let orders = Arc::new(MemoryOrders::new(Arc::new(clock.clone())));
        let catalogue = MemoryCatalogue::new();
        let mut on_sale = sample::catalogue("unused", SEATS, clock.now());
        let (layout, start) = (on_sale.layouts[0].id(), on_sale.shows[0].start_time);
        on_sale.shows = shows.iter().map(|show| sample::listed_show(show.as_str(), "film", "odeon", layout, start)).collect();
        catalogue.write(&on_sale).await.unwrap();
        let ports = Ports {
            holds: Arc::new(holds.clone()),
            orders: orders.clone(),
            outbox: orders.clone(),
            catalogue: Arc::new(catalogue),
            idempotency: Arc::new(MemoryIdempotency::new(Arc::new(clock.clone()))),
            gateway: Arc::new(SandboxGateway),
        };
        let service = BookingService::builder(ports).clock(Arc::new(clock.clone())).build().unwrap();
        Self { service, holds, orders, clock }
    }

    pub async fn place(&self, show: &ShowId, user: &str, seats: &[SeatIndex], seed: u32) -> Result<BookedHold, Error> {
        let names: Vec<SeatId> = seats.iter().map(|seat| sample::seat_name(*seat)).collect();
        self.service.place_hold(&caller(user), show, &names, sample::uuid(seed)).await
    }

    pub async fn order(&self, user: &str, hold: HoldId) -> Result<Order, Error> {
        self.service.create_order(&caller(user), hold, sample::customer()).await.map(|placed| placed.order)
    }

    /// Pays an order; the payment is `pay_ok_<user>`.
    pub async fn pay(&self, user: &str, order: &Order) -> Result<Order, Error> {
        let reference = sample::reference(&format!("pay_ok_{user}"));
        match self.service.confirm_order(&caller(user), order.id, &reference).await? {
            Payment::Confirmed(order) => Ok(order),
            Payment::Pending(order) => panic!("a payment that is done is told as pending: {order:?}"),
        }
    }

    pub async fn occupancy(&self, show: &ShowId) -> Occupancy {
        match self.holds.occupancy(show).await.unwrap() {
            OccupancyRead::Known(known) => known,
            OccupancyRead::NotPrimed(_) => panic!("{show} is not primed"),
        }
    }

    /// The live holds among these.
    pub async fn live(&self, ids: &[HoldId]) -> Vec<Hold> {
        self.holds.get(ids).await.unwrap().into_iter().flatten().filter(|hold| hold.state.is_live()).collect()
    }

    /// Fails unless the marks of a show's seats are those of its live holds, which are all among `ids`, no seat is held
    /// twice, and the counts agree.
    pub async fn audit_holds(&self, show: &ShowId, ids: &[HoldId]) {
        let known = self.occupancy(show).await;
        let live = self.live(ids).await;
        let mut held: Vec<SeatIndex> = live.iter().filter(|hold| hold.show == *show).flat_map(|hold| hold.seats.iter()).collect();
        held.sort_unstable();
        assert_eq!(held, known.held.iter().collect::<Vec<_>>(), "{show}: the marks are those of the live holds (P2)");
        let counts = Counts { held: known.held.count(), sold: known.sold.count() };
        assert_eq!(self.holds.counts(&[*show]).await.unwrap(), [Some(counts)]);
    }

    /// Fails unless each seat of a show was sold once (P1), and the hold store, once it was told, knows all that were (P12).
    pub async fn audit_sales(&self, show: &ShowId, confirmed: &[Order]) {
        let confirmed = confirmed.iter().filter(|order| order.show == *show);
        let mut owned: Vec<SeatIndex> = confirmed.flat_map(|order| order.seats.indices().iter().collect::<Vec<_>>()).collect();
        owned.sort_unstable();
        let sold: Vec<SeatIndex> = self.orders.sold(show, SEATS).await.unwrap().iter().collect();
        assert_eq!(sold, owned, "{show}: P1, each seat that was sold was sold once");
        let map = self.service.seat_map_fresh(show).await.unwrap();
        assert_eq!(map.unavailable.iter().collect::<Vec<_>>(), owned, "{show}: P12");
        self.service.reconcile(show).await.unwrap();
        assert_eq!(self.occupancy(show).await.sold.iter().collect::<Vec<_>>(), owned, "{show}: P10");
    }

    /// Repeats a use case for as long as it says that it may be repeated.
    pub async fn eventually<T>(&self, attempt: impl AsyncFn(&Self) -> Result<T, Error>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            match attempt(self).await {
                Ok(done) => return done,
                Err(error) if is_retryable(&error) && Instant::now() < end => {}
                Err(error) => panic!("{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub fn caller(user: &str) -> Caller {
    Caller::user(sample::user(user))
}

pub fn hold_id(show: &ShowId, seed: u32) -> HoldId {
    HoldId::of(show, sample::uuid(seed))
}

/// What a caller may repeat: nothing has happened, or it is not known.
pub fn is_retryable(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. } | Error::OutcomeUnknown { .. })
}

pub fn is_clean(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. })
}

/// The seats that an error names.
pub fn seats_in_the_way(error: Error) -> BTreeSet<SeatId> {
    match error {
        Error::SeatsUnavailable(seats) => seats.into_iter().collect(),
        other => panic!("expected the seats in the way, saw {other:?}"),
    }
}

pub fn names(seats: &[SeatIndex]) -> BTreeSet<SeatId> {
    seats.iter().map(|seat| sample::seat_name(*seat)).collect()
}
