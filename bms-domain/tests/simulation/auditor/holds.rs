//! The book of holds, of one incarnation of the hold store: what it was told, and what was seen of it after each command.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bms_domain::hold::{Hold, HoldState};
use bms_domain::id::{Caller, HoldId, OrderId, UserId};
use bms_domain::order::Order;
use bms_domain::seat::SeatSet;
use bms_domain::store::{Fence, HoldChange, OccupancyRead, PlaceHold, Placed, Restored, ShowClaims, SoldSeats};
use bms_domain::time::Timestamp;

use super::{Auditor, Promise};
use crate::sometimes::Sometimes;

/// The longest life of a hold.
const LONGEST_LIFE: Duration = Duration::from_mins(30);

/// For how long the store remembers a hold that ended, and a bit less.
const REMEMBERED_MS: i64 = 50 * 60_000;

/// By how much two clocks drift apart while an order waits, and a bit more.
const CLOCKS_DIFFER: Duration = Duration::from_millis(200);

/// A hold in the book.
#[derive(Clone, Debug)]
struct HoldNote {
    owner: UserId,
    seats: SeatSet,
    until: Timestamp,
    order: Option<OrderId>,
    is_live: bool,
    /// It ended before its time, by a sale or a restore.
    was_cut: bool,
    /// When it was granted, in ms of the world.
    placed_at: Option<i64>,
    /// Orders that it was linked to.
    linked: BTreeSet<OrderId>,
}

/// The seats that the store was told of as sold, and not as free since.
#[derive(Clone, Default, PartialEq)]
struct Marks {
    /// To which order.
    sold: BTreeMap<u32, OrderId>,
    /// Orders that it was told of as cancelled: news of their sale is old.
    freed: BTreeSet<OrderId>,
}

impl Marks {
    fn sell(&mut self, sold: &SoldSeats) {
        if !self.freed.contains(&sold.order) {
            self.sold.extend(sold.seats.iter().map(|seat| (seat, sold.order)));
        }
    }

    fn free(&mut self, order: OrderId) {
        self.freed.insert(order);
        self.sold.retain(|_, buyer| *buyer != order);
    }
}

/// What is known of an incarnation.
#[derive(Default)]
pub(super) struct Holds {
    /// It has forgotten what was sold before.
    forgot: bool,
    /// It is an older state, whose counters count anew: what is promised of an emptied store is not promised of it.
    fell_back: bool,
    is_primed: bool,
    notes: BTreeMap<HoldId, HoldNote>,
    touched: BTreeSet<HoldId>,
    /// Orders that it was told of as sold.
    told: BTreeMap<OrderId, SeatSet>,
    /// The seats that must be marked sold, whatever the truth is by now.
    marks: Marks,
    /// How many commands it was given, and the marks after each that changed them.
    commands: usize,
    past_marks: Vec<(usize, Marks)>,
    /// It believed old news of a sale whose cancellation it was not told of, which is known and left open.
    is_misled: bool,
    /// The fences that it gave.
    fences: BTreeSet<(u64, u64)>,
    /// Orders whose hold was live and linked when they were made, or restored.
    covered: BTreeMap<OrderId, HoldId>,
    /// Orders that a first restore told of.
    restored: Vec<(OrderId, HoldId)>,
    /// What it was told last was a restore.
    was_restored: bool,
}

impl Holds {
    fn live(&self, now: Timestamp) -> impl Iterator<Item = (&HoldId, &HoldNote)> {
        self.notes.iter().filter(move |(_, note)| note.is_live && !note.until.has_passed(now))
    }

    /// Whether this incarnation never heard of a hold.
    pub(super) fn is_lost(&self, hold: HoldId) -> bool {
        (self.forgot || self.fell_back) && !self.notes.contains_key(&hold)
    }
}

impl Auditor {
    /// The hold store has forgotten everything.
    pub(crate) fn holds_forgotten(&mut self) {
        self.counts.add(Sometimes::HoldsForgotten);
        self.holds = Holds { forgot: true, ..Holds::default() };
    }

    /// The hold store is what it was after so many of its commands. Says which holds it may have.
    pub(crate) fn holds_fell_back(&mut self, commands: usize) -> Vec<HoldId> {
        self.counts.add(Sometimes::HoldsFellBack);
        let Holds { notes, mut past_marks, .. } = std::mem::take(&mut self.holds);
        past_marks.retain(|(after, _)| *after <= commands);
        let marks = past_marks.last().map(|(_, marks)| marks.clone()).unwrap_or_default();
        self.holds = Holds { fell_back: true, marks, commands, past_marks, ..Holds::default() };
        notes.into_keys().collect()
    }

    /// It has fallen back, and nobody has restored it since. The sweeper looks after a show for an hour after its last sale; from
    /// then on only a call that finds the difference does.
    pub(super) fn is_older(&self) -> bool {
        self.holds.fell_back && !self.holds.is_primed
    }

    /// What it has of them.
    pub(crate) fn holds_left(&mut self, ids: &[HoldId], left: &[Option<Hold>]) {
        for (id, hold) in ids.iter().zip(left) {
            self.saw(*id, hold.as_ref());
        }
    }

    /// It was asked something: what is past its end has ended, and does not live again when its clock is set back.
    pub(crate) fn holds_asked(&mut self) {
        let now = self.now.holds;
        for note in self.holds.notes.values_mut() {
            note.is_live &= !note.until.has_passed(now);
        }
    }

    pub(crate) fn touched(&mut self, hold: HoldId) {
        self.holds.touched.insert(hold);
    }

    fn gave(&mut self, fence: Fence) {
        self.holds.fences.insert((fence.frees, fence.version));
    }

    pub(crate) fn placed(&mut self, asked: &PlaceHold, answer: &Placed) {
        let now = self.now;
        let before = self.holds.notes.get(&asked.id).cloned();
        let remembered = before.as_ref().is_some_and(|note| note.placed_at.is_some_and(|at| now.world - at < REMEMBERED_MS));
        let same = before.is_some_and(|note| note.owner == asked.owner && note.seats == asked.seats);
        let again = remembered && same && !self.holds.fell_back;
        match answer {
            Placed::Placed(hold) => {
                let right = hold.id == asked.id && !again;
                self.expect(right, Promise::SafeRetries, || format!("hold {} was placed anew, as {}", asked.id, hold.id));
                let whole = hold.seats == asked.seats && hold.owner == asked.owner;
                self.expect(whole, Promise::AllOrNothing, || {
                    format!("hold {} has {:?} of {:?}", hold.id, hold.seats, asked.seats)
                });
                let primed = self.holds.is_primed || self.holds.fell_back;
                self.expect(primed, Promise::SelfHealing, || format!("hold {} was granted by an emptied store", hold.id));
                self.check_free(hold);
                self.saw(hold.id, Some(hold));
                if let Some(note) = self.holds.notes.get_mut(&hold.id) {
                    note.placed_at = Some(now.world);
                }
            }
            Placed::Existing(hold) => {
                self.counts.add(Sometimes::SameHold);
                self.expect(hold.owner == asked.owner, Promise::OnlyTheOwner, || format!("hold {} is another's", hold.id));
            }
            Placed::Taken(seats) => {
                let in_the_way = self.in_the_way(&asked.seats);
                self.expect(in_the_way == *seats && !seats.is_empty(), Promise::AllOrNothing, || {
                    format!("of {:?}, {seats:?} were called taken, and {in_the_way:?} are held or sold", asked.seats)
                });
                self.expect(!again, Promise::SafeRetries, || format!("hold {} is refused because of itself", asked.id));
            }
            Placed::IdTaken => self.breaks(Promise::SafeRetries, format!("hold {} is called another's", asked.id)),
            Placed::TooMany { .. } => {}
            Placed::NotPrimed(fence) => self.gave(*fence),
        }
    }

    /// Those of some seats that are under a live hold, or that the store was told of as sold.
    fn in_the_way(&self, wanted: &SeatSet) -> SeatSet {
        let held: BTreeSet<u32> = self.holds.live(self.now.holds).flat_map(|(_, note)| note.seats.iter()).collect();
        wanted.iter().filter(|seat| held.contains(seat) || self.holds.marks.sold.contains_key(seat)).collect()
    }

    /// P2: what is held or sold already is not granted.
    fn check_free(&mut self, hold: &Hold) {
        let sold = hold.seats.iter().find_map(|seat| self.holds.marks.sold.get(&seat).copied());
        self.expect(sold.is_none(), Promise::ExclusiveHolds, || format!("hold {} was granted on seats of {sold:?}", hold.id));
        let overlaps = |note: &HoldNote| note.seats.iter().any(|seat| hold.seats.contains(seat));
        let rival = self.holds.live(self.now.holds).find(|(id, note)| **id != hold.id && overlaps(note)).map(|(id, _)| *id);
        self.expect(rival.is_none(), Promise::ExclusiveHolds, || format!("hold {} was granted on seats of {rival:?}", hold.id));
    }

    /// P9: only the owner is told anything.
    pub(crate) fn changed_by(&mut self, by: &Caller, id: HoldId, answer: &HoldChange) {
        self.touched(id);
        if let HoldChange::Done(hold) | HoldChange::Refused(hold, _) = answer {
            self.expect(by.may_touch(&hold.owner), Promise::OnlyTheOwner, || {
                format!("{by:?} changed, or was told of, hold {id} of {:?}", hold.owner)
            });
        }
    }

    /// A checkout began.
    pub(crate) fn linked(&mut self, id: HoldId, answer: &HoldChange) {
        if let HoldChange::Done(hold) = answer
            && let HoldState::Held { order: Some(order), .. } = hold.state
        {
            self.saw(id, Some(hold));
            if let Some(note) = self.holds.notes.get_mut(&id) {
                note.linked.insert(order);
            }
        }
    }

    pub(crate) fn told_sold(&mut self, sold: &SoldSeats) {
        self.touched(sold.hold);
        let was_sold = self.is_confirmed(sold.order) || self.is_cancelled(sold.order);
        self.expect(was_sold, Promise::NoDoubleSale, || format!("the hold store is told that {} is sold", sold.order));
        self.holds.marks.sell(sold);
        if !self.holds.marks.freed.contains(&sold.order) {
            self.holds.is_misled |= self.is_cancelled(sold.order);
            self.holds.told.insert(sold.order, sold.seats.clone());
        }
    }

    pub(crate) fn told_free(&mut self, sold: &SoldSeats) {
        let cancelled = self.is_cancelled(sold.order);
        self.expect(cancelled, Promise::NoDoubleSale, || format!("the hold store is told that {} is cancelled", sold.order));
        self.holds.told.remove(&sold.order);
        self.holds.marks.free(sold.order);
    }

    pub(crate) fn restored(&mut self, claims: &ShowClaims, fence: Fence, answer: &Restored) {
        match answer {
            Restored::Stale(newer) => {
                self.counts.add(Sometimes::StaleRestore);
                self.gave(*newer);
            }
            Restored::Done { added, freed } => {
                let claimed: BTreeSet<u32> = claims.sold.iter().flat_map(|sold| sold.seats.iter()).collect();
                let marks = &mut self.holds.marks;
                let stray = marks.sold.keys().filter(|seat| !claimed.contains(seat)).count();
                if *freed > 0 {
                    // All of them, or none.
                    marks.sold.retain(|seat, _| claimed.contains(seat));
                    self.counts.add(Sometimes::MarkFreed);
                }
                let before = marks.sold.len();
                claims.sold.iter().for_each(|sold| marks.sell(sold));
                let new = marks.sold.len() - before;
                let right = (*freed == 0 || *freed as usize == stray) && *added as usize == new;
                self.expect(right, Promise::SelfHealing, || {
                    format!("{stray} seats were marked sold without a claim, {new} claimed without a mark: {answer:?}")
                });
                // After a fall back the counters of another time may say that nothing has changed.
                self.holds.is_misled |= self.holds.fell_back && !self.holds.fences.contains(&(fence.frees, fence.version));
                claims.sold.iter().for_each(|sold| self.told_sold(sold));
                claims.pending.iter().for_each(|pending| self.touched(pending.hold));
                let first = !self.holds.is_primed && !self.holds.fell_back;
                if first && self.holds.forgot && !claims.sold.is_empty() {
                    self.counts.add(Sometimes::Restored);
                }
                if first {
                    self.holds.restored = claims.pending.iter().map(|pending| (pending.order, pending.hold)).collect();
                }
                self.holds.is_primed = true;
                self.holds.was_restored = true;
            }
        }
    }

    pub(crate) fn read_occupancy(&mut self, answer: &OccupancyRead) {
        match answer {
            OccupancyRead::Known(known) => self.gave(known.fence),
            OccupancyRead::NotPrimed(fence) => self.gave(*fence),
        }
    }

    /// A command was given. Says which holds it may have changed.
    pub(crate) fn holds_to_look_at(&mut self) -> Vec<HoldId> {
        self.holds.commands += 1;
        let (commands, marks) = (self.holds.commands, &self.holds.marks);
        if self.holds.past_marks.last().is_none_or(|(_, past)| past != marks) {
            self.holds.past_marks.push((commands, marks.clone()));
        }
        let mut ids = std::mem::take(&mut self.holds.touched);
        ids.extend(self.holds.notes.iter().filter(|(_, note)| note.is_live).map(|(id, _)| *id));
        ids.into_iter().collect()
    }

    /// What the store looks like after a command.
    pub(crate) fn saw_holds(&mut self, ids: &[HoldId], seen: &[Option<Hold>], occupancy: &OccupancyRead) {
        for (id, hold) in ids.iter().zip(seen) {
            self.saw(*id, hold.as_ref());
        }
        self.check_exclusive();
        if let OccupancyRead::Known(known) = occupancy {
            let told = &self.holds.told;
            let sold = told.iter().filter(|(order, _)| self.is_confirmed(**order)).flat_map(|(_, seats)| seats.iter());
            let unmarked = sold.into_iter().find(|seat| !known.sold.contains(*seat) || known.held.contains(*seat));
            let promise = if self.holds.was_restored { Promise::SelfHealing } else { Promise::ExclusiveHolds };
            self.expect(unmarked.is_none() || self.holds.is_misled, promise, || {
                format!("seat {unmarked:?} was told sold, and can be held")
            });
            // What is held and marked is what the book says, whatever the store was told, and however late.
            let held: BTreeSet<u32> = self.holds.live(self.now.holds).flat_map(|(_, note)| note.seats.iter()).collect();
            let sold: Vec<u32> = self.holds.marks.sold.keys().copied().collect();
            let same = known.held.iter().eq(held.iter().copied()) && known.sold.iter().eq(sold.iter().copied());
            self.expect(same, promise, || {
                format!("{:?} are held and {:?} sold; in the book {held:?} and {sold:?}", known.held, known.sold)
            });
        }
        self.holds.was_restored = false;
        self.check_restored();
    }

    fn saw(&mut self, id: HoldId, hold: Option<&Hold>) {
        let now = self.now.holds;
        let Some(hold) = hold else {
            if let Some(note) = self.holds.notes.get_mut(&id) {
                note.is_live = false;
            }
            return;
        };
        let live = match hold.state {
            HoldState::Held { until, order } => Some((until, order)),
            _ => None,
        };
        let fell_back = self.holds.fell_back;
        let outlives = live.is_some_and(|(until, _)| until > hold.life.created_at.plus(LONGEST_LIFE));
        self.expect(!outlives || fell_back, Promise::NoLeak, || format!("hold {id} outlives the longest life"));
        let note = self.holds.notes.entry(id).or_insert_with(|| HoldNote {
            owner: hold.owner.clone(),
            seats: hold.seats.clone(),
            until: now,
            order: None,
            is_live: false,
            was_cut: false,
            placed_at: None,
            linked: BTreeSet::new(),
        });
        // One that is unlinked falls back to its own end, which may be over.
        let cut = match hold.state {
            HoldState::Expired { at } => note.is_live && at < note.until && at != hold.life.own_end,
            _ => false,
        };
        note.is_live = live.is_some();
        if let Some((until, order)) = live {
            (note.until, note.order, note.was_cut) = (until, order, false);
        }
        if cut {
            note.was_cut = true;
            self.counts.add(Sometimes::CutShort);
        }
    }

    /// P2: no two live holds cover one seat.
    fn check_exclusive(&mut self) {
        let mut held = BTreeMap::new();
        let covers = self.holds.live(self.now.holds).flat_map(|(id, note)| note.seats.iter().map(move |seat| (seat, *id)));
        let twice: Vec<_> = covers.filter_map(|(seat, id)| held.insert(seat, id).map(|other| (seat, other, id))).collect();
        if let Some((seat, other, id)) = twice.first() {
            self.breaks(Promise::ExclusiveHolds, format!("seat {seat} is under holds {other} and {id}"));
        }
    }

    /// P10: a first restore brings the hold of each order back that waits.
    fn check_restored(&mut self) {
        for (order, hold) in std::mem::take(&mut self.holds.restored) {
            if !self.is_pending(order) || self.holds.is_misled {
                continue;
            }
            let is_back = self.is_linked(hold, order);
            self.expect(is_back || self.clock_was_set, Promise::SelfHealing, || format!("the hold of {order} was not restored"));
            if is_back {
                self.counts.add(Sometimes::RestoredPending);
                self.holds.covered.insert(order, hold);
            }
        }
    }

    fn is_linked(&self, hold: HoldId, order: OrderId) -> bool {
        let mut live = self.holds.live(self.now.holds);
        live.any(|(id, note)| *id == hold && note.order == Some(order))
    }

    /// An order was made. P8 is promised of it unless it was made late, of a hold that a sale had ended, or whose store forgot
    /// of it meanwhile.
    pub(super) fn begin_cover(&mut self, order: &Order, is_late: bool) {
        let Some(note) = self.holds.notes.get(&order.hold) else { return };
        if is_late || !note.linked.contains(&order.id) || note.was_cut || self.holds.fell_back {
            return;
        }
        self.holds.covered.insert(order.id, order.hold);
        let (held_for, waits_for) = (note.until.since(self.now.holds), order.expires_at.since(self.now.orders));
        let lasts = held_for + CLOCKS_DIFFER >= waits_for || self.clock_was_set;
        self.expect(lasts, Promise::CheckoutIsCovered, || {
            format!("order {} waits for {waits_for:?}, and its hold lasts for {held_for:?}", order.id)
        });
    }

    /// P8: while an order waits its hold is live and linked to it.
    pub(crate) fn check_cover(&mut self) {
        if self.holds.covered.is_empty() {
            return;
        }
        let mut covered = std::mem::take(&mut self.holds.covered);
        covered.retain(|order, _| self.is_pending(*order));
        let bare = covered.iter().find(|(order, hold)| !self.is_linked(**hold, **order)).map(|(order, hold)| (*order, *hold));
        self.holds.covered = covered;
        if let Some((order, hold)) = bare
            && !self.clock_was_set
            && !self.holds.is_misled
        {
            let note = self.holds.notes.get(&hold).cloned();
            self.breaks(Promise::CheckoutIsCovered, format!("order {order} waits, and its hold {hold} is {note:?}"));
        }
    }
}
