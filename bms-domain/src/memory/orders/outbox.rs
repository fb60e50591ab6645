//! The events that wait to be published.

use std::collections::{BTreeMap, HashSet};

use crate::event::{EventKey, OrderEvent};
use crate::id::OrderId;
use crate::store::{Delivery, Replay};
use crate::time::Timestamp;

struct Waiting {
    event: OrderEvent,
    attempts: u32,
    /// Until when a relay has it for itself, or it is postponed.
    rests: Option<Timestamp>,
    /// Which of the two.
    is_leased: bool,
    is_dead: bool,
}

impl Waiting {
    fn delivery(&self) -> Delivery {
        Delivery { event: self.event.clone(), attempts: self.attempts }
    }

    fn rests(&self, now: Timestamp) -> bool {
        self.rests.is_some_and(|until| !until.has_passed(now))
    }
}

/// All events of all shows that are not published, by the order in which they were written.
#[derive(Default)]
pub(super) struct Queue {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// Dead letters and the events behind them, apart, so that nobody looks through them who asks for the next ones.
    stopped: BTreeMap<u64, Waiting>,
    places: BTreeMap<EventKey, u64>,
    dead: BTreeMap<EventKey, u64>,
}

impl Queue {
    pub(super) fn push(&mut self, event: OrderEvent) {
        let queue = if self.first_dead(event.key.order).is_some() { &mut self.stopped } else { &mut self.waiting };
        self.places.insert(event.key, self.next);
        queue.insert(self.next, Waiting { event, attempts: 0, rests: None, is_leased: false, is_dead: false });
        self.next += 1;
    }

    pub(super) fn claim(&mut self, limit: usize, now: Timestamp, until: Timestamp) -> Vec<Delivery> {
        let mut claimed = Vec::new();
        // An order waits whose earlier event is at another relay or postponed, so that its events stay in order.
        let mut elsewhere = HashSet::new();
        for waiting in self.waiting.values_mut() {
            if claimed.len() == limit {
                break;
            }
            let order = waiting.event.key.order;
            if waiting.rests(now) {
                elsewhere.insert(order);
            } else if !elsewhere.contains(&order) {
                waiting.rests = Some(until);
                waiting.is_leased = true;
                claimed.push(waiting.delivery());
            }
        }
        claimed
    }

    pub(super) fn published(&mut self, events: &[EventKey]) {
        for key in events {
            if let Some(place) = self.places.remove(key) {
                self.waiting.remove(&place);
                self.stopped.remove(&place);
                if self.dead.remove(key).is_some() {
                    self.go_on(key.order);
                }
            }
        }
    }

    pub(super) fn postpone(&mut self, events: &[EventKey], until: Timestamp) {
        for key in events {
            let Some(failed) = self.find(*key).filter(|waiting| !waiting.is_dead) else { continue };
            failed.attempts += 1;
            self.let_rest(*key, Some(until));
        }
    }

    pub(super) fn bury(&mut self, events: &[EventKey]) {
        for key in events {
            let Some(failed) = self.find(*key).filter(|waiting| !waiting.is_dead) else { continue };
            failed.attempts += 1;
            failed.is_dead = true;
            self.let_rest(*key, None);
            if let Some(place) = self.places.get(key) {
                self.dead.insert(*key, *place);
            }
            for place in self.places(*key, last(key.order)) {
                if let Some(waiting) = self.waiting.remove(&place) {
                    self.stopped.insert(place, waiting);
                }
            }
        }
    }

    /// Takes an event, and the later ones of its order, from whoever has them.
    fn let_rest(&mut self, from: EventKey, until: Option<Timestamp>) {
        let and_later: Vec<EventKey> = self.places.range(from..=last(from.order)).map(|(key, _)| *key).collect();
        for key in and_later {
            if let Some(waiting) = self.find(key) {
                waiting.rests = until;
                waiting.is_leased = false;
            }
        }
    }

    pub(super) fn dead(&self, after: Option<EventKey>, limit: usize) -> Vec<Delivery> {
        use std::ops::Bound::{Excluded, Unbounded};
        let dead = self.dead.range((after.map_or(Unbounded, Excluded), Unbounded)).take(limit);
        dead.filter_map(|(_, place)| self.stopped.get(place)).map(Waiting::delivery).collect()
    }

    pub(super) fn replay(&mut self, which: &Replay) -> usize {
        let keys: Vec<EventKey> = match which {
            Replay::Dead => self.dead.keys().copied().collect(),
            Replay::Order(order) => self.places.range(first(*order)..=last(*order)).map(|(key, _)| *key).collect(),
            Replay::Since(since) => {
                let all = self.waiting.values().chain(self.stopped.values());
                all.filter(|waiting| waiting.event.at >= *since).map(|waiting| waiting.event.key).collect()
            }
        };
        let mut put_back = 0;
        for key in keys {
            if let Some(waiting) = self.find(key) {
                waiting.attempts = 0;
                waiting.is_dead = false;
                if !waiting.is_leased {
                    waiting.rests = None;
                }
            }
            if self.dead.remove(&key).is_some() {
                put_back += 1;
                self.go_on(key.order);
            }
        }
        put_back
    }

    fn find(&mut self, key: EventKey) -> Option<&mut Waiting> {
        let place = self.places.get(&key)?;
        self.waiting.get_mut(place).or_else(|| self.stopped.get_mut(place))
    }

    fn places(&self, from: EventKey, to: EventKey) -> Vec<u64> {
        self.places.range(from..=to).map(|(_, place)| *place).collect()
    }

    /// The first dead letter of an order.
    fn first_dead(&self, order: OrderId) -> Option<EventKey> {
        self.dead.range(first(order)..=last(order)).next().map(|(key, _)| *key)
    }

    /// Takes an order's events in again, up to the next dead letter.
    fn go_on(&mut self, order: OrderId) {
        let until = self.first_dead(order);
        for place in self.places(first(order), until.unwrap_or(last(order))) {
            if let Some(waiting) = self.stopped.remove(&place) {
                let queue = if waiting.is_dead { &mut self.stopped } else { &mut self.waiting };
                queue.insert(place, waiting);
            }
        }
    }
}

fn first(order: OrderId) -> EventKey {
    EventKey { order, sequence: 0 }
}

fn last(order: OrderId) -> EventKey {
    EventKey { order, sequence: u32::MAX }
}
