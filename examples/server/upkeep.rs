//! Upkeep beside the server and as commands: sweeping, publishing events, putting them back.

use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use bms_adapters_http::webhooks::WebhookSink;
use bms_domain::BookingService;
use bms_domain::event::{EventSink, LogSink, OrderEvent, PublishError};
use bms_domain::service::{Policy, Relayed, Swept};
use bms_domain::store::Replay;
use secrecy::ExposeSecret as _;
use tokio::time::MissedTickBehavior;

use crate::cli::{ReplayOptions, SweepOptions, WebhookOptions};
use crate::stores::{self, given};
use crate::{Failure, system};

/// How many things one round of upkeep does of each kind.
const BATCH: usize = 1_000;

/// How often waiting events are looked for. One that did not arrive is tried again after a second at the earliest.
const RELAY_EVERY: Duration = Duration::from_secs(1);

/// How long events are a relay's own: longer than a batch of webhooks takes.
const RELAY_LEASE: Duration = WebhookSink::LONGEST_BATCH.saturating_add(Duration::from_secs(20));

/// `bms-server sweep`: everything that there is to sweep, once.
pub(crate) async fn sweep(options: SweepOptions) -> Result<(), Failure> {
    let sink = match given(&options.webhooks.webhook_url) {
        Some(_) => Some(Sinks::of(&options.webhooks)?),
        None => None,
    };
    let service = stores::durable_service(&options.stores, Policy::default(), options.payments).await?;
    // What cannot be swept keeps no event from being published.
    let swept = sweep_all(&service).await.map(|swept| print!("{}", told(&swept)));
    if let Some(sink) = sink {
        let Relayed { published, postponed, buried } = relay_all(&service, &sink).await?;
        println!("events    {published} published, {postponed} to be tried again, {buried} given up");
    }
    swept
}

/// `bms-server replay`: puts events back, for the servers to publish.
pub(crate) async fn replay(options: ReplayOptions) -> Result<(), Failure> {
    let which = match (options.which.order, options.which.since) {
        (Some(order), _) => Replay::Order(order),
        (None, Some(since)) => Replay::Since(since),
        (None, None) => Replay::Dead,
    };
    let service = stores::durable_service(&options.stores, Policy::default(), None).await?;
    let events = service.replay(&system()?, &which).await?;
    println!("{events} events are put back");
    Ok(())
}

/// What a sweep did, a line each.
fn told(swept: &Swept) -> String {
    let Swept { holds, payments_asked, orders, shows, seats, answers, events } = swept;
    let mut lines = String::new();
    for (what, count, done) in [
        ("holds", holds, "retired"),
        ("payments", payments_asked, "asked after"),
        ("orders", orders, "expired"),
        ("shows", shows, "held against their orders"),
        ("seats", seats, "marked as they are"),
        ("answers", answers, "forgotten"),
        ("events", events, "forgotten"),
    ] {
        _ = writeln!(lines, "{what:<9} {count} {done}");
    }
    lines
}

/// Sweeps until there is less than a batch of everything.
async fn sweep_all(service: &BookingService) -> Result<Swept, Failure> {
    let mut all = Swept::default();
    loop {
        let swept = service.sweep(BATCH).await?;
        all += swept;
        if swept.is_all(BATCH) {
            return Ok(all);
        }
    }
}

/// Publishes until nothing more is taken.
async fn relay_all(service: &BookingService, sink: &dyn EventSink) -> Result<Relayed, Failure> {
    let mut all = Relayed::default();
    loop {
        let Relayed { published, postponed, buried } = service.relay(sink, BATCH, RELAY_LEASE).await?;
        all.published += published;
        all.postponed += postponed;
        all.buried += buried;
        if published == 0 {
            return Ok(all);
        }
    }
}

/// Sweeps and publishes from now on, each by itself: a slow receiver keeps nothing from expiring.
pub(crate) fn start(service: BookingService, sink: impl EventSink, sweep_every: Duration) {
    tokio::spawn(keep_swept(service.clone(), sweep_every));
    tokio::spawn(keep_relayed(service, sink));
}

/// Tidies up now and then. Nothing depends on it: expiry is decided at use.
async fn keep_swept(service: BookingService, every: Duration) {
    let mut ticks = ticks(every.max(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        match sweep_all(&service).await {
            Ok(swept) => tracing::debug!(?swept, "swept"),
            Err(error) => tracing::warn!(%error, "the sweep was cut short"),
        }
    }
}

/// Publishes events as they come.
async fn keep_relayed(service: BookingService, sink: impl EventSink) {
    let mut ticks = ticks(RELAY_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = relay_all(&service, &sink).await {
            tracing::warn!(%error, "events were not published");
        }
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The log, and behind it a webhook: what the webhook took is logged.
pub(crate) struct Sinks {
    webhook: Option<WebhookSink>,
}

impl Sinks {
    /// The sinks that the options name.
    pub(crate) fn of(options: &WebhookOptions) -> Result<Self, Failure> {
        let secrets: Vec<_> = options.webhook_secret.iter().filter(|secret| !secret.expose_secret().is_empty()).collect();
        let Some(url) = given(&options.webhook_url) else { return Ok(Self { webhook: None }) };
        let Some((first, more)) = secrets.split_first() else {
            let reason =
                "--webhook-url needs --webhook-secret: webhooks are signed, so that their receiver can tell them from others";
            return Err(Failure::Refused(reason.to_owned()));
        };
        let refused = |error| Failure::Refused(format!("--webhook-url, --webhook-secret: {error}"));
        let mut webhook = WebhookSink::new(url.expose_secret(), first).map_err(refused)?;
        for secret in more {
            webhook = webhook.and_secret(secret).map_err(refused)?;
        }
        if options.webhook_customers {
            webhook = webhook.with_customer();
        }
        if url.expose_secret().starts_with("http:") {
            tracing::warn!("--webhook-url is plain http: what happens to orders is sent unencrypted");
        }
        Ok(Self { webhook: Some(webhook) })
    }
}

#[async_trait]
impl EventSink for Sinks {
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        let Some(webhook) = &self.webhook else { return LogSink.publish(events).await };
        match webhook.publish(events).await {
            Ok(()) => LogSink.publish(events).await,
            Err(error) => {
                let published: Vec<OrderEvent> =
                    events.iter().filter(|event| error.published.contains(&event.key)).cloned().collect();
                LogSink.publish(&published).await?;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bms_adapters_http::TokioTimer;
    use bms_domain::memory::{MemoryOrders, SandboxGateway};
    use bms_domain::service::Ports;
    use bms_domain::store::{NewOrder, OrderStore};
    use bms_domain::testing::{Faults, Faulty, ManualClock, sample};

    use super::*;

    /// Never ends.
    struct Hanging;

    #[async_trait]
    impl EventSink for Hanging {
        async fn publish(&self, _: &[OrderEvent]) -> Result<(), PublishError> {
            std::future::pending().await
        }
    }

    /// A service on the embedded stores, with so many orders that are past their end.
    async fn with_overdue(orders: u32) -> (BookingService, Faults) {
        let (clock, faults) = (ManualClock::new(), Faults::new());
        let mut ports = Ports::in_memory(Arc::new(clock.clone()), Arc::new(SandboxGateway));
        let memory = Arc::new(MemoryOrders::new(Arc::new(clock.clone())));
        let show = sample::show("gala");
        for n in 0..orders {
            let order = NewOrder {
                id: sample::order_id(&show, n),
                hold: sample::hold_id(&show, n),
                show,
                layout: sample::layout_id("plan-1"),
                owner: sample::user("ann"),
                seats: sample::seat_list(&sample::seats(&[n])),
                price: sample::euro(100),
                customer: sample::customer(),
                ttl: Duration::from_mins(5),
            };
            memory.create(&order).await.unwrap();
        }
        clock.advance(Duration::from_mins(5));
        let faulty = Arc::new(Faulty::new(memory, faults.clone()));
        (ports.orders, ports.outbox) = (faulty.clone(), faulty);
        let service =
            BookingService::builder(ports).clock(Arc::new(clock)).deadline(Duration::from_secs(2), Arc::new(TokioTimer));
        (service.build().unwrap(), faults)
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_hangs_delays_no_expiry() {
        let (service, faults) = with_overdue(1).await;
        start(service, Hanging, Duration::from_secs(30));
        tokio::time::sleep(RELAY_LEASE - Duration::from_secs(1)).await;
        assert_eq!((faults.count("outbox.claim"), faults.count("orders.expire_overdue")), (1, 2));
        // Nor is the relay stuck for good.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(faults.count("outbox.claim") > 1);
    }

    #[tokio::test]
    async fn one_sweep_does_more_than_a_batch() {
        let (service, _) = with_overdue(2_500).await;
        let swept = sweep_all(&service).await.unwrap();
        assert_eq!(swept, Swept { orders: 2_500, ..Swept::default() });
        assert!(told(&swept).lines().any(|line| line == "orders    2500 expired"));
        assert_eq!(sweep_all(&service).await.unwrap(), Swept::default());
        let relayed = relay_all(&service, &LogSink).await.unwrap();
        assert_eq!(relayed, Relayed { published: 5_000, ..Relayed::default() });
    }
}
