//! The events that wait to be published.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::event::{EventKey, OrderEvent};
use crate::time::Timestamp;

struct Waiting {
    event: OrderEvent,
    /// Until when a relay has it for itself.
    leased: Option<Timestamp>,
}

/// All events of all shows, in the order in which they were written.
#[derive(Default)]
pub(super) struct Queue {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    places: HashMap<EventKey, u64>,
}

impl Queue {
    pub(super) fn push(&mut self, event: OrderEvent) {
        self.places.insert(event.key, self.next);
        self.waiting.insert(self.next, Waiting { event, leased: None });
        self.next += 1;
    }

    pub(super) fn claim(&mut self, limit: usize, now: Timestamp, until: Timestamp) -> Vec<OrderEvent> {
        let mut claimed = Vec::new();
        // An order with an event at another relay waits, so that its events stay in order.
        let mut elsewhere = HashSet::new();
        for waiting in self.waiting.values_mut() {
            if claimed.len() == limit {
                break;
            }
            let order = waiting.event.key.order;
            if waiting.leased.is_some_and(|leased| !leased.has_passed(now)) {
                elsewhere.insert(order);
            } else if !elsewhere.contains(&order) {
                waiting.leased = Some(until);
                claimed.push(waiting.event.clone());
            }
        }
        claimed
    }

    pub(super) fn published(&mut self, events: &[EventKey]) {
        for key in events {
            if let Some(place) = self.places.remove(key) {
                self.waiting.remove(&place);
            }
        }
    }
}
