//! Events leave at least once, in order for each order, whatever the sink does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::error::Error;
use bms_domain::event::{EventKey, EventSink, OrderEvent, OrderEventKind, PublishError};
use bms_domain::id::OrderId;
use bms_domain::service::{Policy, Relayed};
use bms_domain::store::{Outbox as _, Replay};
use bms_domain::testing::{Fault, Gate, ManualClock, sample};
use futures::executor::block_on;
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::rig::{HOUR, Rig, admin, user_of};

const LEASE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(1);

/// What a sink does with the events of one call, one after the other; with those behind the last as well.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deed {
    Takes,
    /// It refuses one, and with it the later ones of its order.
    Refuses,
    /// It tries nothing more.
    Stops,
    Panics,
    /// It never ends, and the relay is dropped.
    Hangs,
}

/// A sink that does as it is told, and then takes everything.
#[derive(Default)]
struct Told {
    calls: Mutex<VecDeque<Vec<Deed>>>,
    taken: Mutex<Vec<(EventKey, OrderEventKind)>>,
}

impl Told {
    fn to(calls: impl IntoIterator<Item = Vec<Deed>>) -> Self {
        Self { calls: Mutex::new(calls.into_iter().collect()), taken: Mutex::default() }
    }

    fn always(deed: &Deed) -> Self {
        Self::to((0..1_000).map(|_| vec![deed.clone()]))
    }

    fn taken(&self) -> Vec<EventKey> {
        self.taken.lock().iter().map(|(key, _)| *key).collect()
    }
}

#[async_trait]
impl EventSink for Told {
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        let deeds = self.calls.lock().pop_front().unwrap_or_else(|| vec![Deed::Takes]);
        let mut left = PublishError { published: Vec::new(), untried: Vec::new(), source: None };
        let mut stopped: Vec<OrderId> = Vec::new();
        let last = deeds.last().cloned().unwrap_or(Deed::Takes);
        for (event, deed) in events.iter().zip(deeds.into_iter().chain(std::iter::repeat(last))) {
            match deed {
                _ if stopped.contains(&event.key.order) => {}
                Deed::Takes => {
                    self.taken.lock().push((event.key, event.kind));
                    left.published.push(event.key);
                }
                Deed::Refuses => stopped.push(event.key.order),
                Deed::Stops => {
                    left.untried.push(event.key);
                    stopped.push(event.key.order);
                }
                Deed::Panics => panic!("a sink that panics"),
                Deed::Hangs => std::future::pending().await,
            }
        }
        if left.published.len() == events.len() { Ok(()) } else { Err(left) }
    }
}

fn postponed(count: usize) -> Relayed {
    Relayed { postponed: count, ..Relayed::default() }
}

fn published(count: usize) -> Relayed {
    Relayed { published: count, ..Relayed::default() }
}

/// An event that does not arrive comes again after pauses that double, its order behind it, and then is a dead letter; other
/// orders go on; a replay brings all of it, in order.
#[test]
fn what_does_not_arrive_comes_again_and_at_last_is_a_dead_letter() {
    block_on(async {
        let policy = |policy: &mut Policy| (policy.relay_attempts, policy.longest_relay_pause) = (5, Duration::from_secs(4));
        let rig = Rig::built(|builder| {
            let mut changed = Policy::default();
            policy(&mut changed);
            builder.policy(changed)
        })
        .await;
        let bought = rig.bought("ann", &[1], 1).await;
        let sink = Told::always(&Deed::Refuses);
        for (nth, pause) in [1, 2, 4, 4].into_iter().enumerate() {
            assert_eq!(rig.service.relay(&sink, 10, LEASE).await.unwrap(), postponed(1), "attempt {nth}");
            rig.clock.advance(Duration::from_secs(pause) - TICK);
            assert_eq!(rig.service.relay(&sink, 10, LEASE).await.unwrap(), Relayed::default(), "too early");
            rig.clock.advance(TICK);
        }
        let buried = rig.service.relay(&sink, 10, LEASE).await.unwrap();
        assert_eq!(buried, Relayed { buried: 1, ..Relayed::default() });
        assert_eq!(sink.taken(), []);
        let others = rig.ordered("bob", &[2], 2).await;
        rig.clock.advance(HOUR);
        let takes = Told::default();
        assert_eq!(rig.service.relay(&takes, 10, LEASE).await.unwrap(), published(1));
        assert_eq!(takes.taken(), [EventKey { order: others.id, sequence: 1 }]);
        let dead = rig.service.dead_letters(&admin(), None, 10).await.unwrap();
        let seen: Vec<_> = dead.iter().map(|dead| (dead.event.key, dead.attempts)).collect();
        assert_eq!(seen, [(EventKey { order: bought.id, sequence: 1 }, 5)]);
        assert_eq!(rig.service.replay(&admin(), &Replay::Dead).await.unwrap(), 1);
        assert_eq!(rig.service.relay(&takes, 10, LEASE).await.unwrap(), published(2));
        assert_eq!(takes.taken()[1..], [1, 2].map(|sequence| EventKey { order: bought.id, sequence }));
        assert_eq!(rig.service.dead_letters(&admin(), None, 10).await.unwrap(), []);
    });
}

/// Of a batch only the first event of an order that did not arrive counts as tried; what was not tried does not count.
#[test]
fn only_what_was_tried_counts() {
    block_on(async {
        let rig = Rig::new().await;
        rig.bought("ann", &[1], 1).await;
        rig.bought("bob", &[2], 2).await;
        let sink = Told::to([vec![Deed::Refuses, Deed::Refuses, Deed::Stops]]);
        assert_eq!(rig.service.relay(&sink, 10, LEASE).await.unwrap(), postponed(1));
        rig.clock.advance(LEASE);
        let attempts: Vec<u32> =
            rig.orders.claim(10, LEASE).await.unwrap().into_iter().map(|delivery| delivery.attempts).collect();
        assert_eq!(attempts, [1, 0, 0, 0]);
    });
}

/// A sink that panics ends nothing but its turn, and counts: an event that makes it panic is a dead letter in the end.
#[test]
fn a_sink_that_panics_is_one_that_does_not_take() {
    block_on(async {
        let rig = Rig::new().await;
        rig.ordered("ann", &[1], 1).await;
        let sink = Told::always(&Deed::Panics);
        let mut seen = Relayed::default();
        for _ in 0..12 {
            let relayed = rig.service.relay(&sink, 10, LEASE).await.unwrap();
            seen = Relayed { postponed: seen.postponed + relayed.postponed, ..relayed };
            rig.clock.advance(HOUR);
        }
        assert_eq!(seen, Relayed { published: 0, postponed: 11, buried: 1 });
    });
}

/// P11: a sink that hangs has until the end of the lease.
#[test]
fn a_sink_that_hangs_is_given_up_when_the_lease_is_over() {
    block_on(async {
        let clock = ManualClock::new();
        let timer = Arc::new(clock.timer());
        let rig = Rig::on(clock, |builder| builder.deadline(Duration::from_secs(2), timer)).await;
        rig.ordered("ann", &[1], 1).await;
        let sink = Told::to([vec![Deed::Hangs]]);
        let mut relay = std::pin::pin!(rig.service.relay(&sink, 10, LEASE));
        assert!(futures::poll!(relay.as_mut()).is_pending());
        rig.clock.advance(LEASE);
        assert_eq!(relay.await.unwrap(), postponed(1));
    });
}

/// What the outbox could not be told comes again: an event may arrive twice, and none is lost.
#[test]
fn what_the_outbox_was_not_told_comes_again() {
    block_on(async {
        for fault in [Fault::Unavailable, Fault::LoseReply] {
            let rig = Rig::new().await;
            let order = rig.ordered("ann", &[1], 1).await;
            let key = EventKey { order: order.id, sequence: 1 };
            let sink = Told::default();
            rig.faults.at_every("outbox.published", fault.clone());
            let failed = rig.service.relay(&sink, 10, LEASE).await;
            assert!(matches!(failed, Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. })), "{failed:?}");
            rig.faults.heal();
            rig.clock.advance(LEASE);
            let again = rig.service.relay(&sink, 10, LEASE).await.unwrap();
            let lost = matches!(fault, Fault::Unavailable);
            assert_eq!(again, if lost { published(1) } else { Relayed::default() });
            assert_eq!(sink.taken(), if lost { vec![key, key] } else { vec![key] });
        }
    });
}

/// A call that is dropped while it waits for the outbox or the sink loses nothing.
#[test]
fn a_relay_that_is_dropped_loses_nothing() {
    block_on(async {
        for at in ["outbox.claim", "outbox.published", "outbox.postpone", "outbox.bury", "sink"] {
            for fault in [Fault::WaitBefore(Gate::new()), Fault::WaitAfter(Gate::new())] {
                let rig = Rig::built(|builder| builder.policy(Policy::default())).await;
                let order = rig.bought("ann", &[1], 1).await;
                rig.faults.at_every(at, fault);
                let calls = match at {
                    "sink" => vec![vec![Deed::Takes, Deed::Hangs]],
                    "outbox.postpone" | "outbox.bury" => vec![vec![Deed::Refuses]; 20],
                    _ => vec![],
                };
                let sink = Told::to(calls);
                for _ in 0..15 {
                    let mut relay = std::pin::pin!(rig.service.relay(&sink, 10, LEASE));
                    if let Poll::Ready(ended) = futures::poll!(relay.as_mut()) {
                        ended.unwrap();
                    }
                    rig.clock.advance(HOUR);
                }
                rig.faults.heal();
                sink.calls.lock().clear();
                rig.service.replay(&admin(), &Replay::Dead).await.unwrap();
                rig.clock.advance(HOUR);
                rig.service.relay(&sink, 10, LEASE).await.unwrap();
                let mut arrived = sink.taken();
                arrived.sort();
                arrived.dedup();
                assert_eq!(arrived, [1, 2].map(|sequence| EventKey { order: order.id, sequence }), "dropped at {at}");
            }
        }
    });
}

/// P9: dead letters show orders, and are put back by administrators alone.
#[test]
fn dead_letters_are_for_administrators() {
    block_on(async {
        let rig = Rig::new().await;
        let ann = user_of("ann");
        assert!(matches!(rig.service.replay(&ann, &Replay::Dead).await, Err(Error::Forbidden)));
        assert!(matches!(rig.service.dead_letters(&ann, None, 10).await, Err(Error::Forbidden)));
        assert!(matches!(rig.service.dead_letters(&admin(), None, 0).await, Err(Error::Invalid(_))));
    });
}

/// A sweep lets the outbox forget what the policy no longer keeps, and says so when it cannot.
#[test]
fn a_sweep_prunes_the_outbox() {
    block_on(async {
        let rig = Rig::new().await;
        rig.service.sweep(10).await.unwrap();
        assert_eq!(rig.faults.count("outbox.prune"), 1);
        rig.faults.at_every("outbox.prune", Fault::Unavailable);
        assert!(matches!(rig.service.sweep(10).await, Err(Error::Unavailable { .. })));
    });
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => Just(Deed::Takes),
        4 => Just(Deed::Refuses),
        1 => Just(Deed::Stops),
        1 => Just(Deed::Panics),
        1 => Just(Deed::Hangs),
    ]
}

/// A call of the relay: what the sink does, what the outbox does, and how much time passes after it.
fn round() -> impl Strategy<Value = (Vec<Deed>, Option<(&'static str, Fault)>, Duration)> {
    let call = prop::sample::select(vec!["outbox.published", "outbox.postpone", "outbox.bury", "outbox.claim"]);
    let fault = prop::sample::select(vec![Fault::Unavailable, Fault::LoseReply]);
    let millis = prop::sample::select(vec![0_u64, 1_000, 1_500, 4_000, 30_000]).prop_map(Duration::from_millis);
    (prop::collection::vec(deed(), 1..5), prop::option::weighted(0.2, (call, fault)), millis)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever the sink and the outbox fail at, every event arrives, and none before the one before it of its order,
    /// unless its order has a dead letter; that one and those behind it arrive after a replay.
    #[test]
    fn every_event_arrives_in_order(rounds in prop::collection::vec(round(), 1..30), limit in 1_usize..8) {
        block_on(async {
            let rig = Rig::built(|builder| {
                let mut policy = Policy::default();
                policy.relay_attempts = 3;
                builder.policy(policy)
            })
            .await;
            let mut events: BTreeMap<OrderId, u32> = BTreeMap::new();
            for n in 1..=4 {
                let order = rig.bought("ann", &[n], n).await;
                let cancelled = n % 2 == 0;
                if cancelled {
                    rig.service.cancel_order(&admin(), order.id).await.unwrap();
                }
                let kept = rig.orders.claim(100, TICK).await.unwrap();
                rig.clock.advance(TICK);
                events.extend(kept.into_iter().map(|delivery| (delivery.event.key.order, delivery.event.key.sequence)));
            }
            let sink = Told::default();
            for (deeds, fault, pause) in rounds {
                *sink.calls.lock() = VecDeque::from([deeds]);
                if let Some((call, fault)) = fault {
                    rig.faults.at_every(call, fault);
                }
                let mut relay = std::pin::pin!(rig.service.relay(&sink, limit, LEASE));
                // One that is not ready hangs in the sink, and is dropped.
                let _ended = futures::poll!(relay.as_mut());
                rig.faults.heal();
                rig.clock.advance(pause);
            }
            sink.calls.lock().clear();
            in_order(&sink.taken());
            let rest = async || {
                for _ in 0..100 {
                    rig.clock.advance(LEASE);
                    rig.service.relay(&sink, limit, LEASE).await.unwrap();
                }
            };
            let dead: Vec<OrderId> =
                rig.service.dead_letters(&admin(), None, 100).await.unwrap().iter().map(|dead| dead.event.key.order).collect();
            let before = sink.taken().len();
            rest().await;
            in_order(&sink.taken());
            assert!(sink.taken()[before..].iter().all(|key| !dead.contains(&key.order)), "an event overtook a dead letter");
            for (order, count) in &events {
                let arrived = sink.taken().contains(&EventKey { order: *order, sequence: *count });
                assert!(arrived || dead.contains(order), "an event is lost");
            }
            assert_eq!(rig.service.replay(&admin(), &Replay::Dead).await.unwrap(), dead.len());
            rest().await;
            in_order(&sink.taken());
            for (order, count) in &events {
                assert!(sink.taken().contains(&EventKey { order: *order, sequence: *count }));
            }
        });
    }
}

/// No event arrives before the one before it has.
fn in_order(taken: &[EventKey]) {
    let mut last: BTreeMap<OrderId, u32> = BTreeMap::new();
    for key in taken {
        let last = last.entry(key.order).or_default();
        assert!(key.sequence <= *last + 1, "{key} came after {last}");
        *last = (*last).max(key.sequence);
    }
}

/// A replay of an order brings what the store still keeps of it, and nothing of others.
#[test]
fn an_order_is_replayed() {
    block_on(async {
        let rig = Rig::new().await;
        let order = rig.ordered("ann", &[1], 1).await;
        let sink = Told::to([vec![Deed::Refuses]]);
        rig.service.relay(&sink, 10, LEASE).await.unwrap();
        rig.service.replay(&admin(), &Replay::Order(order.id)).await.unwrap();
        assert_eq!(rig.service.relay(&sink, 10, LEASE).await.unwrap(), published(1), "it does not wait for its turn");
        let unknown = OrderId::new(sample::show("gala").shard(), sample::uuid(99));
        assert_eq!(rig.service.replay(&admin(), &Replay::Order(unknown)).await.unwrap(), 0);
    });
}
