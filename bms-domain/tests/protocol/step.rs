//! One step of the model, with the rules that it is made by.

use crate::guards::Guard;
use crate::promises::Promise;
use crate::protocol::Protocol;
use crate::real::Ask;
use crate::state::{Call, Hold, HoldIs, Order, OrderIs, Replica, State, User};

pub(crate) struct Step<'a> {
    pub(crate) world: &'a Protocol,
    pub(crate) state: State,
}

impl<'a> Step<'a> {
    pub(crate) fn new(world: &'a Protocol, state: &State) -> Self {
        Self { world, state: state.clone() }
    }

    /// Whether a guard is up.
    pub(crate) fn on(&self, guard: Guard) -> bool {
        self.world.off != Some(guard)
    }

    /// Something happened that must never happen.
    pub(crate) fn breaks(&mut self, promise: Promise) {
        self.state.broken = self.state.broken.or(Some(promise));
    }

    /// Time passes.
    pub(crate) fn tick(&mut self) {
        for user in &mut self.state.users {
            for hold in [&mut user.hold, &mut user.older.hold].into_iter().flatten() {
                if let HoldIs::Held { until, .. } = &mut hold.is {
                    *until = until.saturating_sub(1);
                    hold.own_end = hold.own_end.saturating_sub(1);
                    hold.life = hold.life.saturating_sub(1);
                }
            }
            for order in &mut user.orders {
                if let OrderIs::Pending { left } = &mut order.is {
                    *left = left.saturating_sub(1);
                }
                if order.is == (OrderIs::Pending { left: 0 }) {
                    order.known = false;
                }
            }
            if let Some(Call::Linked { age, .. }) = &mut user.call {
                *age = (*age + 1).min(2);
            }
        }
        self.retire();
    }

    /// Forgets news that can change nothing any more, so that it makes no two states of one.
    pub(crate) fn forget_void_news(&mut self) {
        if self.state.replica != Replica::InStep || self.state.reader.is_some() {
            return;
        }
        for user in 0..self.state.users.len() {
            let link = self.link(user);
            for (number, order) in self.state.users[user].orders.iter_mut().enumerate() {
                order.tell.unlink &= link == Some(number as u8) || !self.world.guards_unlinking();
            }
        }
    }

    /// Every process dies.
    pub(crate) fn crash(&mut self) {
        self.state.reader = None;
        if let Replica::Behind { .. } = self.state.replica {
            self.state.replica = Replica::InStep;
        }
        for user in &mut self.state.users {
            user.call = None;
            user.older = Default::default();
            for order in &mut user.orders {
                (order.tell, order.seen) = Default::default();
            }
        }
    }

    /// Somebody reads the map.
    pub(crate) fn read_map(&mut self) {
        let stray = self.state.marked() & !self.state.sold();
        if !self.state.primed || (stray != 0 && self.on(Guard::MapMends)) {
            self.reconcile();
        }
    }

    /// One who was never there before. Says who.
    pub(crate) fn newcomer(&mut self) -> usize {
        self.state.users.push(User::default());
        self.state.users.len() - 1
    }

    /// The order that a user's hold is linked to.
    pub(crate) fn link(&self, user: usize) -> Option<u8> {
        Self::link_in(&self.state, user)
    }

    pub(crate) fn link_in(state: &State, user: usize) -> Option<u8> {
        match state.users[user].hold {
            Some(Hold { is: HoldIs::Held { link, .. }, .. }) => link,
            _ => None,
        }
    }

    /// The order of a user that a hold without one is linked to next.
    pub(crate) fn fresh_order(&self, user: usize) -> Option<u8> {
        let is_free = |order: &Order| order.is == OrderIs::None;
        self.state.users[user].orders[..self.world.bounds.orders].iter().position(is_free).map(|order| order as u8)
    }

    /// Unlinks an order from its hold.
    pub(crate) fn unlink(&mut self, user: usize, order: u8) {
        self.ask_hold(user, Ask::EndCheckout { order });
    }
}
