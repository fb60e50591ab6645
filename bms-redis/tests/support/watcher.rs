//! A live seat map, as a browser keeps it: from a map, by the changes after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bms_domain::id::ShowId;
use bms_domain::seat::SeatBits;
use bms_domain::store::{Changes, HoldStore, Occupancy, OccupancyRead, StoreError};
use bms_redis::RedisHolds;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::rig::{DEADLINE, PATIENCE};
use super::until;

/// How long a question for changes is kept open before it is asked again.
const LONG_POLL: Duration = Duration::from_millis(1_500);

/// A seat map that follows a show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMap {
    pub version: u64,
    pub held: SeatBits,
    pub sold: SeatBits,
}

impl LiveMap {
    pub fn of(known: Occupancy) -> Self {
        Self { version: known.version, held: known.held, sold: known.sold }
    }

    /// Takes changes in; each must follow the one before.
    pub fn take(&mut self, changes: Changes) -> bool {
        let Changes::Since(changes) = changes else { return false };
        for change in changes {
            assert_eq!(change.version, self.version + 1, "a change was left out without a word");
            self.version = change.version;
            for seat in change.held.iter() {
                self.held.insert(seat);
            }
            for seat in change.sold.iter() {
                self.sold.insert(seat);
                self.held.remove(seat);
            }
            for seat in change.freed.iter() {
                self.sold.remove(seat);
                self.held.remove(seat);
            }
        }
        true
    }
}

/// One who looks at a live map until told to stop.
pub struct Watcher {
    pub map: Arc<Mutex<Option<LiveMap>>>,
    /// How often the map had to be read anew, after the first time.
    pub gaps: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Watcher {
    pub fn of(holds: &RedisHolds, show: &ShowId) -> Self {
        let (map, gaps, stop) =
            (Arc::<Mutex<Option<LiveMap>>>::default(), Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
        let task = tokio::spawn(watch(holds.clone(), *show, map.clone(), gaps.clone(), stop.clone()));
        Self { map, gaps, stop, task }
    }

    /// Waits until the map is as `wanted` says.
    pub async fn until(&self, limit: Duration, wanted: impl Fn(&LiveMap) -> bool) {
        let end = Instant::now() + limit;
        until("the live map", || async {
            assert!(!self.task.is_finished(), "the watcher fell over something");
            assert!(Instant::now() < end, "after {limit:?} the live map is still {:?}", self.map.lock());
            self.map.lock().as_ref().is_some_and(&wanted)
        })
        .await;
    }

    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap_or_else(|error| panic!("{error:?}"));
    }
}

async fn watch(holds: RedisHolds, show: ShowId, place: Arc<Mutex<Option<LiveMap>>>, gaps: Arc<AtomicU32>, stop: Arc<AtomicBool>) {
    let mut map: Option<LiveMap> = None;
    let mut last_answer = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        assert!(last_answer.elapsed() < PATIENCE, "no answer for {PATIENCE:?}");
        let asked = Instant::now();
        let outcome = match &mut map {
            None => holds.occupancy(&show).await.map(|read| match read {
                OccupancyRead::Known(known) => map = Some(LiveMap::of(known)),
                OccupancyRead::NotPrimed(_) => {}
            }),
            Some(known) => match tokio::time::timeout(LONG_POLL, holds.changes(&show, known.version)).await {
                Ok(Ok(changes)) => {
                    if !known.take(changes) {
                        gaps.fetch_add(1, Ordering::Relaxed);
                        map = None;
                    }
                    Ok(())
                }
                Ok(Err(error)) => Err(error),
                // Nothing has happened: ask again, as a proxy or a browser would.
                Err(_) => Ok(()),
            },
        };
        assert!(asked.elapsed() < LONG_POLL + 3 * DEADLINE, "P11: a question took {:?}", asked.elapsed());
        match outcome {
            Ok(()) => {
                last_answer = Instant::now();
                if map.is_some() {
                    *place.lock() = map.clone();
                }
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. }), "{error:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
