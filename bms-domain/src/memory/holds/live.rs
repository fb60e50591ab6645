//! The live holds of a show, packed: 64 bytes each, in slots, indexed by id and queued by end.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::slots::Slots;
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

#[derive(Clone, Copy)]
pub(super) struct LiveHold {
    pub(super) id: HoldId,
    pub(super) price: Money,
    pub(super) created_at: Timestamp,
    /// From `created_at` to the hold's own end, and to the end that it has now.
    own_ms: u32,
    until_ms: u32,
    pub(super) user: UserSlot,
    /// The first of its seats; the room chains the others.
    pub(super) first_seat: SeatIndex,
    /// Neighbours in the queue of its step.
    before: HoldSlot,
    after: HoldSlot,
}

impl LiveHold {
    pub(super) fn new(id: HoldId, price: Money, life: HoldLife, until: Timestamp, user: UserSlot, first_seat: SeatIndex) -> Self {
        let since = |end: Timestamp| u32::try_from(end.since(life.created_at).as_millis()).unwrap_or(u32::MAX);
        Self {
            id,
            price,
            created_at: life.created_at,
            own_ms: since(life.own_end),
            until_ms: since(until),
            user,
            first_seat,
            before: NONE,
            after: NONE,
        }
    }

    fn after_ms(&self, ms: u32) -> Timestamp {
        Timestamp::from_millis(self.created_at.as_millis().saturating_add(i64::from(ms)))
    }

    pub(super) fn until(&self) -> Timestamp {
        self.after_ms(self.until_ms)
    }

    pub(super) fn life(&self) -> HoldLife {
        HoldLife { created_at: self.created_at, own_end: self.after_ms(self.own_ms) }
    }
}

pub(super) struct LiveHolds {
    slots: Slots<LiveHold>,
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
            slots: Slots::default(),
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
        self.slots.get(slot)
    }

    pub(super) fn state(&self, slot: HoldSlot) -> Option<HoldState> {
        Some(HoldState::Held { until: self.get(slot)?.until(), order: self.orders.get(&slot).copied() })
    }

    /// The slots of all live holds.
    pub(super) fn slots(&self) -> Vec<HoldSlot> {
        self.index.iter().copied().collect()
    }

    pub(super) fn insert(&mut self, hold: LiveHold) -> HoldSlot {
        let (id, until) = (hold.id, hold.until());
        let slot = self.slots.insert(hold);
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |slot: &HoldSlot| slots.get(*slot).map_or(0, |hold| hasher.hash_one(hold.id));
        self.index.insert_unique(hasher.hash_one(id), slot, rehash);
        self.enqueue(slot, until);
        slot
    }

    pub(super) fn remove(&mut self, slot: HoldSlot) -> Option<LiveHold> {
        self.dequeue(slot);
        let hold = self.slots.remove(slot)?;
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(hold.id), |other| *other == slot) {
            found.remove();
        }
        self.orders.remove(&slot);
        Some(hold)
    }

    /// Sets the end and the linked order of a hold.
    pub(super) fn set(&mut self, slot: HoldSlot, until: Timestamp, order: Option<OrderId>) {
        self.dequeue(slot);
        if let Some(hold) = self.slots.get_mut(slot) {
            hold.until_ms = u32::try_from(until.since(hold.created_at).as_millis()).unwrap_or(u32::MAX);
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
                if hold.until().has_passed(now) {
                    return Some(slot);
                }
                earliest = earliest.min(hold.until());
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
        if let Some(next) = self.slots.get_mut(after) {
            next.before = slot;
        }
        if let Some(hold) = self.slots.get_mut(slot) {
            (hold.before, hold.after) = (NONE, after);
        }
    }

    fn dequeue(&mut self, slot: HoldSlot) {
        let Some(hold) = self.get(slot) else { return };
        let (before, after, until) = (hold.before, hold.after, hold.until());
        if let Some(next) = self.slots.get_mut(after) {
            next.before = before;
        }
        if let Some(previous) = self.slots.get_mut(before) {
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
        assert_eq!(size_of::<Option<LiveHold>>(), 64);
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
