//! How many seats each user of a show has.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use crate::id::UserId;

/// A user's slot in [`Users`].
pub(super) type UserSlot = u32;

struct Tally {
    user: UserId,
    held: u32,
    sold: u32,
}

/// The users who have seats of a show, in slots, with the slots indexed by user. A slot is freed when its user has no seat.
#[derive(Default)]
pub(super) struct Users {
    slots: Vec<Option<Tally>>,
    free: Vec<UserSlot>,
    index: HashTable<UserSlot>,
    hasher: DefaultHashBuilder,
}

impl Users {
    /// How many seats a user has, held and sold together.
    pub(super) fn seats_of(&self, user: &UserId) -> u32 {
        self.find(user).and_then(|slot| self.tally(slot)).map_or(0, |tally| tally.held + tally.sold)
    }

    pub(super) fn find(&self, user: &UserId) -> Option<UserSlot> {
        let same = |slot: &UserSlot| self.tally(*slot).is_some_and(|tally| tally.user == *user);
        self.index.find(self.hasher.hash_one(user), same).copied()
    }

    pub(super) fn name(&self, slot: UserSlot) -> Option<&UserId> {
        self.tally(slot).map(|tally| &tally.user)
    }

    /// Counts more seats held and sold for a user. Says which slot he has.
    pub(super) fn add(&mut self, user: &UserId, held: u32, sold: u32) -> UserSlot {
        let slot = self.find(user).unwrap_or_else(|| self.insert(user));
        if let Some(Some(tally)) = self.slots.get_mut(slot as usize) {
            tally.held += held;
            tally.sold += sold;
        }
        slot
    }

    /// Counts fewer seats; a user who has none left is forgotten.
    pub(super) fn subtract(&mut self, slot: UserSlot, held: u32, sold: u32) {
        let Some(entry) = self.slots.get_mut(slot as usize) else { return };
        let Some(tally) = entry else { return };
        tally.held = tally.held.saturating_sub(held);
        tally.sold = tally.sold.saturating_sub(sold);
        if tally.held + tally.sold > 0 {
            return;
        }
        if let Some(gone) = entry.take() {
            let hash = self.hasher.hash_one(&gone.user);
            if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
                found.remove();
            }
            self.free.push(slot);
        }
    }

    fn tally(&self, slot: UserSlot) -> Option<&Tally> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn insert(&mut self, user: &UserId) -> UserSlot {
        let tally = Some(Tally { user: user.clone(), held: 0, sold: 0 });
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(entry) = self.slots.get_mut(slot as usize) {
                    *entry = tally;
                }
                slot
            }
            None => {
                self.slots.push(tally);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |slot: &UserSlot| match slots.get(*slot as usize) {
            Some(Some(tally)) => hasher.hash_one(&tally.user),
            _ => 0,
        };
        self.index.insert_unique(hasher.hash_one(user), slot, rehash);
        slot
    }
}
