//! Sequences on a hold store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::{Config, run};
use crate::hold::HoldState;
use crate::id::{Caller, HoldId, OrderId, UserId};
use crate::seat::SeatIndex;
use crate::store::{
    Checkout, Counts, HoldChange, HoldStore, Occupancy, OccupancyRead, PendingClaim, PlaceHold, Placed, Restored, SeatLimits,
    ShowClaims, SoldSeats,
};
use crate::testing::backend::Backend;
use crate::testing::model::{self, Answer, HoldModel, Number, Standing};
use crate::testing::{ManualClock, sample};
use crate::time::Clock as _;

/// Numbers of holds that sequences use.
const NUMBERS: Number = 8;

/// One step.
#[derive(Clone, Debug)]
enum Step {
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

struct Machine;

impl ReferenceStateMachine for Machine {
    type State = HoldModel;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<HoldModel> {
        Just(HoldModel::new(ManualClock::new().now())).boxed()
    }

    fn transitions(_: &HoldModel) -> BoxedStrategy<Step> {
        let (number, user) = (0..NUMBERS, 0..model::USERS);
        let seats = prop::collection::btree_set(0..model::SEATS, 1..=(model::PER_HOLD as usize + 1));
        let millis = prop::sample::select(vec![1, 999, 60_000, 298_000, 299_999, 300_000, 301_999, 302_000, 599_999, 600_000]);
        prop_oneof![
            8 => (number.clone(), user.clone(), seats).prop_map(|(number, user, seats)| Step::Place(number, user, seats)),
            3 => (number.clone(), user.clone()).prop_map(|(number, user)| Step::Release(number, user)),
            6 => (number.clone(), user).prop_map(|(number, user)| Step::Begin(number, user)),
            3 => number.clone().prop_map(Step::End),
            2 => (number.clone(), any::<bool>()).prop_map(|(number, alone)| Step::GiveBack(number, alone)),
            5 => number.clone().prop_map(Step::Sell),
            1 => number.clone().prop_map(Step::SellAgain),
            2 => number.prop_map(Step::Free),
            5 => millis.prop_map(|millis| Step::Advance(Duration::from_millis(millis))),
            1 => Just(Step::Sweep),
            1 => Just(Step::Forget),
            4 => Just(Step::Restore),
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

/// How much time passes in one sequence at most: as long as every store keeps a hold that ended.
const LONGEST_RUN: Duration = Duration::from_mins(50);

/// Takes a step in the model. Gives the answers that a store may give.
fn take(model: &mut HoldModel, step: &Step) -> Vec<Answer> {
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

fn user(number: u8) -> UserId {
    sample::user(&format!("user:{number}"))
}

fn hold_id(number: Number) -> HoldId {
    sample::hold_id(&model::show(), number)
}

fn order_id(number: Number) -> OrderId {
    sample::order_id(&model::show(), number)
}

fn sold_seats(number: Number, owner: u8, seats: &BTreeSet<SeatIndex>) -> SoldSeats {
    let (order, hold) = (order_id(number), hold_id(number));
    SoldSeats { show: model::show(), order, hold, owner: user(owner), seats: seats.iter().copied().collect() }
}

fn changed(change: &HoldChange) -> Answer {
    match change {
        HoldChange::Done(_) => Answer::Done,
        HoldChange::Refused(..) => Answer::Refused,
        HoldChange::NotFound => Answer::NotFound,
    }
}

impl<S: HoldStore> Rig<S> {
    async fn take(&self, before: &HoldModel, step: &Step) -> Answer {
        let store = &self.store;
        match step {
            Step::Place(number, owner, seats) => self.place(*number, *owner, seats).await,
            Step::Release(number, by) => changed(&store.release(hold_id(*number), &Caller::user(user(*by))).await.unwrap()),
            Step::Begin(number, by) => {
                let cover = model::ORDER_TTL + model::GRACE;
                let checkout = Checkout { order: order_id(*number), cover, longest_life: model::LONGEST };
                changed(&store.begin_checkout(hold_id(*number), &Caller::user(user(*by)), &checkout).await.unwrap())
            }
            Step::End(number) => changed(&store.end_checkout(hold_id(*number), order_id(*number)).await.unwrap()),
            Step::GiveBack(number, alone) => {
                let until = match before.holds.get(number).map(|hold| hold.standing) {
                    Some(Standing::Held { until, .. }) => until,
                    _ => before.now,
                };
                let seen = if *alone { until } else { until.minus(Duration::from_millis(1)) };
                changed(&store.give_back(hold_id(*number), order_id(*number), seen).await.unwrap())
            }
            Step::Sell(number) => {
                let hold = &before.holds[number];
                store.mark_sold(&sold_seats(*number, hold.owner, &hold.seats)).await.unwrap();
                Answer::Done
            }
            Step::SellAgain(number) => {
                let (owner, seats) = &before.confirmed[number];
                store.mark_sold(&sold_seats(*number, *owner, seats)).await.unwrap();
                Answer::Done
            }
            Step::Free(number) => {
                let (owner, seats) = &before.confirmed[number];
                store.mark_free(&sold_seats(*number, *owner, seats)).await.unwrap();
                Answer::Done
            }
            Step::Advance(span) => {
                self.clock.advance(*span);
                Answer::Done
            }
            Step::Sweep => {
                store.sweep(2).await.unwrap();
                Answer::Done
            }
            Step::Forget => Answer::Done,
            Step::Restore => self.restore(before).await,
        }
    }

    async fn place(&self, number: Number, owner: u8, seats: &BTreeSet<SeatIndex>) -> Answer {
        let wish = PlaceHold {
            id: hold_id(number),
            show: model::show(),
            layout: sample::layout_id("plan-1"),
            owner: user(owner),
            seats: seats.iter().copied().collect(),
            price: sample::euro(100),
            ttl: model::HOLD_TTL,
            limits: SeatLimits { per_hold: model::PER_HOLD, per_user_and_show: model::PER_USER },
        };
        match self.store.place(&wish).await.unwrap() {
            Placed::Placed(_) => Answer::Placed,
            Placed::Existing(_) => Answer::Existing,
            Placed::Taken(seats) => Answer::Taken(seats.iter().collect()),
            Placed::TooMany { limit } => Answer::TooMany(limit),
            Placed::IdTaken => Answer::IdTaken,
            Placed::NotPrimed(_) => Answer::NotPrimed,
        }
    }

    async fn restore(&self, before: &HoldModel) -> Answer {
        let mut fence = match self.store.occupancy(&model::show()).await.unwrap() {
            OccupancyRead::Known(known) => known.fence,
            OccupancyRead::NotPrimed(fence) => fence,
        };
        let waiting = before.waiting.iter().map(|(number, (owner, seats, end))| PendingClaim {
            order: order_id(*number),
            hold: hold_id(*number),
            owner: user(*owner),
            seats: seats.iter().copied().collect(),
            price: sample::euro(100),
            remaining: end.since(before.now),
        });
        let claims = ShowClaims {
            show: model::show(),
            layout: sample::layout_id("plan-1"),
            seats: model::SEATS,
            sold: before.confirmed.iter().map(|(number, (owner, seats))| sold_seats(*number, *owner, seats)).collect(),
            pending: waiting.collect(),
            grace: model::GRACE,
        };
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

/// The state that the model's standing is told as.
fn state(standing: Standing) -> HoldState {
    match standing {
        Standing::Held { until, order } => HoldState::Held { until, order: order.map(|(number, _)| order_id(number)) },
        Standing::Released(at) => HoldState::Released { at },
        Standing::Expired(at) => HoldState::Expired { at },
        Standing::Consumed(number, at) => HoldState::Consumed { order: order_id(number), at },
    }
}
