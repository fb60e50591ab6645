//! What a schedule wakes: tidying up, and publishing events.

use std::time::Duration;

use bms_domain::BookingService;
use bms_domain::event::EventSink;
use bms_domain::service::{Relayed, Swept};
use lambda_runtime::{Context, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::thaw::Thaw;
use crate::time;

/// How many things one round does of each kind: few enough that a function which is nearly out of time wastes little.
const BATCH: usize = 200;
/// How long before the end a sink has to be done, so that what it has taken can be written down.
const TO_WRITE_DOWN: Duration = Duration::from_secs(2);
/// With less time than this no further events are taken out: they would wait for the end of a lease for nothing.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// An event of EventBridge that says that it is time, or an empty object, as a person or a schedule of one's own sends it.
///
/// Reading anything else fails: a request of a gateway, say, that was led to the wrong function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct ScheduledEvent;

/// The event is not one of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotScheduled;

impl std::fmt::Display for NotScheduled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this function is woken by a schedule (EventBridge), or by an empty object, and by nothing else")
    }
}

impl std::error::Error for NotScheduled {}

impl TryFrom<Value> for ScheduledEvent {
    type Error = NotScheduled;

    fn try_from(event: Value) -> Result<Self, NotScheduled> {
        let is = |name: &str, values: &[&str]| event.get(name).and_then(Value::as_str).is_some_and(|it| values.contains(&it));
        let is_scheduled = is("detail-type", &["Scheduled Event"]) && is("source", &["aws.events", "aws.scheduler"]);
        let is_empty = event.as_object().is_some_and(serde_json::Map::is_empty);
        if is_scheduled || is_empty { Ok(Self) } else { Err(NotScheduled) }
    }
}

/// What a sweep did, as the function answers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sweeping {
    /// What was tidied up.
    #[serde(flatten)]
    pub swept: Swept,
    /// Whether there was nothing more to do; the rest is for the next time.
    pub complete: bool,
}

/// What became of waiting events, as the function answers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relaying {
    /// They were published.
    pub published: usize,
    /// They are tried again later.
    pub postponed: usize,
    /// They are dead letters now.
    pub buried: usize,
    /// Whether nothing more could be taken out; the rest is for the next time.
    pub complete: bool,
}

/// The work of the functions that a schedule wakes.
pub struct Upkeep {
    service: BookingService,
    thaw: Thaw,
}

impl Upkeep {
    /// Of what this service sells.
    #[must_use]
    pub fn new(service: BookingService) -> Self {
        Self { service, thaw: Thaw::new() }
    }

    /// Tidies up until there is nothing more to do, or the invocation's time is nearly over. It may be cut off anywhere.
    ///
    /// # Errors
    /// When a store does not answer: nothing is lost, and the schedule comes again.
    pub async fn sweep(&self, context: &Context) -> Result<Sweeping, Error> {
        let end = time::end(context);
        self.thaw.wake(&self.service, end).await;
        let mut all = Sweeping::default();
        while !all.complete {
            let Ok(swept) = timeout_at(end, self.service.sweep(BATCH)).await else { break };
            let swept = swept?;
            all.swept += swept;
            all.complete = swept.is_all(BATCH);
        }
        self.thaw.rest();
        tracing::info!(?all, "swept");
        Ok(all)
    }

    /// Publishes waiting events until none can be taken out, or the invocation's time is nearly over. What a sink has not taken
    /// by then comes again; so does what was taken out when the process is ended in the middle. Needs a service with a deadline,
    /// or the sink decides how long it takes.
    ///
    /// # Errors
    /// When the outbox does not answer: what it does not know to be published comes again.
    pub async fn relay(&self, sink: &dyn EventSink, context: &Context) -> Result<Relaying, Error> {
        let end = time::end(context);
        self.thaw.wake(&self.service, end).await;
        let mut all = Relaying::default();
        while !all.complete {
            let lease = end.saturating_duration_since(Instant::now()).saturating_sub(TO_WRITE_DOWN);
            if lease < SHORTEST_LEASE {
                break;
            }
            let Ok(relayed) = timeout_at(end, self.service.relay(sink, BATCH, lease)).await else { break };
            let Relayed { published, postponed, buried } = relayed?;
            all.published += published;
            all.postponed += postponed;
            all.buried += buried;
            all.complete = published == 0;
        }
        self.thaw.rest();
        tracing::info!(?all, "relayed");
        Ok(all)
    }
}

impl std::fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upkeep(…)")
    }
}
