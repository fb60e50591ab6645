//! What is measured: how long each kind of request took, what came of it, and how the sale went on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

use crate::office::{Answer, Kind};

/// No answer takes longer than this, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// The figures of a run.
pub(crate) struct Tally {
    kinds: [Mutex<Requests>; Kind::ALL.len()],
    /// How late the generator itself was.
    late: Mutex<Histogram<u64>>,
    arrived: AtomicU64,
    refused: AtomicU64,
    left: AtomicU64,
    curve: Mutex<Vec<Sample>>,
}

/// The requests of a kind.
pub(crate) struct Requests {
    /// How long they took, from when they were meant to be made, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// How many were done.
    pub(crate) given: u64,
    /// How many were refused, by cause.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Of how many nobody knows, by cause.
    pub(crate) unknown: BTreeMap<String, u64>,
}

/// How far the sale was at a moment. All but the time are counts since the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    /// Milliseconds since the beginning.
    pub(crate) at_ms: u64,
    /// Users who have come.
    pub(crate) users: u64,
    /// Seats that clients were told are theirs.
    pub(crate) seats_sold: u64,
    /// Requests that were refused.
    pub(crate) refused: u64,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self, hdrhistogram::CreationError> {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_US, 3);
        let requests = || -> Result<_, hdrhistogram::CreationError> {
            let (refused, unknown) = (BTreeMap::new(), BTreeMap::new());
            Ok(Mutex::new(Requests { latency: histogram()?, given: 0, refused, unknown }))
        };
        Ok(Self {
            kinds: [requests()?, requests()?, requests()?, requests()?, requests()?],
            late: Mutex::new(histogram()?),
            arrived: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            left: AtomicU64::new(0),
            curve: Mutex::default(),
        })
    }

    /// A user has come, so much later than he was meant to.
    pub(crate) fn arrived(&self, late: Duration) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        self.was_late(late);
    }

    /// The generator was so late to make a request that waited for nothing else.
    pub(crate) fn was_late(&self, late: Duration) {
        self.late.lock().saturating_record(microseconds(late));
    }

    /// A user has done all that he came for.
    pub(crate) fn left(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered so long after it was meant to be made.
    pub(crate) fn answered<T>(&self, kind: Kind, took: Duration, answer: &Answer<T>) {
        let Some(requests) = self.kinds.get(kind as usize) else { return };
        let mut requests = requests.lock();
        requests.latency.saturating_record(microseconds(took));
        match answer {
            Answer::Given(_) => requests.given += 1,
            Answer::Refused(refusal) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                count(&mut requests.refused, &refusal.cause);
            }
            Answer::Unknown(cause) => count(&mut requests.unknown, cause),
        }
    }

    /// Notes how far the sale is.
    pub(crate) fn sample(&self, at: Duration, seats_sold: u64) -> Sample {
        let sample = Sample {
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            users: self.arrived.load(Ordering::Relaxed),
            seats_sold,
            refused: self.refused.load(Ordering::Relaxed),
        };
        self.curve.lock().push(sample);
        sample
    }

    /// How far it was, from the beginning on.
    pub(crate) fn curve(&self) -> Vec<Sample> {
        self.curve.lock().clone()
    }

    /// How many users have come, and how many of them have done all that they came for.
    pub(crate) fn users(&self) -> (u64, u64) {
        (self.arrived.load(Ordering::Relaxed), self.left.load(Ordering::Relaxed))
    }

    /// Looks at the requests of a kind.
    pub(crate) fn of<R>(&self, kind: Kind, look: impl FnOnce(&Requests) -> R) -> Option<R> {
        self.kinds.get(kind as usize).map(|requests| look(&requests.lock()))
    }

    /// Looks at how late the generator itself was.
    pub(crate) fn lateness<R>(&self, look: impl FnOnce(&Histogram<u64>) -> R) -> R {
        look(&self.late.lock())
    }
}

fn count(causes: &mut BTreeMap<String, u64>, cause: &str) {
    match causes.get_mut(cause) {
        Some(count) => *count += 1,
        None => _ = causes.insert(cause.to_owned(), 1),
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::office::Refusal;

    #[test]
    fn answers_are_counted_by_kind_and_cause() {
        let tally = Tally::new().unwrap();
        let refused = |cause: &str| Answer::<()>::Refused(Refusal { cause: cause.to_owned(), refund_due: false });
        tally.answered(Kind::Hold, Duration::from_millis(3), &Answer::Given(()));
        tally.answered(Kind::Hold, Duration::from_millis(5), &refused("seats-unavailable"));
        tally.answered(Kind::Hold, Duration::from_millis(5), &refused("seats-unavailable"));
        tally.answered(Kind::Confirm, Duration::from_millis(9), &Answer::<()>::Unknown("lost".to_owned()));
        tally.of(Kind::Hold, |hold| {
            assert_eq!((hold.given, hold.refused["seats-unavailable"], hold.unknown.len()), (1, 2, 0));
            assert_eq!((hold.latency.len(), hold.latency.max() / 100), (3, 50));
        });
        tally.of(Kind::Confirm, |confirm| assert_eq!(confirm.unknown["lost"], 1));
        let sample = tally.sample(Duration::from_millis(1_500), 7);
        assert_eq!(sample, Sample { at_ms: 1_500, users: 0, seats_sold: 7, refused: 2 });
        assert_eq!(tally.curve(), [sample]);
    }
}
