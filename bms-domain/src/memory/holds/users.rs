//! How many seats each user of a show has.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use super::slots::Slots;
use crate::id::UserId;

/// A user's slot in [`Users`].
pub(super) type UserSlot = u32;

struct Tally {
    /// The user's id. A copy of the bytes: a shared one would be larger than most ids.
    user: Box<str>,
    held: u32,
    sold: u32,
}

/// The users who have seats of a show, in slots, with the slots indexed by user. A slot is freed when its user has no seat.
#[derive(Default)]
pub(super) struct Users {
    slots: Slots<Tally>,
    index: HashTable<UserSlot>,
    hasher: DefaultHashBuilder,
}

impl Users {
    /// How many seats a user has, held and sold together.
    pub(super) fn seats_of(&self, user: &UserId) -> u32 {
        self.find(user).and_then(|slot| self.slots.get(slot)).map_or(0, |tally| tally.held + tally.sold)
    }

    pub(super) fn find(&self, user: &UserId) -> Option<UserSlot> {
        let same = |slot: &UserSlot| self.slots.get(*slot).is_some_and(|tally| *tally.user == *user.as_str());
        self.index.find(self.hasher.hash_one(user.as_str()), same).copied()
    }

    /// The user of a slot; `known` spares a copy when it is him.
    pub(super) fn user(&self, slot: UserSlot, known: Option<&UserId>) -> Option<UserId> {
        let name = &*self.slots.get(slot)?.user;
        match known {
            Some(known) if known.as_str() == name => Some(known.clone()),
            _ => UserId::parse(name).ok(),
        }
    }

    /// Counts more seats held and sold for a user. Says which slot he has.
    pub(super) fn add(&mut self, user: &UserId, held: u32, sold: u32) -> UserSlot {
        let slot = self.find(user).unwrap_or_else(|| self.insert(user));
        if let Some(tally) = self.slots.get_mut(slot) {
            tally.held += held;
            tally.sold += sold;
        }
        slot
    }

    /// Counts fewer seats; a user who has none left is forgotten.
    pub(super) fn subtract(&mut self, slot: UserSlot, held: u32, sold: u32) {
        let Some(tally) = self.slots.get_mut(slot) else { return };
        tally.held = tally.held.saturating_sub(held);
        tally.sold = tally.sold.saturating_sub(sold);
        if tally.held + tally.sold > 0 {
            return;
        }
        if let Some(gone) = self.slots.remove(slot) {
            let hash = self.hasher.hash_one(&*gone.user);
            if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
                found.remove();
            }
        }
    }

    fn insert(&mut self, user: &UserId) -> UserSlot {
        let slot = self.slots.insert(Tally { user: user.as_str().into(), held: 0, sold: 0 });
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |slot: &UserSlot| slots.get(*slot).map_or(0, |tally| hasher.hash_one(&*tally.user));
        self.index.insert_unique(hasher.hash_one(user.as_str()), slot, rehash);
        slot
    }
}
