//! The book of orders: who claims and who owns each seat, and along which arrows orders move.

use bms_domain::id::{Caller, HoldId, OrderId, UserId};
use bms_domain::money::Money;
use bms_domain::order::{Order, OrderState};
use bms_domain::payment::PaymentReference;
use bms_domain::seat::SeatSet;
use bms_domain::store::{Creation, NewOrder, OrderChange};
use bms_domain::time::Timestamp;

use super::{Auditor, Promise};
use crate::sometimes::Sometimes;

/// Where an order was seen to stand. One that waits has expired when its time is over, whether that was written down or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    Pending,
    Confirmed,
    Failed,
    Expired,
    Cancelled,
}

impl Is {
    fn of(state: &OrderState) -> Self {
        match state {
            OrderState::PaymentPending => Self::Pending,
            OrderState::Confirmed { .. } => Self::Confirmed,
            OrderState::Failed { .. } => Self::Failed,
            OrderState::Expired { .. } => Self::Expired,
            OrderState::Cancelled { .. } => Self::Cancelled,
        }
    }

    /// The arrows of the protocol.
    fn may_become(self, next: Self) -> bool {
        use Is::{Cancelled, Confirmed, Expired, Failed, Pending};
        match (self, next) {
            (Pending, Confirmed | Failed | Expired) | (Failed | Expired, Confirmed) | (Confirmed, Cancelled) => true,
            (before, after) => before == after,
        }
    }
}

/// An order in the book.
#[derive(Clone, Debug)]
pub(super) struct OrderNote {
    pub(super) hold: HoldId,
    owner: UserId,
    pub(super) seats: SeatSet,
    pub(super) price: Money,
    expires_at: Timestamp,
    pub(super) is: Is,
    pub(super) paid: Option<PaymentReference>,
}

impl Auditor {
    pub(super) fn is_pending(&self, order: OrderId) -> bool {
        self.orders.get(&order).is_some_and(|note| note.is == Is::Pending && !note.expires_at.has_passed(self.now.orders))
    }

    pub(super) fn is_confirmed(&self, order: OrderId) -> bool {
        self.orders.get(&order).is_some_and(|note| note.is == Is::Confirmed)
    }

    pub(super) fn is_cancelled(&self, order: OrderId) -> bool {
        self.orders.get(&order).is_some_and(|note| note.is == Is::Cancelled)
    }

    /// Whose a sold seat is.
    pub(crate) fn owner_of(&self, seat: u32) -> Option<OrderId> {
        self.owners.get(&seat).map(|(order, _)| *order)
    }

    /// One of the confirmed orders.
    pub(crate) fn a_confirmed_order(&self, pick: usize) -> Option<OrderId> {
        let confirmed: Vec<OrderId> = self.orders.keys().copied().filter(|order| self.is_confirmed(*order)).collect();
        confirmed.get(pick % confirmed.len().max(1)).copied()
    }

    /// Who claims a seat that an order wants, if another does.
    fn rival(&self, seat: u32, order: OrderId) -> Option<OrderId> {
        let claimant = self.claims.get(&seat).copied().filter(|claimant| *claimant != order)?;
        (self.is_pending(claimant) || self.is_confirmed(claimant)).then_some(claimant)
    }

    pub(crate) fn created(&mut self, asked: &NewOrder, answer: &Creation, is_late: bool) {
        match answer {
            Creation::Created(order) => {
                let new = !self.orders.contains_key(&order.id) && order.id == asked.id;
                self.expect(new, Promise::SafeRetries, || format!("order {} was made twice", asked.id));
                let whole = order.seats.indices() == asked.seats.indices();
                self.expect(whole, Promise::AllOrNothing, || {
                    format!("{} is not an order of {:?}", order.id, asked.seats.indices())
                });
                self.expect(order.hold == asked.hold && order.owner == asked.owner, Promise::OnlyTheOwner, || {
                    format!("order {} is not of hold {}", order.id, asked.hold)
                });
                self.check_one_order_a_hold(order);
                for seat in order.seats.indices().iter() {
                    // A clock that was set back makes a claim good again that was taken over meanwhile.
                    let rival = self.rival(seat, order.id).filter(|rival| self.is_confirmed(*rival) || !self.went_back);
                    self.expect(rival.is_none(), Promise::NoDoubleSale, || {
                        format!("seat {seat} of {rival:?} is claimed by {}", order.id)
                    });
                    self.claims.insert(seat, order.id);
                }
                let note = OrderNote {
                    hold: order.hold,
                    owner: order.owner.clone(),
                    seats: order.seats.indices(),
                    price: order.price,
                    expires_at: order.expires_at,
                    is: Is::Pending,
                    paid: None,
                };
                self.orders.insert(order.id, note);
                self.observe(order);
                self.begin_cover(order, is_late);
            }
            Creation::Existing(order) => {
                self.counts.add(Sometimes::SameOrder);
                self.observe(order);
            }
            Creation::Taken(seats) => {
                self.counts.add(Sometimes::Conflict);
                let wanted = asked.seats.indices();
                let taken: SeatSet = wanted.iter().filter(|seat| self.rival(*seat, asked.id).is_some()).collect();
                self.expect(self.went_back || (taken == *seats && !seats.is_empty()), Promise::AllOrNothing, || {
                    format!("of {wanted:?}, {seats:?} were called taken, and {taken:?} are")
                });
            }
            Creation::LayoutChanged(layout) => {
                self.breaks(Promise::LegalMovesOnly, format!("the seat plan is {layout} all of a sudden"));
            }
        }
    }

    /// P6: a hold has one order that waits or is sold.
    fn check_one_order_a_hold(&mut self, order: &Order) {
        let of_hold: Vec<OrderId> = self.orders.iter().filter(|(_, note)| note.hold == order.hold).map(|(id, _)| *id).collect();
        if !of_hold.is_empty() {
            self.counts.add(Sometimes::SecondOrder);
        }
        for other in of_hold {
            let alive = self.is_confirmed(other) || (self.is_pending(other) && !self.went_back);
            self.expect(!alive, Promise::SafeRetries, || format!("hold {} has orders {other} and {}", order.hold, order.id));
        }
    }

    /// An order as the store shows it.
    pub(super) fn observe(&mut self, order: &Order) {
        let seen = Is::of(&order.state);
        let now = self.now.orders;
        let Some(note) = self.orders.get(&order.id).cloned() else {
            return self.breaks(Promise::LegalMovesOnly, format!("nobody made order {}", order.id));
        };
        let frozen = (note.hold, note.seats.clone(), note.price) == (order.hold, order.seats.indices(), order.price);
        self.expect(frozen && note.owner == order.owner, Promise::AllOrNothing, || format!("order {} is another", order.id));
        // It need not be written down that an order has expired.
        let is_over = note.is == Is::Pending && note.expires_at.has_passed(now);
        if is_over && seen == Is::Expired {
            self.counts.add(Sometimes::Expired);
            return;
        }
        let waits_again = note.is == Is::Expired && seen == Is::Pending && self.went_back;
        let early = note.is == Is::Pending && seen == Is::Expired && !is_over && !self.went_back;
        self.expect((note.is.may_become(seen) && !early) || waits_again, Promise::LegalMovesOnly, || {
            format!("order {} was {:?} and is {seen:?}", order.id, note.is)
        });
        if note.is != seen {
            self.moved(order, &note, seen, is_over);
        }
    }

    fn moved(&mut self, order: &Order, before: &OrderNote, is: Is, was_over: bool) {
        let id = order.id;
        if let Some(note) = self.orders.get_mut(&id) {
            note.is = is;
            if let OrderState::Confirmed { payment, .. } = &order.state {
                note.paid = Some(payment.clone());
            }
        }
        match is {
            Is::Confirmed => {
                self.counts.add(Sometimes::Confirmed);
                if was_over || before.is != Is::Pending {
                    self.counts.add(Sometimes::Recovered);
                }
                for seat in before.seats.iter() {
                    let rival = self.rival(seat, id).filter(|_| !self.went_back);
                    if let Some(owner) = self.owner_of(seat).or(rival) {
                        self.breaks(Promise::NoDoubleSale, format!("seat {seat} of {owner} is sold to {id}"));
                    }
                    if self.freed_seats.contains(&seat) {
                        self.counts.add(Sometimes::SoldAgain);
                    }
                    self.owners.insert(seat, (id, self.now.world));
                    self.claims.insert(seat, id);
                }
            }
            Is::Cancelled => {
                self.counts.add(Sometimes::Cancelled);
                self.freed_seats.extend(before.seats.iter());
                self.owners.retain(|_, (owner, _)| *owner != id);
                self.claims.retain(|_, claimant| *claimant != id);
            }
            Is::Failed | Is::Expired => self.claims.retain(|_, claimant| *claimant != id),
            Is::Pending => {}
        }
    }

    /// It was written down that an order has expired.
    pub(crate) fn expired(&mut self, order: &Order) {
        self.observe(order);
        self.write_expired(order);
    }

    pub(super) fn write_expired(&mut self, order: &Order) {
        if let OrderState::Expired { .. } = order.state
            && let Some(note) = self.orders.get_mut(&order.id)
        {
            note.is = Is::Expired;
            self.claims.retain(|_, claimant| *claimant != order.id);
        }
    }

    pub(crate) fn gave_up(&mut self, by: &Caller, answer: &OrderChange) {
        if let OrderChange::Done { order, .. } | OrderChange::Refused(order, _) = answer {
            self.expect(order.owner == *by.id(), Promise::OnlyTheOwner, || format!("{by:?} was told of order {}", order.id));
            self.observe(order);
        }
        if let OrderChange::Done { changed: true, .. } = answer {
            self.counts.add(Sometimes::GivenUp);
        }
    }
}
