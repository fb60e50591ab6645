//! Everything that the hold store knows of one show. Not thread-safe: the store puts a lock around it.

use hashbrown::{HashMap, HashSet};

use super::changes::{ChangeLog, Kind};
use super::ended::{EndedHold, EndedHolds};
use super::live::{HoldSlot, LiveHold, LiveHolds, NONE};
use super::users::Users;
use crate::hold::{self, Hold, HoldCommand, HoldLife, HoldState};
use crate::id::{Caller, HoldId, LayoutId, OrderId, ShowId, UserId};
use crate::seat::{SeatBits, SeatIndex, SeatSet};
use crate::store::{
    Changes, Counts, Fence, HoldChange, Occupancy, OccupancyRead, PendingClaim, PlaceHold, Placed, Restored, ShowClaims,
    SoldSeats, StoreError,
};
use crate::time::Timestamp;

/// Invariants: a seat's bit is on in at most one of `held` and `sold`; `occupant` of a held seat is the slot of its hold,
/// of a sold seat the slot of its owner; the seats of a live hold are chained through `next` from its first; tallies of
/// `users` count exactly the held and sold bits.
pub(super) struct Room {
    show: ShowId,
    layout: Option<LayoutId>,
    primed: bool,
    version: u64,
    frees: u64,
    held: SeatBits,
    sold: SeatBits,
    occupant: Vec<u32>,
    next: Vec<SeatIndex>,
    live: LiveHolds,
    users: Users,
    /// Which order a sold seat was sold to.
    buyers: HashMap<SeatIndex, OrderId>,
    /// Orders whose seats were freed. News of their sale that comes later is old.
    freed: HashSet<OrderId>,
    ended: EndedHolds,
    log: ChangeLog,
}

impl Room {
    /// A show that nothing is known of. Versions start at the clock's microseconds, so that they go on growing when the
    /// store starts anew.
    pub(super) fn new(show: ShowId, now: Timestamp) -> Self {
        let start = u64::try_from(now.as_millis().saturating_mul(1_000)).unwrap_or(0);
        Self {
            show,
            layout: None,
            primed: false,
            version: start,
            frees: start,
            held: SeatBits::default(),
            sold: SeatBits::default(),
            occupant: Vec::new(),
            next: Vec::new(),
            live: LiveHolds::default(),
            users: Users::default(),
            buyers: HashMap::new(),
            freed: HashSet::new(),
            ended: EndedHolds::default(),
            log: ChangeLog::default(),
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    fn fence(&self) -> Fence {
        Fence { frees: self.frees, version: self.version }
    }

    /// Ends the holds whose time has run out. Every operation begins with it (promise P5). Says how many, `limit` at most.
    pub(super) fn retire(&mut self, now: Timestamp, limit: usize) -> usize {
        let mut retired = 0;
        while retired < limit
            && let Some(slot) = self.live.ended(now)
        {
            let Some(until) = self.live.get(slot).map(LiveHold::until) else { break };
            self.expire(slot, until, now);
            retired += 1;
        }
        retired
    }

    pub(super) fn prune(&mut self, now: Timestamp) {
        self.ended.prune(now);
    }

    pub(super) fn place(&mut self, request: &PlaceHold, now: Timestamp) -> Result<Placed, StoreError> {
        self.retire(now, usize::MAX);
        if let Some(existing) = self.hold(request.id) {
            let same = existing.owner == request.owner && existing.seats == request.seats;
            return Ok(if same { Placed::Existing(existing) } else { Placed::IdTaken });
        }
        if !self.primed || self.layout != Some(request.layout) {
            return Ok(Placed::NotPrimed(self.fence()));
        }
        let wanted = u32::try_from(request.seats.len()).unwrap_or(u32::MAX);
        if request.seats.is_empty() || request.seats.iter().any(|seat| seat >= self.held.seats()) {
            let detail = format!("hold {}: no seats, or seats that the layout does not have", request.id);
            return Err(StoreError::Broken { store: "memory", detail });
        }
        if wanted > request.limits.per_hold {
            return Ok(Placed::TooMany { limit: request.limits.per_hold });
        }
        let taken: SeatSet = request.seats.iter().filter(|seat| self.held.contains(*seat) || self.sold.contains(*seat)).collect();
        if !taken.is_empty() {
            return Ok(Placed::Taken(taken));
        }
        if self.users.seats_of(&request.owner).saturating_add(wanted) > request.limits.per_user_and_show {
            return Ok(Placed::TooMany { limit: request.limits.per_user_and_show });
        }
        let until = now.plus(request.ttl);
        let hold = Hold {
            id: request.id,
            show: self.show,
            layout: request.layout,
            owner: request.owner.clone(),
            seats: request.seats.clone(),
            price: request.price,
            life: HoldLife { created_at: now, own_end: until },
            state: HoldState::Held { until, order: None },
        };
        self.begin(&hold);
        Ok(Placed::Placed(hold))
    }

    /// A hold of this show, live or ended.
    pub(super) fn hold(&self, id: HoldId) -> Option<Hold> {
        match self.live.find(id) {
            Some(slot) => self.live_hold(slot, None),
            None => self.ended.get(id).map(|ended| self.ended_hold(ended)),
        }
    }

    fn ended_hold(&self, ended: &EndedHold) -> Hold {
        let EndedHold { id, layout, owner, seats, price, life, state } = ended;
        Hold {
            id: *id,
            show: self.show,
            layout: *layout,
            owner: owner.clone(),
            seats: seats.clone(),
            price: *price,
            life: *life,
            state: *state,
        }
    }

    /// A live hold as others see it; `known` is a user whom it may belong to.
    fn live_hold(&self, slot: HoldSlot, known: Option<&UserId>) -> Option<Hold> {
        let hold = self.live.get(slot)?;
        Some(Hold {
            id: hold.id,
            show: self.show,
            layout: self.layout?,
            owner: self.users.user(hold.user, known)?,
            seats: self.seats_of(hold).collect(),
            price: hold.price,
            life: hold.life(),
            state: self.live.state(slot)?,
        })
    }

    fn seats_of(&self, hold: &LiveHold) -> impl Iterator<Item = SeatIndex> + '_ {
        let first = Some(hold.first_seat).filter(|seat| *seat != NONE);
        std::iter::successors(first, |seat| self.next.get(*seat as usize).copied().filter(|next| *next != NONE))
    }

    /// Gives a command to a hold of this show; `None` when there is none of that id.
    pub(super) fn command(
        &mut self,
        id: HoldId,
        by: Option<&Caller>,
        command: HoldCommand,
        now: Timestamp,
    ) -> Option<HoldChange> {
        self.retire(now, usize::MAX);
        let slot = self.live.find(id);
        let mut found = match slot {
            Some(slot) => self.live_hold(slot, by.map(Caller::id))?,
            None => self.ended_hold(self.ended.get(id)?),
        };
        if by.is_some_and(|by| !by.may_touch(&found.owner)) {
            return Some(HoldChange::NotFound);
        }
        let state = match hold::apply(found.state, found.life, command, now) {
            Ok(state) => state,
            Err(refusal) => return Some(HoldChange::Refused(found, refusal)),
        };
        if matches!(command, HoldCommand::EndCheckout { .. }) && state != found.state {
            // Claims that were read before tell the order pending still: they are out of date.
            self.frees += 1;
        }
        found.state = state;
        match (slot, state) {
            (Some(slot), HoldState::Held { until, order }) => self.live.set(slot, until, order),
            (Some(slot), _) => self.end(slot, found.clone(), now),
            (None, state) => {
                if let Some(ended) = self.ended.get_mut(id) {
                    ended.state = state;
                }
            }
        }
        Some(HoldChange::Done(found))
    }

    /// Ends a live hold by time, at `at`.
    fn expire(&mut self, slot: HoldSlot, at: Timestamp, now: Timestamp) {
        if let Some(mut hold) = self.live_hold(slot, None) {
            hold.state = HoldState::Expired { at };
            self.end(slot, hold, now);
        }
    }

    /// Puts a live hold in, whose seats are free.
    fn begin(&mut self, hold: &Hold) {
        let HoldState::Held { until, order } = hold.state else { return };
        let count = u32::try_from(hold.seats.len()).unwrap_or(u32::MAX);
        let user = self.users.add(&hold.owner, count, 0);
        let first = hold.seats.iter().next().unwrap_or(NONE);
        let slot = self.live.insert(LiveHold::new(hold.id, hold.price, hold.life, until, user, first));
        if order.is_some() {
            self.live.set(slot, until, order);
        }
        let mut following = hold.seats.iter().skip(1);
        for seat in hold.seats.iter() {
            self.held.insert(seat);
            self.set_seat(seat, slot, following.next().unwrap_or(NONE));
        }
        self.changed(Kind::Held, hold.seats.clone());
    }

    /// Takes a live hold out and frees its seats. `hold` is the hold as it is from now on.
    fn end(&mut self, slot: HoldSlot, hold: Hold, now: Timestamp) {
        let Some(live) = self.live.remove(slot) else { return };
        for seat in hold.seats.iter() {
            self.held.remove(seat);
            self.set_seat(seat, NONE, NONE);
        }
        self.users.subtract(live.user, u32::try_from(hold.seats.len()).unwrap_or(u32::MAX), 0);
        let Hold { id, layout, owner, seats, price, life, state, .. } = hold;
        // Seats of a consumed hold are sold next, in the same step: nobody is told that they were free.
        if !matches!(state, HoldState::Consumed { .. }) {
            self.changed(Kind::Freed, seats.clone());
        }
        self.ended.push(EndedHold { id, layout, owner, seats, price, life, state }, now, self.held.seats());
    }

    fn set_seat(&mut self, seat: SeatIndex, occupant: u32, next: SeatIndex) {
        if let Some(entry) = self.occupant.get_mut(seat as usize) {
            *entry = occupant;
        }
        if let Some(entry) = self.next.get_mut(seat as usize) {
            *entry = next;
        }
    }

    fn changed(&mut self, kind: Kind, seats: SeatSet) {
        if !seats.is_empty() {
            self.version += 1;
            self.log.push(self.version, kind, seats);
        }
    }

    /// Makes room for the seats of a layout, or for those that were sold before the layout was known.
    fn grow(&mut self, seats: u32) {
        self.held.grow(seats);
        self.sold.grow(seats);
        if self.occupant.len() < seats as usize {
            self.occupant.resize(seats as usize, NONE);
            self.next.resize(seats as usize, NONE);
        }
    }

    /// The live holds on some seats, but for one of them.
    fn holds_on(&self, seats: &SeatSet, except: HoldId) -> Vec<HoldSlot> {
        let held = seats.iter().filter(|seat| self.held.contains(*seat));
        let mut slots: Vec<HoldSlot> = held.filter_map(|seat| self.occupant.get(seat as usize).copied()).collect();
        slots.sort_unstable();
        slots.dedup();
        slots.retain(|slot| self.live.get(*slot).is_some_and(|hold| hold.id != except));
        slots
    }

    fn cut_short(&mut self, seats: &SeatSet, except: HoldId, now: Timestamp) {
        for slot in self.holds_on(seats, except) {
            self.expire(slot, now, now);
        }
    }

    /// Marks seats sold and their hold consumed. Says how many were not marked before. Old news of an order that was
    /// cancelled since changes nothing.
    pub(super) fn mark_sold(&mut self, sold: &SoldSeats, now: Timestamp) -> u32 {
        self.retire(now, usize::MAX);
        if self.freed.contains(&sold.order) {
            return 0;
        }
        self.grow(sold.seats.iter().last().map_or(0, |last| last.saturating_add(1)));
        self.cut_short(&sold.seats, sold.hold, now);
        self.command(sold.hold, None, HoldCommand::Consume { order: sold.order }, now);
        let (mut added, mut resold) = (SeatSet::new(), false);
        for seat in sold.seats.iter() {
            match self.buyers.insert(seat, sold.order) {
                Some(buyer) if buyer == sold.order => continue,
                // The cancellation of the order before was missed.
                Some(_) => {
                    self.untally(seat);
                    resold = true;
                }
                None => added.push(seat),
            }
            self.sold.insert(seat);
            let owner = self.users.add(&sold.owner, 0, 1);
            self.set_seat(seat, owner, NONE);
        }
        // No new version, for the seats were sold and are; but claims that were read before would take the new mark for stray.
        self.frees += u64::from(resold);
        let count = u32::try_from(added.len()).unwrap_or(u32::MAX);
        self.changed(Kind::Sold, added);
        count
    }

    pub(super) fn mark_free(&mut self, sold: &SoldSeats, now: Timestamp) {
        self.retire(now, usize::MAX);
        self.frees += 1;
        self.freed.insert(sold.order);
        let freed: SeatSet = sold.seats.iter().filter(|seat| self.buyers.get(seat) == Some(&sold.order)).collect();
        self.unsell(&freed);
    }

    fn unsell(&mut self, seats: &SeatSet) {
        for seat in seats.iter() {
            self.sold.remove(seat);
            self.buyers.remove(&seat);
            self.untally(seat);
            self.set_seat(seat, NONE, NONE);
        }
        self.changed(Kind::Freed, seats.clone());
    }

    /// A sold seat is not its owner's any more.
    fn untally(&mut self, seat: SeatIndex) {
        if let Some(owner) = self.occupant.get(seat as usize).copied() {
            self.users.subtract(owner, 0, 1);
        }
    }

    pub(super) fn restore(&mut self, claims: &ShowClaims, fence: Fence, now: Timestamp) -> Restored {
        self.retire(now, usize::MAX);
        if self.frees != fence.frees {
            return Restored::Stale(self.fence());
        }
        let quiet = self.version == fence.version;
        if self.layout.is_some_and(|layout| layout != claims.layout) {
            self.start_anew(now);
        }
        self.layout = Some(claims.layout);
        self.grow(claims.seats);
        let mut freed = 0;
        if quiet {
            let mut stray = self.sold.clone();
            for sold in &claims.sold {
                sold.seats.iter().for_each(|seat| {
                    stray.remove(seat);
                });
            }
            freed = stray.count();
            // A free like any other: claims that were read before it may still tell these seats sold.
            self.frees += u64::from(freed > 0);
            self.unsell(&stray.iter().collect());
        }
        let mut added = 0;
        for sold in &claims.sold {
            added += self.mark_sold(sold, now);
        }
        // Old news of an order that has ended since would take seats from those who have them now.
        if quiet || !self.primed {
            for pending in &claims.pending {
                self.restore_pending(pending, claims.layout, claims.restored_until(pending, now), now);
            }
        }
        self.primed = true;
        Restored::Done { added, freed }
    }

    /// Another seat plan: what was held by the old one ends, and who watches reads the map anew.
    fn start_anew(&mut self, now: Timestamp) {
        for slot in self.live.slots() {
            self.expire(slot, now, now);
        }
        self.unsell(&self.sold.iter().collect());
        (self.held, self.sold) = (SeatBits::default(), SeatBits::default());
        self.occupant.clear();
        self.next.clear();
        self.version += 1;
        self.log.clear();
    }

    /// A pending order has its seats claimed: its hold is live and linked, and no other hold is on its seats, unless that has an
    /// order too.
    fn restore_pending(&mut self, pending: &PendingClaim, layout: LayoutId, until: Timestamp, now: Timestamp) {
        if pending.seats.iter().any(|seat| self.sold.contains(seat) || seat >= self.held.seats()) {
            return;
        }
        if let Some(slot) = self.live.find(pending.hold) {
            if let Some(HoldState::Held { until: end, order: None }) = self.live.state(slot) {
                self.live.set(slot, end.max(until), Some(pending.order));
            }
            return;
        }
        // Of a hold that is linked an order may have been made since the claim was read, and then the claim is over. If not, that
        // order is refused, and the restore that follows brings this hold back.
        let rivals = self.holds_on(&pending.seats, pending.hold);
        if rivals.into_iter().any(|slot| matches!(self.live.state(slot), Some(HoldState::Held { order: Some(_), .. }))) {
            return;
        }
        self.cut_short(&pending.seats, pending.hold, now);
        self.ended.remove(pending.hold);
        self.begin(&Hold {
            id: pending.hold,
            show: self.show,
            layout,
            owner: pending.owner.clone(),
            seats: pending.seats.clone(),
            price: pending.price,
            life: HoldLife { created_at: now, own_end: until },
            state: HoldState::Held { until, order: Some(pending.order) },
        });
    }

    pub(super) fn occupancy(&mut self, now: Timestamp) -> OccupancyRead {
        self.retire(now, usize::MAX);
        match self.layout {
            Some(layout) if self.primed => OccupancyRead::Known(Occupancy {
                version: self.version,
                layout,
                held: self.held.clone(),
                sold: self.sold.clone(),
                fence: self.fence(),
            }),
            _ => OccupancyRead::NotPrimed(self.fence()),
        }
    }

    pub(super) fn counts(&mut self, now: Timestamp) -> Option<Counts> {
        self.retire(now, usize::MAX);
        self.primed.then(|| Counts { held: self.held.count(), sold: self.sold.count() })
    }

    /// The changes after a version; `None` while there are none.
    pub(super) fn changes(&mut self, after: u64, now: Timestamp) -> Option<Changes> {
        self.retire(now, usize::MAX);
        if after == self.version { None } else { Some(self.log.since(after)) }
    }
}
