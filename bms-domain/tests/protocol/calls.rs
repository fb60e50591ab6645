//! The use cases of several steps: making an order, and releasing a hold.

use crate::guards::Guard;
use crate::holds::HoldReply;
use crate::orders::Creation;
use crate::real::{Ask, Refused};
use crate::state::{Call, Link, ORDER_TTL, OrderIs, Replica};
use crate::step::Step;

/// How often an order of a hold is begun anew, as the service does.
const CHECKOUT_ATTEMPTS: usize = 4;

/// What a user is told who orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ordered {
    Pending,
    Taken,
    /// The hold is over, or its order is sold.
    Over,
    /// Try again.
    Unavailable,
    /// The model has no room for another order.
    NoRoom,
}

/// What a user is told who releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Released {
    Done,
    /// This order of the hold waits for payment.
    OrderPending(u8),
    Over,
}

impl Step<'_> {
    /// Links an order to the hold. Says which, and how, if the hold is still good.
    fn begin(&mut self, user: usize) -> Result<(u8, Link), Ordered> {
        let linked = self.link(user);
        let order = linked.or(self.fresh_order(user)).ok_or(Ordered::NoRoom)?;
        match self.begin_checkout(user, order) {
            HoldReply::Done => {
                if let Some(Call::Linked { link: link @ Link::Alone, .. } | Call::GiveBack { link: link @ Link::Alone, .. }) =
                    &mut self.state.users[user].call
                {
                    *link = Link::Asked;
                }
                Ok((order, if linked.is_some() { Link::Joined } else { Link::Alone }))
            }
            HoldReply::Refused(_) | HoldReply::NotFound => Err(Ordered::Over),
        }
    }

    /// Gives back a hold whose order was refused.
    fn give_back(&mut self, user: usize, order: u8, link: Link) {
        let guarded = self.on(Guard::GivenBackAlone);
        if link != Link::Joined || !guarded {
            self.ask_hold(user, Ask::GiveBack { order, asked: link == Link::Asked && guarded });
        }
    }

    /// An order is being made: its first step.
    pub(crate) fn start_order(&mut self, user: usize) {
        if let Ok((order, link)) = self.begin(user) {
            self.state.users[user].call = Some(Call::Linked { order, age: 0, cut: false, link });
        }
    }

    /// What an order is given to wait, when its hold was linked `age` ticks before. `late`: the call that makes it takes a
    /// tick to arrive.
    fn time_left(&self, age: u8, late: bool) -> u8 {
        let elapsed = age - u8::from(late);
        if self.on(Guard::TimeCountsFromLink) { ORDER_TTL.saturating_sub(elapsed) } else { ORDER_TTL }
    }

    /// The next step of an order that is being made.
    pub(crate) fn continue_order(&mut self, user: usize, late: bool) {
        let Some(call) = self.state.users[user].call else { return };
        let next = match call {
            Call::Linked { order, age, cut, link } => match self.create(user, order, self.time_left(age, late)) {
                Creation::Created => {
                    self.state.users[user].orders[usize::from(order)].known &= !cut;
                    None
                }
                Creation::Existing(found) => self.found(user, order, found),
                Creation::Taken => Some(Call::GiveBack { order, link }),
            },
            Call::Relink { from, to } => {
                self.unlink(user, from);
                Some(Call::Cover { to })
            }
            Call::Cover { to } => {
                self.begin_checkout(user, to);
                None
            }
            Call::GiveBack { order, link } => {
                self.give_back(user, order, link);
                Some(Call::Reconcile)
            }
            Call::Reconcile => {
                self.end_conflict(user);
                None
            }
        };
        self.state.users[user].call = next;
    }

    /// The hold has an order already. Says what is still to be done.
    fn found(&mut self, user: usize, linked: u8, found: u8) -> Option<Call> {
        let order = &mut self.state.users[user].orders[usize::from(found)];
        if order.is.is_pending() {
            return (found != linked).then_some(Call::Relink { from: linked, to: found });
        }
        if order.is.is_confirmed() {
            order.tell.sold = true;
        } else {
            // What follows is the first step again, which any retry makes.
            order.tell.unlink = true;
        }
        None
    }

    /// The last step of giving a hold back: the show is reconciled, and from here on the hold store knows who was in the way.
    fn end_conflict(&mut self, user: usize) {
        if self.on(Guard::ConflictReconciles) {
            self.reconcile();
        } else if self.state.replica != Replica::TookOver {
            let seats = self.state.users[user].seats;
            for order in self.state.users.iter_mut().flat_map(|user| &mut user.orders) {
                order.known |= order.is.is_confirmed() && order.claims & seats != 0;
            }
        }
    }

    /// Making an order, and nothing comes between.
    pub(crate) fn order_at_once(&mut self, user: usize) -> Ordered {
        for _ in 0..CHECKOUT_ATTEMPTS {
            let (order, link) = match self.begin(user) {
                Ok(linked) => linked,
                Err(told) => return told,
            };
            let found = match self.create(user, order, self.time_left(0, false)) {
                Creation::Created => return Ordered::Pending,
                Creation::Taken => {
                    self.give_back(user, order, link);
                    self.end_conflict(user);
                    return Ordered::Taken;
                }
                Creation::Existing(found) => found,
            };
            let is = self.state.users[user].orders[usize::from(found)].is;
            if is.is_pending() {
                if found != order {
                    self.unlink(user, order);
                    self.begin_checkout(user, found);
                }
                return Ordered::Pending;
            }
            if is.is_confirmed() {
                self.mark_sold(user, usize::from(found));
                return Ordered::Over;
            }
            if self.on(Guard::EndedOrderUnlinked) {
                self.unlink(user, order);
            }
        }
        Ordered::Unavailable
    }

    /// Releasing a hold, and nothing comes between.
    pub(crate) fn release_at_once(&mut self, user: usize) -> Released {
        for attempt in 0..2 {
            let linked = match self.ask_hold(user, Ask::Release) {
                HoldReply::Done => return Released::Done,
                HoldReply::Refused(Refused::OrderPending(linked)) => linked,
                HoldReply::Refused(Refused::Other) | HoldReply::NotFound => return Released::Over,
            };
            let order = self.state.users[user].orders[usize::from(linked)].is;
            let unseen = order == OrderIs::None && !self.on(Guard::UnseenOrderIsPending);
            if attempt == 0 && order.is_confirmed() {
                self.mark_sold(user, usize::from(linked));
            } else if attempt == 0 && ((order.has_ended() && self.on(Guard::EndedOrderUnlinked)) || unseen) {
                self.unlink(user, linked);
            } else {
                return Released::OrderPending(linked);
            }
        }
        Released::Over
    }
}
