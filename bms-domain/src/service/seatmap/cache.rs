//! The last reading of each show's seats, and the readings that are under way. Knows no store: it is told what was read.

use std::hash::Hasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use hashbrown::HashMap;
use moka::ops::compute::Op;
use moka::sync::Cache;
use parking_lot::Mutex;

use super::SeatMap;
use crate::error::Error;
use crate::id::ShowId;
use crate::service::Policy;
use crate::store::{HoldChange, StoreError};
use crate::time::Timestamp;

/// How many shows' maps are kept. Those that are asked for most stay.
const SHOWS_KEPT: u64 = 4_096;

/// How many counters of changes there are. Shows that share one empty each other's maps, which costs a reading.
const COUNTERS: usize = 1 << 16;

/// How often seat maps were asked for since the service was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SeatMapReads {
    /// Answered with what was read for somebody before, or together with somebody.
    pub from_cache: u64,
    /// Readings of the stores, failed ones too.
    pub from_stores: u64,
}

/// A map, and when its reading began: what happened later may be missing in it.
pub(super) struct Reading {
    pub(super) map: Arc<SeatMap>,
    began: Began,
    /// The beginning of the first reading of a row that all showed these seats.
    same_since: Timestamp,
    life: Duration,
}

/// The moment at which a reading began.
#[derive(Clone, Copy)]
pub(super) struct Began {
    /// Readings are numbered as they begin, because the clock does not tell two of one millisecond apart.
    number: u64,
    at: Timestamp,
    /// The show's counter of changes.
    changes: u32,
}

/// What a map must have seen to answer a call.
pub(super) struct Wanted {
    /// The last reading that had begun when the call did.
    number: u64,
    /// What this process knew of the show then; `None` when only what was read since will do.
    known: Option<Knowledge>,
}

/// What a process knows of a show.
struct Knowledge {
    at: Timestamp,
    changes: u32,
    newest: Option<u64>,
}

impl Wanted {
    pub(super) fn is_met_by(&self, reading: &Reading) -> bool {
        let Began { number, at, changes } = reading.began;
        if number > self.number {
            return true;
        }
        let Some(known) = &self.known else { return false };
        // A reading of the future was made before the clock was set back: nobody knows how old it is.
        let is_young = at <= known.at && !at.plus(reading.life).has_passed(known.at);
        is_young && changes == known.changes && known.newest.is_none_or(|newest| newest <= reading.map.version)
    }
}

type Outcome = Result<Arc<Reading>, Arc<Error>>;

/// A reading that many wait for. Whoever of them is polled drives it on, so that none depends on another; when the last
/// has gone, it ends where it is.
type Flight = Shared<Course>;
type Course = BoxFuture<'static, Outcome>;

/// Where a caller gets his map.
pub(super) enum Found {
    /// It is there.
    Kept(Arc<SeatMap>),
    /// From a reading, which may have begun too early.
    Flight { flight: Flight, is_new: bool },
}

/// Keeps maps for as long as the policy lets it.
pub(in crate::service) struct MapCache {
    busy_life: Duration,
    quiet_life: Duration,
    maps: Cache<ShowId, Arc<Reading>>,
    flights: Mutex<HashMap<ShowId, (u64, WeakShared<Course>)>>,
    /// Numbers flights.
    flown: AtomicU64,
    /// Count the changes that this process made, each those of some shows.
    changes: Box<[AtomicU32]>,
    readings: AtomicU64,
    shared: AtomicU64,
}

impl MapCache {
    pub(in crate::service) fn new(policy: &Policy) -> Self {
        Self::of_size(policy, SHOWS_KEPT)
    }

    fn of_size(policy: &Policy, shows: u64) -> Self {
        Self {
            busy_life: policy.busy_map_life,
            quiet_life: policy.quiet_map_life,
            maps: Cache::new(shows),
            flights: Mutex::default(),
            flown: AtomicU64::new(0),
            changes: (0..COUNTERS).map(|_| AtomicU32::new(0)).collect(),
            readings: AtomicU64::new(0),
            shared: AtomicU64::new(0),
        }
    }

    pub(super) fn is_off(&self) -> bool {
        self.busy_life.is_zero()
    }

    /// Something of a show was changed: no map whose reading began before is given out any more.
    pub(in crate::service) fn forget(&self, show: &ShowId) {
        if let Some(counter) = self.counter(show) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The same for every show.
    pub(in crate::service) fn forget_all(&self) {
        for counter in &self.changes {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counter(&self, show: &ShowId) -> Option<&AtomicU32> {
        let mut hasher = fnv::FnvHasher::default();
        hasher.write(show.as_str().as_bytes());
        let hash = hasher.finish();
        self.changes.get((hash ^ (hash >> 32)) as usize % COUNTERS)
    }

    fn changes(&self, show: &ShowId) -> u32 {
        self.counter(show).map_or(0, |counter| counter.load(Ordering::SeqCst))
    }

    /// What a map must have seen to answer a call that begins now. `newest` is what the hold store knows of.
    pub(super) fn wanted(&self, show: &ShowId, now: Timestamp, newest: Option<u64>) -> Wanted {
        let known = Knowledge { at: now, changes: self.changes(show), newest };
        Wanted { known: Some(known), ..self.fresh() }
    }

    /// What is wanted of a call that begins now and takes nothing that was read before.
    pub(super) fn fresh(&self) -> Wanted {
        Wanted { number: self.readings.load(Ordering::SeqCst), known: None }
    }

    /// Whether a map of the show is kept, good enough or not.
    pub(super) fn keeps(&self, show: &ShowId) -> bool {
        self.maps.contains_key(show)
    }

    /// What was done to a hold, perhaps: no map is given out that has not seen it.
    pub(in crate::service) fn forget_changed(&self, change: &Result<HoldChange, StoreError>) {
        match change {
            Ok(HoldChange::Done(hold) | HoldChange::Refused(hold, _)) => self.forget(&hold.show),
            // It may have taken effect; of which show is not known.
            Err(StoreError::OutcomeUnknown { .. }) => self.forget_all(),
            Ok(HoldChange::NotFound) | Err(_) => {}
        }
    }

    /// The map that is kept of a show, if it is good enough.
    pub(super) fn find(&self, show: &ShowId, wanted: &Wanted) -> Option<Arc<SeatMap>> {
        let reading = self.maps.get(show).filter(|reading| wanted.is_met_by(reading))?;
        Some(reading.map.clone())
    }

    /// An answer for which this caller had no reading begun.
    pub(super) fn count_shared(&self) {
        self.shared.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::service) fn reads(&self) -> SeatMapReads {
        SeatMapReads { from_cache: self.shared.load(Ordering::Relaxed), from_stores: self.readings.load(Ordering::SeqCst) }
    }

    /// To be called before the first store is asked.
    pub(super) fn begin(&self, show: &ShowId, now: Timestamp) -> Began {
        let changes = self.changes(show);
        Began { number: self.readings.fetch_add(1, Ordering::SeqCst) + 1, at: now, changes }
    }

    /// Keeps what was read, unless a reading that began later is kept already. Says which is.
    pub(super) fn keep(&self, show: &ShowId, began: Began, map: SeatMap) -> Arc<Reading> {
        let map = Arc::new(map);
        let read = |same_since| {
            let life = if began.at.since(same_since) < self.busy_life { self.busy_life } else { self.quiet_life };
            Arc::new(Reading { map: map.clone(), began, same_since, life })
        };
        if self.is_off() {
            return read(began.at);
        }
        let kept = self.maps.entry(*show).and_compute_with(|kept| match kept {
            Some(kept) if kept.value().began.number > began.number => Op::Nop,
            Some(kept) if kept.value().map.shows_the_same_as(&map) => Op::Put(read(kept.value().same_since)),
            Some(_) | None => Op::Put(read(began.at)),
        });
        kept.into_entry().map_or_else(|| read(began.at), moka::Entry::into_value)
    }

    /// The reading of a show that is under way, or the one that ended just now, or the one that `begin` begins.
    pub(super) fn find_or_fly(&self, show: &ShowId, wanted: &Wanted, begin: impl FnOnce(u64) -> Course) -> Found {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(show).and_then(|(_, flight)| flight.upgrade()) {
            return Found::Flight { flight, is_new: false };
        }
        // What was read is kept before its flight lands, so that with the lock held one of the two is seen.
        if let Some(map) = self.find(show, wanted) {
            return Found::Kept(map);
        }
        let number = self.flown.fetch_add(1, Ordering::Relaxed);
        let flight = begin(number).shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(*show, (number, weak));
        }
        Found::Flight { flight, is_new: true }
    }

    /// A flight has ended, or was given up.
    pub(super) fn land(&self, show: &ShowId, number: u64) {
        let mut flights = self.flights.lock();
        // Another may have begun since the last caller of this one went away.
        if flights.get(show).is_some_and(|(flying, _)| *flying == number) {
            flights.remove(show);
        }
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::catalogue::Listing;
    use crate::seat::SeatBits;
    use crate::testing::sample;

    fn a_map(show: &ShowId, version: u64) -> SeatMap {
        let start = Timestamp::from_millis(1_893_456_000_000);
        let layout = sample::layout("plan", 4);
        let theatre = Arc::new(sample::theatre("odeon", "Madrid", layout.id()));
        let listed = sample::listed_show(show.as_str(), "film", "odeon", layout.id(), start);
        let listing = Arc::new(Listing::new(listed, theatre, layout).unwrap());
        SeatMap { listing, version, unavailable: SeatBits::default(), held: SeatBits::default() }
    }

    #[test]
    fn a_bounded_number_of_shows_is_kept() {
        let cache = MapCache::of_size(&Policy::default(), 8);
        let now = Timestamp::from_millis(0);
        for n in 0..100 {
            let show = sample::show(&format!("show-{n}"));
            cache.keep(&show, cache.begin(&show, now), a_map(&show, 1));
            let wanted = cache.wanted(&show, now, None);
            assert!(n > 0 || cache.find(&show, &wanted).is_some());
        }
        cache.maps.run_pending_tasks();
        assert_eq!(cache.maps.entry_count(), 8);
    }

    #[test]
    fn a_reading_that_began_earlier_does_not_replace_one_that_began_later() {
        let cache = MapCache::new(&Policy::default());
        let (show, now) = (sample::show("gala"), Timestamp::from_millis(0));
        let (early, late) = (cache.begin(&show, now), cache.begin(&show, now));
        cache.keep(&show, late, a_map(&show, 2));
        assert_eq!(cache.keep(&show, early, a_map(&show, 1)).map.version, 2);
        let wanted = cache.wanted(&show, now, None);
        assert_eq!(cache.find(&show, &wanted).unwrap().version, 2);
    }

    #[test]
    fn a_change_is_of_its_show_alone() {
        let cache = MapCache::new(&Policy::default());
        let (one, other) = sample::shows_of_one_shard();
        cache.forget(&one);
        assert_eq!((cache.changes(&one), cache.changes(&other)), (1, 0));
        cache.forget_all();
        assert_eq!((cache.changes(&one), cache.changes(&other)), (2, 1));
    }

    #[test]
    fn a_flight_that_was_given_up_leaves_nothing() {
        let cache = Arc::new(MapCache::new(&Policy::default()));
        let show = sample::show("gala");
        struct Landing(Arc<MapCache>, ShowId, u64);
        impl Drop for Landing {
            fn drop(&mut self) {
                self.0.land(&self.1, self.2);
            }
        }
        let begin = |number| {
            let landing = Landing(cache.clone(), show, number);
            async move {
                let _landing = landing;
                std::future::pending().await
            }
            .boxed()
        };
        let wanted = cache.wanted(&show, Timestamp::from_millis(0), None);
        let first = cache.find_or_fly(&show, &wanted, begin);
        assert!(matches!(first, Found::Flight { is_new: true, .. }));
        let second = cache.find_or_fly(&show, &wanted, begin);
        assert!(matches!(second, Found::Flight { is_new: false, .. }));
        drop(first);
        assert_eq!(cache.flights.lock().len(), 1);
        drop(second);
        assert_eq!(cache.flights.lock().len(), 0);
    }
}
