//! The outbox, in a plain map.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Number;
use crate::time::Timestamp;

/// An event's key: its order, and its number in it, from 1.
pub type Key = (Number, u32);

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It may be claimed, if it is its turn.
    Waiting,
    /// A caller has it until then.
    Leased(Timestamp),
    /// It is postponed until then.
    Postponed(Timestamp),
    /// It was published then, and is kept.
    Published(Timestamp),
    /// A dead letter.
    Dead,
}

/// An event of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelEvent {
    /// When it was written.
    pub at: Timestamp,
    /// How often it was tried and did not arrive.
    pub attempts: u32,
    /// Where it is.
    pub place: Place,
}

/// Which events are put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutBack {
    /// The dead letters.
    Dead,
    /// Those of an order.
    Order(Number),
    /// Those written since then.
    Since(Timestamp),
}

/// The outbox.
#[derive(Clone, Debug)]
pub struct OutboxModel {
    /// The present.
    pub now: Timestamp,
    /// Whether it keeps what was published.
    pub keeps: bool,
    /// The events that it has not forgotten.
    pub events: BTreeMap<Key, ModelEvent>,
}

impl OutboxModel {
    /// Writes an event.
    pub fn write(&mut self, key: Key) {
        self.events.insert(key, ModelEvent { at: self.now, attempts: 0, place: Place::Waiting });
    }

    /// What may be claimed now: of each order the events up to the first that rests or is dead.
    #[must_use]
    pub fn due(&self) -> BTreeMap<Key, ModelEvent> {
        let mut stopped = BTreeSet::new();
        let due = |(key, event): &(&Key, &ModelEvent)| match event.place {
            _ if stopped.contains(&key.0) => false,
            Place::Published(_) => false,
            Place::Waiting => true,
            Place::Leased(until) | Place::Postponed(until) if self.now >= until => true,
            Place::Leased(_) | Place::Postponed(_) | Place::Dead => {
                stopped.insert(key.0);
                false
            }
        };
        self.events.iter().filter(due).map(|(key, event)| (*key, *event)).collect()
    }

    /// Somebody has claimed an event.
    pub fn claimed(&mut self, key: Key, lease: Duration) {
        let until = self.now.plus(lease);
        self.events.entry(key).and_modify(|event| event.place = Place::Leased(until));
    }

    /// Events were published.
    pub fn published(&mut self, keys: &BTreeSet<Key>) {
        for key in keys {
            if !self.keeps {
                self.events.remove(key);
            } else if let Some(event) = self.events.get_mut(key)
                && !matches!(event.place, Place::Published(_))
            {
                event.place = Place::Published(self.now);
            }
        }
    }

    /// Events did not arrive.
    pub fn postpone(&mut self, keys: &BTreeSet<Key>, by: Duration) {
        self.failed(keys, Place::Postponed(self.now.plus(by)), |place| place);
    }

    /// Events will not arrive.
    pub fn bury(&mut self, keys: &BTreeSet<Key>) {
        self.failed(keys, Place::Waiting, |_| Place::Dead);
    }

    /// Counts an attempt of each; brings the later events of its order to `rest`, and itself to what `own` makes of it.
    fn failed(&mut self, keys: &BTreeSet<Key>, rest: Place, own: impl Fn(Place) -> Place) {
        for key in keys {
            let Some(event) = self.events.get_mut(key) else { continue };
            if matches!(event.place, Place::Published(_) | Place::Dead) {
                continue;
            }
            event.attempts += 1;
            event.place = own(rest);
            for (_, later) in self.events.range_mut((key.0, key.1 + 1)..=(key.0, u32::MAX)) {
                if !matches!(later.place, Place::Published(_) | Place::Dead) {
                    later.place = rest;
                }
            }
        }
    }

    /// The dead letters, and how often each was tried.
    #[must_use]
    pub fn dead(&self) -> Vec<(Key, u32)> {
        let dead = self.events.iter().filter(|(_, event)| event.place == Place::Dead);
        dead.map(|(key, event)| (*key, event.attempts)).collect()
    }

    /// Puts events back. Says how many would not have come by themselves.
    pub fn replay(&mut self, which: PutBack) -> usize {
        let mut put_back = 0;
        for (key, event) in &mut self.events {
            let meant = match which {
                PutBack::Dead => event.place == Place::Dead,
                PutBack::Order(order) => key.0 == order,
                PutBack::Since(since) => event.at >= since,
            };
            if meant {
                put_back += usize::from(matches!(event.place, Place::Published(_) | Place::Dead));
                event.attempts = 0;
                if !matches!(event.place, Place::Leased(_)) {
                    event.place = Place::Waiting;
                }
            }
        }
        put_back
    }

    /// Forgets what was published longer ago than that.
    pub fn prune(&mut self, older_than: Duration) -> usize {
        let before = self.events.len();
        let now = self.now;
        self.events.retain(|_, event| !matches!(event.place, Place::Published(at) if now.since(at) > older_than));
        before - self.events.len()
    }
}
