//! The live holds of a show, packed: 64 bytes each, in slots, indexed by id and queued by end.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::users::UserSlot;
use crate::hold::{HoldLife, HoldState};
use crate::id::{HoldId, OrderId};
use crate::money::Money;
use crate::seat::SeatIndex;
use crate::time::Timestamp;

/// A hold's slot in [`LiveHolds`].
pub(super) type HoldSlot = u32;

/// No slot, no seat.
pub(super) const NONE: u32 = u32::MAX;

/// Ends are queued in steps of 16 ms: a step holds few enough holds to look at each, and steps are few.
const STEP_MS: i64 = 16;

/// How many holds are allotted at once, so that growing moves none.
const CHUNK: usize = 256;

#[derive(Clone, Copy)]
pub(super) struct LiveHold {
    pub(super) id: HoldId,
    pub(super) price: Money,
    pub(super) created_at: Timestamp,
    pub(super) until: Timestamp,
    /// From `created_at` to the hold's own end.
    own_ms: u32,
    pub(super) user: UserSlot,
    /// The first of its seats; the room chains the others.
    pub(super) first_seat: SeatIndex,
    /// Neighbours in the queue of its step.
    before: HoldSlot,
    after: HoldSlot,
}

impl LiveHold {
    pub(super) fn new(id: HoldId, price: Money, life: HoldLife, until: Timestamp, user: UserSlot, first_seat: SeatIndex) -> Self {
        let own_ms = u32::try_from(life.own_end.since(life.created_at).as_millis()).unwrap_or(u32::MAX);
        Self { id, price, created_at: life.created_at, until, own_ms, user, first_seat, before: NONE, after: NONE }
    }

    pub(super) fn life(&self) -> HoldLife {
        let own_end = Timestamp::from_millis(self.created_at.as_millis().saturating_add(i64::from(self.own_ms)));
        HoldLife { created_at: self.created_at, own_end }
    }
}

pub(super) struct LiveHolds {
    chunks: Vec<Box<[Option<LiveHold>]>>,
    free: Vec<HoldSlot>,
    used: usize,
    index: HashTable<HoldSlot>,
    hasher: DefaultHashBuilder,
    /// Orders that are linked; few holds have one at a time.
    orders: HashMap<HoldSlot, OrderId>,
    /// The first hold of each step.
    steps: BTreeMap<i64, HoldSlot>,
    /// No hold ends before this.
    due: Timestamp,
}

impl Default for LiveHolds {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            used: 0,
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            orders: HashMap::new(),
            steps: BTreeMap::new(),
            due: Timestamp::MAX,
        }
    }
}

impl LiveHolds {
    pub(super) fn find(&self, id: HoldId) -> Option<HoldSlot> {
        let same = |slot: &HoldSlot| self.get(*slot).is_some_and(|hold| hold.id == id);
        self.index.find(self.hasher.hash_one(id), same).copied()
    }

    pub(super) fn get(&self, slot: HoldSlot) -> Option<&LiveHold> {
        self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?.as_ref()
    }

    fn entry(&mut self, slot: HoldSlot) -> Option<&mut Option<LiveHold>> {
        self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)
    }

    fn get_mut(&mut self, slot: HoldSlot) -> Option<&mut LiveHold> {
        self.entry(slot)?.as_mut()
    }

    pub(super) fn state(&self, slot: HoldSlot) -> Option<HoldState> {
        Some(HoldState::Held { until: self.get(slot)?.until, order: self.orders.get(&slot).copied() })
    }

    /// The slots of all live holds.
    pub(super) fn slots(&self) -> Vec<HoldSlot> {
        self.index.iter().copied().collect()
    }

    pub(super) fn insert(&mut self, hold: LiveHold) -> HoldSlot {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.used == self.chunks.len() * CHUNK {
                self.chunks.push(vec![None; CHUNK].into_boxed_slice());
            }
            self.used += 1;
            u32::try_from(self.used - 1).unwrap_or(NONE)
        });
        if let Some(entry) = self.entry(slot) {
            *entry = Some(hold);
        }
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        let rehash = |slot: &HoldSlot| {
            let hold = chunks.get(*slot as usize / CHUNK).and_then(|chunk| chunk.get(*slot as usize % CHUNK));
            hold.and_then(Option::as_ref).map_or(0, |hold| hasher.hash_one(hold.id))
        };
        self.index.insert_unique(hasher.hash_one(hold.id), slot, rehash);
        self.enqueue(slot, hold.until);
        slot
    }

    pub(super) fn remove(&mut self, slot: HoldSlot) -> Option<LiveHold> {
        self.dequeue(slot);
        let hold = self.entry(slot)?.take()?;
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(hold.id), |other| *other == slot) {
            found.remove();
        }
        self.orders.remove(&slot);
        self.free.push(slot);
        Some(hold)
    }

    /// Sets the end and the linked order of a hold.
    pub(super) fn set(&mut self, slot: HoldSlot, until: Timestamp, order: Option<OrderId>) {
        self.dequeue(slot);
        if let Some(hold) = self.get_mut(slot) {
            hold.until = until;
        }
        self.enqueue(slot, until);
        match order {
            Some(order) => self.orders.insert(slot, order),
            None => self.orders.remove(&slot),
        };
    }

    /// A hold that has ended at `now`, if there is one.
    pub(super) fn ended(&mut self, now: Timestamp) -> Option<HoldSlot> {
        if now < self.due {
            return None;
        }
        while let Some((&step, &first)) = self.steps.first_key_value() {
            let mut earliest = Timestamp::MAX;
            let mut slot = first;
            while let Some(hold) = self.get(slot) {
                if hold.until.has_passed(now) {
                    return Some(slot);
                }
                earliest = earliest.min(hold.until);
                slot = hold.after;
            }
            if slot == first {
                self.steps.remove(&step);
                continue;
            }
            self.due = earliest;
            return None;
        }
        self.due = Timestamp::MAX;
        None
    }

    fn enqueue(&mut self, slot: HoldSlot, until: Timestamp) {
        self.due = self.due.min(until);
        let after = self.steps.insert(until.as_millis().div_euclid(STEP_MS), slot).unwrap_or(NONE);
        if let Some(next) = self.get_mut(after) {
            next.before = slot;
        }
        if let Some(hold) = self.get_mut(slot) {
            (hold.before, hold.after) = (NONE, after);
        }
    }

    fn dequeue(&mut self, slot: HoldSlot) {
        let Some(&LiveHold { before, after, until, .. }) = self.get(slot) else { return };
        if let Some(next) = self.get_mut(after) {
            next.before = before;
        }
        if let Some(previous) = self.get_mut(before) {
            previous.after = after;
            return;
        }
        let step = until.as_millis().div_euclid(STEP_MS);
        if after == NONE {
            self.steps.remove(&step);
        } else {
            self.steps.insert(step, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShowId;
    use crate::money::Currency;
    use proptest::prelude::*;
    use std::collections::BTreeMap as Model;
    use uuid::Uuid;

    #[test]
    fn a_live_hold_is_small() {
        assert!(size_of::<Option<LiveHold>>() <= 72, "{}", size_of::<Option<LiveHold>>());
    }

    proptest! {
        #[test]
        fn holds_come_out_when_they_end_and_not_before(ops in prop::collection::vec((0_u8..3, 0_i64..400, 0_usize..40), 1..300)) {
            let mut live = LiveHolds::default();
            let mut model: Model<HoldSlot, i64> = Model::new();
            let mut now = 0;
            let shard = ShowId::parse("s").unwrap().shard();
            for (number, (op, time, pick)) in ops.into_iter().enumerate() {
                match op {
                    0 => {
                        let until = Timestamp::from_millis(now + 1 + time);
                        let id = HoldId::new(shard, Uuid::from_u128(number as u128));
                        let life = HoldLife { created_at: Timestamp::from_millis(now), own_end: until };
                        let price = Money::new(1, Currency::EUR).unwrap();
                        let slot = live.insert(LiveHold::new(id, price, life, until, 0, 0));
                        prop_assert_eq!(live.find(id), Some(slot));
                        prop_assert!(model.insert(slot, until.as_millis()).is_none());
                    }
                    1 => if let Some(slot) = model.keys().nth(pick).copied() {
                        prop_assert!(live.remove(slot).is_some());
                        model.remove(&slot);
                    },
                    _ => {
                        if let Some(slot) = model.keys().nth(pick).copied() {
                            let until = Timestamp::from_millis(now + 1 + time);
                            live.set(slot, until, None);
                            model.insert(slot, until.as_millis());
                        }
                        now += time / 4;
                        while let Some(slot) = live.ended(Timestamp::from_millis(now)) {
                            prop_assert!(model.remove(&slot).is_some_and(|until| until <= now));
                            live.remove(slot);
                        }
                        prop_assert!(model.values().all(|until| *until > now));
                    }
                }
            }
            prop_assert_eq!(live.slots().len(), model.len());
        }
    }
}
