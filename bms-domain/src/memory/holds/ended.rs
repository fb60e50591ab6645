//! Holds that ended, kept a while so that their owners are told how they ended.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::hold::{HoldLife, HoldState};
use crate::id::{HoldId, LayoutId, UserId};
use crate::money::Money;
use crate::seat::SeatSet;
use crate::time::Timestamp;

/// How long a hold is kept after its end.
const KEPT_FOR: Duration = Duration::from_hours(1);

/// How many ended holds a show keeps at least; a larger show keeps one a seat. Few enough to stay in a core's own cache.
const KEPT_AT_LEAST: usize = 1_024;

pub(super) struct EndedHold {
    pub(super) id: HoldId,
    pub(super) layout: LayoutId,
    pub(super) owner: UserId,
    pub(super) seats: SeatSet,
    pub(super) price: Money,
    pub(super) life: HoldLife,
    pub(super) state: HoldState,
}

/// A queue in the order of the ends, with an index by id. Written in one direction, so that it stays cheap when many
/// holds come and go.
#[derive(Default)]
pub(super) struct EndedHolds {
    queue: VecDeque<(Timestamp, Option<EndedHold>)>,
    /// The number of the queue's first entry. An entry's number never changes.
    first: usize,
    index: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

impl EndedHolds {
    fn entry(&self, number: usize) -> Option<&EndedHold> {
        self.queue.get(number.checked_sub(self.first)?)?.1.as_ref()
    }

    fn number(&self, id: HoldId) -> Option<usize> {
        let same = |number: &usize| self.entry(*number).is_some_and(|hold| hold.id == id);
        self.index.find(self.hasher.hash_one(id), same).copied()
    }

    pub(super) fn get(&self, id: HoldId) -> Option<&EndedHold> {
        self.entry(self.number(id)?)
    }

    pub(super) fn get_mut(&mut self, id: HoldId) -> Option<&mut EndedHold> {
        let place = self.number(id)?.checked_sub(self.first)?;
        self.queue.get_mut(place)?.1.as_mut()
    }

    pub(super) fn remove(&mut self, id: HoldId) {
        let Some(number) = self.number(id) else { return };
        self.unindex(id, number);
        if let Some(entry) = number.checked_sub(self.first).and_then(|place| self.queue.get_mut(place)) {
            entry.1 = None;
        }
    }

    pub(super) fn push(&mut self, hold: EndedHold, now: Timestamp, seats: u32) {
        let most = KEPT_AT_LEAST.max(seats as usize);
        while self.queue.len() >= most {
            self.pop();
        }
        let hash = self.hasher.hash_one(hold.id);
        let number = self.first + self.queue.len();
        self.queue.push_back((now, Some(hold)));
        let (queue, first, hasher) = (&self.queue, self.first, &self.hasher);
        let rehash = |number: &usize| match queue.get(*number - first) {
            Some((_, Some(hold))) => hasher.hash_one(hold.id),
            _ => 0,
        };
        self.index.insert_unique(hash, number, rehash);
    }

    /// Forgets holds whose while is over.
    pub(super) fn prune(&mut self, now: Timestamp) {
        while self.queue.front().is_some_and(|(at, _)| at.plus(KEPT_FOR).has_passed(now)) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some((_, hold)) = self.queue.pop_front() else { return };
        if let Some(hold) = hold {
            self.unindex(hold.id, self.first);
        }
        self.first += 1;
    }

    fn unindex(&mut self, id: HoldId, number: usize) {
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(id), |other| *other == number) {
            found.remove();
        }
    }
}
