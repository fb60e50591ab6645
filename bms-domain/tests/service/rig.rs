//! A service on embedded stores whose every call can be made to fail, with time and ids as arguments.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::error::Error;
use bms_domain::id::{Caller, HoldId, OrderId, SeatId, ShowId};
use bms_domain::memory::{MemoryCatalogue, MemoryHolds, MemoryIdempotency, MemoryOrders};
use bms_domain::money::Money;
use bms_domain::order::{Order, OrderState};
use bms_domain::payment::{GatewayError, PaymentGateway, PaymentReference, PaymentStatus};
use bms_domain::service::{BookedHold, BookingService, Builder, Payment, Ports, SeatMap};
use bms_domain::store::{CatalogueStore, HoldStore, OrderStore};
use bms_domain::testing::{Faults, Faulty, Hook, ManualClock, SeededIds, sample};
use parking_lot::Mutex;

pub(crate) const SEATS: u32 = 20;
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// A payment provider that knows what it was told.
#[derive(Default)]
pub(crate) struct Bank(Mutex<BTreeMap<PaymentReference, (OrderId, PaymentStatus, Money)>>);

impl Bank {
    pub(crate) fn pays(&self, payment: &str, order: &Order, status: PaymentStatus) {
        self.0.lock().insert(sample::reference(payment), (order.id, status, order.price));
    }

    pub(crate) fn forgets(&self, payment: &str) {
        self.0.lock().remove(&sample::reference(payment));
    }

    pub(crate) fn takes(&self, payment: &str, order: &Order, amount: Money) {
        self.0.lock().insert(sample::reference(payment), (order.id, PaymentStatus::Succeeded, amount));
    }
}

#[async_trait]
impl PaymentGateway for Bank {
    async fn verify(&self, order: &Order, reference: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError> {
        match self.0.lock().get(reference) {
            Some((paid, status, amount)) if *paid == order.id => Ok((*status, *amount)),
            _ => Err(GatewayError::NotThisOrders),
        }
    }
}

pub(crate) struct Rig {
    pub(crate) clock: ManualClock,
    pub(crate) faults: Faults,
    pub(crate) holds: Arc<Faulty<dyn HoldStore>>,
    pub(crate) orders: Arc<MemoryOrders>,
    pub(crate) bank: Arc<Bank>,
    pub(crate) service: BookingService,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::built(|builder| builder).await
    }

    pub(crate) async fn built(change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::on(ManualClock::new(), change).await
    }

    pub(crate) async fn on(clock: ManualClock, change: impl FnOnce(Builder) -> Builder) -> Self {
        let faults = Faults::new();
        let inner: Arc<dyn HoldStore> = Arc::new(MemoryHolds::new(Arc::new(clock.clone())));
        let holds = Arc::new(Faulty::new(inner, faults.clone()));
        let orders = Arc::new(MemoryOrders::new(Arc::new(clock.clone())));
        let faulty_orders = Arc::new(Faulty::new(orders.clone(), faults.clone()));
        let catalogue = MemoryCatalogue::new();
        catalogue.write(&sample::catalogue("gala", SEATS, bms_domain::time::Clock::now(&clock))).await.unwrap();
        let bank = Arc::new(Bank::default());
        let keys = Arc::new(MemoryIdempotency::new(Arc::new(clock.clone())));
        let ports = Ports {
            holds: holds.clone(),
            orders: faulty_orders.clone(),
            outbox: faulty_orders,
            catalogue: Arc::new(Faulty::new(Arc::new(catalogue), faults.clone())),
            idempotency: Arc::new(Faulty::new(keys, faults.clone())),
            gateway: Arc::new(Faulty::new(bank.clone(), faults.clone())),
        };
        let ids = Arc::new(SeededIds::new(7, clock.clone()));
        let builder = BookingService::builder(ports).clock(Arc::new(clock.clone())).ids(ids);
        let service = change(builder).build().unwrap();
        Self { clock, faults, holds, orders, bank, service }
    }

    /// The hold store loses everything.
    pub(crate) fn forget(&self) -> Hook {
        let (holds, clock) = (self.holds.clone(), self.clock.clone());
        Hook::new(move || holds.replace(Arc::new(MemoryHolds::new(Arc::new(clock.clone())))))
    }

    pub(crate) fn forget_now(&self) {
        self.holds.replace(Arc::new(MemoryHolds::new(Arc::new(self.clock.clone()))));
    }

    /// The hold of a seed.
    pub(crate) fn hold_id(seed: u32) -> HoldId {
        HoldId::of(&show(), sample::uuid(seed))
    }

    pub(crate) async fn place(&self, user: &str, seats: &[u32], seed: u32) -> Result<BookedHold, Error> {
        self.service.place_hold(&user_of(user), &show(), &names(seats), sample::uuid(seed)).await
    }

    pub(crate) async fn order(&self, user: &str, seed: u32) -> Result<Order, Error> {
        let placed = self.service.create_order(&user_of(user), Self::hold_id(seed), sample::customer()).await;
        placed.map(|placed| placed.order)
    }

    /// The order of a hold, as the durable store knows it.
    pub(crate) async fn order_of(&self, seed: u32) -> Option<Order> {
        self.orders.by_holds(&[Self::hold_id(seed)]).await.unwrap().pop().flatten()
    }

    pub(crate) async fn confirm(&self, user: &str, order: OrderId, payment: &str) -> Result<Payment, Error> {
        self.service.confirm_order(&user_of(user), order, &sample::reference(payment)).await
    }

    /// A hold and its order.
    pub(crate) async fn ordered(&self, user: &str, seats: &[u32], seed: u32) -> Order {
        self.place(user, seats, seed).await.unwrap();
        self.order(user, seed).await.unwrap()
    }

    /// A hold, its order and the payment, `pay-<seed>`.
    pub(crate) async fn bought(&self, user: &str, seats: &[u32], seed: u32) -> Order {
        let order = self.ordered(user, seats, seed).await;
        self.bank.pays(&format!("pay-{seed}"), &order, PaymentStatus::Succeeded);
        match self.confirm(user, order.id, &format!("pay-{seed}")).await.unwrap() {
            Payment::Confirmed(order) => order,
            other @ Payment::Pending(_) => panic!("expected CONFIRMED, saw {other:?}"),
        }
    }

    pub(crate) async fn map(&self) -> Arc<SeatMap> {
        self.service.seat_map_fresh(&show()).await.unwrap()
    }

    /// The seats that are sold, by the durable store.
    pub(crate) async fn sold(&self) -> Vec<u32> {
        self.orders.sold(&show(), SEATS).await.unwrap().iter().collect()
    }

    /// What must hold at any time, whatever failed.
    pub(crate) async fn check(&self, payments: &[&str]) {
        let mut orders = Vec::new();
        for user in ["ann", "bob", "cid"] {
            orders.extend(self.orders.list(&sample::user(user), None, 100).await.unwrap());
        }
        let confirmed: Vec<&Order> = orders.iter().filter(|order| order.state.is_confirmed()).collect();
        let mut owned: Vec<u32> = confirmed.iter().flat_map(|order| order.seats.indices().iter().collect::<Vec<_>>()).collect();
        owned.sort_unstable();
        let unique = owned.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(unique, "P1: a seat is owned twice: {owned:?}");
        assert_eq!(self.sold().await, owned, "P1: the sold seats are those of confirmed orders");
        let due = self.orders.refunds_due(None, 100).await.unwrap();
        for payment in payments {
            let counted = confirmed
                .iter()
                .any(|order| matches!(&order.state, OrderState::Confirmed { payment: paid, .. } if paid.as_str() == *payment));
            let owed = due.iter().filter(|refund| refund.reference.as_str() == *payment).count();
            assert!(usize::from(counted) + owed == 1, "P4: {payment} is counted: {counted}, to be given back: {owed} times");
        }
        let kept = self.service.seat_map(&show()).await.unwrap();
        assert!(owned.iter().all(|seat| kept.unavailable.contains(*seat)), "P12: a sold seat is shown free from the cache");
        let map = self.map().await;
        assert!(owned.iter().all(|seat| map.unavailable.contains(*seat)), "P12: a sold seat is shown free");
        assert!(map.held.iter().all(|seat| !map.unavailable.contains(seat)), "a seat is held and sold");
        assert_eq!(map.available() + map.held.count() + map.unavailable.count(), SEATS);
    }
}

pub(crate) fn show() -> ShowId {
    sample::show("gala")
}

pub(crate) fn user_of(user: &str) -> Caller {
    Caller::user(sample::user(user))
}

pub(crate) fn admin() -> Caller {
    Caller::admin(sample::user("root"))
}

pub(crate) fn names(seats: &[u32]) -> Vec<SeatId> {
    seats.iter().map(|seat| sample::seat_name(*seat)).collect()
}
