//! The promises, as properties of every state, and what has to come about sometimes for that to mean anything.

use bms_domain::payment::PaymentStatus;
use stateright::Property;

use crate::calls::{Ordered, Released};
use crate::protocol::Protocol;
use crate::state::{Call, Hold, HoldIs, LONGEST, Ledger, Order, OrderIs, Replica, State};
use crate::step::Step;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Promise {
    NoDoubleSale,
    ExclusiveHolds,
    AllOrNothing,
    MoneyIsNeverLost,
    NoLeak,
    SafeRetries,
    LegalMovesOnly,
    CheckoutIsCovered,
    OnlyTheOwner,
    SelfHealing,
}

impl Promise {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoDoubleSale => "P1 no double sale",
            Self::ExclusiveHolds => "P2 exclusive holds",
            Self::AllOrNothing => "P3 all or nothing",
            Self::MoneyIsNeverLost => "P4 money is never lost",
            Self::NoLeak => "P5 no leak",
            Self::SafeRetries => "P6 safe retries",
            Self::LegalMovesOnly => "P7 legal moves only",
            Self::CheckoutIsCovered => "P8 checkout is covered",
            Self::OnlyTheOwner => "P9 only the owner",
            Self::SelfHealing => "P10 self-healing",
        }
    }

    fn always(self, keeps: fn(&Protocol, &State) -> bool) -> Property<Protocol> {
        Property::always(self.name(), keeps)
    }
}

pub(crate) fn always() -> Vec<Property<Protocol>> {
    vec![
        Promise::NoDoubleSale.always(|_, state| sells_once(state)),
        Promise::ExclusiveHolds.always(|_, state| holds_exclude(state)),
        Promise::AllOrNothing.always(|_, state| claims_are_whole(state)),
        Promise::MoneyIsNeverLost.always(|world, state| {
            state.broken != Some(Promise::MoneyIsNeverLost) && money_is_accounted_for(state) && payments_end(world, state)
        }),
        Promise::NoLeak.always(|world, state| !outlives(state) && what_is_not_sold_can_be_bought(world, state)),
        Promise::SafeRetries.always(|_, state| state.broken != Some(Promise::SafeRetries)),
        Promise::LegalMovesOnly
            .always(|world, state| state.broken != Some(Promise::LegalMovesOnly) && refusals_are_true(world, state)),
        Promise::CheckoutIsCovered.always(|_, state| checkouts_are_covered(state)),
        Promise::OnlyTheOwner.always(|_, state| state.broken != Some(Promise::OnlyTheOwner)),
        Promise::SelfHealing.always(heals),
    ]
}

/// P1: no two confirmed orders own one seat.
fn sells_once(state: &State) -> bool {
    let mut sold = 0;
    state.users.iter().all(|user| {
        user.orders.iter().filter(|order| order.is.is_confirmed()).all(|_| {
            let once = sold & user.seats == 0;
            sold |= user.seats;
            once
        })
    })
}

/// P2: no two live holds cover one seat; and what the hold store was told of as sold, or reads of before it grants
/// anything, is under no hold. Of what a failover takes from the hold store only the first is promised.
fn holds_exclude(state: &State) -> bool {
    let mut held = 0;
    for user in state.users.iter().filter(|user| user.hold.is_some_and(Hold::is_live)) {
        if held & user.seats != 0 {
            return false;
        }
        held |= user.seats;
    }
    state.replica == Replica::TookOver
        || state.users.iter().all(|user| {
            let told = user.orders.iter().any(|order| order.known && order.is.is_confirmed());
            !told || held & user.seats == 0
        })
}

/// P3: an order that waits or is sold claims all of its seats, and any other none.
fn claims_are_whole(state: &State) -> bool {
    state.users.iter().all(|user| {
        user.orders.iter().all(|order| match order.is {
            OrderIs::Pending { left: 1.. } | OrderIs::Confirmed { .. } => order.claims == user.seats,
            // Its claims may be another's by now.
            OrderIs::Pending { left: 0 } => true,
            OrderIs::None | OrderIs::Expired | OrderIs::Failed | OrderIs::Cancelled { .. } => order.claims == 0,
        })
    })
}

/// P4: whoever reported a payment and was answered finds it counted by a confirmed order, or as a refund due, and never both.
fn money_is_accounted_for(state: &State) -> bool {
    state.users.iter().all(|user| {
        let counted = |payment: usize| {
            let paid_by = |is: OrderIs| matches!(is, OrderIs::Confirmed { payment: by, .. } if usize::from(by) == payment);
            user.orders.iter().filter(|order| paid_by(order.is)).count()
        };
        user.payments.iter().enumerate().all(|(number, payment)| {
            let ends = counted(number) + usize::from(payment.owed);
            ends <= 1 && (ends == 1 || !payment.answered)
        })
    })
}

/// P4: a payment that was under way when it was last heard of is asked after, though all of its notices are lost.
fn payments_end(world: &Protocol, state: &State) -> bool {
    let open = |user: usize, payment: usize| {
        let owner = &state.users[user];
        let known = owner.orders[usize::from(owner.payments[payment].order)].is != OrderIs::None;
        known && owner.payments[payment].ledger == Ledger::Pending
    };
    let open: Vec<_> = (0..state.users.len()).flat_map(|user| [(user, 0), (user, 1)]).filter(|(u, p)| open(*u, *p)).collect();
    if open.is_empty() || state.is_busy() {
        return true;
    }
    let mut step = Step::new(world, state);
    step.crash();
    (0..LONGEST).for_each(|_| step.tick());
    open.into_iter().all(|(user, payment)| step.asks_after(user, payment))
}

/// P5: no hold lives longer than the longest life, unless a failover brought it back.
fn outlives(state: &State) -> bool {
    state.replica != Replica::TookOver
        && state.users.iter().any(|user| match user.hold {
            Some(Hold { is: HoldIs::Held { until, .. }, life, .. }) => until > life,
            _ => false,
        })
}

/// P5: whatever every process was doing when it died, time alone makes each seat that is not sold another's to buy, all the
/// way to his ticket. Nobody sweeps; he looks at the map first.
fn what_is_not_sold_can_be_bought(world: &Protocol, state: &State) -> bool {
    if state.is_busy() {
        return true;
    }
    let mut step = Step::new(world, state);
    step.crash();
    (0..LONGEST).for_each(|_| step.tick());
    let seats = state.all_seats() & !state.sold();
    if seats == 0 {
        return true;
    }
    step.read_map();
    let user = step.newcomer();
    if !step.place(user, seats) || step.order_at_once(user) != Ordered::Pending {
        return false;
    }
    step.report(user, 0, 0, PaymentStatus::Succeeded, true);
    step.state.users[user].orders[0].is.is_confirmed()
}

/// P7: who is refused is told how things stand. An order that holds a release up waits for payment, or may be on its way;
/// and who may order again can.
fn refusals_are_true(world: &Protocol, state: &State) -> bool {
    // A live hold without an order is released, and ordered, by the table alone.
    (0..state.users.len()).filter(|user| Step::link_in(state, *user).is_some()).all(|user| {
        let released = match Step::new(world, state).release_at_once(user) {
            Released::OrderPending(order) => {
                let order = state.users[user].orders[usize::from(order)].is;
                order.is_pending() || order == OrderIs::None
            }
            Released::Done | Released::Over => true,
        };
        released && Step::new(world, state).order_at_once(user) != Ordered::Unavailable
    })
}

/// P8: while an order waits its hold is live and linked to it. A hold store that was emptied reads of the order before it
/// grants anything; that holds survive a failover is not promised, nor that one does which was lost before its order was made.
fn checkouts_are_covered(state: &State) -> bool {
    let covered = |hold: Option<Hold>, order: usize| match hold {
        Some(Hold { is: HoldIs::Held { link: Some(link), until: 1.., .. }, .. }) => usize::from(link) == order,
        _ => false,
    };
    !state.primed
        || state.replica == Replica::TookOver
        || state.users.iter().all(|user| {
            let waits = |(_, order): &(usize, &Order)| order.known && order.is.is_pending();
            user.orders.iter().enumerate().filter(waits).all(|(order, _)| covered(user.hold, order))
        })
}

/// P10: whatever the hold store has missed, lost or wrongly believed, one reconciliation mends it: exactly what is sold is marked
/// sold and no hold is on it, and each order that waits has its hold. But for a failover, after which a hold may be linked to an
/// older order, and for seats on which another hold is linked: that one is given back when its order is refused, or ends by its
/// time.
fn heals(world: &Protocol, state: &State) -> bool {
    if state.replica == Replica::TookOver {
        return true;
    }
    let mut step = Step::new(world, state);
    step.reconcile();
    let after = &step.state;
    let waiting = (0..after.users.len()).flat_map(|user| [(user, 0), (user, 1)]);
    after.marked() == after.sold()
        && after.held() & after.sold() == 0
        && waiting
            .filter(|(user, order)| after.users[*user].orders[*order].is.is_pending())
            .all(|(user, order)| Step::link_in(after, user).map(usize::from) == Some(order) || step.is_linked_beside(user))
}

fn at_times(name: &'static str, seen: fn(&Protocol, &State) -> bool) -> Property<Protocol> {
    Property::sometimes(name, seen)
}

/// What has to come about in some state, for the promises to have been tried.
pub(crate) fn sometimes(world: &Protocol) -> Vec<Property<Protocol>> {
    let mut sometimes = vec![
        at_times("an order is confirmed", |_, state| state.orders().any(|order| order.is.is_confirmed())),
        at_times("a refund is due", |_, state| state.users.iter().any(|user| user.payments.iter().any(|payment| payment.owed))),
        at_times("a late payment is recovered", |_, state| {
            state.orders().any(|order| matches!(order.is, OrderIs::Confirmed { late: true, .. }))
        }),
        at_times("an expired seat is sold to another user", |_, state| {
            let expired = |is: OrderIs| matches!(is, OrderIs::Expired | OrderIs::Pending { left: 0 });
            state.users.iter().any(|user| user.orders.iter().any(|order| expired(order.is)) && state.sold() & user.seats != 0)
        }),
        at_times("a conflict is found by the order", |_, state| {
            state.users.iter().any(|user| matches!(user.call, Some(Call::GiveBack { .. } | Call::Reconcile)))
        }),
        at_times("a sale ends the hold of another", |_, state| {
            state.users.iter().any(|user| {
                let cut = user.hold == Some(Hold::ended(HoldIs::Expired)) && user.orders.iter().all(|o| o.is == OrderIs::None);
                cut && state.marked() & user.seats != 0
            })
        }),
        at_times("every seat is sold", |_, state| state.sold() == state.all_seats()),
    ];
    let bounds = world.bounds;
    if bounds.losses > 0 {
        sometimes.push(at_times("an emptied hold store learns what is sold", |_, state| {
            state.losses > 0 && state.primed && state.marked() != 0
        }));
    }
    if bounds.failovers > 0 {
        sometimes.push(at_times("an older hold store grants a sold seat", |_, state| {
            state.replica == Replica::TookOver && state.held() & state.sold() != 0
        }));
    }
    if bounds.cancels > 0 && bounds.payments > 1 {
        sometimes.push(at_times("old news of a sale is believed", |_, state| {
            state.orders().any(|order| order.is_cancelled_in_secret() && order.marks != 0)
        }));
        sometimes.push(at_times("a cancelled seat is sold again", |_, state| {
            state
                .users
                .iter()
                .any(|user| user.orders.iter().any(|order| order.is.is_cancelled()) && state.sold() & user.seats != 0)
        }));
    }
    if bounds.orders > 1 {
        sometimes.push(at_times("a second order of a hold is confirmed", |_, state| {
            state.users.iter().any(|user| user.orders[1].is.is_confirmed() && user.orders[0].is != OrderIs::None)
        }));
    }
    if bounds.payments > 1 {
        sometimes.push(at_times("a late payment finds its seats sold", |_, state| {
            state.users.iter().any(|user| {
                let gone = |is: OrderIs| matches!(is, OrderIs::Expired | OrderIs::Failed);
                user.payments.iter().any(|payment| payment.owed && gone(user.orders[usize::from(payment.order)].is))
                    && state.sold() & user.seats != 0
            })
        }));
        sometimes.push(at_times("a failed attempt is followed by a good one", |_, state| {
            state.users.iter().any(|user| {
                let ledgers = user.payments.map(|payment| payment.ledger);
                ledgers.contains(&Ledger::Failed) && ledgers.contains(&Ledger::Counted)
            })
        }));
    }
    if bounds.readers {
        sometimes.push(at_times("a restore comes too late", |_, state| {
            state.reader.is_some_and(|reader| reader.stale && reader.has_read)
        }));
    }
    sometimes
}
