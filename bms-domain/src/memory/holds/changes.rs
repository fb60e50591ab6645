//! The last changes of a show's occupancy, for those who watch it.

use std::collections::VecDeque;

use crate::seat::SeatSet;
use crate::store::{Changes, OccupancyChange};

/// How many changes are kept. Who is further behind reads the map anew.
const KEPT: usize = 1_024;

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Held,
    Sold,
    Freed,
}

#[derive(Default)]
pub(super) struct ChangeLog {
    entries: VecDeque<(u64, Kind, SeatSet)>,
}

impl ChangeLog {
    pub(super) fn push(&mut self, version: u64, kind: Kind, seats: SeatSet) {
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back((version, kind, seats));
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// What came after a version that is not the present one.
    pub(super) fn since(&self, after: u64) -> Changes {
        match self.entries.front() {
            Some((first, ..)) if *first <= after.saturating_add(1) => {}
            _ => return Changes::Gap,
        }
        let newer = self.entries.iter().filter(|(version, ..)| *version > after);
        let changes: Vec<OccupancyChange> = newer
            .map(|(version, kind, seats)| {
                let mut change = OccupancyChange { version: *version, ..OccupancyChange::default() };
                match kind {
                    Kind::Held => change.held = seats.clone(),
                    Kind::Sold => change.sold = seats.clone(),
                    Kind::Freed => change.freed = seats.clone(),
                }
                change
            })
            .collect();
        if changes.is_empty() { Changes::Gap } else { Changes::Since(changes) }
    }
}
