//! The auditor: hears of every effect at the stores and of every answer that a client got, keeps a simple book of his own, and
//! says which promise is broken as soon as it is.

mod answers;
mod end;
mod holds;
mod money;
mod orders;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bms_domain::event::{EventKey, OrderEvent};
use bms_domain::id::{HoldId, OrderId};
use bms_domain::payment::PaymentReference;
use bms_domain::store::IdempotencyKey;
use bms_domain::time::Timestamp;

use crate::sometimes::{Counts, Sometimes};
use holds::Holds;
use money::Paid;
use orders::OrderNote;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    NoDoubleSale,
    ExclusiveHolds,
    AllOrNothing,
    MoneyIsNeverLost,
    NoLeak,
    SafeRetries,
    LegalMovesOnly,
    CheckoutIsCovered,
    OnlyTheOwner,
    SelfHealing,
    BoundedWaits,
    HonestMap,
    EventsInOrder,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDoubleSale => "P1 no double sale",
            Self::ExclusiveHolds => "P2 exclusive holds",
            Self::AllOrNothing => "P3 all or nothing",
            Self::MoneyIsNeverLost => "P4 money is never lost",
            Self::NoLeak => "P5 no leak",
            Self::SafeRetries => "P6 safe retries",
            Self::LegalMovesOnly => "P7 legal moves only",
            Self::CheckoutIsCovered => "P8 checkout is covered",
            Self::OnlyTheOwner => "P9 only the owner",
            Self::SelfHealing => "P10 self-healing",
            Self::BoundedWaits => "P11 bounded waits",
            Self::HonestMap => "P12 honest map",
            Self::EventsInOrder => "every event leaves, in order for its order",
        })
    }
}

/// A promise that is broken, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) seen: String,
}

/// The time: of the world in ms, and as the two stores show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) world: i64,
    pub(crate) holds: Timestamp,
    pub(crate) orders: Timestamp,
}

/// The auditor's book.
pub(crate) struct Auditor {
    pub(crate) now: Now,
    pub(crate) counts: Counts,
    pub(crate) broken: Option<Broken>,
    holds: Holds,
    orders: BTreeMap<OrderId, OrderNote>,
    /// The order that claimed each seat last.
    claims: BTreeMap<u32, OrderId>,
    /// The confirmed order of each seat that is sold, and since when, in ms of the world.
    owners: BTreeMap<u32, (OrderId, i64)>,
    /// Seats that were freed by a cancellation.
    freed_seats: BTreeSet<u32>,
    payments: BTreeMap<PaymentReference, Paid>,
    /// What was answered under a key.
    keys: BTreeMap<IdempotencyKey, HoldId>,
    /// Orders that somebody was told to be confirmed.
    told_confirmed: BTreeSet<OrderId>,
    /// The last event of each order that was published, and the kinds of all of them.
    events: BTreeMap<OrderId, (u32, Vec<&'static str>)>,
    /// A clock was set: what depends on two clocks is not promised any more (P8).
    clock_was_set: bool,
    /// The clock of the order store was set back: what has expired waits again.
    went_back: bool,
}

impl Auditor {
    pub(crate) fn new() -> Self {
        let beginning = Timestamp::MIN;
        Self {
            now: Now { world: 0, holds: beginning, orders: beginning },
            counts: Counts::default(),
            broken: None,
            holds: Holds::default(),
            orders: BTreeMap::new(),
            claims: BTreeMap::new(),
            owners: BTreeMap::new(),
            freed_seats: BTreeSet::new(),
            payments: BTreeMap::new(),
            keys: BTreeMap::new(),
            told_confirmed: BTreeSet::new(),
            events: BTreeMap::new(),
            clock_was_set: false,
            went_back: false,
        }
    }

    /// A promise is broken. Only the first one counts: what follows may follow from it.
    pub(crate) fn breaks(&mut self, promise: Promise, seen: String) {
        self.broken.get_or_insert(Broken { promise, seen });
    }

    pub(crate) fn expect(&mut self, kept: bool, promise: Promise, seen: impl FnOnce() -> String) {
        if !kept {
            self.breaks(promise, seen());
        }
    }

    /// A clock was set, by so many ms.
    pub(crate) fn clock_set(&mut self, is_orders: bool, by_ms: i64) {
        self.counts.add(Sometimes::ClockStepped);
        self.clock_was_set = true;
        self.went_back |= is_orders && by_ms < 0;
    }

    /// The receiver got an event.
    pub(crate) fn published(&mut self, event: &OrderEvent) {
        let EventKey { order, sequence } = event.key;
        let (last, kinds) = self.events.entry(order).or_default();
        if sequence <= *last {
            self.counts.add(Sometimes::PublishedTwice);
        } else if sequence == *last + 1 {
            *last = sequence;
            kinds.push(event.kind.name());
        } else {
            let seen = format!("event {sequence} of order {order} came after {last}");
            self.breaks(Promise::EventsInOrder, seen);
        }
    }
}
