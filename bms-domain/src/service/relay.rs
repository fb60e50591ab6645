//! The relay: takes events out of the outbox into a sink, at least once, in order for each order. Safe to run in many
//! processes at once, and to be cut off anywhere.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{Either, select};

use super::BookingService;
use super::catalogue::Page;
use super::orders::require_admin;
use crate::error::Error;
use crate::event::{EventKey, EventSink, OrderEvent};
use crate::id::{Caller, OrderId};
use crate::store::{Delivery, Replay};

/// What a relay did with the events that it took out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Relayed {
    /// They were published.
    pub published: usize,
    /// They did not arrive, and are tried again later; with them those behind them, which are not counted.
    pub postponed: usize,
    /// They did not arrive for the last time, and are dead letters now.
    pub buried: usize,
}

/// What a sink made of a batch.
#[derive(Default)]
struct Outcome {
    published: HashSet<EventKey>,
    untried: HashSet<EventKey>,
}

/// The events that did not arrive, by what is to be done with them.
#[derive(Default)]
struct Failures {
    postponed: BTreeMap<Duration, Vec<EventKey>>,
    buried: Vec<EventKey>,
}

impl BookingService {
    /// Publishes up to `limit` waiting events, at least once, in order for each order. What did not arrive is tried again
    /// after a pause that doubles each time, and is a dead letter after as many attempts as the policy says: its order
    /// waits behind it until it is [replayed](Self::replay); other orders go on.
    ///
    /// The events are this call's until `lease` is over, and the sink has no longer than that, if the service has a timer.
    /// When the call is dropped, or the process ends, the events come again then. A sink that panics has published nothing.
    ///
    /// # Errors
    /// `Unavailable` when the outbox does not answer: what it does not know to be published comes again.
    pub async fn relay(&self, sink: &dyn EventSink, limit: usize, lease: Duration) -> Result<Relayed, Error> {
        let outbox = &self.ports().outbox;
        let deliveries = self.of_orders(outbox.claim(limit, lease)).await?;
        if deliveries.is_empty() {
            return Ok(Relayed::default());
        }
        let events: Vec<OrderEvent> = deliveries.iter().map(|delivery| delivery.event.clone()).collect();
        let outcome = self.publish(sink, &events, lease).await;
        let published: Vec<EventKey> =
            events.iter().map(|event| event.key).filter(|key| outcome.published.contains(key)).collect();
        let failures = self.failures(&deliveries, &outcome);
        let mut relayed = Relayed { published: published.len(), ..Relayed::default() };
        // What one call cannot write down keeps the others from nothing.
        let mut steps = Vec::new();
        if !published.is_empty() {
            steps.push(self.of_orders(outbox.published(&published)).await);
        }
        for (by, keys) in failures.postponed {
            relayed.postponed += keys.len();
            steps.push(self.of_orders(outbox.postpone(&keys, by)).await);
        }
        if !failures.buried.is_empty() {
            relayed.buried = failures.buried.len();
            steps.push(self.of_orders(outbox.bury(&failures.buried)).await);
        }
        steps.into_iter().collect::<Result<(), _>>()?;
        Ok(relayed)
    }

    /// Hands a batch to the sink, for no longer than the lease.
    async fn publish(&self, sink: &dyn EventSink, events: &[OrderEvent], lease: Duration) -> Outcome {
        let publishing = AssertUnwindSafe(sink.publish(events)).catch_unwind();
        let ended = match &self.shared.deadline {
            None => Some(publishing.await),
            Some((_, timer)) => match select(publishing, timer.sleep(lease)).await {
                Either::Left((ended, _)) => Some(ended),
                Either::Right(((), _)) => None,
            },
        };
        match ended {
            Some(Ok(Ok(()))) => Outcome { published: events.iter().map(|event| event.key).collect(), untried: HashSet::new() },
            Some(Ok(Err(error))) => {
                tracing::warn!(%error, events = events.len(), "not all events were published; the others come again");
                Outcome { published: error.published.into_iter().collect(), untried: error.untried.into_iter().collect() }
            }
            Some(Err(panic)) => {
                // Its text is not ours to show.
                drop::<Box<dyn Any + Send>>(panic);
                tracing::error!(events = events.len(), "the sink panicked; the events come again");
                Outcome::default()
            }
            None => {
                tracing::warn!(events = events.len(), "the sink did not end in time; the events come again");
                Outcome::default()
            }
        }
    }

    /// The first event of each order that did not arrive. Those behind it were not its order's turn: they wait with it.
    fn failures(&self, deliveries: &[Delivery], outcome: &Outcome) -> Failures {
        let policy = self.policy();
        let mut failures = Failures::default();
        let mut stopped: HashSet<OrderId> = HashSet::new();
        for Delivery { event, attempts } in deliveries {
            let key = event.key;
            if outcome.published.contains(&key) || !stopped.insert(key.order) || outcome.untried.contains(&key) {
                continue;
            }
            let attempts = attempts.saturating_add(1);
            if attempts >= policy.relay_attempts {
                tracing::error!(event = %key, kind = event.kind.name(), attempts, "an event is a dead letter; its order waits");
                failures.buried.push(key);
            } else {
                failures.postponed.entry(policy.pause_after(attempts)).or_default().push(key);
            }
        }
        failures
    }

    /// Puts events back that the outbox still keeps: each comes again, as if it had never been tried. Says how many were
    /// published or dead, and so would not have come by themselves. For administrators.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn replay(&self, caller: &Caller, which: &Replay) -> Result<usize, Error> {
        require_admin(caller)?;
        let events = self.of_orders(self.ports().outbox.replay(which)).await?;
        tracing::info!(?which, events, "events were put back");
        Ok(events)
    }

    /// The events that were tried for the last time, by key, those after `after`, `limit` of 1–100 at most. Their orders
    /// hold personal data. For administrators.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid` (limit), `Unavailable`.
    pub async fn dead_letters(&self, caller: &Caller, after: Option<EventKey>, limit: usize) -> Result<Vec<Delivery>, Error> {
        require_admin(caller)?;
        let limit = Page::<Delivery, EventKey>::check_limit(limit)?;
        Ok(self.of_orders(self.ports().outbox.dead(after, limit)).await?)
    }
}
