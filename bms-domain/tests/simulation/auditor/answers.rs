//! What clients were told.

use bms_domain::id::{HoldId, OrderId};
use bms_domain::order::Order;
use bms_domain::service::{PlacedOrder, SeatMap};
use bms_domain::store::IdempotencyKey;

use super::{Auditor, Promise};
use crate::sometimes::Sometimes;

/// How long a map may be kept, and a bit for clocks that drift.
const KEPT_MS: i64 = 31_000;

/// For how long a process' clock must not have been set, so that it knows how old its maps are.
const STEADY_MS: i64 = 5 * 60_000;

impl Auditor {
    /// The seats that are sold now, their orders, and since when.
    pub(crate) fn sold_seats(&self) -> Vec<(u32, OrderId, i64)> {
        self.owners.iter().map(|(seat, (order, since))| (*seat, *order, *since)).collect()
    }

    /// P12: a seat that was sold before the request began, and still is, is not shown free; on a map that may be a kept one,
    /// if it was sold long enough before.
    pub(crate) fn saw_map(&mut self, known: &[(u32, OrderId, i64)], began: i64, fresh: bool, steady_ms: i64, map: &SeatMap) {
        for (seat, order, since) in known.iter().copied() {
            let must_show = fresh || (since <= began - KEPT_MS && steady_ms > STEADY_MS);
            let is_sold = self.owner_of(seat) == Some(order);
            let shown = map.unavailable.contains(seat);
            self.expect(!must_show || !is_sold || shown, Promise::HonestMap, || {
                format!(
                    "seat {seat} of {order}, sold at {since} ms, is shown free on a map asked for at {began} ms, fresh: {fresh}"
                )
            });
        }
        let both = map.held.iter().find(|seat| map.unavailable.contains(*seat));
        self.expect(both.is_none(), Promise::HonestMap, || format!("seat {both:?} is shown held and sold"));
    }

    /// P6: a key finds one hold.
    pub(crate) fn told_of_key(&mut self, key: &IdempotencyKey, hold: HoldId) {
        let first = *self.keys.entry(key.clone()).or_insert(hold);
        self.expect(first == hold, Promise::SafeRetries, || format!("a key placed {first}, and then {hold}"));
    }

    /// Somebody was told of his order.
    pub(crate) fn told_of_order(&mut self, hold: HoldId, placed: &PlacedOrder) {
        let Order { id, hold: of, .. } = placed.order;
        let known = self.orders.contains_key(&id) && of == hold;
        self.expect(known, Promise::SafeRetries, || format!("hold {hold} is said to have order {id}"));
        if self.holds.is_lost(hold) {
            self.counts.add(Sometimes::OrderOfLostHold);
        }
    }

    /// Somebody was told that he has his seats.
    pub(crate) fn told_confirmed(&mut self, order: &Order) {
        let id = order.id;
        let durable = self.is_confirmed(id) || self.is_cancelled(id);
        self.expect(durable && order.state.is_confirmed(), Promise::MoneyIsNeverLost, || {
            format!("order {id} is told to be confirmed, and is not")
        });
        self.told_confirmed.insert(id);
    }
}
