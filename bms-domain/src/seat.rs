//! Sets of seats of one show, by their dense index in the layout.

use std::fmt;

use smallvec::SmallVec;

use crate::id::{ParseIdError, SeatId};

/// A seat's place in its layout: dense, from 0.
pub type SeatIndex = u32;

/// A few seats of one show: sorted by index, each once. The one place where seats are put in order, so that every
/// store locks them in the same order and no two callers can deadlock.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct SeatSet(SmallVec<[SeatIndex; 10]>);

impl SeatSet {
    /// No seats.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many seats there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The indices, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[SeatIndex] {
        &self.0
    }

    /// The indices, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SeatIndex> + '_ {
        self.0.iter().copied()
    }

    /// Puts a seat in, at its place.
    pub fn push(&mut self, seat: SeatIndex) {
        if let Err(place) = self.0.binary_search(&seat) {
            self.0.insert(place, seat);
        }
    }

    /// Whether a seat is one of these.
    #[must_use]
    pub fn contains(&self, seat: SeatIndex) -> bool {
        self.0.binary_search(&seat).is_ok()
    }
}

impl FromIterator<SeatIndex> for SeatSet {
    fn from_iter<I: IntoIterator<Item = SeatIndex>>(seats: I) -> Self {
        let mut seats: SmallVec<_> = seats.into_iter().collect();
        seats.sort_unstable();
        seats.dedup();
        Self(seats)
    }
}

impl fmt::Debug for SeatSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The seats of an order with their names, sorted by index, each once. Names are kept so that a durable record can be
/// read without its layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatList(Vec<(SeatIndex, SeatId)>);

impl SeatList {
    /// Takes seats that were stored before: the indices, and the name of each.
    ///
    /// # Errors
    /// [`ParseIdError`] when the indices do not ascend, there are not as many names, a name is none, or two are the same.
    pub fn from_stored<Name: AsRef<str>>(
        indices: impl IntoIterator<Item = SeatIndex>,
        names: impl IntoIterator<Item = Name>,
    ) -> Result<Self, ParseIdError> {
        let refused = ParseIdError::new("list of seats", "ascending indices with a name each, no name twice");
        let (mut indices, mut names) = (indices.into_iter(), names.into_iter());
        let mut seats: Vec<(SeatIndex, SeatId)> = Vec::new();
        loop {
            match (indices.next(), names.next()) {
                (None, None) => return Ok(Self(seats)),
                (Some(index), Some(name)) => {
                    let name = SeatId::parse(name.as_ref())?;
                    if seats.last().is_some_and(|(last, _)| *last >= index) || seats.iter().any(|(_, other)| *other == name) {
                        return Err(refused);
                    }
                    seats.push((index, name));
                }
                (Some(_), None) | (None, Some(_)) => return Err(refused),
            }
        }
    }

    /// The seats, ascending by index.
    #[must_use]
    pub fn as_slice(&self) -> &[(SeatIndex, SeatId)] {
        &self.0
    }

    /// The names, in the order of the indices.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = SeatId> + '_ {
        self.0.iter().map(|(_, id)| *id)
    }

    /// The indices alone.
    #[must_use]
    pub fn indices(&self) -> SeatSet {
        self.0.iter().map(|(index, _)| *index).collect()
    }

    /// How many seats there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(SeatIndex, SeatId)> for SeatList {
    fn from_iter<I: IntoIterator<Item = (SeatIndex, SeatId)>>(seats: I) -> Self {
        let mut seats: Vec<_> = seats.into_iter().collect();
        seats.sort_unstable();
        seats.dedup_by_key(|(index, _)| *index);
        Self(seats)
    }
}

/// One bit for each seat of a show.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct SeatBits {
    seats: u32,
    words: Vec<u64>,
}

impl SeatBits {
    /// All bits off.
    #[must_use]
    pub fn new(seats: u32) -> Self {
        Self { seats, words: vec![0; (seats as usize).div_ceil(64)] }
    }

    /// Takes bits as words of 64, seat 0 in the lowest bit of the first. Words that are missing are off; bits past the last
    /// seat are dropped.
    #[must_use]
    pub fn from_words(seats: u32, mut words: Vec<u64>) -> Self {
        words.resize((seats as usize).div_ceil(64), 0);
        let mut bits = Self { seats, words };
        bits.clear_past_the_end();
        bits
    }

    /// Makes room for more seats, their bits off. Never makes less.
    pub fn grow(&mut self, seats: u32) {
        if seats > self.seats {
            self.seats = seats;
            self.words.resize((seats as usize).div_ceil(64), 0);
        }
    }

    /// How many seats the show has.
    #[must_use]
    pub fn seats(&self) -> u32 {
        self.seats
    }

    /// Whether the bit of a seat is on; off for a seat that the show does not have.
    #[must_use]
    pub fn contains(&self, seat: SeatIndex) -> bool {
        self.words.get(seat as usize / 64).is_some_and(|word| word & Self::mask(seat) != 0)
    }

    /// Switches a seat's bit on. Says whether that changed it; a seat that the show does not have changes nothing.
    pub fn insert(&mut self, seat: SeatIndex) -> bool {
        let changed = seat < self.seats && !self.contains(seat);
        if changed && let Some(word) = self.words.get_mut(seat as usize / 64) {
            *word |= Self::mask(seat);
        }
        changed
    }

    /// Switches a seat's bit off. Says whether that changed it.
    pub fn remove(&mut self, seat: SeatIndex) -> bool {
        let changed = self.contains(seat);
        if changed && let Some(word) = self.words.get_mut(seat as usize / 64) {
            *word &= !Self::mask(seat);
        }
        changed
    }

    /// How many bits are on.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Switches on every bit that is on in `other`.
    pub fn union_with(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
        self.clear_past_the_end();
    }

    /// Switches off every bit that is on in `other`.
    pub fn subtract(&mut self, other: &Self) {
        for (word, less) in self.words.iter_mut().zip(&other.words) {
            *word &= !less;
        }
    }

    /// The seats whose bits are on, ascending.
    pub fn iter(&self) -> impl Iterator<Item = SeatIndex> + '_ {
        (0_u32..).zip(&self.words).flat_map(|(position, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                Some(position * 64 + bit)
            })
        })
    }

    /// The bits as words of 64, seat 0 in the lowest bit of the first.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    fn mask(seat: SeatIndex) -> u64 {
        1 << (seat % 64)
    }

    fn clear_past_the_end(&mut self) {
        let used = self.seats % 64;
        if used != 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << used) - 1;
        }
    }
}

impl fmt::Debug for SeatBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeatBits({} of {})", self.count(), self.seats)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_is_rebuilt_from_what_was_stored_and_from_nothing_else() {
        let list: SeatList =
            [(7, "B1"), (2, "A2")].map(|(index, name)| (index, SeatId::parse(name).unwrap())).into_iter().collect();
        let names: Vec<String> = list.ids().map(|id| id.to_string()).collect();
        assert_eq!(SeatList::from_stored(list.indices().iter(), &names), Ok(list));
        assert_eq!(SeatList::from_stored([], Vec::<String>::new()), Ok(SeatList(Vec::new())));
        for (indices, names) in [
            (vec![7, 2], vec!["B1", "A2"]),
            (vec![2, 2], vec!["A2", "B1"]),
            (vec![2, 7], vec!["A2", "A2"]),
            (vec![2, 7], vec!["A2"]),
            (vec![2], vec!["A2", "B1"]),
            (vec![2], vec!["A 2"]),
        ] {
            assert!(SeatList::from_stored(indices.clone(), &names).is_err(), "{indices:?} {names:?}");
        }
    }

    proptest! {
        #[test]
        fn a_seat_set_is_sorted_and_has_each_seat_once(seats in prop::collection::vec(0_u32..50, 0..30)) {
            let set: SeatSet = seats.iter().copied().collect();
            let expected: Vec<u32> = seats.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            prop_assert_eq!(set.as_slice(), expected.as_slice());
        }

        #[test]
        fn bits_behave_as_a_set(seats in 1_u32..300, operations in prop::collection::vec((any::<bool>(), 0_u32..320), 0..200)) {
            let mut bits = SeatBits::new(seats);
            let mut model = BTreeSet::new();
            for (insert, seat) in operations {
                let changed = if insert { bits.insert(seat) } else { bits.remove(seat) };
                let expected = if insert { seat < seats && model.insert(seat) } else { model.remove(&seat) };
                prop_assert_eq!(changed, expected);
            }
            prop_assert_eq!(bits.count() as usize, model.len());
            prop_assert!(bits.iter().eq(model.iter().copied()));
        }

        #[test]
        fn words_give_the_same_bits_back(seats in 0_u32..200, words in prop::collection::vec(any::<u64>(), 0..5)) {
            let bits = SeatBits::from_words(seats, words.clone());
            let on = |seat: u32| words.get(seat as usize / 64).is_some_and(|word| word >> (seat % 64) & 1 == 1);
            prop_assert!(bits.iter().eq((0..seats).filter(|seat| on(*seat))));
            prop_assert_eq!(SeatBits::from_words(seats, bits.words().to_vec()), bits);
        }

        #[test]
        fn union_and_difference_are_those_of_sets(a in prop::collection::btree_set(0_u32..130, 0..60), b in prop::collection::btree_set(0_u32..130, 0..60)) {
            let bits = |set: &BTreeSet<u32>| {
                let mut bits = SeatBits::new(130);
                for seat in set { bits.insert(*seat); }
                bits
            };
            let mut union = bits(&a);
            union.union_with(&bits(&b));
            prop_assert!(union.iter().eq(a.union(&b).copied()));
            let mut difference = bits(&a);
            difference.subtract(&bits(&b));
            prop_assert!(difference.iter().eq(a.difference(&b).copied()));
        }
    }
}
