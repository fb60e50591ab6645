//! What this process keeps of the catalogue: seat plans for good, because they never change; shows for a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bms_domain::catalogue::Listing;
use bms_domain::id::{LayoutId, ShowId};
use bms_domain::layout::Layout;
use bms_domain::time::Timestamp;
use moka::sync::Cache;
use tokio::sync::OnceCell;

/// How many seats the plans have together that are kept. A seat takes about 200 bytes.
const SEATS_KEPT: u64 = 500_000;
/// How many shows are kept. Those that are asked for most stay.
const SHOWS_KEPT: u64 = 8_192;

pub(super) struct Kept {
    pub(super) layouts: Cache<LayoutId, Arc<Layout>>,
    shows: Cache<ShowId, Arc<Reading>>,
    life: Duration,
    /// Counts the writes of this process.
    writes: AtomicU64,
}

/// A reading of a show, begun or done. Who asks while it goes on waits for it; when he who reads goes away, the next reads.
pub(super) struct Reading {
    pub(super) listing: OnceCell<Option<Arc<Listing>>>,
    began: Timestamp,
    writes: u64,
}

impl Kept {
    pub(super) fn new(life: Duration) -> Self {
        Self {
            layouts: Cache::builder().max_capacity(SEATS_KEPT).weigher(|_, layout: &Arc<Layout>| layout.seat_count()).build(),
            shows: Cache::new(SHOWS_KEPT),
            life,
            writes: AtomicU64::new(0),
        }
    }

    /// The reading of a show that answers a call at `now`, perhaps yet to be done. `None`: everybody reads for himself.
    pub(super) fn reading(&self, show: &ShowId, now: Timestamp) -> Option<Arc<Reading>> {
        if self.life.is_zero() {
            return None;
        }
        let writes = self.writes.load(Ordering::SeqCst);
        let is_good = |reading: &Reading| {
            // One of the future was begun before the clock was set back: nobody knows how old it is.
            let is_young = reading.began <= now && !reading.began.plus(self.life).has_passed(now);
            // That there is no such show is not remembered: it may have been made just now.
            is_young && reading.writes == writes && !matches!(reading.listing.get(), Some(None))
        };
        if let Some(reading) = self.shows.get(show).filter(|reading| is_good(reading)) {
            return Some(reading);
        }
        let begin = || Arc::new(Reading { listing: OnceCell::new(), began: now, writes });
        Some(self.shows.entry(*show).or_insert_with_if(begin, |reading| !is_good(reading)).into_value())
    }

    /// Until this is dropped, something is written: no reading that began before then answers a call after it.
    pub(super) fn writing(&self) -> Writing<'_> {
        Writing(self)
    }
}

pub(super) struct Writing<'k>(&'k Kept);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
    }
}
