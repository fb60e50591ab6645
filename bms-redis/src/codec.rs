//! What is written in Redis, and how it is read back.
//!
//! A hold's record is a head that the scripts read and write (`lua/holds.lua`), a body that is written once, and the id of
//! the order that is linked. The body begins with what the scripts read too: the owner's length (1 byte), the owner, the
//! number of seats (2 bytes), the seats (3 bytes each); then comes what only this module reads: the lengths and names of
//! show and layout, the price (8 bytes) and the currency (3 letters). All numbers are big-endian.

use std::str::FromStr;

use bms_domain::hold::{Hold, HoldLife, HoldState};
use bms_domain::id::{HoldId, LayoutId, OrderId, ShowId, UserId};
use bms_domain::money::{Currency, Money};
use bms_domain::seat::{SeatBits, SeatIndex, SeatSet};
use bms_domain::store::StoreError;
use bms_domain::time::Timestamp;
use uuid::Uuid;

use crate::error::STORE;

/// What is read makes no sense: a hand in the data, or a store of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record in Redis cannot be read")]
pub(crate) struct Unreadable;

impl From<Unreadable> for StoreError {
    fn from(unreadable: Unreadable) -> Self {
        Self::Broken { store: STORE, detail: unreadable.to_string() }
    }
}

/// Seat indices take three bytes.
pub(crate) const SEAT_LIMIT: SeatIndex = 1 << 24;

/// Seats as three bytes each; `None` for an index that does not fit.
pub(crate) fn pack_seats(seats: &SeatSet) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(3 * seats.len());
    put_seats(&mut packed, seats)?;
    Some(packed)
}

fn put_seats(packed: &mut Vec<u8>, seats: &SeatSet) -> Option<()> {
    for seat in seats.iter() {
        let [_, bytes @ ..] = Some(seat).filter(|seat| *seat < SEAT_LIMIT)?.to_be_bytes();
        packed.extend(bytes);
    }
    Some(())
}

/// Bytes side by side of a show's marks, two bits a seat, as they are where nobody but one hold has a seat.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Which byte of the marks is the first.
    pub(crate) first: u32,
    /// Not empty.
    pub(crate) marks: Vec<u8>,
}

/// A piece goes on over so many bytes without a seat of the hold: they cost less than a piece of their own.
const GAP: usize = 8;
/// A piece has no more bytes than this: the script puts it together byte by byte.
const PIECE: usize = 64;

/// Where a hold's seats are among the marks of its show.
pub(crate) fn pieces(seats: &SeatSet) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(1);
    for seat in seats.iter() {
        let (byte, mark) = (seat / 4, 0b0100_0000 >> (2 * (seat % 4)));
        let reach = |piece: &Piece| usize::try_from(byte - piece.first).unwrap_or(usize::MAX);
        let last = pieces.last_mut().filter(|piece| reach(piece) < PIECE.min(piece.marks.len() + 1 + GAP));
        let Some(piece) = last else {
            pieces.push(Piece { first: byte, marks: vec![mark] });
            continue;
        };
        let at = reach(piece);
        if at >= piece.marks.len() {
            piece.marks.resize(at + 1, 0);
        }
        if let Some(marks) = piece.marks.get_mut(at) {
            *marks |= mark;
        }
    }
    pieces
}

/// Reads packed seats.
pub(crate) fn unpack_seats(packed: &[u8]) -> Result<SeatSet, Unreadable> {
    let (triples, rest) = packed.as_chunks::<3>();
    if rest.is_empty() {
        Ok(triples.iter().map(|[a, b, c]| u32::from_be_bytes([0, *a, *b, *c])).collect())
    } else {
        Err(Unreadable)
    }
}

/// A hold's body. `None` for more seats than a record can name.
pub(crate) fn body(owner: &UserId, seats: &SeatSet, show: &ShowId, layout: &LayoutId, price: Money) -> Option<Vec<u8>> {
    let owner = owner.as_str().as_bytes();
    let mut body = Vec::with_capacity(18 + owner.len() + 3 * seats.len() + show.as_str().len() + layout.as_str().len());
    body.push(u8::try_from(owner.len()).ok()?);
    body.extend(owner);
    body.extend(u16::try_from(seats.len()).ok()?.to_be_bytes());
    put_seats(&mut body, seats)?;
    for name in [show.as_str(), layout.as_str()] {
        body.push(u8::try_from(name.len()).ok()?);
        body.extend(name.as_bytes());
    }
    body.extend(price.amount().to_be_bytes());
    body.extend(price.currency().code().as_bytes());
    Some(body)
}

/// Reads a hold's record, as it stands at `now`: past its end it has expired (promise P5).
pub(crate) fn hold(id: HoldId, record: &[u8], now: Timestamp) -> Result<Hold, Unreadable> {
    let mut bytes = Bytes(record);
    let state = bytes.byte()?;
    let created_at = bytes.number(6)?;
    let own_end = Timestamp::from_millis(created_at + bytes.number(5)?);
    let until = Timestamp::from_millis(created_at + bytes.number(5)?);
    let owner = UserId::parse(bytes.name()?).map_err(|_| Unreadable)?;
    let count = usize::try_from(bytes.number(2)?).map_err(|_| Unreadable)?;
    let seats = unpack_seats(bytes.take(3 * count)?)?;
    let show = ShowId::parse(bytes.name()?).map_err(|_| Unreadable)?;
    let layout = LayoutId::parse(bytes.name()?).map_err(|_| Unreadable)?;
    let amount = i64::from_be_bytes(bytes.array()?);
    let currency = str::from_utf8(bytes.take(3)?).ok().and_then(Currency::from_code).ok_or(Unreadable)?;
    let price = Money::new(amount, currency).map_err(|_| Unreadable)?;
    let state = match state {
        b'H' => HoldState::Held { until, order: None },
        b'L' => HoldState::Held { until, order: Some(bytes.order()?) },
        b'R' => HoldState::Released { at: until },
        b'E' => HoldState::Expired { at: until },
        b'C' => HoldState::Consumed { order: bytes.order()?, at: until },
        _ => return Err(Unreadable),
    };
    let life = HoldLife { created_at: Timestamp::from_millis(created_at), own_end };
    Ok(Hold { id, show, layout, owner, seats, price, life, state: state.at(now) })
}

/// Reads an id that stands as text.
pub(crate) fn text<T: FromStr>(bytes: &[u8]) -> Result<T, Unreadable> {
    str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or(Unreadable)
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, left) = self.0.split_at_checked(count).ok_or(Unreadable)?;
        self.0 = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn number(&mut self, width: usize) -> Result<i64, Unreadable> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | i64::from(*byte)))
    }

    /// A text and its length before it.
    fn name(&mut self) -> Result<&'a str, Unreadable> {
        let length = self.byte()?;
        str::from_utf8(self.take(length.into())?).map_err(|_| Unreadable)
    }

    fn order(&mut self) -> Result<OrderId, Unreadable> {
        OrderId::from_uuid(Uuid::from_bytes(self.array()?)).map_err(|_| Unreadable)
    }
}

/// A seat's mark: held.
const HELD: u8 = 1;
/// A seat's mark: sold.
const SOLD: u8 = 2;

/// Which of the four seats of a byte are held, and which are sold: the first seat is in the highest bits of the byte, and in
/// the lowest bit here.
const FOUR_SEATS: [(u8, u8); 256] = {
    let mut table = [(0, 0); 256];
    let mut byte = 0;
    while byte < 256 {
        let mut place = 0;
        while place < 4 {
            let mark = (byte >> (6 - 2 * place)) as u8 & 3;
            #[expect(clippy::indexing_slicing, reason = "at compile time")]
            if mark == HELD {
                table[byte].0 |= 1 << place;
            } else if mark == SOLD {
                table[byte].1 |= 1 << place;
            }
            place += 1;
        }
        byte += 1;
    }
    table
};

/// Reads a show's marks: the seats that are held, and those that are sold. Marks that were never written are free.
///
/// # Errors
/// More seats than a record can name: a number that nobody of ours has written would take all of the memory.
pub(crate) fn occupancy(seats: u32, marks: &[u8]) -> Result<(SeatBits, SeatBits), Unreadable> {
    if seats > SEAT_LIMIT {
        return Err(Unreadable);
    }
    let words = (seats as usize).div_ceil(64);
    let (mut held, mut sold) = (vec![0_u64; words], vec![0_u64; words]);
    for ((held, sold), sixteen) in held.iter_mut().zip(&mut sold).zip(marks.chunks(16)) {
        for (place, byte) in sixteen.iter().enumerate() {
            let (some_held, some_sold) = FOUR_SEATS.get(usize::from(*byte)).copied().unwrap_or_default();
            *held |= u64::from(some_held) << (4 * place);
            *sold |= u64::from(some_sold) << (4 * place);
        }
    }
    Ok((SeatBits::from_words(seats, held), SeatBits::from_words(seats, sold)))
}

/// The marks of a show of which these seats are sold and nothing is held.
pub(crate) fn sold_marks(seats: u32, sold: impl Iterator<Item = SeatIndex>) -> Vec<u8> {
    let mut marks = vec![0; (seats as usize).div_ceil(4)];
    for seat in sold {
        if let Some(byte) = marks.get_mut(seat as usize / 4) {
            *byte |= SOLD << (6 - 2 * (seat % 4));
        }
    }
    marks
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order() -> OrderId {
        OrderId::new(ShowId::parse("s").unwrap().shard(), Uuid::from_u128(7))
    }

    /// A record as `lua/holds.lua` writes it.
    pub(crate) fn record(state: u8, created: i64, own: i64, till: i64, body: &[u8], order: Option<OrderId>) -> Vec<u8> {
        let mut record = vec![state];
        record.extend(&created.to_be_bytes()[2..]);
        record.extend(&own.to_be_bytes()[3..]);
        record.extend(&till.to_be_bytes()[3..]);
        record.extend(body);
        record.extend(order.iter().flat_map(|order| *order.uuid().as_bytes()));
        record
    }

    proptest! {
        #[test]
        fn pieces_have_the_seats_marks_and_no_others(
            near in prop::collection::btree_set(0_u32..400, 1..40), far in prop::collection::btree_set(0..SEAT_LIMIT, 0..5),
        ) {
            let seats: SeatSet = near.into_iter().chain(far).collect();
            let pieces = pieces(&seats);
            let bytes = pieces.iter().flat_map(|piece| (piece.first..).zip(piece.marks.iter().copied()));
            let marked = bytes.flat_map(|(byte, marks)| (0..4).map(move |at| (4 * byte + at, marks >> (6 - 2 * at) & 3)));
            let marked: Vec<(u32, u8)> = marked.filter(|(_, mark)| *mark != 0).collect();
            prop_assert_eq!(marked, seats.iter().map(|seat| (seat, 1)).collect::<Vec<_>>());
            prop_assert!(pieces.iter().all(|piece| (1..=PIECE).contains(&piece.marks.len())));
            prop_assert!(pieces.iter().all(|piece| piece.marks.first() != Some(&0) && piece.marks.last() != Some(&0)));
        }

        #[test]
        fn a_hold_is_read_as_it_was_written(
            owner in "\\PC{1,60}", seats in prop::collection::btree_set(0..SEAT_LIMIT, 1..40), amount in 0_i64..1_000_000_000,
            created in 0_i64..1 << 47, own in 1_i64..1 << 39, till in 1_i64..1 << 39, state in 0_usize..5,
        ) {
            let (owner, seats): (_, SeatSet) = (UserId::parse(&owner).unwrap(), seats.into_iter().collect());
            let (show, layout) = (ShowId::parse("show-1").unwrap(), LayoutId::parse("plan").unwrap());
            let price = Money::new(amount, Currency::EUR).unwrap();
            let until = Timestamp::from_millis(created + till);
            let (letter, linked, expected) = [
                (b'H', None, HoldState::Held { until, order: None }),
                (b'L', Some(order()), HoldState::Held { until, order: Some(order()) }),
                (b'R', None, HoldState::Released { at: until }),
                (b'E', None, HoldState::Expired { at: until }),
                (b'C', Some(order()), HoldState::Consumed { order: order(), at: until }),
            ][state];
            let body = body(&owner, &seats, &show, &layout, price).unwrap();
            let id = HoldId::of(&show, Uuid::from_u128(1));
            let record = record(letter, created, own, till, &body, linked);
            let now = Timestamp::from_millis(created);
            let life = HoldLife { created_at: now, own_end: Timestamp::from_millis(created + own) };
            let expected = Hold { id, show, layout, owner, seats, price, life, state: expected };
            prop_assert_eq!(hold(id, &record, now), Ok(expected));
            for cut in 0..record.len() {
                prop_assert_eq!(hold(id, &record[..cut], now), Err(Unreadable), "{} of {}", cut, record.len());
            }
        }

        #[test]
        fn marks_are_read_as_they_were_written(seats in 1_u32..200, sold in prop::collection::btree_set(0_u32..200, 0..60)) {
            let sold: Vec<u32> = sold.into_iter().filter(|seat| *seat < seats).collect();
            let (held, seen) = occupancy(seats, &sold_marks(seats, sold.iter().copied())).unwrap();
            prop_assert_eq!((held.count(), seen.iter().collect::<Vec<_>>()), (0, sold));
        }
    }

    #[test]
    fn held_and_sold_are_told_apart() {
        // Seats 0…5: held, sold, free, held, sold, held; then nothing was written.
        let (held, sold) = occupancy(100, &[0b01_10_00_01, 0b10_01_00_00]).unwrap();
        assert_eq!((held.iter().collect::<Vec<_>>(), sold.iter().collect::<Vec<_>>()), (vec![0, 3, 5], vec![1, 4]));
        assert_eq!((held.seats(), sold.seats()), (100, 100));
    }

    #[test]
    fn a_record_past_its_end_has_expired() {
        let (show, layout) = (ShowId::parse("s").unwrap(), LayoutId::parse("p").unwrap());
        let ann = UserId::parse("ann").unwrap();
        let body = body(&ann, &[1].into_iter().collect(), &show, &layout, Money::new(1, Currency::EUR).unwrap()).unwrap();
        let record = record(b'H', 1_000, 500, 500, &body, None);
        let id = HoldId::of(&show, Uuid::from_u128(1));
        let state = |now| hold(id, &record, Timestamp::from_millis(now)).unwrap().state;
        let until = Timestamp::from_millis(1_500);
        assert_eq!((state(1_499), state(1_500)), (HoldState::Held { until, order: None }, HoldState::Expired { at: until }));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (ann, show, layout) = (UserId::parse("ann").unwrap(), ShowId::parse("s").unwrap(), LayoutId::parse("p").unwrap());
        let fits = |seats: SeatSet| body(&ann, &seats, &show, &layout, Money::new(1, Currency::EUR).unwrap()).is_some();
        assert!(fits([SEAT_LIMIT - 1].into_iter().collect()) && fits((0..u32::from(u16::MAX)).collect()));
        assert!(!fits([SEAT_LIMIT].into_iter().collect()) && !fits((0..=u32::from(u16::MAX)).collect()));
        assert_eq!(unpack_seats(&[0, 0]), Err(Unreadable));
        assert!(occupancy(SEAT_LIMIT, &[]).is_ok());
        assert_eq!(occupancy(SEAT_LIMIT + 1, &[]), Err(Unreadable));
    }
}
