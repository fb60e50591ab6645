//! Holds that ended, kept a while so that their owners are told how they ended.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use crate::hold::Hold;
use crate::id::HoldId;
use crate::time::Timestamp;

/// How long a hold is kept after its end.
const KEPT_FOR: Duration = Duration::from_hours(1);

/// How many ended holds a show keeps at least; a large show keeps four a seat.
const KEPT_AT_LEAST: usize = 4_096;

#[derive(Default)]
pub(super) struct EndedHolds {
    holds: HashMap<HoldId, Hold>,
    /// In the order of their ends. A hold that came back to life and ended again is there twice.
    order: VecDeque<(Timestamp, HoldId)>,
}

impl EndedHolds {
    pub(super) fn get(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: HoldId) -> Option<&mut Hold> {
        self.holds.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: HoldId) {
        self.holds.remove(&id);
    }

    pub(super) fn push(&mut self, hold: Hold, now: Timestamp, seats: u32) {
        let most = KEPT_AT_LEAST.max(4 * seats as usize);
        while self.order.len() >= most {
            self.pop();
        }
        self.order.push_back((now, hold.id));
        self.holds.insert(hold.id, hold);
    }

    /// Forgets holds whose while is over.
    pub(super) fn prune(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(at, _)| at.plus(KEPT_FOR).has_passed(now)) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.holds.remove(&id);
        }
    }
}
