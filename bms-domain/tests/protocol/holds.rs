//! The hold store, one atomic step a function.

use crate::guards::Guard;
use crate::promises::Promise;
use crate::real::{Ask, Refused, hold_after};
use crate::state::{Call, GRACE, Hold, HoldIs, LONGEST, ORDER_TTL, Order, OrderIs, Replica, Seats, Seen, User};
use crate::step::Step;

/// What was read of every order.
pub(crate) type Claims = Vec<[Seen; 2]>;

/// What came of asking something of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldReply {
    Done,
    Refused(Refused),
    NotFound,
}

impl Step<'_> {
    /// The occupancy has changed.
    fn new_version(&mut self) {
        if let Some(reader) = &mut self.state.reader {
            reader.noisy = true;
        }
    }

    /// What was read of the order store before is out of date.
    fn outdate_readers(&mut self) {
        if let Some(reader) = &mut self.state.reader {
            reader.stale = true;
        }
    }

    /// Ends the holds whose time has run out. The stores do so at the next call; nobody can tell the difference.
    pub(crate) fn retire(&mut self) {
        if !self.on(Guard::HoldsExpireAtUse) {
            return;
        }
        for user in 0..self.state.users.len() {
            if let Some(Hold { is: HoldIs::Held { until: 0, .. }, .. }) = self.state.users[user].hold {
                self.state.users[user].hold = Some(Hold::ended(HoldIs::Expired));
                self.new_version();
            }
        }
    }

    /// Holds all of the seats, or none. Says whether it did.
    pub(crate) fn place(&mut self, user: usize, seats: Seats) -> bool {
        let taken = (self.state.held() | self.state.marked()) & seats;
        if (!self.state.primed && self.on(Guard::PrimedBeforePlace)) || (taken != 0 && self.on(Guard::SeatsCheckedAtPlace)) {
            return false;
        }
        let own_end = self.world.bounds.hold_ttl;
        let owner = &mut self.state.users[user];
        owner.seats = seats;
        owner.hold = Some(Hold { is: HoldIs::Held { until: own_end, link: None }, own_end, life: own_end + ORDER_TTL + GRACE });
        self.new_version();
        true
    }

    /// Asks something of a user's hold.
    pub(crate) fn ask_hold(&mut self, user: usize, ask: Ask) -> HoldReply {
        let Some(hold) = self.state.users[user].hold else { return HoldReply::NotFound };
        let after = match hold_after(self.loosened(hold, ask), ask) {
            Ok(after) => after,
            Err(refused) => return HoldReply::Refused(refused),
        };
        self.state.users[user].hold = Some(after);
        if matches!(ask, Ask::EndCheckout { .. }) && after != hold {
            self.outdate_readers();
        }
        if hold.is_live() && !after.is_live() && !matches!(after.is, HoldIs::Consumed(_)) {
            self.new_version();
        }
        HoldReply::Done
    }

    /// A hold as a store sees it that has one of the machine's own guards switched off.
    fn loosened(&self, hold: Hold, ask: Ask) -> Hold {
        let HoldIs::Held { until, link } = hold.is else { return hold };
        let link = match ask {
            Ask::Release if !self.on(Guard::LinkedHoldStays) => None,
            Ask::EndCheckout { order } if !self.on(Guard::OwnOrderUnlinks) => link.and(Some(order)),
            _ => link,
        };
        Hold { is: HoldIs::Held { until, link }, ..hold }
    }

    /// Links an order to a user's hold, and prolongs it.
    pub(crate) fn begin_checkout(&mut self, user: usize, order: u8) -> HoldReply {
        let linked = matches!(self.state.users[user].hold, Some(Hold { is: HoldIs::Held { link: Some(_), .. }, .. }));
        if linked && !self.on(Guard::CoveredAnew) {
            return HoldReply::Done;
        }
        let cover = match (self.on(Guard::CheckoutProlongs), self.on(Guard::GraceCoversDelay)) {
            (true, true) => ORDER_TTL + GRACE,
            (true, false) => ORDER_TTL,
            (false, _) => 0,
        };
        let longest = if self.on(Guard::LongestLife) { LONGEST } else { u8::MAX };
        self.ask_hold(user, Ask::BeginCheckout { order, cover, longest })
    }

    /// Ends the live holds of all others on some seats.
    fn cut_short(&mut self, user: usize, seats: Seats) {
        for other in 0..self.state.users.len() {
            let owner = &self.state.users[other];
            if other != user && owner.seats & seats != 0 && owner.hold.is_some_and(Hold::is_live) {
                self.ask_hold(other, Ask::CutShort);
                if let Some(Call::Linked { cut, .. }) = &mut self.state.users[other].call {
                    *cut = true;
                }
            }
        }
    }

    /// Marks the seats of an order sold, and its hold consumed.
    pub(crate) fn mark_sold(&mut self, user: usize, order: usize) {
        let owner = self.state.users[user];
        if owner.orders[order].freed && self.on(Guard::CancelledStaysFree) {
            return;
        }
        if owner.orders[order].is_cancelled_in_secret() {
            self.believe_old_news(owner.seats);
        }
        if self.on(Guard::SaleCutsShort) {
            self.cut_short(user, owner.seats);
        }
        self.ask_hold(user, Ask::Consume { order: order as u8 });
        if owner.seats & !self.state.marked() != 0 {
            self.new_version();
        }
        if owner.seats & self.state.marked() & !owner.orders[order].marks != 0 && self.on(Guard::ResaleOutdates) {
            self.outdate_readers();
        }
        self.unmark(owner.seats);
        let order = &mut self.state.users[user].orders[order];
        order.marks = owner.seats;
        order.known = order.is.is_confirmed() && self.state.replica != Replica::TookOver;
    }

    /// A sale is told that was cancelled, and the hold store is not told of that. What it knows of others on the seats is lost
    /// until the show is reconciled: see docs/evidence.md.
    fn believe_old_news(&mut self, seats: Seats) {
        for other in self.state.users.iter_mut().filter(|other| other.seats & seats != 0) {
            other.orders.iter_mut().for_each(|order| order.known = false);
        }
    }

    fn unmark(&mut self, seats: Seats) {
        for order in self.state.users.iter_mut().flat_map(|user| &mut user.orders) {
            order.marks &= !seats;
        }
    }

    /// Frees the seats of a cancelled order.
    pub(crate) fn mark_free(&mut self, user: usize, order: usize) {
        self.outdate_readers();
        self.state.users[user].orders[order].freed = true;
        let owner = self.state.users[user];
        let seats = if self.on(Guard::FreesOnlyItsOwn) { owner.orders[order].marks } else { owner.seats };
        if seats & self.state.marked() != 0 {
            self.new_version();
        }
        self.unmark(seats);
    }

    /// What the order store would tell now of every order.
    pub(crate) fn claims(&self) -> Claims {
        let seen = |order: &Order| match order.is {
            _ if order.claims == 0 => Seen::Nothing,
            OrderIs::Pending { left: left @ 1.. } => Seen::Pending { left },
            OrderIs::Confirmed { .. } => Seen::Sold,
            _ => Seen::Nothing,
        };
        self.state.users.iter().map(|user| [seen(&user.orders[0]), seen(&user.orders[1])]).collect()
    }

    /// Takes in what was read of the order store since a fence. Says whether it did: not when the fence is stale.
    pub(crate) fn restore(&mut self, claims: &Claims, stale: bool, noisy: bool) -> bool {
        if stale && self.on(Guard::StaleRestoreRefused) {
            return false;
        }
        let numbers = || (0..claims.len()).flat_map(|user| [(user, 0), (user, 1)]);
        if !noisy || !self.on(Guard::FreedOnlyInQuiet) {
            let sold = numbers().filter(|(user, order)| claims[*user][*order] == Seen::Sold);
            let stray = self.state.marked() & !sold.fold(0, |seats, (user, _)| seats | self.state.users[user].seats);
            if stray != 0 {
                self.outdate_readers();
                self.new_version();
                self.unmark(stray);
            }
        }
        for (user, order) in numbers() {
            if claims[user][order] == Seen::Sold {
                self.mark_sold(user, order);
            }
        }
        let late = noisy && self.state.primed;
        let welcome = !late || !self.on(Guard::PendingOnlyInQuiet);
        for (user, order) in numbers() {
            if let Seen::Pending { left } = claims[user][order]
                && welcome
                && self.on(Guard::PendingRestored)
            {
                self.restore_pending(user, order as u8, left, late);
            }
        }
        self.state.primed = true;
        true
    }

    /// `late`: something has changed since the claim was read.
    fn restore_pending(&mut self, user: usize, order: u8, left: u8, late: bool) {
        let owner = self.state.users[user];
        let ends = left + GRACE;
        if owner.seats & self.state.marked() != 0 {
            return;
        }
        let waits = owner.orders[usize::from(order)].is.is_pending();
        let restored = match owner.hold {
            Some(Hold { is: HoldIs::Held { link: Some(_), .. }, .. }) => return,
            Some(Hold { is: HoldIs::Held { until, link: None }, own_end, life }) => {
                Hold { is: HoldIs::Held { until: until.max(ends), link: Some(order) }, own_end, life }
            }
            _ => {
                if self.is_linked_beside(user) && self.on(Guard::LinkedHoldStands) {
                    return;
                }
                if late && !waits && self.state.held() & owner.seats != 0 {
                    // A claim that is over takes a hold from somebody.
                    self.breaks(Promise::OnlyTheOwner);
                }
                self.cut_short(user, owner.seats);
                self.new_version();
                Hold { is: HoldIs::Held { until: ends, link: Some(order) }, own_end: ends, life: LONGEST }
            }
        };
        self.state.users[user].hold = Some(restored);
        self.state.users[user].orders[usize::from(order)].known |= waits && self.state.replica != Replica::TookOver;
    }

    /// Whether another has a live hold with an order on some of a user's seats.
    pub(crate) fn is_linked_beside(&self, user: usize) -> bool {
        let seats = self.state.users[user].seats;
        let mut others = (0..self.state.users.len()).filter(|other| *other != user);
        others.any(|other| self.state.users[other].seats & seats != 0 && self.link(other).is_some())
    }

    /// A restore that nothing comes between.
    pub(crate) fn reconcile(&mut self) {
        let claims = self.claims();
        self.restore(&claims, false, false);
    }

    /// The hold store loses everything.
    pub(crate) fn forget(&mut self) {
        self.state.losses += 1;
        self.state.primed = false;
        for user in &mut self.state.users {
            user.hold = None;
            for order in &mut user.orders {
                (order.marks, order.freed) = (0, false);
                // It is read before anything is granted again.
                order.known = order.is.is_pending() || order.is.is_confirmed();
            }
            if user.call.is_none() && user.orders.iter().all(|order| order.is == OrderIs::None) {
                *user = User::default();
            }
        }
        self.outdate_readers();
        self.new_version();
    }

    /// The second server gets no more changes.
    pub(crate) fn fall_behind(&mut self) {
        self.state.replica = Replica::Behind { primed: self.state.primed };
        for user in &mut self.state.users {
            user.older.hold = user.hold;
            user.older.marks = [user.orders[0].marks, user.orders[1].marks];
            user.older.freed = [user.orders[0].freed, user.orders[1].freed];
        }
    }

    /// The second server takes over. Its counters are behind, and may come to where a reader's fence was.
    pub(crate) fn take_over(&mut self) {
        let Replica::Behind { primed } = self.state.replica else { return };
        self.state.replica = Replica::TookOver;
        self.state.primed = primed;
        for user in &mut self.state.users {
            let older = std::mem::take(&mut user.older);
            user.hold = older.hold;
            for (order, (marks, freed)) in user.orders.iter_mut().zip(older.marks.into_iter().zip(older.freed)) {
                (order.marks, order.freed, order.known) = (marks, freed, false);
            }
        }
        if let Some(reader) = &mut self.state.reader {
            (reader.stale, reader.noisy) = (false, false);
        }
        self.retire();
    }
}
