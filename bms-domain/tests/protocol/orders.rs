//! The order store, one atomic step a function.

use bms_domain::order::OrderCommand;
use bms_domain::payment::PaymentStatus;

use crate::guards::Guard;
use crate::promises::Promise;
use crate::real::{Facts, order_after, settled};
use crate::state::{Ledger, Order, OrderIs, Payment, Replica, Seats, Tell};
use crate::step::Step;

/// What came of making an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creation {
    Created,
    Existing(u8),
    Taken,
}

impl Step<'_> {
    fn order(&self, user: usize, order: usize) -> Order {
        self.state.users[user].orders[order]
    }

    /// The seats that an order cannot claim, because others do. The claims of an order past its end do not count.
    fn in_the_way(&self, user: usize, order: usize) -> Seats {
        let mut claimed = 0;
        for (other, owner) in self.state.users.iter().enumerate() {
            let rivals = owner.orders.iter().enumerate().filter(|(number, _)| (other, *number) != (user, order));
            for (_, rival) in rivals {
                let over = rival.is == OrderIs::Pending { left: 0 } && self.on(Guard::OrdersExpireAtUse);
                if !over {
                    claimed |= rival.claims;
                }
            }
        }
        claimed & self.state.users[user].seats
    }

    /// Makes claims an order's, whoever had them.
    fn claim(&mut self, user: usize, order: usize, seats: Seats) {
        for rival in self.state.users.iter_mut().flat_map(|user| &mut user.orders) {
            rival.claims &= !seats;
        }
        self.state.users[user].orders[order].claims |= seats;
    }

    /// Makes an order and claims its seats.
    pub(crate) fn create(&mut self, user: usize, number: u8, left: u8) -> Creation {
        let order = usize::from(number);
        let owner = self.state.users[user];
        if owner.orders[order].is != OrderIs::None {
            return Creation::Existing(number);
        }
        let other = owner.orders[1 - order].is;
        if (other.is_pending() || other.is_confirmed()) && self.on(Guard::OneOrderAHold) {
            return Creation::Existing(1 - number);
        }
        let blocked = self.in_the_way(user, order);
        if blocked != 0 && self.on(Guard::ClaimsExclude) {
            if blocked & !owner.orders[1 - order].claims == 0 {
                // The caller is told that his seats are another's, and they are his own.
                self.breaks(Promise::SafeRetries);
            }
            if !self.on(Guard::WholeOrNothing) {
                self.claim(user, order, owner.seats & !blocked);
            }
            return Creation::Taken;
        }
        self.claim(user, order, owner.seats);
        let order = &mut self.state.users[user].orders[order];
        order.is = OrderIs::Pending { left };
        // Its hold was linked before. If the hold store has lost it meanwhile, nothing was promised of it.
        order.known = left > 0 && owner.hold.is_some() && self.state.replica != Replica::TookOver;
        Creation::Created
    }

    /// Writes an order's new state down, with its claims.
    fn move_to(&mut self, user: usize, order: usize, is: OrderIs) {
        let before = self.order(user, order);
        if before.is == is {
            return;
        }
        self.state.users[user].orders[order].is = is;
        if is.is_confirmed() {
            self.claim(user, order, self.state.users[user].seats);
            // The hold store does not know yet.
            self.state.users[user].orders[order].known = false;
            return;
        }
        let claims_end = self.on(Guard::ClaimsEndWithOrder);
        let order = &mut self.state.users[user].orders[order];
        order.known = false;
        if claims_end {
            order.claims = 0;
        }
    }

    /// Gives a command to an order. Says whether it changed.
    fn command(&mut self, user: usize, order: usize, command: OrderCommand) -> bool {
        let before = self.order(user, order).is;
        let Ok((after, refund)) = order_after(before, command) else { return false };
        self.move_to(user, order, after);
        if let (OrderIs::Cancelled { payment }, true, true) = (after, refund, self.on(Guard::CancelOwesRefund)) {
            let payment = &mut self.state.users[user].payments[usize::from(payment)];
            (payment.ledger, payment.owed) = (Ledger::RefundDue, true);
        }
        after != before
    }

    /// The owner gives a pending order up.
    pub(crate) fn give_up(&mut self, user: usize, order: usize) {
        if self.command(user, order, OrderCommand::GiveUp) {
            self.tell(user, order).unlink = true;
        }
    }

    /// The sweeper writes down that an order has expired.
    pub(crate) fn expire(&mut self, user: usize, order: usize) {
        if self.command(user, order, OrderCommand::Expire) {
            self.tell(user, order).unlink = true;
        }
    }

    /// An administrator cancels a confirmed order.
    pub(crate) fn cancel(&mut self, user: usize, order: usize) {
        if self.command(user, order, OrderCommand::Cancel) {
            self.tell(user, order).free = true;
        }
    }

    /// Whether the sweeper asks the provider after a payment.
    pub(crate) fn asks_after(&self, user: usize, payment: usize) -> bool {
        let owner = &self.state.users[user];
        let payment = owner.payments[payment];
        let order = owner.orders[usize::from(payment.order)].is;
        let over = order != OrderIs::None && !order.is_pending();
        payment.ledger == Ledger::Pending && over && self.on(Guard::OpenPaymentsAskedAfter)
    }

    /// A provider reports how a payment of an order stands, asked or not. `fair`: the amount is the order's.
    pub(crate) fn report(&mut self, user: usize, order: usize, number: usize, status: PaymentStatus, fair: bool) {
        let owner = &mut self.state.users[user];
        let payment = &mut owner.payments[number];
        let succeeded = status == PaymentStatus::Succeeded;
        if payment.noted || (succeeded && self.world.off == Some(Guard::DurableBeforeAnswer)) {
            payment.answered |= succeeded;
            return;
        }
        if succeeded && self.world.off == Some(Guard::NoticeWithItsEffect) && payment.ledger == Ledger::Nothing {
            // The process died here, and nobody was answered.
            payment.noted = true;
            return;
        }
        let first = payment.ledger == Ledger::Nothing;
        if !first && usize::from(payment.order) != order && self.on(Guard::PaymentCountsOnce) {
            return;
        }
        if self.order(user, order).is != OrderIs::None {
            self.settle(user, order, number, status, fair);
        } else if succeeded {
            // Money for an order that nobody has made.
            self.state.users[user].payments[number] =
                Payment { order: order as u8, ledger: Ledger::RefundDue, owed: true, answered: true, noted: false };
        }
    }

    fn settle(&mut self, user: usize, order: usize, number: usize, status: PaymentStatus, fair: bool) {
        let owner = self.state.users[user];
        let (payment, rival) = (owner.payments[number], owner.payments[1 - number]);
        let before = owner.orders[order].is;
        let another_open = rival.ledger == Ledger::Pending && usize::from(rival.order) == order;
        let claimable = self.in_the_way(user, order) == 0;
        if !self.on(Guard::SoldAfterSettled) && status == PaymentStatus::Succeeded {
            self.mark_sold(user, order);
        }
        let facts = Facts {
            order: before,
            payment: number as u8,
            ledger: if self.on(Guard::PaymentIsFinal) && usize::from(payment.order) == order {
                payment.ledger
            } else {
                Ledger::Nothing
            },
            another_open: another_open && self.on(Guard::OpenAttemptKeepsOrder),
            claimable: claimable || !self.on(Guard::SettleNeedsClaims),
        };
        let (ledger, after) = settled(facts, status, fair || !self.on(Guard::AmountCompared));
        if ledger == Ledger::Counted && payment.ledger != Ledger::Counted && !fair {
            self.breaks(Promise::MoneyIsNeverLost);
        }
        if after == OrderIs::Failed && before.is_pending() && another_open {
            self.breaks(Promise::LegalMovesOnly);
        }
        self.move_to(user, order, after);
        let owed = ledger == Ledger::RefundDue && payment.ledger != ledger && self.on(Guard::RefundWithItsDecision);
        let payment = &mut self.state.users[user].payments[number];
        (payment.ledger, payment.order) = (ledger, order as u8);
        payment.owed |= owed;
        payment.answered |= status == PaymentStatus::Succeeded;
        // Also when the caller only asks again.
        let sold = after.is_confirmed() && ledger == Ledger::Counted && !self.order(user, order).known;
        let tell = self.tell(user, order);
        tell.sold |= sold;
        tell.unlink |= after == OrderIs::Failed && before.is_pending();
    }

    fn tell(&mut self, user: usize, order: usize) -> &mut Tell {
        &mut self.state.users[user].orders[order].tell
    }
}
