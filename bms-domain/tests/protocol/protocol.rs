//! The protocol: what can happen in a state, and what comes of it. Each store call is one action, and a call that dies
//! between two of them is one that takes no further action.

use std::fmt;

use bms_domain::id::Caller;
use bms_domain::payment::PaymentStatus;
use stateright::{Model, Property};

use crate::guards::Guard;
use crate::promises::{self, Promise};
use crate::real;
use crate::state::{Call, EACH, Hold, Ledger, OrderIs, Reader, Replica, Seats, State, seat_names, user_name};
use crate::step::Step;

/// How much may happen in a run, all users together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) users: usize,
    pub(crate) seats: u8,
    /// How many ticks a hold of its own lasts: 1 or 2.
    pub(crate) hold_ttl: u8,
    /// Orders of one hold.
    pub(crate) orders: usize,
    /// Payments of all users.
    pub(crate) payments: usize,
    /// Cancelled orders.
    pub(crate) cancels: usize,
    /// How often the hold store loses everything.
    pub(crate) losses: u8,
    /// How often it falls back to an older state.
    pub(crate) failovers: u8,
    /// How many orders are being made at once, each cut into its steps.
    pub(crate) calls: usize,
    /// Whether a restore may be slow.
    pub(crate) readers: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            users: 3,
            seats: 2,
            hold_ttl: 1,
            orders: 1,
            payments: 1,
            cancels: 0,
            losses: 0,
            failovers: 0,
            calls: 1,
            readers: false,
        }
    }
}

/// The model that the checker explores.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) bounds: Bounds,
    /// The guard that is switched off.
    pub(crate) off: Option<Guard>,
}

/// What is still to be told to the hold store of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Sold,
    Free,
    Unlink,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Place { user: usize, seats: Seats },
    Release { user: usize },
    Meddle { user: usize, by: usize },
    StartOrder { user: usize },
    ContinueOrder { user: usize, late: bool },
    DropOrder { user: usize },
    OrderAtOnce { user: usize },
    GiveUp { user: usize, order: usize },
    Report { user: usize, order: usize, payment: usize, status: PaymentStatus, fair: bool },
    Expire { user: usize, order: usize },
    Cancel { user: usize, order: usize },
    Tell { user: usize, order: usize, news: News },
    Reconcile,
    TakeFence,
    ReadClaims,
    Restore,
    DropReader,
    Forget,
    FallBehind,
    TakeOver,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.bounds.users, self.bounds.seats)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        actions.push(Action::Tick);
        for user in 0..state.users.len() {
            self.actions_on_hold(state, user, actions);
            self.actions_on_orders(state, user, actions);
        }
        self.actions_on_stores(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut step = Step::new(self, state);
        step.take(action);
        step.forget_void_news();
        if step.state == *state {
            return None;
        }
        if !moves_are_legal(state, &step.state) {
            step.breaks(Promise::LegalMovesOnly);
        }
        Some(step.state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = promises::always();
        properties.extend(promises::sometimes(self));
        properties
    }
}

impl Protocol {
    /// Whether news of an order's end changes nothing but the hold that is linked to it.
    pub(crate) fn guards_unlinking(&self) -> bool {
        self.off != Some(Guard::OwnOrderUnlinks)
    }

    fn actions_on_hold(&self, state: &State, user: usize, actions: &mut Vec<Action>) {
        let owner = &state.users[user];
        let is_live = owner.hold.is_some_and(Hold::is_live);
        // A hold that ended without an order makes room for another; not while a replica still has it, and its seats.
        let is_new =
            owner.orders.iter().all(|order| order.is == OrderIs::None && order.claims == 0) && owner.older.hold.is_none();
        if !is_live && is_new && owner.call.is_none() {
            actions.extend((1..=state.all_seats()).map(|seats| Action::Place { user, seats }));
        }
        if is_live {
            actions.push(Action::Release { user });
            let by = (user + 1) % state.users.len();
            if by != user {
                actions.push(Action::Meddle { user, by });
            }
        }
        let calls = state.users.iter().filter(|user| user.call.is_some()).count();
        match owner.call {
            None if is_live && calls < self.bounds.calls => actions.push(Action::StartOrder { user }),
            None => {}
            Some(call) => {
                actions.push(Action::ContinueOrder { user, late: false });
                if let Call::Linked { age: 1.., .. } = call {
                    actions.push(Action::ContinueOrder { user, late: true });
                }
                actions.push(Action::DropOrder { user });
                if is_live {
                    actions.push(Action::OrderAtOnce { user });
                }
            }
        }
    }

    fn actions_on_orders(&self, state: &State, user: usize, actions: &mut Vec<Action>) {
        let owner = &state.users[user];
        let cancelled = state.orders().filter(|order| order.is.is_cancelled()).count();
        for (order, known) in owner.orders.iter().enumerate() {
            self.reports(state, user, order, actions);
            match known.is {
                OrderIs::Pending { left: 0 } => actions.push(Action::Expire { user, order }),
                OrderIs::Pending { .. } => actions.push(Action::GiveUp { user, order }),
                OrderIs::Confirmed { .. } if cancelled < self.bounds.cancels => actions.push(Action::Cancel { user, order }),
                _ => {}
            }
            for (news, wanted) in
                [(News::Sold, known.tell.sold), (News::Free, known.tell.free), (News::Unlink, known.tell.unlink)]
            {
                if wanted {
                    actions.push(Action::Tell { user, order, news });
                }
            }
        }
    }

    /// What may be reported of the payments of an order: anything that a provider ever says, in any order, and again.
    fn reports(&self, state: &State, user: usize, order: usize, actions: &mut Vec<Action>) {
        let owner = &state.users[user];
        let linked = matches!(owner.call, Some(Call::Linked { order: linked, .. }) if usize::from(linked) == order);
        if owner.orders[order].is == OrderIs::None && !linked {
            return;
        }
        let paid = |owner: &crate::state::User| owner.payments.iter().filter(|payment| payment.ledger != Ledger::Nothing).count();
        let all: usize = state.users.iter().map(paid).sum();
        for payment in 0..EACH {
            let is_new = owner.payments[payment].ledger == Ledger::Nothing;
            if is_new && (all >= self.bounds.payments || payment > paid(owner)) {
                continue;
            }
            use PaymentStatus::{Failed, Pending, Succeeded};
            for (status, fair) in [(Pending, true), (Failed, true), (Succeeded, true), (Succeeded, false)] {
                actions.push(Action::Report { user, order, payment, status, fair });
            }
        }
    }

    fn actions_on_stores(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Reconcile);
        match state.reader {
            None if self.bounds.readers => actions.push(Action::TakeFence),
            None => {}
            Some(Reader { has_read: false, .. }) => actions.extend([Action::ReadClaims, Action::DropReader]),
            Some(Reader { has_read: true, .. }) => actions.extend([Action::Restore, Action::DropReader]),
        }
        if state.losses < self.bounds.losses {
            actions.push(Action::Forget);
        }
        match state.replica {
            Replica::InStep if self.bounds.failovers > 0 => actions.push(Action::FallBehind),
            Replica::Behind { .. } => actions.push(Action::TakeOver),
            Replica::InStep | Replica::TookOver => {}
        }
    }
}

impl Step<'_> {
    fn take(&mut self, action: Action) {
        match action {
            Action::Tick => self.tick(),
            Action::Place { user, seats } => _ = self.place(user, seats),
            Action::Release { user } => _ = self.release_at_once(user),
            Action::Meddle { user, by } => self.meddle(user, by),
            Action::StartOrder { user } => self.start_order(user),
            Action::ContinueOrder { user, late } => self.continue_order(user, late),
            Action::DropOrder { user } => self.state.users[user].call = None,
            Action::OrderAtOnce { user } => _ = self.order_at_once(user),
            Action::GiveUp { user, order } => self.give_up(user, order),
            Action::Report { user, order, payment, status, fair } => self.report(user, order, payment, status, fair),
            Action::Expire { user, order } => self.expire(user, order),
            Action::Cancel { user, order } => self.cancel(user, order),
            Action::Tell { user, order, news } => self.tell_of(user, order, news),
            Action::Reconcile => self.reconcile(),
            Action::TakeFence => self.state.reader = Some(Reader { stale: false, noisy: false, has_read: false }),
            Action::ReadClaims => self.read_claims(),
            Action::Restore => self.restore_late(),
            Action::DropReader => self.end_reading(),
            Action::Forget => self.forget(),
            Action::FallBehind => self.fall_behind(),
            Action::TakeOver => self.take_over(),
        }
    }

    /// Another user tries to release a hold.
    fn meddle(&mut self, user: usize, by: usize) {
        if Caller::user(real::user(by).clone()).may_touch(real::user(user)) || !self.on(Guard::OwnerChecked) {
            let before = self.state.users[user].hold;
            self.release_at_once(user);
            if self.state.users[user].hold != before {
                self.breaks(Promise::OnlyTheOwner);
            }
        }
    }

    fn tell_of(&mut self, user: usize, order: usize, news: News) {
        let tell = &mut self.state.users[user].orders[order].tell;
        match news {
            News::Sold => {
                tell.sold = false;
                self.mark_sold(user, order);
            }
            News::Free => {
                tell.free = false;
                self.mark_free(user, order);
            }
            News::Unlink => {
                tell.unlink = false;
                if self.on(Guard::EndedOrderUnlinked) {
                    self.unlink(user, order as u8);
                }
            }
        }
    }

    fn read_claims(&mut self) {
        let claims = self.claims();
        for (user, seen) in self.state.users.iter_mut().zip(claims) {
            (user.orders[0].seen, user.orders[1].seen) = (seen[0], seen[1]);
        }
        if let Some(reader) = &mut self.state.reader {
            reader.has_read = true;
        }
    }

    fn restore_late(&mut self) {
        let Some(reader) = self.state.reader else { return };
        let claims = self.state.users.iter().map(|user| [user.orders[0].seen, user.orders[1].seen]).collect();
        let done = self.restore(&claims, reader.stale, reader.noisy);
        self.end_reading();
        if !done {
            self.state.reader = Some(Reader { stale: false, noisy: false, has_read: false });
        }
    }

    fn end_reading(&mut self) {
        self.state.reader = None;
        for order in self.state.users.iter_mut().flat_map(|user| &mut user.orders) {
            order.seen = Default::default();
        }
    }
}

/// P7: orders move along the arrows of the protocol alone. Written down a second time on purpose: the machines are asked by
/// the stores, and this asks the stores.
fn moves_are_legal(before: &State, after: &State) -> bool {
    use OrderIs::{Cancelled, Confirmed, Expired, Failed, None, Pending};
    before.users.iter().zip(&after.users).flat_map(|(before, after)| before.orders.iter().zip(&after.orders)).all(
        |(before, after)| {
            before.is == after.is
                || match (before.is, after.is) {
                    (None, Pending { .. }) => true,
                    (Pending { left: was }, Pending { left }) => left < was,
                    (Pending { left: 1.. }, Confirmed { late: false, .. } | Failed) => true,
                    (Pending { left: 0 }, Expired | Confirmed { late: true, .. }) => true,
                    (Expired | Failed, Confirmed { late: true, .. }) => true,
                    (Confirmed { payment: by, .. }, Cancelled { payment }) => by == payment,
                    _ => false,
                }
        },
    )
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |user: &usize| user_name(*user);
        match self {
            Self::Tick => write!(f, "time passes"),
            Self::Place { user, seats } => write!(f, "{} holds {}", name(user), seat_names(*seats)),
            Self::Release { user } => write!(f, "{} releases his hold", name(user)),
            Self::Meddle { user, by } => write!(f, "{} releases the hold of {}", name(by), name(user)),
            Self::StartOrder { user } => write!(f, "{} orders: the hold is linked to the order", name(user)),
            Self::ContinueOrder { user, late } => {
                write!(f, "{} orders: the next step{}", name(user), if *late { ", a tick late" } else { "" })
            }
            Self::DropOrder { user } => write!(f, "{} orders: the process dies", name(user)),
            Self::OrderAtOnce { user } => write!(f, "{} orders a second time, all steps at once", name(user)),
            Self::GiveUp { user, order } => write!(f, "{} gives order {} up", name(user), order + 1),
            Self::Report { user, order, payment, status, fair } => {
                let amount = if *fair { "" } else { " with another amount" };
                let (payment, order) = (payment + 1, order + 1);
                write!(f, "payment {payment} of {} for order {order} is reported {status:?}{amount}", name(user))
            }
            Self::Expire { user, order } => write!(f, "the sweeper writes order {} of {} down as expired", order + 1, name(user)),
            Self::Cancel { user, order } => write!(f, "order {} of {} is cancelled", order + 1, name(user)),
            Self::Tell { user, order, news } => {
                write!(f, "the hold store is told of order {} of {}: {news:?}", order + 1, name(user))
            }
            Self::Reconcile => write!(f, "the show is reconciled"),
            Self::TakeFence => write!(f, "a slow restore takes its fence"),
            Self::ReadClaims => write!(f, "the slow restore reads the claims"),
            Self::Restore => write!(f, "the slow restore tells the hold store"),
            Self::DropReader => write!(f, "the slow restore dies"),
            Self::Forget => write!(f, "the hold store loses everything"),
            Self::FallBehind => write!(f, "the second hold server falls behind"),
            Self::TakeOver => write!(f, "the second hold server takes over"),
        }
    }
}
