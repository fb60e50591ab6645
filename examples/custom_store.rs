//! A hold store of one's own: what the port asks for, written as plainly as it can be, and proven with the same suite as
//! every other store. `cargo run --example custom_store`
//!
//! [`HoldStore`] has fourteen methods. Where they touch a show they do the same three things in one atomic step: tell the
//! time by the store's own clock, end the holds whose time is over, then do what was asked. Here one lock makes the step
//! atomic; over a database it is a transaction or a script. `PlainHolds::enter` is that step. In the order of the port:
//!
//! 1. `place` tells a request that came before of the hold it made; grants nothing while nobody has said what is sold;
//!    keeps the limits; names every seat in the way; else holds all of the seats.
//! 2. `get` tells of holds that ended, too.
//! 3. `release`, `begin_checkout`, `end_checkout` and `give_back` ask [`hold::apply`] what becomes of the hold; it is the whole
//!    table of states. To a stranger the hold is not there.
//! 4. `mark_sold` and `mark_free` follow the order store, which decides: they never refuse, and may come twice.
//! 5. `restore` takes in what the order store knows. That was read a while ago, so it comes with the [`Fence`] that was
//!    given out before: if something sold was freed since, or sold to another, it is refused, and if anything changed, it adds
//!    what is sold and no more.
//! 6. `occupancy`, `counts` and `changes` show a seat as held or sold, never both, with a version that grows with
//!    every change. Whoever follows the changes has the occupancy.
//!    `newest` is for caches: the version that is known without asking. A store that is not told of changes leaves it out.
//! 7. `sweep` tidies up; nothing depends on it. `ping` is for readiness.
//!
//! A service is put together on it with `Ports { holds: Arc::new(PlainHolds::new(clock)), ..ports }`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::hold::{self, Hold, HoldCommand, HoldLife, HoldState};
use bms_domain::id::{Caller, HoldId, LayoutId, OrderId, ShowId, UserId};
use bms_domain::seat::{SeatBits, SeatIndex, SeatSet};
use bms_domain::store::{
    Changes, Checkout, Counts, Fence, HoldChange, HoldStore, Occupancy, OccupancyChange, OccupancyRead, PlaceHold, Placed,
    Restored, ShowClaims, SoldSeats, StoreError,
};
use bms_domain::testing::{Backend, Fresh, ManualClock, conformance, sequences};
use bms_domain::time::{Clock, Timestamp};
use event_listener::Event;
use futures::executor::block_on;
use parking_lot::Mutex;

/// How long a hold that ended is kept, so that its owner is told how it ended.
const KEPT: Duration = Duration::from_hours(1);
/// How many changes of a show are kept for those who follow it.
const CHANGES_KEPT: usize = 1_000;
/// How many random sequences the store is proven with.
const SEQUENCES: u32 = 200;

/// A hold store in plain maps behind one lock. It keeps a show that was asked for until the process ends.
pub struct PlainHolds {
    clock: Arc<dyn Clock>,
    shows: Mutex<BTreeMap<ShowId, Show>>,
    /// Rings when the occupancy of any show has changed.
    bell: Event,
    /// True, but where it is shown what the suite says of a store that forgets it.
    checks_owner: bool,
}

/// All that is known of one show.
struct Show {
    id: ShowId,
    /// The seat plan and its number of seats, once the order store has told what is sold.
    plan: Option<(LayoutId, u32)>,
    /// Live holds and those that ended.
    holds: BTreeMap<HoldId, Hold>,
    /// Who owns each sold seat, and by which order.
    sold: BTreeMap<SeatIndex, (UserId, OrderId)>,
    /// Orders whose seats were freed: news of their sale that comes later is old.
    cancelled: BTreeSet<OrderId>,
    version: u64,
    /// How often claims that were read before went out of date.
    frees: u64,
    /// What came with each version, without a gap.
    log: BTreeMap<u64, OccupancyChange>,
}

/// Why a seat is not free.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Held,
    Sold,
}

impl PlainHolds {
    /// An empty store on a clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, shows: Mutex::default(), bell: Event::new(), checks_owner: true }
    }

    /// The atomic step: what is past its end has ended before the work looks.
    fn enter<R>(&self, id: &ShowId, work: impl FnOnce(&mut Show, Timestamp) -> R) -> R {
        let mut shows = self.shows.lock();
        let now = self.clock.now();
        let show = shows.entry(*id).or_insert_with(|| Show::new(*id, now));
        // Logged before the work looks: an answer's version is never behind the seats that it tells of.
        self.watch(show, |show| show.retire(now, usize::MAX));
        self.watch(show, |show| work(show, now))
    }

    /// Does the work, writes down what it changed and rings the bell.
    fn watch<R>(&self, show: &mut Show, work: impl FnOnce(&mut Show) -> R) -> R {
        let (plan, taken, version) = (show.plan, show.taken(), show.version);
        let answer = work(show);
        show.log_changes(plan, &taken);
        if show.version != version {
            self.bell.notify(usize::MAX);
        }
        answer
    }

    /// The show of a hold, which never changes: so it may be looked up before the step.
    fn show_of(&self, id: HoldId) -> Option<ShowId> {
        self.shows.lock().values().find(|show| show.holds.contains_key(&id)).map(|show| show.id)
    }

    /// Gives a command to a hold. The owner is checked inside the step.
    fn command(&self, id: HoldId, by: Option<&Caller>, command: HoldCommand) -> HoldChange {
        let Some(show) = self.show_of(id) else { return HoldChange::NotFound };
        self.enter(&show, |show, now| match (by, show.holds.get(&id)) {
            (Some(by), Some(hold)) if self.checks_owner && !by.may_touch(&hold.owner) => HoldChange::NotFound,
            _ => show.command(id, command, now),
        })
    }
}

impl Show {
    /// Nothing is known yet. The version starts at the clock's microseconds, and so does the count of frees: a store that
    /// has forgotten the show goes on above what it said before.
    fn new(id: ShowId, now: Timestamp) -> Self {
        let start = u64::try_from(now.as_millis()).unwrap_or(0).saturating_mul(1_000);
        let (holds, sold, log, cancelled) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { id, plan: None, holds, sold, cancelled, version: start, frees: start, log }
    }

    fn fence(&self) -> Fence {
        Fence { frees: self.frees, version: self.version }
    }

    fn live(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values().filter(|hold| hold.state.is_live())
    }

    /// Every seat that is not free. That a seat is sold goes before that it is held.
    fn taken(&self) -> BTreeMap<SeatIndex, Taken> {
        let held = self.live().flat_map(|hold| hold.seats.iter()).map(|seat| (seat, Taken::Held));
        held.chain(self.sold.keys().map(|seat| (*seat, Taken::Sold))).collect()
    }

    /// Holds and sold seats of a user together.
    fn seats_of(&self, user: &UserId) -> usize {
        let held: usize = self.live().filter(|hold| hold.owner == *user).map(|hold| hold.seats.len()).sum();
        held + self.sold.values().filter(|(owner, _)| owner == user).count()
    }

    fn command(&mut self, id: HoldId, command: HoldCommand, now: Timestamp) -> HoldChange {
        let Some(hold) = self.holds.get_mut(&id) else { return HoldChange::NotFound };
        match hold::apply(hold.state, hold.life, command, now) {
            Err(refusal) => HoldChange::Refused(hold.clone(), refusal),
            Ok(state) => {
                // Claims that were read before an order ended tell it pending still: they are out of date.
                let unlinks = matches!(command, HoldCommand::EndCheckout { .. }) && state != hold.state;
                self.frees += u64::from(unlinks);
                hold.state = state;
                HoldChange::Done(hold.clone())
            }
        }
    }

    /// Ends holds whose time is over, `limit` at most. Says how many.
    fn retire(&mut self, now: Timestamp, limit: usize) -> usize {
        let over = self.live().filter(|hold| !hold.state.at(now).is_live()).map(|hold| hold.id);
        let over: Vec<HoldId> = over.take(limit).collect();
        over.iter().for_each(|id| drop(self.command(*id, HoldCommand::Expire, now)));
        over.len()
    }

    /// Ends the live holds, but for one, that have one of the seats.
    fn cut_short(&mut self, seats: &SeatSet, except: HoldId, now: Timestamp) {
        let meets = |hold: &&Hold| hold.id != except && hold.seats.iter().any(|seat| seats.contains(seat));
        let hit: Vec<HoldId> = self.live().filter(meets).map(|hold| hold.id).collect();
        hit.iter().for_each(|id| drop(self.command(*id, HoldCommand::CutShort, now)));
    }

    fn place(&mut self, request: &PlaceHold, now: Timestamp) -> Result<Placed, StoreError> {
        if let Some(hold) = self.holds.get(&request.id) {
            let same = hold.owner == request.owner && hold.seats == request.seats;
            return Ok(if same { Placed::Existing(hold.clone()) } else { Placed::IdTaken });
        }
        let Some((_, seats)) = self.plan.filter(|(layout, _)| *layout == request.layout) else {
            return Ok(Placed::NotPrimed(self.fence()));
        };
        if request.seats.is_empty() || request.seats.iter().any(|seat| seat >= seats) {
            let detail = format!("hold {}: no seats, or seats that the plan does not have", request.id);
            return Err(StoreError::Broken { store: "plain", detail });
        }
        let (limits, wanted) = (request.limits, request.seats.len());
        if wanted > limits.per_hold as usize {
            return Ok(Placed::TooMany { limit: limits.per_hold });
        }
        let taken = self.taken();
        let in_the_way: SeatSet = request.seats.iter().filter(|seat| taken.contains_key(seat)).collect();
        if !in_the_way.is_empty() {
            return Ok(Placed::Taken(in_the_way));
        }
        if self.seats_of(&request.owner) + wanted > limits.per_user_and_show as usize {
            return Ok(Placed::TooMany { limit: limits.per_user_and_show });
        }
        let until = now.plus(request.ttl);
        let hold = Hold {
            id: request.id,
            show: self.id,
            layout: request.layout,
            owner: request.owner.clone(),
            seats: request.seats.clone(),
            price: request.price,
            life: HoldLife { created_at: now, own_end: until },
            state: HoldState::Held { until, order: None },
        };
        self.holds.insert(hold.id, hold.clone());
        Ok(Placed::Placed(hold))
    }

    /// Says how many seats were not marked before.
    fn mark_sold(&mut self, sold: &SoldSeats, now: Timestamp) -> usize {
        if self.cancelled.contains(&sold.order) {
            return 0;
        }
        self.cut_short(&sold.seats, sold.hold, now);
        self.command(sold.hold, HoldCommand::Consume { order: sold.order }, now);
        let mut added = 0;
        for seat in sold.seats.iter() {
            match self.sold.insert(seat, (sold.owner.clone(), sold.order)) {
                None => added += 1,
                // Claims that were read before would take the new mark for stray.
                Some((_, order)) => self.frees += u64::from(order != sold.order),
            }
        }
        added
    }

    fn mark_free(&mut self, sold: &SoldSeats) {
        // Counts even when nothing is marked: claims that were read before it may still tell the seats sold.
        self.frees += 1;
        self.cancelled.insert(sold.order);
        self.sold.retain(|seat, (_, order)| !(sold.seats.contains(*seat) && *order == sold.order));
    }

    fn restore(&mut self, claims: &ShowClaims, fence: Fence, now: Timestamp) -> Restored {
        if self.frees != fence.frees {
            return Restored::Stale(self.fence());
        }
        if self.plan.is_some_and(|(layout, _)| layout != claims.layout) {
            let live: Vec<HoldId> = self.live().map(|hold| hold.id).collect();
            live.iter().for_each(|id| drop(self.command(*id, HoldCommand::CutShort, now)));
            self.sold.clear();
        }
        let quiet = self.version == fence.version;
        // Old news of an order that has ended since would take seats from those who have them now.
        let brings_holds_back = quiet || self.plan.is_none();
        self.plan = Some((claims.layout, claims.seats));
        let before = self.sold.len();
        if quiet {
            self.sold.retain(|seat, _| claims.sold.iter().any(|sold| sold.seats.contains(*seat)));
        }
        let freed = before - self.sold.len();
        self.frees += u64::from(freed > 0);
        let added: usize = claims.sold.iter().map(|sold| self.mark_sold(sold, now)).sum();
        for pending in claims.pending.iter().filter(|_| brings_holds_back) {
            if pending.seats.iter().any(|seat| self.sold.contains_key(&seat)) {
                continue;
            }
            // A live hold is linked and prolonged; one that was forgotten, or ended too early, is made again.
            let until = claims.restored_until(pending, now);
            let (order, cover, longest_life) = (pending.order, until.since(now), Duration::MAX);
            let link = HoldCommand::BeginCheckout { order, cover, longest_life };
            let has_order = |hold: &Hold| matches!(hold.state, HoldState::Held { order: Some(_), .. });
            let meets = |hold: &Hold| hold.id != pending.hold && hold.seats.iter().any(|seat| pending.seats.contains(seat));
            if self.holds.get(&pending.hold).is_some_and(has_order) {
                continue;
            }
            if !matches!(self.command(pending.hold, link, now), HoldChange::Done(_)) {
                // Of a hold with an order that order may have been made since the claim was read: then the claim is over.
                if self.live().any(|hold| has_order(hold) && meets(hold)) {
                    continue;
                }
                self.cut_short(&pending.seats, pending.hold, now);
                let hold = Hold {
                    id: pending.hold,
                    show: self.id,
                    layout: claims.layout,
                    owner: pending.owner.clone(),
                    seats: pending.seats.clone(),
                    price: pending.price,
                    life: HoldLife { created_at: now, own_end: until },
                    state: HoldState::Held { until, order: Some(order) },
                };
                self.holds.insert(hold.id, hold);
            }
        }
        Restored::Done { added: u32::try_from(added).unwrap_or(u32::MAX), freed: u32::try_from(freed).unwrap_or(u32::MAX) }
    }

    fn occupancy(&self) -> OccupancyRead {
        let Some((layout, seats)) = self.plan else { return OccupancyRead::NotPrimed(self.fence()) };
        let (mut held, mut sold) = (SeatBits::new(seats), SeatBits::new(seats));
        for (seat, taken) in self.taken() {
            match taken {
                Taken::Held => held.insert(seat),
                Taken::Sold => sold.insert(seat),
            };
        }
        OccupancyRead::Known(Occupancy { version: self.version, layout, held, sold, fence: self.fence() })
    }

    /// Compares the show with what it was, and logs the difference under a new version.
    fn log_changes(&mut self, plan: Option<(LayoutId, u32)>, before: &BTreeMap<SeatIndex, Taken>) {
        let after = self.taken();
        let now = |how| after.iter().filter(move |(seat, is)| **is == how && before.get(seat) != Some(is)).map(|(seat, _)| *seat);
        let freed = before.keys().filter(|seat| !after.contains_key(seat)).copied().collect();
        let version = self.version + 1;
        let change = OccupancyChange { version, held: now(Taken::Held).collect(), sold: now(Taken::Sold).collect(), freed };
        if plan.is_some_and(|(old, _)| self.plan.is_some_and(|(new, _)| new != old)) {
            // Seats of another plan: who follows the changes must read the occupancy anew.
            self.log.clear();
            self.version = version;
        } else if after != *before {
            self.log.insert(version, change);
            self.version = version;
        }
        if self.log.len() > CHANGES_KEPT {
            self.log.pop_first();
        }
    }

    /// What came after a version; `None` while nothing has.
    fn changes(&self, after: u64) -> Option<Changes> {
        match after.checked_add(1).filter(|next| self.log.contains_key(next)) {
            _ if after == self.version => None,
            Some(next) => Some(Changes::Since(self.log.range(next..).map(|(_, change)| change.clone()).collect())),
            None => Some(Changes::Gap),
        }
    }

    /// Forgets holds that ended long ago.
    fn forget(&mut self, now: Timestamp) {
        self.holds.retain(|_, hold| match hold.state {
            HoldState::Held { .. } => true,
            HoldState::Released { at } | HoldState::Expired { at } | HoldState::Consumed { at, .. } => {
                !at.plus(KEPT).has_passed(now)
            }
        });
    }
}

#[async_trait]
impl HoldStore for PlainHolds {
    async fn place(&self, request: &PlaceHold) -> Result<Placed, StoreError> {
        self.enter(&request.show, |show, now| show.place(request, now))
    }

    async fn get(&self, ids: &[HoldId]) -> Result<Vec<Option<Hold>>, StoreError> {
        let find = |id: &HoldId| self.enter(&self.show_of(*id)?, |show, _| show.holds.get(id).cloned());
        Ok(ids.iter().map(find).collect())
    }

    async fn release(&self, id: HoldId, by: &Caller) -> Result<HoldChange, StoreError> {
        Ok(self.command(id, Some(by), HoldCommand::Release))
    }

    async fn begin_checkout(&self, id: HoldId, by: &Caller, checkout: &Checkout) -> Result<HoldChange, StoreError> {
        let Checkout { order, cover, longest_life } = *checkout;
        Ok(self.command(id, Some(by), HoldCommand::BeginCheckout { order, cover, longest_life }))
    }

    async fn end_checkout(&self, id: HoldId, order: OrderId) -> Result<HoldChange, StoreError> {
        Ok(self.command(id, None, HoldCommand::EndCheckout { order }))
    }

    async fn give_back(&self, id: HoldId, order: OrderId, until: Timestamp) -> Result<HoldChange, StoreError> {
        Ok(self.command(id, None, HoldCommand::GiveBack { order, until }))
    }

    async fn mark_sold(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        self.enter(&sold.show, |show, now| show.mark_sold(sold, now));
        Ok(())
    }

    async fn mark_free(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        self.enter(&sold.show, |show, _| show.mark_free(sold));
        Ok(())
    }

    async fn restore(&self, claims: &ShowClaims, fence: Fence) -> Result<Restored, StoreError> {
        Ok(self.enter(&claims.show, |show, now| show.restore(claims, fence, now)))
    }

    async fn occupancy(&self, show: &ShowId) -> Result<OccupancyRead, StoreError> {
        Ok(self.enter(show, |show, _| show.occupancy()))
    }

    async fn counts(&self, shows: &[ShowId]) -> Result<Vec<Option<Counts>>, StoreError> {
        let count = |id: &ShowId| match self.enter(id, |show, _| show.occupancy()) {
            OccupancyRead::Known(known) => Some(Counts { held: known.held.count(), sold: known.sold.count() }),
            OccupancyRead::NotPrimed(_) => None,
        };
        Ok(shows.iter().map(count).collect())
    }

    async fn changes(&self, show: &ShowId, after: u64) -> Result<Changes, StoreError> {
        loop {
            // Listen first, then look: what changes in between rings the bell.
            let bell = self.bell.listen();
            if let Some(changes) = self.enter(show, |show, _| show.changes(after)) {
                return Ok(changes);
            }
            bell.await;
        }
    }

    fn newest(&self, show: &ShowId) -> Option<u64> {
        Some(self.enter(show, |show, _| show.version))
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let mut shows = self.shows.lock();
        let (now, mut retired) = (self.clock.now(), 0);
        for show in shows.values_mut() {
            retired += self.watch(show, |show| show.retire(now, limit - retired));
            show.forget(now);
        }
        Ok(retired)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

async fn plain(clock: ManualClock) -> Fresh<PlainHolds> {
    Fresh::new(PlainHolds::new(Arc::new(clock)))
}

/// A store that lets anybody release and order.
async fn careless(clock: ManualClock) -> Fresh<PlainHolds> {
    Fresh::new(PlainHolds { checks_owner: false, ..PlainHolds::new(Arc::new(clock)) })
}

/// The rules of the suite that a backend breaks: it says them line by line, each with what was seen.
fn broken_rules(backend: impl Backend<Store = PlainHolds>) -> Vec<String> {
    let suite = AssertUnwindSafe(|| block_on(conformance::hold_store(backend)));
    let Err(said) = panic::catch_unwind(suite) else { return Vec::new() };
    let lines = said.downcast_ref::<String>().map_or("", String::as_str).lines();
    lines.filter_map(|line| Some(line.strip_prefix("- ")?.split_once(": ")?.0.to_owned())).collect()
}

/// Panics where the store breaks a rule, or does in a random sequence of calls what the model does not.
fn prove(backend: impl Backend<Store = PlainHolds> + Copy) {
    block_on(conformance::hold_store(backend));
    let config = sequences::Config { cases: SEQUENCES, failure_persistence: None, ..sequences::Config::default() };
    sequences::hold_store(config, backend);
}

fn main() {
    prove(plain);
    println!("The plain store keeps every rule of the conformance suite, races included, and did at each step of");
    println!("{SEQUENCES} random sequences of calls what the model does.");
    // What follows is broken on purpose: no backtraces.
    panic::set_hook(Box::new(|_| {}));
    println!("\nA store that forgets to check the owner breaks:");
    broken_rules(careless).iter().for_each(|rule| println!("- {rule}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_store_keeps_every_rule() {
        prove(plain);
    }

    #[test]
    fn the_suite_names_the_rules_that_a_careless_store_breaks() {
        let broken = broken_rules(careless);
        for rule in ["only_the_owner_and_an_administrator_release", "only_the_owner_and_an_administrator_begin_checkout"] {
            assert!(broken.iter().any(|name| name.ends_with(rule)), "{rule} is not among {broken:?}");
        }
    }
}
