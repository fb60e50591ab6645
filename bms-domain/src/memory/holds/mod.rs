//! Holds in memory.

mod changes;
mod ended;
mod live;
mod room;
mod slots;
mod users;

use std::sync::Arc;

use async_trait::async_trait;
use event_listener::Event;
use parking_lot::Mutex;

use super::shards::Shows;
use crate::hold::{Hold, HoldCommand};
use crate::id::{Caller, HoldId, OrderId, ShowId};
use crate::store::{
    Changes, Checkout, Counts, Fence, HoldChange, HoldStore, OccupancyRead, PlaceHold, Placed, Restored, ShowClaims, SoldSeats,
    StoreError,
};
use crate::time::{Clock, Timestamp};
use room::Room;

/// Keeps holds in this process's memory: for each show a fixed cost of about 10 bytes a seat, and less than 64 bytes for
/// each held seat.
pub struct MemoryHolds {
    clock: Arc<dyn Clock>,
    shows: Shows<Door>,
}

/// A room and its lock.
struct Door {
    room: Mutex<Room>,
    /// Rings when the occupancy has changed.
    changed: Event,
}

impl Door {
    /// Does something in the room, and tells those who wait for changes.
    fn enter<R>(&self, work: impl FnOnce(&mut Room) -> R) -> R {
        let mut room = self.room.lock();
        let before = room.version();
        let result = work(&mut room);
        let changed = room.version() != before;
        drop(room);
        if changed {
            self.changed.notify(usize::MAX);
        }
        result
    }
}

impl MemoryHolds {
    /// An empty store on a clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, shows: Shows::new() }
    }

    fn door(&self, show: &ShowId, now: Timestamp) -> Arc<Door> {
        self.shows.get_or_insert(show, || Door { room: Mutex::new(Room::new(*show, now)), changed: Event::new() })
    }

    /// Gives a command to the hold of an id, in whichever room of its shard it is.
    fn command(&self, id: HoldId, by: Option<&Caller>, command: HoldCommand) -> HoldChange {
        let now = self.clock.now();
        let change = self.shows.find(id.shard(), |(_, door)| door.enter(|room| room.command(id, by, command, now)));
        change.unwrap_or(HoldChange::NotFound)
    }

    fn find(&self, id: HoldId, now: Timestamp) -> Option<Hold> {
        self.shows.find(id.shard(), |(_, door)| {
            door.enter(|room| {
                room.retire(now, usize::MAX);
                room.hold(id)
            })
        })
    }
}

#[async_trait]
impl HoldStore for MemoryHolds {
    async fn place(&self, request: &PlaceHold) -> Result<Placed, StoreError> {
        let now = self.clock.now();
        self.door(&request.show, now).enter(|room| room.place(request, now))
    }

    async fn get(&self, ids: &[HoldId]) -> Result<Vec<Option<Hold>>, StoreError> {
        let now = self.clock.now();
        Ok(ids.iter().map(|id| self.find(*id, now)).collect())
    }

    async fn release(&self, id: HoldId, by: &Caller) -> Result<HoldChange, StoreError> {
        Ok(self.command(id, Some(by), HoldCommand::Release))
    }

    async fn begin_checkout(&self, id: HoldId, by: &Caller, checkout: &Checkout) -> Result<HoldChange, StoreError> {
        let Checkout { order, cover, longest_life } = *checkout;
        Ok(self.command(id, Some(by), HoldCommand::BeginCheckout { order, cover, longest_life }))
    }

    async fn end_checkout(&self, id: HoldId, order: OrderId) -> Result<HoldChange, StoreError> {
        Ok(self.command(id, None, HoldCommand::EndCheckout { order }))
    }

    async fn give_back(&self, id: HoldId, order: OrderId, until: Timestamp) -> Result<HoldChange, StoreError> {
        Ok(self.command(id, None, HoldCommand::GiveBack { order, until }))
    }

    async fn mark_sold(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.door(&sold.show, now).enter(|room| room.mark_sold(sold, now));
        Ok(())
    }

    async fn mark_free(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.door(&sold.show, now).enter(|room| room.mark_free(sold, now));
        Ok(())
    }

    async fn restore(&self, claims: &ShowClaims, fence: Fence) -> Result<Restored, StoreError> {
        let now = self.clock.now();
        Ok(self.door(&claims.show, now).enter(|room| room.restore(claims, fence, now)))
    }

    async fn occupancy(&self, show: &ShowId) -> Result<OccupancyRead, StoreError> {
        let now = self.clock.now();
        Ok(self.door(show, now).enter(|room| room.occupancy(now)))
    }

    async fn counts(&self, shows: &[ShowId]) -> Result<Vec<Option<Counts>>, StoreError> {
        let now = self.clock.now();
        Ok(shows.iter().map(|show| self.shows.get(show)?.enter(|room| room.counts(now))).collect())
    }

    async fn changes(&self, show: &ShowId, after: u64) -> Result<Changes, StoreError> {
        let Some(door) = self.shows.get(show) else { return Ok(Changes::Gap) };
        loop {
            // Listen first, then look: what changes in between rings the bell.
            let bell = door.changed.listen();
            let now = self.clock.now();
            if let Some(changes) = door.enter(|room| room.changes(after, now)) {
                return Ok(changes);
            }
            bell.await;
        }
    }

    fn newest(&self, show: &ShowId) -> Option<u64> {
        let now = self.clock.now();
        let door = self.shows.get(show)?;
        Some(door.enter(|room| {
            room.retire(now, usize::MAX);
            room.version()
        }))
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let mut retired = 0;
        self.shows.each(|_, door| {
            retired += door.enter(|room| {
                room.prune(now);
                room.retire(now, limit - retired)
            });
            retired < limit
        });
        Ok(retired)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
