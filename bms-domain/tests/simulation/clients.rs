//! Users: they look, hold, order, pay, give up, come back, and repeat what they got no answer to, at any process.

use std::sync::Arc;

use bms_domain::BookingService;
use bms_domain::error::Error;
use bms_domain::hold::HoldState;
use bms_domain::id::{Caller, HoldId, OrderId, UserId};
use bms_domain::order::{Order, OrderState};
use bms_domain::payment::{PaymentReference, PaymentStatus};
use bms_domain::service::Payment;
use bms_domain::store::IdempotencyKey;
use bms_domain::testing::sample;
use fastrand::Rng;
use uuid::Uuid;

use crate::auditor::Promise;
use crate::bank::Course;
use crate::flaws::Flaw;
use crate::keyed::under_key;
use crate::random::{once_in, pause_ms, stream};
use crate::sometimes::Sometimes;
use crate::world::{World, show};

/// How often a request is repeated.
const TRIES: usize = 6;

/// The longest that somebody thinks before his next step: longer than an order waits.
const LONGEST_THOUGHT_MS: u64 = 7 * 60_000;

/// Within so long everybody has come for the first time.
const FIRST_RUSH_MS: u64 = 30_000;

/// The longest that a payment is under way.
const LONGEST_PAYMENT_MS: u64 = 60 * 60_000;

/// Somebody who wants seats.
pub(crate) struct User {
    world: Arc<World>,
    number: usize,
    id: UserId,
    /// Waits for every answer, and never gives up.
    is_patient: bool,
    random: Rng,
}

pub(crate) fn user_id(number: usize) -> UserId {
    sample::user(&format!("user-{number}"))
}

impl User {
    pub(crate) fn new(world: Arc<World>, number: usize) -> Self {
        let random = stream(world.plan.seed, "user", number as u64);
        Self { world, number, id: user_id(number), is_patient: false, random }
    }

    fn caller(&self) -> Caller {
        Caller::user(self.id.clone())
    }

    pub(crate) async fn live(mut self) {
        for visit in 0..self.world.plan.visits {
            // They all come when the sale begins.
            let longest = if visit == 0 { FIRST_RUSH_MS } else { LONGEST_THOUGHT_MS };
            let ms = pause_ms(&mut self.random, longest);
            self.world.sim.pause(ms).await;
            self.visit().await;
        }
    }

    async fn think(&mut self) {
        let ms = pause_ms(&mut self.random, LONGEST_THOUGHT_MS);
        self.world.sim.pause(ms).await;
    }

    async fn visit(&mut self) {
        let free = self.look().await;
        let wanted = self.choose(&free);
        let Some(hold) = self.hold(wanted).await else { return };
        self.meddle(hold, None).await;
        self.think().await;
        match self.random.u32(..12) {
            0 => return self.release(hold).await,
            1 => return,
            _ => {}
        }
        // The second time with another card.
        for _ in 0..2 {
            let Some(order) = self.order(hold).await else { return };
            self.meddle(hold, Some(order.id)).await;
            self.think().await;
            match self.random.u32(..12) {
                0 => return self.release(hold).await,
                1 => return,
                2 | 3 => self.give_up(order.id).await,
                _ if self.pay(&order).await => return,
                _ => {}
            }
            self.think().await;
        }
    }

    /// Asks until there is a definite answer, each time any process. Impatient people ask again while the first is at it.
    async fn insist<T, Answer>(
        &mut self,
        what: &'static str,
        request: impl Fn(BookingService) -> Answer,
    ) -> Option<Result<T, Error>>
    where
        T: Send + 'static,
        Answer: Future<Output = Result<T, Error>> + Send + 'static,
    {
        for _ in 0..TRIES {
            let process = self.random.usize(..self.world.processes.len());
            let patience = if self.is_patient { 120_000 } else { [50, 2_000, 30_000, 30_000][self.random.usize(..4)] };
            match self.world.ask(process, what, patience, &request).await {
                Some(Ok(answer)) => return Some(Ok(answer)),
                Some(Err(error)) => {
                    self.world.note(format_args!("user {} is told: {error}", self.number));
                    if let Error::Internal(bug) = &error {
                        self.world.audit(|auditor| auditor.breaks(Promise::BoundedWaits, format!("{what}: a bug: {bug}")));
                    }
                    if !matches!(error, Error::Unavailable { .. } | Error::OutcomeUnknown { .. }) {
                        return Some(Err(error));
                    }
                }
                None => {}
            }
            if !self.is_patient && once_in(&mut self.random, 12) {
                return None;
            }
            let wait_ms = pause_ms(&mut self.random, 2 * 60_000);
            self.world.sim.pause(wait_ms).await;
        }
        None
    }

    /// Looks at the map. Says which seats are free.
    async fn look(&mut self) -> Vec<u32> {
        let (world, fresh) = (self.world.clone(), self.random.bool());
        let kept_is_fresh = world.plan.has(Flaw::KeptMapIsFresh);
        let process = self.random.usize(..world.processes.len());
        let began = world.sim.now();
        let known = world.audit(|auditor| auditor.sold_seats());
        let read = move |service: BookingService| async move {
            let kept = service.seat_map_reads().from_cache;
            let map =
                if fresh && !kept_is_fresh { service.seat_map_fresh(&show()).await } else { service.seat_map(&show()).await };
            map.map(|map| (map, !fresh && service.seat_map_reads().from_cache > kept))
        };
        let what = if fresh { "read the map" } else { "show the map" };
        let Some(Ok((map, is_kept))) = world.ask(process, what, 30_000, read).await else { return Vec::new() };
        if is_kept {
            world.count(Sometimes::MapKept);
        }
        let steady_ms = world.processes[process].steady_for(world.sim.now());
        let free = |seat: &u32| !map.unavailable.contains(*seat);
        world.audit(|auditor| auditor.saw_map(&known, began, fresh, steady_ms, &map));
        (0..world.plan.seats).filter(free).filter(|seat| !map.held.contains(*seat)).collect()
    }

    /// One to three seats, free ones if there are, but some try their luck with others.
    fn choose(&mut self, free: &[u32]) -> Vec<u32> {
        let seats = self.world.plan.seats;
        let count = self.random.u32(1..=3.min(seats)) as usize;
        let mut from: Vec<u32> =
            if free.is_empty() || once_in(&mut self.random, 4) { (0..seats).collect() } else { free.to_vec() };
        self.random.shuffle(&mut from);
        from.truncate(count);
        from
    }

    /// Holds seats: with a seed of his own, or under a key that finds the seed.
    async fn hold(&mut self, wanted: Vec<u32>) -> Option<HoldId> {
        let names: Vec<_> = wanted.iter().map(|seat| sample::seat_name(*seat)).collect();
        let (caller, seed) =
            (self.caller(), Uuid::from_u128(u128::from(self.random.u64(..)) << 64 | u128::from(self.random.u64(..))));
        if once_in(&mut self.random, 3) {
            let key = IdempotencyKey::new(self.id.clone(), &seed.simple().to_string()).unwrap();
            let tries = if self.world.plan.has(Flaw::TriedOnAndOn) { 100 } else { 1 };
            let place = |service: BookingService| under_key(service, caller.clone(), names.clone(), key.clone(), tries);
            let held = self.insist("hold under a key", place).await?.ok()?;
            self.world.audit(|auditor| auditor.told_of_key(&key, held));
            return Some(held);
        }
        let place = |service: BookingService| {
            let (caller, names) = (caller.clone(), names.clone());
            async move { service.place_hold(&caller, &show(), &names, seed).await }
        };
        let placed = self.insist("hold", place).await?.ok()?;
        let id = placed.hold.id;
        let same = id == HoldId::of(&show(), seed) && placed.hold.seats.iter().eq(sorted(&wanted));
        self.world.audit(|auditor| auditor.expect(same, Promise::SafeRetries, || format!("seed {seed} placed hold {id}")));
        matches!(placed.hold.state, HoldState::Held { .. }).then_some(id)
    }

    async fn release(&mut self, hold: HoldId) {
        let caller = self.caller();
        let release = |service: BookingService| {
            let caller = caller.clone();
            async move { service.release_hold(&caller, hold).await }
        };
        if let Some(Ok(released)) = self.insist("release", release).await {
            let free = !released.hold.state.is_live();
            self.world.audit(|auditor| {
                auditor.expect(free, Promise::LegalMovesOnly, || format!("hold {hold} was released and is held"))
            });
        }
    }

    async fn order(&mut self, hold: HoldId) -> Option<Order> {
        let caller = self.caller();
        let order = |service: BookingService| {
            let caller = caller.clone();
            async move { service.create_order(&caller, hold, sample::customer()).await }
        };
        let placed = self.insist("order", order).await?.ok()?;
        self.world.audit(|auditor| auditor.told_of_order(hold, &placed));
        self.world.told_of_refund(&placed.order);
        Some(placed.order)
    }

    async fn give_up(&mut self, order: OrderId) {
        let caller = self.caller();
        let give_up = |service: BookingService| {
            let caller = caller.clone();
            async move { service.give_up_order(&caller, order).await }
        };
        match self.insist("give an order up", give_up).await {
            Some(Ok(order)) => self.world.told_of_refund(&order),
            Some(Err(error)) => self.world.told_of_refund_by(&error),
            None => {}
        }
    }

    /// Pays, and asks whether it is paid. Whether he is done with it.
    async fn pay(&mut self, order: &Order) -> bool {
        let later = self.random.u64(..LONGEST_PAYMENT_MS);
        let soon = pause_ms(&mut self.random, LONGEST_THOUGHT_MS);
        let (amount, course) = match self.random.u32(..20) {
            0 | 1 => (order.price, Course::AtOnce(PaymentStatus::Failed)),
            2 => (sample::euro(1), Course::AtOnce(PaymentStatus::Succeeded)),
            3 | 4 => (order.price, Course::Later(PaymentStatus::Succeeded, later)),
            5 | 6 => (order.price, Course::Later(PaymentStatus::Succeeded, soon)),
            7 => (order.price, Course::Later(PaymentStatus::Failed, soon)),
            _ => (order.price, Course::AtOnce(PaymentStatus::Succeeded)),
        };
        let reference = self.world.pay(order.id, amount, course);
        if once_in(&mut self.random, 8) {
            // A double click.
            self.world.pay(order.id, order.price, Course::AtOnce(PaymentStatus::Succeeded));
        }
        if once_in(&mut self.random, 6) {
            // He closes the window: the notice will do.
            return true;
        }
        let paid = self.confirm(order.id, &reference).await;
        self.meddle(order.hold, Some(order.id)).await;
        if paid && once_in(&mut self.random, 8) {
            self.think().await;
            self.give_up(order.id).await;
        }
        paid
    }

    /// Whether he need not pay again.
    async fn confirm(&mut self, order: OrderId, reference: &PaymentReference) -> bool {
        let caller = self.caller();
        let confirm = |service: BookingService| {
            let (caller, reference) = (caller.clone(), reference.clone());
            async move { service.confirm_order(&caller, order, &reference).await }
        };
        let told = self.insist("confirm", confirm).await;
        match &told {
            Some(Ok(Payment::Confirmed(order) | Payment::Pending(order))) => self.world.told_of_refund(order),
            Some(Err(error)) => self.world.told_of_refund_by(error),
            None => {}
        }
        match told {
            Some(Ok(Payment::Confirmed(order))) => {
                self.world.audit(|auditor| auditor.told_confirmed(&order));
                true
            }
            Some(Err(Error::PaymentDeclined(_))) => false,
            Some(Err(Error::OrderExpired(order) | Error::OrderNotPending(order))) => {
                order.state.is_confirmed() || order.refund_due
            }
            Some(Ok(Payment::Pending(_)) | Err(_)) | None => true,
        }
    }

    /// Tries to see and to change what is another's.
    async fn meddle(&mut self, hold: HoldId, order: Option<OrderId>) {
        if !once_in(&mut self.random, 6) {
            return;
        }
        let stranger = Caller::user(user_id(self.number + 1_000));
        let what = self.random.u32(..6);
        let process = self.random.usize(..self.world.processes.len());
        let reference = sample::reference("pay-0");
        let meddle = move |service: BookingService| async move {
            match (what, order) {
                (0, Some(order)) => service.order(&stranger, order).await.map(drop),
                (1, Some(order)) => service.give_up_order(&stranger, order).await.map(drop),
                (2, Some(order)) => service.confirm_order(&stranger, order, &reference).await.map(drop),
                (3, _) => service.create_order(&stranger, hold, sample::customer()).await.map(drop),
                (4, _) => service.hold(&stranger, hold).await.map(drop),
                _ => service.release_hold(&stranger, hold).await.map(drop),
            }
        };
        let answer = self.world.ask(process, "tell a stranger", 30_000, meddle).await;
        match answer {
            None | Some(Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. })) => {}
            Some(Err(Error::NotFound(_))) => self.world.count(Sometimes::StrangerRefused),
            Some(told) => self.world.audit(|auditor| {
                auditor.breaks(Promise::OnlyTheOwner, format!("a stranger to hold {hold} and order {order:?} is told {told:?}"));
            }),
        }
    }

    /// Buys all that is left, at the end. Says which order, and how it went.
    pub(crate) async fn buy(&mut self, seats: Vec<u32>) -> Result<Order, String> {
        self.is_patient = true;
        let hold = self.hold(seats.clone()).await.ok_or_else(|| format!("seats {seats:?} cannot be held"))?;
        let order = self.order(hold).await.ok_or_else(|| format!("seats {seats:?} cannot be ordered"))?;
        let reference = self.world.pay(order.id, order.price, Course::AtOnce(PaymentStatus::Succeeded));
        self.confirm(order.id, &reference).await;
        let caller = self.caller();
        let read = |service: BookingService| {
            let caller = caller.clone();
            async move { service.order(&caller, order.id).await }
        };
        match self.insist("read an order", read).await {
            Some(Ok(order)) if matches!(order.state, OrderState::Confirmed { .. }) => Ok(order),
            other => Err(format!("seats {seats:?} were paid, and yet: {other:?}")),
        }
    }
}

fn sorted(seats: &[u32]) -> std::vec::IntoIter<u32> {
    let mut seats = seats.to_vec();
    seats.sort_unstable();
    seats.into_iter()
}
