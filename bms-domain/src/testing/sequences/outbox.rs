//! Sequences on an outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::{Config, run};
use crate::event::EventKey;
use crate::id::OrderId;
use crate::payment::PaymentStatus;
use crate::store::{NewOrder, OrderStore, Outbox, Replay};
use crate::testing::backend::Backend;
use crate::testing::model::outbox::{Key, ModelEvent, OutboxModel, PutBack};
use crate::testing::model::{self, Number};
use crate::testing::{ManualClock, sample};
use crate::time::Clock as _;

/// Orders that sequences write events of; one more is used to look whether the store keeps what was published.
const NUMBERS: Number = 4;
/// The most events of an order.
pub(super) const EVENTS: u32 = 5;
/// More events than there are.
pub(super) const ALL: usize = 100;
/// What an order costs.
const PRICE: i64 = 500;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Number),
    Claim {
        limit: usize,
        lease: Duration,
    },
    Published(BTreeSet<Key>),
    Postpone(BTreeSet<Key>, Duration),
    Bury(BTreeSet<Key>),
    ReplayDead,
    ReplayOrder(Number),
    /// Since so long ago.
    ReplaySince(Duration),
    Prune(Duration),
    Advance(Duration),
}

pub(super) struct Machine;

impl ReferenceStateMachine for Machine {
    type State = ();
    type Transition = Step;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions((): &()) -> BoxedStrategy<Step> {
        let keys = || prop::collection::btree_set((0..NUMBERS, 1..=EVENTS), 1..5);
        let seconds = || (1_u64..5).prop_map(Duration::from_secs);
        // Never exactly as old as something can be.
        let half_seconds = (0_u64..4).prop_map(|seconds| Duration::from_millis(seconds * 1_000 + 500));
        prop_oneof![
            8 => (0..NUMBERS).prop_map(Step::Write),
            8 => (prop::sample::select(vec![1, 2, 3, ALL]), seconds()).prop_map(|(limit, lease)| Step::Claim { limit, lease }),
            5 => keys().prop_map(Step::Published),
            4 => (keys(), seconds()).prop_map(|(keys, by)| Step::Postpone(keys, by)),
            3 => keys().prop_map(Step::Bury),
            1 => Just(Step::ReplayDead),
            1 => (0..NUMBERS).prop_map(Step::ReplayOrder),
            1 => seconds().prop_map(Step::ReplaySince),
            1 => half_seconds.prop_map(Step::Prune),
            5 => seconds().prop_map(Step::Advance),
        ]
        .boxed()
    }

    fn apply((): (), _: &Step) {}
}

/// Drives random sequences against an outbox, and compares what it gives out, its dead letters and what it puts back with
/// the model after each step; in the end every event that was not published arrives, in order for each order.
///
/// # Panics
/// When the store and the model differ: shows the shortest sequence found.
pub fn outbox<B: Backend>(config: Config, backend: B)
where
    B::Store: OrderStore + Outbox,
{
    let (runtime, backend) = (backend.runtime(), &backend);
    run::<Machine>(config, &*runtime, |(), steps, seen| {
        Box::pin(async move {
            let clock = ManualClock::new();
            let fresh = backend.fresh(clock.clone()).await;
            let mut rig = Rig::new(fresh.store, clock).await;
            for step in steps {
                seen.step();
                rig.take(&step).await;
                rig.compare_dead(&step).await;
            }
            rig.drain().await;
            drop(fresh.guard);
        })
    });
}

struct Rig<S> {
    store: Arc<S>,
    clock: ManualClock,
    model: OutboxModel,
    written: BTreeMap<Number, u32>,
}

impl<S: OrderStore + Outbox> Rig<S> {
    /// Looks whether the store keeps what was published, and lets it forget that.
    async fn new(store: Arc<S>, clock: ManualClock) -> Self {
        let model = OutboxModel { now: clock.now(), keeps: false, events: BTreeMap::new() };
        let mut rig = Self { store, clock, model, written: BTreeMap::new() };
        rig.write(NUMBERS).await;
        rig.store.published(&[event_key((NUMBERS, 1))]).await.unwrap();
        rig.model.keeps = rig.store.replay(&Replay::Order(order_id(NUMBERS))).await.unwrap() == 1;
        rig.store.published(&[event_key((NUMBERS, 1))]).await.unwrap();
        rig.advance(Duration::from_secs(1));
        let forgotten = rig.store.prune(Duration::from_millis(500), ALL).await.unwrap();
        assert_eq!(forgotten, usize::from(rig.model.keeps));
        rig.model.events.clear();
        rig
    }

    fn advance(&mut self, span: Duration) {
        self.clock.advance(span);
        self.model.now = self.clock.now();
    }

    /// Writes the next event of an order.
    async fn write(&mut self, number: Number) {
        let written = self.written.entry(number).or_default();
        if *written == EVENTS {
            return;
        }
        *written += 1;
        let (nth, id, price) = (*written, order_id(number), sample::euro(PRICE));
        if nth == 1 {
            let wish = NewOrder {
                id,
                hold: sample::hold_id(&model::show(), number),
                show: model::show(),
                layout: sample::layout_id("plan-1"),
                owner: sample::user("ann"),
                seats: sample::seat_list(&sample::seats(&[number])),
                price,
                customer: sample::customer(),
                ttl: Duration::from_hours(24),
            };
            self.store.create(&wish).await.unwrap();
        } else {
            // A failed payment, a good one, and then one after the other that is to be given back.
            let status = if nth == 2 { PaymentStatus::Failed } else { PaymentStatus::Succeeded };
            let report = sample::report(id, &format!("pay-{number}-{nth}"), status, price);
            self.store.settle(&report, &sample::ticket(number * EVENTS + nth)).await.unwrap();
        }
        self.model.write((number, nth));
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Write(number) => self.write(*number).await,
            Step::Claim { limit, lease } => {
                self.claim(*limit, *lease).await;
            }
            Step::Published(keys) => {
                self.store.published(&event_keys(keys)).await.unwrap();
                self.model.published(keys);
            }
            Step::Postpone(keys, by) => {
                self.store.postpone(&event_keys(keys), *by).await.unwrap();
                self.model.postpone(keys, *by);
            }
            Step::Bury(keys) => {
                self.store.bury(&event_keys(keys)).await.unwrap();
                self.model.bury(keys);
            }
            Step::ReplayDead => self.replay(&Replay::Dead, PutBack::Dead).await,
            Step::ReplayOrder(number) => self.replay(&Replay::Order(order_id(*number)), PutBack::Order(*number)).await,
            Step::ReplaySince(span) => {
                let since = self.model.now.minus(*span);
                self.replay(&Replay::Since(since), PutBack::Since(since)).await;
            }
            Step::Prune(older_than) => {
                let forgotten = self.store.prune(*older_than, ALL).await.unwrap();
                assert_eq!(forgotten, self.model.prune(*older_than), "{step:?}");
            }
            Step::Advance(span) => self.advance(*span),
        }
    }

    async fn replay(&mut self, which: &Replay, put_back: PutBack) {
        let events = self.store.replay(which).await.unwrap();
        assert_eq!(events, self.model.replay(put_back), "{put_back:?}");
    }

    /// Claims events: as many as are due, of each order the first ones. Which orders those are is the store's choice.
    async fn claim(&mut self, limit: usize, lease: Duration) -> Vec<Key> {
        let due = self.model.due();
        let deliveries = self.store.claim(limit, lease).await.unwrap();
        assert_eq!(deliveries.len(), limit.min(due.len()), "{deliveries:?} of {due:?}");
        assert!(deliveries.is_sorted_by_key(|delivery| delivery.event.at), "the oldest first: {deliveries:?}");
        let mut rest: BTreeMap<Number, Vec<(Key, ModelEvent)>> = BTreeMap::new();
        for (key, event) in due.into_iter().rev() {
            rest.entry(key.0).or_default().push((key, event));
        }
        let mut claimed = Vec::new();
        for delivery in deliveries {
            let number = (0..NUMBERS).find(|number| order_id(*number) == delivery.event.key.order).unwrap();
            let (key, event) = rest.get_mut(&number).and_then(Vec::pop).unwrap_or_else(|| panic!("{delivery:?} is not due"));
            let seen = (delivery.event.key, delivery.event.at, delivery.attempts);
            assert_eq!(seen, (event_key(key), event.at, event.attempts));
            self.model.claimed(key, lease);
            claimed.push(key);
        }
        claimed
    }

    async fn compare_dead(&self, step: &Step) {
        let dead = self.store.dead(None, ALL).await.unwrap();
        let seen: Vec<_> = dead.iter().map(|delivery| (delivery.event.key, delivery.attempts)).collect();
        let expected: Vec<_> = self.model.dead().into_iter().map(|(key, attempts)| (event_key(key), attempts)).collect();
        assert_eq!(seen, expected, "dead letters after {step:?}");
    }

    /// Takes everything out that is not published.
    async fn drain(&mut self) {
        self.replay(&Replay::Dead, PutBack::Dead).await;
        self.advance(Duration::from_mins(1));
        loop {
            let claimed: BTreeSet<Key> = self.claim(3, Duration::from_secs(1)).await.into_iter().collect();
            if claimed.is_empty() {
                break;
            }
            self.store.published(&event_keys(&claimed)).await.unwrap();
            self.model.published(&claimed);
        }
        assert_eq!(self.model.due(), BTreeMap::new());
    }
}

fn order_id(number: Number) -> OrderId {
    sample::order_id(&model::show(), number)
}

fn event_key((number, sequence): Key) -> EventKey {
    EventKey { order: order_id(number), sequence }
}

fn event_keys(keys: &BTreeSet<Key>) -> Vec<EventKey> {
    keys.iter().map(|key| event_key(*key)).collect()
}
