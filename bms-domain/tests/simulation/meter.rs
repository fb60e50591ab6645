//! P11: how long a request may take. It waits for nothing but calls of ports, each of which the service gives up after its
//! deadline. So a request takes no longer than the deadlines of the calls that it waited for, one after the other, and makes no
//! more of them than its kind ever needs.
//!
//! Requests of one process may share a reading of the map, or a restore. Whoever waits for a call that another request has begun
//! waits for its deadline, too.

use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;

use crate::world::DEADLINE_MS;

/// For how long a batch of events is a relay's alone, and its receiver has no longer.
pub(crate) const LEASE_MS: u64 = 30_000;

/// How often the hold store is primed before a request gives up: each time the claims are read, and told.
const PRIMINGS: u32 = 4;
const PRIME: u32 = PRIMINGS * 2;

/// Its occupancy is asked for before each.
const OCCUPANCY: u32 = PRIMINGS * (1 + PRIME);

/// The show, its fence, and a restore.
const RECONCILE: u32 = 2 + PRIME;

/// A map is read once more when a mark was stray: the show, what is held, what is sold, a restore, what is held.
const READING: u32 = 1 + OCCUPANCY + 1 + RECONCILE + OCCUPANCY;

/// A ticket's code is drawn so often, and then the hold store is told.
const SETTLE: u32 = 16 + 1;

/// The show, and the hold.
const HOLD: u32 = PRIMINGS * (2 + PRIME);

/// How many of each a sweep takes.
pub(crate) const SWEPT: u32 = 16;

/// After so many attempts an event is a dead letter: few, so that there are some.
pub(crate) const RELAY_ATTEMPTS: u32 = 3;

/// The most calls that a request makes, whatever it finds.
fn most_calls(what: &str) -> u32 {
    match what {
        // A reading that was under way, and the next.
        "read the map" | "show the map" => 2 * READING,
        "hold" => HOLD,
        "hold under a key" => 1 + HOLD + 1,
        // An order that has ended is unlinked three times: the hold, the show, the order, the link. The fourth is refused.
        "order" => 3 * 4 + 3 + 1 + 1 + RECONCILE,
        // Refused for an order that has ended, which is unlinked; then the show, and the plan that the hold was placed by.
        "release" => 1 + 2 + 1 + 2,
        "give an order up" => 2,
        // The order, the provider.
        "confirm" => 2 + SETTLE,
        "take a notice" => SETTLE,
        "read an order" | "replay" => 1,
        "cancel" => 1 + RECONCILE,
        // What he asks for, and the order of a hold that is not there.
        "tell a stranger" => 2,
        // Holds, payments, orders, the one show, keys, events.
        "sweep" => 1 + (1 + SWEPT * (1 + SETTLE)) + (1 + SWEPT) + (1 + RECONCILE) + 1 + 1,
        // Claim, publish, write down what arrived, what is postponed by each of the pauses, what is dead.
        "relay" => 3 + (RELAY_ATTEMPTS - 1) + 1,
        _ => panic!("nobody has said how many calls a request to {what} makes"),
    }
}

/// For how long a call is waited for.
fn limit_ms(method: &str) -> i64 {
    if method == "sink.publish" { LEASE_MS.cast_signed() } else { DEADLINE_MS.cast_signed() }
}

#[derive(Default)]
struct Count {
    calls: u32,
    /// The deadlines of all calls that it waited for.
    allowed_ms: i64,
    /// Its own calls that have not ended.
    open: u32,
    /// It waits for a call that another request has begun.
    shares: bool,
}

/// Counts what a request waits for.
pub(crate) struct Meter {
    process: usize,
    what: &'static str,
    began: i64,
    count: Mutex<Count>,
}

impl Meter {
    /// What is wrong with a request that has come so far.
    pub(crate) fn complaint(&self, now: i64) -> Option<String> {
        let Count { calls, allowed_ms, .. } = *self.count.lock();
        let (what, took, most) = (self.what, now - self.began, most_calls(self.what));
        if took > allowed_ms {
            return Some(format!("a request to {what} took {took} ms, and may have waited for {allowed_ms} ms"));
        }
        (calls > most).then(|| format!("a request to {what} made {calls} calls, and needs {most} at most"))
    }

    /// It was polled, and waits. If for none of its own calls, for one that was under way already.
    fn rests(&self) {
        let mut count = self.count.lock();
        if count.open == 0 && !count.shares {
            count.shares = true;
            count.allowed_ms += DEADLINE_MS.cast_signed();
        }
    }
}

/// The requests that are under way.
#[derive(Default)]
pub(crate) struct Meters {
    running: Mutex<Vec<Arc<Meter>>>,
    /// The one that is polled.
    polled: Mutex<Option<Arc<Meter>>>,
}

impl Meters {
    pub(crate) fn begin(&self, process: usize, what: &'static str, now: i64) -> Arc<Meter> {
        let meter = Arc::new(Meter { process, what, began: now, count: Mutex::default() });
        self.running.lock().push(meter.clone());
        meter
    }

    /// A request has ended, or died.
    pub(crate) fn end(&self, meter: &Arc<Meter>) {
        self.running.lock().retain(|running| !Arc::ptr_eq(running, meter));
    }

    /// Polls a request, whose calls are those that begin meanwhile.
    pub(crate) fn poll<T>(&self, meter: &Arc<Meter>, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        *self.polled.lock() = Some(meter.clone());
        let polled = poll();
        *self.polled.lock() = None;
        if polled.is_pending() {
            meter.rests();
        }
        polled
    }

    /// A call begins. It has ended when what comes back is dropped.
    pub(crate) fn call(&self, method: &str) -> Option<Open> {
        let caller = self.polled.lock().clone()?;
        let limit_ms = limit_ms(method);
        for other in self.running.lock().iter().filter(|other| other.process == caller.process && !Arc::ptr_eq(other, &caller)) {
            let mut count = other.count.lock();
            if count.shares && count.open == 0 {
                count.allowed_ms += limit_ms;
            }
        }
        let mut count = caller.count.lock();
        count.calls += 1;
        count.allowed_ms += limit_ms;
        count.open += 1;
        count.shares = false;
        drop(count);
        Some(Open(caller))
    }
}

/// A call that has not ended.
pub(crate) struct Open(Arc<Meter>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count.lock().open -= 1;
    }
}
