//! Sequences on a hold store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::{Config, run};
use crate::id::HoldId;
use crate::seat::SeatIndex;
use crate::store::{
    Counts, HoldChange, HoldStore, Occupancy, OccupancyRead, PendingClaim, Placed, Restored, ShowClaims, SoldSeats,
};
use crate::testing::backend::Backend;
use crate::testing::calls::{Answers as _, HoldAnswer, HoldCall, state, user};
use crate::testing::model::{self, Answer, HoldModel, Number, Standing};
use crate::testing::{ManualClock, sample};
use crate::time::Clock as _;

/// Numbers of holds that sequences use.
pub(super) const NUMBERS: Number = 8;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Place(Number, u8, BTreeSet<SeatIndex>),
    Release(Number, u8),
    Begin(Number, u8),
    End(Number),
    GiveBack(Number, bool),
    Sell(Number),
    SellAgain(Number),
    Free(Number),
    Advance(Duration),
    Sweep,
    Forget,
    Restore,
}

pub(super) struct Machine;

impl ReferenceStateMachine for Machine {
    type State = HoldModel;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<HoldModel> {
        Just(HoldModel::new(ManualClock::new().now())).boxed()
    }

    fn transitions(state: &HoldModel) -> BoxedStrategy<Step> {
        let seats = prop::collection::btree_set(0..model::SEATS, 1..=(model::PER_HOLD as usize + 1));
        let millis = prop::sample::select(vec![1, 999, 60_000, 298_000, 299_999, 300_000, 301_999, 302_000, 599_999, 600_000]);
        let (one, its_owner) = (one_of(state), || one_and_its_owner(state));
        // Little happens to a show that is not primed.
        let restores = if state.primed { 4 } else { 30 };
        prop_oneof![
            8 => (0..NUMBERS, 0..model::USERS, seats).prop_map(|(number, user, seats)| Step::Place(number, user, seats)),
            1 => again(state),
            3 => its_owner().prop_map(|(number, user)| Step::Release(number, user)),
            6 => its_owner().prop_map(|(number, user)| Step::Begin(number, user)),
            3 => one.clone().prop_map(Step::End),
            2 => (one.clone(), any::<bool>()).prop_map(|(number, alone)| Step::GiveBack(number, alone)),
            5 => one.clone().prop_map(Step::Sell),
            1 => one.clone().prop_map(Step::SellAgain),
            2 => one.prop_map(Step::Free),
            5 => millis.prop_map(|millis| Step::Advance(Duration::from_millis(millis))),
            1 => Just(Step::Sweep),
            1 => Just(Step::Forget),
            restores => Just(Step::Restore),
        ]
        .boxed()
    }

    fn preconditions(state: &HoldModel, step: &Step) -> bool {
        match step {
            // What the durable store would not do, the hold store is not told.
            Step::Sell(number) => state.holds.get(number).is_some_and(|hold| state.can_sell(*number, &hold.seats)),
            // Ids are never used again, though the store has forgotten their holds.
            Step::Place(number, ..) => {
                state.holds.contains_key(number) || !(state.confirmed.contains_key(number) || state.waiting.contains_key(number))
            }
            Step::SellAgain(number) | Step::Free(number) => state.confirmed.contains_key(number),
            // The model never forgets a hold that ended; a store does, after a while.
            Step::Advance(span) => state.now.plus(*span).since(ManualClock::new().now()) < LONGEST_RUN,
            _ => true,
        }
    }

    fn apply(mut state: HoldModel, step: &Step) -> HoldModel {
        take(&mut state, step);
        state
    }
}

/// A hold, mostly one that there is.
fn one_of(state: &HoldModel) -> BoxedStrategy<Number> {
    one_and_its_owner(state).prop_map(|(number, _)| number).boxed()
}

/// A hold, mostly one that there is, and a user, then mostly its owner.
fn one_and_its_owner(state: &HoldModel) -> BoxedStrategy<(Number, u8)> {
    let anybody = (0..NUMBERS, 0..model::USERS);
    let holds: Vec<(Number, u8)> = state.holds.iter().map(|(number, hold)| (*number, hold.owner)).collect();
    if holds.is_empty() { anybody.boxed() } else { prop_oneof![4 => prop::sample::select(holds), 1 => anybody].boxed() }
}

/// A hold is placed again.
fn again(state: &HoldModel) -> BoxedStrategy<Step> {
    let holds: Vec<Step> =
        state.holds.iter().map(|(number, hold)| Step::Place(*number, hold.owner, hold.seats.clone())).collect();
    if holds.is_empty() { Just(Step::Restore).boxed() } else { prop::sample::select(holds).boxed() }
}

/// How much time passes in one sequence at most: as long as every store keeps a hold that ended.
const LONGEST_RUN: Duration = Duration::from_mins(50);

/// Takes a step in the model. Gives the answers that a store may give.
pub(super) fn take(model: &mut HoldModel, step: &Step) -> Vec<Answer> {
    match step {
        Step::Place(number, user, seats) => return model.place(*number, *user, seats),
        Step::Release(number, user) => return vec![model.release(*number, *user)],
        Step::Begin(number, user) => return vec![model.begin(*number, *user)],
        Step::End(number) => return vec![model.end(*number)],
        Step::GiveBack(number, alone) => return vec![model.give_back(*number, *alone)],
        Step::Sell(number) => {
            if let Some((owner, seats)) = model.holds.get(number).map(|hold| (hold.owner, hold.seats.clone())) {
                model.sell(*number, owner, &seats);
            }
        }
        Step::SellAgain(number) => {
            if let Some((owner, seats)) = model.confirmed.get(number).cloned() {
                model.sell(*number, owner, &seats);
            }
        }
        Step::Free(number) => model.free(*number),
        Step::Advance(span) => model.advance(*span),
        Step::Sweep => {}
        Step::Forget => model.forget(),
        Step::Restore => model.restore(),
    }
    vec![Answer::Done]
}

/// Drives random sequences against a hold store, and compares every answer, every hold and the whole occupancy after each
/// step (promises P2, P3, P5, P6, P9, P10). Held, sold and free seats add up to all, at most one live hold covers a seat,
/// no seat is held and sold.
///
/// # Panics
/// When the store and the model differ: shows the shortest sequence found.
pub fn hold_store<B: Backend>(config: Config, backend: B)
where
    B::Store: HoldStore,
{
    let (runtime, backend) = (backend.runtime(), &backend);
    run::<Machine>(config, &*runtime, |mut model, steps, seen| {
        Box::pin(async move {
            let clock = ManualClock::at(model.now);
            let fresh = backend.fresh(clock.clone()).await;
            let mut guards = vec![fresh.guard];
            let mut rig = Rig { store: fresh.store, clock, last: None };
            for step in steps {
                seen.step();
                if matches!(step, Step::Forget) {
                    // A store that lost everything is a fresh one.
                    let fresh = backend.fresh(rig.clock.clone()).await;
                    guards.push(fresh.guard);
                    rig = Rig { store: fresh.store, clock: rig.clock, last: None };
                }
                let before = model.clone();
                let expected = take(&mut model, &step);
                let answer = rig.take(&before, &step).await;
                assert!(expected.contains(&answer), "{step:?}: expected one of {expected:?}, saw {answer:?}");
                rig.compare(&model, &step).await;
            }
            drop(guards);
        })
    });
}

struct Rig<S> {
    store: Arc<S>,
    clock: ManualClock,
    last: Option<Occupancy>,
}

/// The call that a step of a sequence is; `None` when it is not one call.
pub(super) fn call(before: &HoldModel, step: &Step) -> Option<HoldCall> {
    Some(match step {
        Step::Place(number, owner, seats) => HoldCall::Place { number: *number, owner: *owner, seats: seats.clone() },
        Step::Release(number, by) => HoldCall::Release { number: *number, by: *by },
        Step::Begin(number, by) => HoldCall::BeginCheckout { number: *number, by: *by },
        Step::End(number) => HoldCall::EndCheckout { number: *number },
        Step::GiveBack(number, alone) => {
            let until = match before.holds.get(number).map(|hold| hold.standing) {
                Some(Standing::Held { until, .. }) => until,
                _ => before.now,
            };
            let until = if *alone { until } else { until.minus(Duration::from_millis(1)) };
            HoldCall::GiveBack { number: *number, until }
        }
        Step::Sell(number) => {
            let hold = &before.holds[number];
            HoldCall::MarkSold { number: *number, owner: hold.owner, seats: hold.seats.clone() }
        }
        Step::SellAgain(number) => {
            let (owner, seats) = before.confirmed[number].clone();
            HoldCall::MarkSold { number: *number, owner, seats }
        }
        Step::Free(number) => {
            let (owner, seats) = before.confirmed[number].clone();
            HoldCall::MarkFree { number: *number, owner, seats }
        }
        Step::Sweep => HoldCall::Sweep { limit: 2 },
        Step::Advance(_) | Step::Forget | Step::Restore => return None,
    })
}

/// What the durable store knows.
pub(super) fn claims(model: &HoldModel) -> ShowClaims {
    let sold = |(number, (owner, seats)): (&Number, &(u8, BTreeSet<SeatIndex>))| SoldSeats {
        show: model::show(),
        order: sample::order_id(&model::show(), *number),
        hold: hold_id(*number),
        owner: user(*owner),
        seats: seats.iter().copied().collect(),
    };
    let waiting = model.waiting.iter().map(|(number, (owner, seats, end))| PendingClaim {
        order: sample::order_id(&model::show(), *number),
        hold: hold_id(*number),
        owner: user(*owner),
        seats: seats.iter().copied().collect(),
        price: sample::euro(100),
        remaining: end.since(model.now),
    });
    ShowClaims {
        show: model::show(),
        layout: sample::layout_id("plan-1"),
        seats: model::SEATS,
        sold: model.confirmed.iter().map(sold).collect(),
        pending: waiting.collect(),
        grace: model::GRACE,
    }
}

fn hold_id(number: Number) -> HoldId {
    sample::hold_id(&model::show(), number)
}

/// What the model would say.
fn told(answer: HoldAnswer) -> Answer {
    match answer {
        HoldAnswer::Placed(Placed::Placed(_)) => Answer::Placed,
        HoldAnswer::Placed(Placed::Existing(_)) => Answer::Existing,
        HoldAnswer::Placed(Placed::Taken(seats)) => Answer::Taken(seats.iter().collect()),
        HoldAnswer::Placed(Placed::TooMany { limit }) => Answer::TooMany(limit),
        HoldAnswer::Placed(Placed::IdTaken) => Answer::IdTaken,
        HoldAnswer::Placed(Placed::NotPrimed(_)) => Answer::NotPrimed,
        HoldAnswer::Changed(HoldChange::Refused(..)) => Answer::Refused,
        HoldAnswer::Changed(HoldChange::NotFound) => Answer::NotFound,
        _ => Answer::Done,
    }
}

impl<S: HoldStore> Rig<S> {
    async fn take(&self, before: &HoldModel, step: &Step) -> Answer {
        match (step, call(before, step)) {
            (_, Some(call)) => told(self.store.answer(&call).await.unwrap()),
            (Step::Advance(span), None) => {
                self.clock.advance(*span);
                Answer::Done
            }
            (Step::Restore, None) => self.restore(before).await,
            (_, None) => Answer::Done,
        }
    }

    async fn restore(&self, before: &HoldModel) -> Answer {
        let mut fence = match self.store.occupancy(&model::show()).await.unwrap() {
            OccupancyRead::Known(known) => known.fence,
            OccupancyRead::NotPrimed(fence) => fence,
        };
        let claims = claims(before);
        while let Restored::Stale(newer) = self.store.restore(&claims, fence).await.unwrap() {
            fence = newer;
        }
        Answer::Done
    }

    async fn compare(&mut self, model: &HoldModel, step: &Step) {
        let ids: Vec<HoldId> = (0..NUMBERS).map(hold_id).collect();
        let mut live = BTreeSet::new();
        for (number, hold) in (0..NUMBERS).zip(self.store.get(&ids).await.unwrap()) {
            let expected = model.holds.get(&number);
            let seen = hold.as_ref().map(|hold| (hold.owner.clone(), hold.seats.iter().collect(), hold.state));
            let wanted = expected.map(|hold| (user(hold.owner), hold.seats.clone(), state(hold.standing)));
            assert_eq!(seen, wanted, "hold {number} after {step:?}");
            for seat in hold.iter().filter(|hold| hold.state.is_live()).flat_map(|hold| hold.seats.iter()) {
                assert!(live.insert(seat), "P2: seat {seat} is in two live holds after {step:?}");
            }
        }
        match self.store.occupancy(&model::show()).await.unwrap() {
            OccupancyRead::NotPrimed(_) => assert!(!model.primed, "not primed after {step:?}"),
            OccupancyRead::Known(known) => {
                assert!(model.primed, "primed after {step:?}");
                let (held, sold): (BTreeSet<_>, BTreeSet<_>) = (known.held.iter().collect(), known.sold.iter().collect());
                assert!(held.is_disjoint(&sold), "seats held and sold after {step:?}");
                assert_eq!(held, live, "what is held is what live holds hold, after {step:?}");
                assert_eq!((held, sold), (model.held(), model.sold.keys().copied().collect()), "held and sold after {step:?}");
                let counts = Counts { held: known.held.count(), sold: known.sold.count() };
                assert_eq!(self.store.counts(&[model::show()]).await.unwrap(), [Some(counts)]);
                if let Some(last) = &self.last {
                    let same = (&last.held, &last.sold) == (&known.held, &known.sold);
                    assert!(known.version >= last.version && (same || known.version > last.version), "version after {step:?}");
                }
                self.last = Some(known);
            }
        }
    }
}
