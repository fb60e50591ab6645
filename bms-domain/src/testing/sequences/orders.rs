//! Sequences on an order store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::{Config, run};
use crate::event::{EventKey, OrderEventKind};
use crate::id::OrderId;
use crate::order::{FailReason, OrderState};
use crate::payment::{PaymentStatus, RefundReason};
use crate::seat::SeatIndex;
use crate::store::{Creation, Delivery, OrderChange, OrderStore, Outbox, Settled};
use crate::testing::backend::Backend;
use crate::testing::calls::{Answers as _, Call as _, OrderAnswer, OrderCall};
use crate::testing::model::orders::{Answer, OrderModel, Paid, Phase};
use crate::testing::model::{self, Number};
use crate::testing::{ManualClock, sample};
use crate::time::Clock as _;

/// Numbers of orders that sequences use.
pub(super) const NUMBERS: Number = 8;
/// Payments that sequences use; a payment may be named for any order.
pub(super) const PAYMENTS: u8 = 10;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Create(Number, u8, BTreeSet<SeatIndex>),
    Settle { order: Number, payment: u8, status: PaymentStatus, right_amount: bool },
    GiveUp(Number, u8),
    Cancel(Number),
    Expire,
    Ask,
    Advance(Duration),
}

pub(super) struct Machine;

impl ReferenceStateMachine for Machine {
    type State = OrderModel;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<OrderModel> {
        Just(OrderModel::new(ManualClock::new().now())).boxed()
    }

    fn transitions(_: &OrderModel) -> BoxedStrategy<Step> {
        let (number, user) = (0..NUMBERS, 0..model::USERS);
        let seats = prop::collection::btree_set(0..model::SEATS, 1..=model::PER_HOLD as usize);
        let millis = prop::sample::select(vec![1, 60_000, 150_000, 299_999, 300_000, 300_001]);
        let status = prop_oneof![
            2 => Just(PaymentStatus::Pending),
            5 => Just(PaymentStatus::Succeeded),
            3 => Just(PaymentStatus::Failed),
        ];
        prop_oneof![
            8 => (number.clone(), user.clone(), seats).prop_map(|(number, user, seats)| Step::Create(number, user, seats)),
            12 => (number.clone(), 0..PAYMENTS, status, prop::bool::weighted(0.85)).prop_map(
                |(order, payment, status, right_amount)| Step::Settle { order, payment, status, right_amount }
            ),
            3 => (number.clone(), user).prop_map(|(number, user)| Step::GiveUp(number, user)),
            2 => number.prop_map(Step::Cancel),
            2 => Just(Step::Expire),
            2 => Just(Step::Ask),
            5 => millis.prop_map(|millis| Step::Advance(Duration::from_millis(millis))),
        ]
        .boxed()
    }

    fn preconditions(state: &OrderModel, step: &Step) -> bool {
        match step {
            // A payment is named for one order alone; that it is refused to another has rules of its own in the conformance
            // suite, and what is known of a payment for an order that does not exist too.
            Step::Settle { order, payment, .. } => {
                state.orders.contains_key(order) && state.payer(*payment).is_none_or(|payer| payer == *order)
            }
            _ => true,
        }
    }

    fn apply(mut state: OrderModel, step: &Step) -> OrderModel {
        take(&mut state, step);
        state
    }
}

fn take(model: &mut OrderModel, step: &Step) -> Answer {
    match step {
        Step::Create(number, owner, seats) => model.create(*number, *owner, seats),
        Step::Settle { order, payment, status, right_amount } => model.settle(*order, *payment, *status, *right_amount),
        Step::GiveUp(number, by) => model.give_up(*number, *by),
        Step::Cancel(number) => model.cancel(*number),
        Step::Expire => model.expire(),
        Step::Ask => model.ask(),
        Step::Advance(span) => {
            model.now = model.now.plus(*span);
            Answer::Changed
        }
    }
}

/// Drives random sequences against an order store, and compares every answer, every order, the sold seats, the claims, the
/// refunds and the events after each step (promises P1, P3, P4, P5, P6, P7, P9). Every payment that succeeded is an
/// order's or to be given back; no seat is sold twice.
///
/// # Panics
/// When the store and the model differ: shows the shortest sequence found.
pub fn order_store<B: Backend>(config: Config, backend: B)
where
    B::Store: OrderStore + Outbox,
{
    let (runtime, backend) = (backend.runtime(), &backend);
    run::<Machine>(config, &*runtime, |mut model, steps, seen| {
        Box::pin(async move {
            let clock = ManualClock::at(model.now);
            let fresh = backend.fresh(clock.clone()).await;
            let mut rig = Rig { store: fresh.store, clock, tickets: 0, events: BTreeMap::new() };
            for step in steps {
                seen.step();
                let expected = take(&mut model, &step);
                let answer = rig.take(&step).await;
                assert!(answer == expected || is_noticed(&answer, &expected), "{step:?}: expected {expected:?}, saw {answer:?}");
                rig.compare(&model, &step).await;
            }
            rig.compare_events(&model).await;
            drop(fresh.guard);
        })
    });
}

/// A store may write an end down whenever it comes by: then the order does not come back any more.
fn is_noticed(answer: &Answer, expected: &Answer) -> bool {
    matches!((answer, expected), (Answer::Expired(some), Answer::Expired(all)) if some.is_subset(all))
}

struct Rig<S> {
    store: Arc<S>,
    clock: ManualClock,
    tickets: u32,
    events: BTreeMap<Number, Vec<OrderEventKind>>,
}

/// The call that a step of a sequence is, with a ticket of its own; `None` for time that passes.
pub(super) fn call(step: &Step, ticket: u32) -> Option<OrderCall> {
    Some(match step {
        Step::Create(number, owner, seats) => {
            let ttl = model::ORDER_TTL;
            OrderCall::Create { number: *number, hold: *number, owner: *owner, seats: seats.clone(), ttl }
        }
        Step::Settle { order, payment, status, right_amount } => OrderCall::Settle {
            order: *order,
            payment: *payment,
            status: *status,
            right_amount: *right_amount,
            notice: None,
            ticket,
        },
        Step::GiveUp(number, by) => OrderCall::GiveUp { number: *number, by: *by },
        Step::Cancel(number) => OrderCall::Cancel { number: *number },
        Step::Expire => OrderCall::ExpireOverdue,
        Step::Ask => OrderCall::ClaimAttempts,
        Step::Advance(_) => return None,
    })
}

/// What the model would say.
fn told(answer: OrderAnswer) -> Answer {
    match answer {
        OrderAnswer::Created(Creation::Created(_)) => Answer::Changed,
        OrderAnswer::Created(Creation::Existing(_)) => Answer::Same,
        OrderAnswer::Created(Creation::Taken(seats)) => Answer::Taken(seats.iter().collect()),
        OrderAnswer::Settled(settlement) => match settlement.settled {
            Settled::Confirmed => Answer::Confirmed,
            Settled::Failed => Answer::Failed,
            Settled::RefundDue(reason) => Answer::RefundDue(reason),
            Settled::Recorded => Answer::Same,
            other => panic!("neither codes nor payments are shared, saw {other:?}"),
        },
        OrderAnswer::Changed(OrderChange::Done { changed: true, .. }) => Answer::Changed,
        OrderAnswer::Changed(OrderChange::Done { changed: false, .. }) => Answer::Same,
        OrderAnswer::Changed(OrderChange::Refused(..)) => Answer::Refused,
        OrderAnswer::Changed(OrderChange::NotFound) => Answer::NotFound,
        OrderAnswer::Expired(orders) => Answer::Expired(orders.iter().map(|order| number_of_order(order.id)).collect()),
        OrderAnswer::Attempts(asked) => {
            Answer::Asked(asked.iter().map(|attempt| number_of(attempt.reference.as_str())).collect())
        }
        other => panic!("no step asks for {other:?}"),
    }
}

impl<S: OrderStore + Outbox> Rig<S> {
    async fn take(&mut self, step: &Step) -> Answer {
        self.tickets += 1;
        let Some(call) = call(step, self.tickets) else {
            if let Step::Advance(span) = step {
                self.clock.advance(*span);
            }
            return Answer::Changed;
        };
        let answer = self.store.answer(&call).await.unwrap();
        // Looks at what every store has to keep, whichever ends it has noticed.
        call.comparable(answer.clone());
        if matches!(step, Step::Expire) {
            assert_eq!(self.store.expire_overdue(100).await.unwrap(), [], "what expired does not come back");
        }
        told(answer)
    }

    async fn compare(&mut self, model: &OrderModel, step: &Step) {
        let show = model::show();
        for number in 0..NUMBERS {
            let seen = self.store.get(sample::order_id(&show, number)).await.unwrap();
            let seen = seen.map(|order| (phase(&order.state), order.refund_due, order.seats.indices().iter().collect()));
            let wanted = model.orders.get(&number);
            let wanted = wanted.map(|order| (model.phase(number), order.refund_due, order.seats.clone()));
            assert_eq!(seen, wanted, "order {number} after {step:?}");
        }
        let sold: BTreeSet<SeatIndex> = self.store.sold(&show, model::SEATS).await.unwrap().iter().collect();
        assert_eq!(sold, model.sold(), "P1, P12: sold seats after {step:?}");
        let (told, pending) = self.store.claims(&show).await.unwrap();
        let told: BTreeSet<SeatIndex> = told.iter().flat_map(|sold| sold.seats.iter()).collect();
        assert_eq!(told, sold, "the claims of confirmed orders after {step:?}");
        let waiting: BTreeSet<SeatIndex> = pending.iter().flat_map(|claim| claim.seats.iter()).collect();
        assert_eq!(waiting, model.waiting(), "the claims of pending orders after {step:?}");
        let due = self.store.refunds_due(None, 1_000).await.unwrap();
        let due: BTreeMap<String, RefundReason> =
            due.into_iter().map(|refund| (refund.reference.to_string(), refund.reason)).collect();
        let owed = model.payments.iter().filter_map(|(payment, (_, state))| match state {
            Paid::RefundDue(reason) => Some((format!("pay-{payment}"), *reason)),
            _ => None,
        });
        assert_eq!(due, owed.collect(), "P4: refunds due after {step:?}");
    }

    /// Every event once, in order, for each order.
    async fn compare_events(&mut self, model: &OrderModel) {
        loop {
            let events = self.store.claim(3, Duration::from_secs(60)).await.unwrap();
            if events.is_empty() {
                break;
            }
            let keys: Vec<EventKey> = events.iter().map(|delivery| delivery.event.key).collect();
            for Delivery { event, attempts } in events {
                assert_eq!(attempts, 0, "{event:?}");
                let number = number_of_order(event.key.order);
                let kinds = self.events.entry(number).or_default();
                kinds.push(event.kind);
                assert_eq!(event.key.sequence as usize, kinds.len(), "the number of {event:?}");
            }
            self.store.published(&keys).await.unwrap();
        }
        for (number, order) in &model.orders {
            let kinds = self.events.remove(number).unwrap_or_default();
            let moves: Vec<_> = kinds.into_iter().filter(|kind| *kind != OrderEventKind::RefundDue).collect();
            // Whether an end that was passed by was written down on the way is the store's own choice.
            let told = |kinds: &[OrderEventKind]| -> Vec<_> {
                kinds.iter().copied().filter(|kind| *kind != OrderEventKind::Expired).collect()
            };
            assert_eq!(told(&moves), told(&order.events), "the events of order {number}");
            let expired = |kinds: &[OrderEventKind]| kinds.iter().filter(|kind| **kind == OrderEventKind::Expired).count();
            assert!(expired(&moves) <= 1 && expired(&moves) >= expired(&order.events), "{moves:?} for {:?}", order.events);
        }
    }
}

fn phase(state: &OrderState) -> Phase {
    match state {
        OrderState::PaymentPending => Phase::Pending,
        OrderState::Confirmed { payment, at, .. } => Phase::Confirmed(number_of(payment.as_str()), *at),
        OrderState::Failed { reason: FailReason::Declined, at } => Phase::Declined(*at),
        OrderState::Failed { reason: FailReason::GivenUp, at } => Phase::GivenUp(*at),
        OrderState::Expired { at } => Phase::Expired(*at),
        OrderState::Cancelled { payment, at, .. } => Phase::Cancelled(number_of(payment.as_str()), *at),
    }
}

fn number_of_order(id: OrderId) -> Number {
    (0..NUMBERS).find(|n| sample::order_id(&model::show(), *n) == id).unwrap()
}

fn number_of(payment: &str) -> u8 {
    payment.trim_start_matches("pay-").parse().unwrap()
}
