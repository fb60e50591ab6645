//! Hold stores on the same sequence.

use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::{Rival, Stand};
use crate::store::{Fence, OccupancyRead, ShowClaims};
use crate::testing::calls::{HoldAnswer, HoldCall, Tally};
use crate::testing::model::{HoldModel, Number};
use crate::testing::sequences::holds::{self, NUMBERS};
use crate::testing::sequences::{Config, run};
use crate::testing::{ManualClock, Runtime};

/// One step.
#[derive(Clone, Debug)]
enum Step {
    /// As in a sequence that is compared with the model.
    Known(holds::Step),
    /// A sale is told after its cancellation.
    SellLate(Number),
    Get,
    Occupancy,
    Counts,
    /// A restore begins: it has its fence, and reads the claims.
    Read,
    /// It goes on, with what it read.
    RestoreRead,
}

/// The model tells what the durable store knows, and so what hold stores are told.
struct Machine;

impl ReferenceStateMachine for Machine {
    type State = HoldModel;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<HoldModel> {
        holds::Machine::init_state()
    }

    fn transitions(state: &HoldModel) -> BoxedStrategy<Step> {
        prop_oneof![
            30 => holds::Machine::transitions(state).prop_map(Step::Known),
            1 => (0..NUMBERS).prop_map(Step::SellLate),
            4 => Just(Step::Get),
            4 => Just(Step::Occupancy),
            2 => Just(Step::Counts),
            3 => Just(Step::Read),
            3 => Just(Step::RestoreRead),
        ]
        .boxed()
    }

    fn preconditions(state: &HoldModel, step: &Step) -> bool {
        match step {
            Step::Known(known) => holds::Machine::preconditions(state, known),
            Step::SellLate(number) => state.cancelled.contains(number) && state.holds.contains_key(number),
            _ => true,
        }
    }

    fn apply(mut state: HoldModel, step: &Step) -> HoldModel {
        take(&mut state, step);
        state
    }
}

/// A store that starts anew starts at a later time: versions begin at it.
const ANEW: Duration = Duration::from_millis(1);

fn take(model: &mut HoldModel, step: &Step) {
    if let Step::Known(known) = step {
        holds::take(model, known);
        if matches!(known, holds::Step::Forget) {
            model.advance(ANEW);
        }
    }
}

/// Drives random sequences against several hold stores, and compares what they answer, whole: every hold with its times, every
/// refusal, what is held and sold. Says what came about.
///
/// # Panics
/// When two stores differ: shows the shortest sequence found, the step, and both answers.
pub fn hold_stores_agree(config: Config, runtime: &dyn Runtime, rivals: &[Rival<'_, HoldCall>]) -> Tally {
    let tally = Mutex::new(Tally::default());
    let counted = &tally;
    run::<Machine>(config, runtime, |mut model, steps, seen| {
        Box::pin(async move {
            let stand = Stand::new(rivals, ManualClock::at(model.now), counted).await;
            let mut stores = Stores { stand, read: None };
            for step in steps {
                seen.step();
                stores.stand.step += 1;
                stores.take(&model, &step).await;
                take(&mut model, &step);
            }
            for look in [Step::Get, Step::Occupancy, Step::Counts] {
                stores.take(&model, &look).await;
            }
        })
    });
    tally.into_inner()
}

struct Stores<'a> {
    stand: Stand<'a, HoldCall>,
    /// What a restore has read, and the fence of each store that it had before.
    read: Option<(Vec<Fence>, ShowClaims)>,
}

impl Stores<'_> {
    async fn take(&mut self, before: &HoldModel, step: &Step) {
        let call = match step {
            Step::Known(holds::Step::Advance(span)) => return self.stand.clock.advance(*span),
            Step::Known(holds::Step::Forget) => {
                self.read = None;
                self.stand.clock.advance(ANEW);
                return self.stand.start_anew().await;
            }
            Step::Known(holds::Step::Restore) => {
                let fences = self.fences().await;
                return self.restore(&fences, &holds::claims(before)).await;
            }
            Step::Read => {
                self.read = Some((self.fences().await, holds::claims(before)));
                return;
            }
            Step::RestoreRead => {
                if let Some((fences, claims)) = self.read.clone() {
                    self.restore(&fences, &claims).await;
                }
                return;
            }
            Step::SellLate(number) => {
                let hold = &before.holds[number];
                HoldCall::MarkSold { number: *number, owner: hold.owner, seats: hold.seats.clone() }
            }
            Step::Get => HoldCall::Get { numbers: (0..NUMBERS).collect() },
            Step::Occupancy => HoldCall::Occupancy,
            Step::Counts => HoldCall::Counts,
            Step::Known(known) => holds::call(before, known).expect("the others are not one call"),
        };
        self.stand.ask(|_| call.clone()).await;
    }

    async fn fences(&self) -> Vec<Fence> {
        let answers = self.stand.ask(|_| HoldCall::Occupancy).await;
        let fence = |answer| match answer {
            HoldAnswer::Occupancy(OccupancyRead::Known(known)) => known.fence,
            HoldAnswer::Occupancy(OccupancyRead::NotPrimed(fence)) => fence,
            other => panic!("{other:?} has no fence"),
        };
        answers.into_iter().map(fence).collect()
    }

    async fn restore(&self, fences: &[Fence], claims: &ShowClaims) {
        self.stand.ask(|position| HoldCall::Restore { claims: claims.clone(), fence: fences[position] }).await;
    }
}
