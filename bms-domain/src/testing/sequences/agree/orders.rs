//! Order stores on the same sequence.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::{Rival, Stand};
use crate::payment::PaymentStatus;
use crate::seat::SeatIndex;
use crate::testing::calls::{OrderAnswer, OrderCall, Tally, sent};
use crate::testing::model::{self, Number, orders::OrderModel};
use crate::testing::sequences::orders::{self, NUMBERS, PAYMENTS};
use crate::testing::sequences::{Config, run};
use crate::testing::{ManualClock, Runtime};
use crate::time::Clock as _;

/// Tickets that are shared, so that a code is another order's now and then.
const SHARED_TICKETS: u32 = 4;

/// One step.
#[derive(Clone, Debug)]
enum Step {
    /// As in a sequence that is compared with the model.
    Known(orders::Step),
    /// One that the model knows nothing of, or a look at what there is.
    Call(OrderCall),
    /// An order and what becomes of it, in a few calls: what is rare among steps that know nothing of each other.
    Story(Vec<OrderCall>),
}

struct Machine;

impl ReferenceStateMachine for Machine {
    type State = OrderModel;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<OrderModel> {
        Just(OrderModel::new(ManualClock::new().now())).boxed()
    }

    fn transitions(state: &OrderModel) -> BoxedStrategy<Step> {
        prop_oneof![
            35 => orders::Machine::transitions(state).prop_map(Step::Known),
            6 => reports().prop_map(Step::Call),
            2 => others_hold().prop_map(Step::Call),
            4 => stories(),
            20 => looks().prop_map(Step::Call),
        ]
        .boxed()
    }

    // No precondition: an order store answers whatever it is asked.
    fn apply(state: OrderModel, _: &Step) -> OrderModel {
        state
    }
}

/// Payments that are named for several orders, or for none; notices that come again; tickets that another order has.
fn reports() -> impl Strategy<Value = OrderCall> {
    let status = prop::sample::select(vec![PaymentStatus::Pending, PaymentStatus::Succeeded, PaymentStatus::Failed]);
    let notice = prop::option::of(0_u8..6);
    (0..NUMBERS, 0..PAYMENTS, status, notice, 0..SHARED_TICKETS).prop_map(|(order, payment, status, notice, ticket)| {
        OrderCall::Settle { order, payment, status, right_amount: true, notice, ticket }
    })
}

/// A hold that two orders are made of.
fn others_hold() -> impl Strategy<Value = OrderCall> {
    let seats = prop::collection::btree_set(0..model::SEATS, 1..=2);
    (0..NUMBERS, 0..NUMBERS, 0..model::USERS, seats).prop_map(|(number, hold, owner, seats)| OrderCall::Create {
        number,
        hold,
        owner,
        seats,
        ttl: model::ORDER_TTL,
    })
}

fn stories() -> impl Strategy<Value = Step> {
    let seats = prop::collection::btree_set(0..model::SEATS, 1..=2);
    let story = (0..NUMBERS, 0..model::USERS, seats, 0..PAYMENTS, 0..SHARED_TICKETS);
    (story, prop::collection::vec(0..5_u8, 1..=4)).prop_map(|((number, owner, seats, payment, ticket), turns)| {
        let (status, right_amount, notice) = (PaymentStatus::Succeeded, true, None);
        let create = OrderCall::Create { number, hold: number, owner, seats, ttl: model::ORDER_TTL };
        let turns = turns.into_iter().map(|turn| match turn {
            0 => OrderCall::GiveUp { number, by: owner },
            1 => OrderCall::Cancel { number },
            2 => OrderCall::ByTicket { ticket },
            _ => OrderCall::Settle { order: number, payment, status, right_amount, notice, ticket },
        });
        Step::Story(std::iter::once(create).chain(turns).collect())
    })
}

fn looks() -> impl Strategy<Value = OrderCall> {
    let list = (0..model::USERS, prop::option::of(0..NUMBERS), 0_usize..4);
    let refunds = (prop::option::of((0..NUMBERS, 0..PAYMENTS)), 1_usize..6);
    prop_oneof![
        4 => (0..NUMBERS).prop_map(|number| OrderCall::Get { number }),
        2 => Just(OrderCall::ByHolds { numbers: (0..NUMBERS).collect() }),
        2 => list.prop_map(|(owner, before, limit)| OrderCall::List { owner, before, limit }),
        2 => (0..SHARED_TICKETS + 8).prop_map(|ticket| OrderCall::ByTicket { ticket }),
        2 => refunds.prop_map(|(after, limit)| OrderCall::RefundsDue { after, limit }),
        3 => Just(OrderCall::Sold),
        3 => Just(OrderCall::Claims),
        1 => Just(OrderCall::SalesEver),
        1 => (1_u8..=2).prop_map(|plan| OrderCall::PinLayout { plan }),
    ]
}

/// Orders of one hold have the owner and the seats of the hold: those of the first of them.
fn of_its_hold(mut call: OrderCall, holds: &mut BTreeMap<Number, (u8, BTreeSet<SeatIndex>)>) -> OrderCall {
    if let OrderCall::Create { hold, owner, seats, .. } = &mut call {
        (*owner, *seats) = holds.entry(*hold).or_insert_with(|| (*owner, seats.clone())).clone();
    }
    call
}

/// Drives random sequences against several order stores, and compares what they answer, whole: every order with its times and
/// its ticket, every refusal, claims, refunds; and in the end the events that they wrote. Says what came about.
///
/// # Panics
/// When two stores differ: shows the shortest sequence found, the step, and both answers.
pub fn order_stores_agree(config: Config, runtime: &dyn Runtime, rivals: &[Rival<'_, OrderCall>]) -> Tally {
    let tally = Mutex::new(Tally::default());
    let counted = &tally;
    run::<Machine>(config, runtime, |first, steps, seen| {
        Box::pin(async move {
            let mut stand = Stand::new(rivals, ManualClock::at(first.now), counted).await;
            let mut holds = BTreeMap::new();
            for step in steps {
                seen.step();
                stand.step += 1;
                let ticket = SHARED_TICKETS + u32::try_from(stand.step).unwrap_or(u32::MAX);
                let calls = match step {
                    Step::Known(orders::Step::Advance(span)) => {
                        stand.clock.advance(span);
                        vec![]
                    }
                    Step::Known(known) => match orders::call(&known, ticket) {
                        Some(call) => vec![call],
                        None => panic!("{known:?} is no call"),
                    },
                    Step::Call(call) => vec![call],
                    Step::Story(calls) => calls,
                };
                for call in calls {
                    let call = of_its_hold(call, &mut holds);
                    stand.ask(|_| call.clone()).await;
                }
            }
            for number in 0..NUMBERS {
                stand.ask(|_| OrderCall::Get { number }).await;
            }
            let all = OrderCall::ClaimEvents { limit: 1_000, lease: Duration::from_mins(1) };
            let answers = stand.answers(|_| all.clone()).await;
            let events: Vec<_> = answers
                .into_iter()
                .map(|answer| match answer {
                    OrderAnswer::Events(deliveries) => sent(&deliveries),
                    other => panic!("{other:?} are no events"),
                })
                .collect();
            stand.compare(&all, &events);
        })
    });
    tally.into_inner()
}
