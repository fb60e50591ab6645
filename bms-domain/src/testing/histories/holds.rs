//! Clients of a hold store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::{Dice, Player};
use crate::hold::{self, Hold, HoldCommand, HoldLife, HoldState};
use crate::seat::{SeatBits, SeatIndex};
use crate::store::{Counts, Fence, HoldChange, Occupancy, OccupancyRead, Placed, ShowClaims};
use crate::testing::calls::{Answers, HoldAnswer, HoldCall, state, user};
use crate::testing::linearizability::{Operation, Specification, Violation, check};
use crate::testing::model::{self, Answer, HoldModel, Number, Standing};
use crate::testing::sample;
use crate::time::Timestamp;

/// Numbers of holds; few, so that clients meet.
const NUMBERS: Number = 6;
/// Seats that are wanted.
const SEATS: SeatIndex = 5;

impl Specification for HoldModel {
    type Call = HoldCall;

    fn take(&mut self, call: &HoldCall) -> Vec<HoldAnswer> {
        let one = |answer| vec![answer];
        match call {
            HoldCall::Place { number, owner, seats } => {
                self.place(*number, *owner, seats).into_iter().map(|answer| placed(self, *number, answer)).collect()
            }
            HoldCall::Get { numbers } => one(HoldAnswer::Holds(numbers.iter().map(|number| told(self, *number)).collect())),
            HoldCall::Release { number, by } => {
                let answer = self.release(*number, *by);
                one(changed(self, *number, &answer, HoldCommand::Release))
            }
            HoldCall::BeginCheckout { number, by } => {
                let answer = self.begin(*number, *by);
                let (order, cover) = (sample::order_id(&model::show(), *number), model::ORDER_TTL + model::GRACE);
                let command = HoldCommand::BeginCheckout { order, cover, longest_life: model::LONGEST };
                one(changed(self, *number, &answer, command))
            }
            HoldCall::EndCheckout { number } => {
                let answer = self.end(*number);
                let order = sample::order_id(&model::show(), *number);
                one(changed(self, *number, &answer, HoldCommand::EndCheckout { order }))
            }
            HoldCall::GiveBack { number, until } => {
                let stands = self.holds.get(number).map(|hold| hold.standing);
                let alone = matches!(stands, Some(Standing::Held { until: end, .. }) if end == *until);
                let answer = self.give_back(*number, alone);
                let order = sample::order_id(&model::show(), *number);
                one(changed(self, *number, &answer, HoldCommand::GiveBack { order, until: *until }))
            }
            HoldCall::MarkSold { number, owner, seats } => {
                // News of a sale that come after its cancellation are old.
                if !self.cancelled.contains(number) {
                    self.sell(*number, *owner, seats);
                }
                one(HoldAnswer::Done)
            }
            HoldCall::MarkFree { number, .. } => {
                self.free(*number);
                one(HoldAnswer::Done)
            }
            HoldCall::Occupancy => one(HoldAnswer::Occupancy(OccupancyRead::Known(Occupancy {
                version: 0,
                layout: sample::layout_id("plan-1"),
                held: bits(self.held()),
                sold: bits(self.sold.keys().copied()),
                fence: Fence::default(),
            }))),
            HoldCall::Counts => {
                let (held, sold) = (bits(self.held()).count(), bits(self.sold.keys().copied()).count());
                one(HoldAnswer::Counts(Some(Counts { held, sold })))
            }
            HoldCall::Sweep { .. } => one(HoldAnswer::Swept(0)),
            HoldCall::Restore { .. } => unreachable!("no client restores a show that is primed"),
        }
    }
}

fn bits(seats: impl IntoIterator<Item = SeatIndex>) -> SeatBits {
    let mut bits = SeatBits::new(model::SEATS);
    for seat in seats {
        bits.insert(seat);
    }
    bits
}

/// A hold of the model, as a store tells it.
fn told(model: &HoldModel, number: Number) -> Option<Hold> {
    model.holds.get(&number).map(|hold| Hold {
        id: sample::hold_id(&model::show(), number),
        show: model::show(),
        layout: sample::layout_id("plan-1"),
        owner: user(hold.owner),
        seats: hold.seats.iter().copied().collect(),
        price: sample::euro(100),
        life: HoldLife { created_at: hold.placed_at, own_end: hold.own_end },
        state: state(hold.standing),
    })
}

fn placed(model: &HoldModel, number: Number, answer: Answer) -> HoldAnswer {
    let hold = || told(model, number).expect("it was placed");
    HoldAnswer::Placed(match answer {
        Answer::Placed => Placed::Placed(hold()),
        Answer::Existing => Placed::Existing(hold()),
        Answer::Taken(seats) => Placed::Taken(seats.into_iter().collect()),
        Answer::TooMany(limit) => Placed::TooMany { limit },
        Answer::IdTaken => Placed::IdTaken,
        other => panic!("{other:?} is no answer to placing a hold on a show that is primed"),
    })
}

fn changed(model: &HoldModel, number: Number, answer: &Answer, command: HoldCommand) -> HoldAnswer {
    HoldAnswer::Changed(match (answer, told(model, number)) {
        (Answer::Done, Some(hold)) => HoldChange::Done(hold),
        (Answer::Refused, Some(hold)) => {
            let refusal = hold::apply(hold.state, hold.life, command, model.now).expect_err("the table refuses it, too");
            HoldChange::Refused(hold, refusal)
        }
        _ => HoldChange::NotFound,
    })
}

/// What the durable store sold: no seat to two orders at a time.
#[derive(Debug, Default)]
struct Sales {
    confirmed: BTreeMap<Number, BTreeSet<SeatIndex>>,
    cancelled: BTreeSet<Number>,
}

impl Sales {
    /// Whether it is, or was already.
    fn confirm(&mut self, number: Number, seats: &BTreeSet<SeatIndex>) -> bool {
        let mut others = self.confirmed.iter().filter(|(other, _)| **other != number);
        if self.cancelled.contains(&number) || others.any(|(_, sold)| !sold.is_disjoint(seats)) {
            return false;
        }
        self.confirmed.insert(number, seats.clone());
        true
    }

    fn cancel(&mut self, number: Number) {
        self.confirmed.remove(&number);
        self.cancelled.insert(number);
    }
}

/// Somebody with holds.
pub(super) struct Client {
    user: u8,
    sales: Arc<Mutex<Sales>>,
    /// The holds that he was granted.
    holds: BTreeMap<Number, BTreeSet<SeatIndex>>,
    /// Those that he has told the store to be sold.
    sold: BTreeMap<Number, BTreeSet<SeatIndex>>,
    /// Until when a hold lasts that he linked.
    linked: BTreeMap<Number, Timestamp>,
}

impl Player for Client {
    type Specification = HoldModel;

    fn first(now: Timestamp) -> HoldModel {
        HoldModel { primed: true, ..HoldModel::new(now) }
    }

    fn check(now: Timestamp, history: &[Operation<HoldCall>]) -> Result<(), Violation> {
        check(&Self::first(now), history)
    }

    fn prepare(store: &dyn Answers<HoldCall>) -> BoxFuture<'_, ()> {
        let prime = async move {
            let Ok(HoldAnswer::Occupancy(OccupancyRead::NotPrimed(fence))) = store.answer(&HoldCall::Occupancy).await else {
                panic!("the store is not fresh")
            };
            let (show, layout) = (model::show(), sample::layout_id("plan-1"));
            let (sold, pending) = (Vec::new(), Vec::new());
            let claims = ShowClaims { show, layout, seats: model::SEATS, sold, pending, grace: model::GRACE };
            store.answer(&HoldCall::Restore { claims, fence }).await.unwrap();
        };
        prime.boxed()
    }

    fn all(clients: usize) -> Vec<Self> {
        let sales = Arc::default();
        let client = |number: usize| Self {
            user: u8::try_from(number % usize::from(model::USERS)).unwrap_or_default(),
            sales: Arc::clone(&sales),
            holds: BTreeMap::new(),
            sold: BTreeMap::new(),
            linked: BTreeMap::new(),
        };
        (0..clients).map(client).collect()
    }

    fn next(&mut self, dice: &mut Dice) -> HoldCall {
        let (any, number, by) = (dice.below(NUMBERS), self.number(dice), self.user);
        let seats = dice.one_or_two(SEATS);
        let usual = match dice.below(100) {
            0..20 => None,
            20..28 => Some(HoldCall::Release { number, by }),
            28..40 => Some(HoldCall::BeginCheckout { number, by }),
            40..44 => Some(HoldCall::EndCheckout { number }),
            44..56 => self.give_back(),
            56..67 => self.sell(),
            67..80 => self.free(),
            80..88 => Some(HoldCall::Get { numbers: vec![any] }),
            88..91 => Some(HoldCall::Counts),
            _ => Some(HoldCall::Occupancy),
        };
        // Who can't do that yet takes a step towards it.
        usual.unwrap_or(HoldCall::Place { number: any, owner: by, seats })
    }

    fn learn(&mut self, call: &HoldCall, answer: &HoldAnswer) {
        match (call, answer) {
            (HoldCall::Place { number, seats, .. }, HoldAnswer::Placed(Placed::Placed(_) | Placed::Existing(_))) => {
                self.holds.insert(*number, seats.clone());
            }
            (HoldCall::BeginCheckout { number, .. }, HoldAnswer::Changed(HoldChange::Done(hold))) => {
                if let HoldState::Held { until, .. } = hold.state {
                    self.linked.insert(*number, until);
                }
            }
            (HoldCall::MarkSold { number, seats, .. }, HoldAnswer::Done) => {
                self.sold.insert(*number, seats.clone());
            }
            _ => {}
        }
    }
}

impl Client {
    /// Mostly of a hold that he was granted.
    fn number(&self, dice: &mut Dice) -> Number {
        let (any, own) = (dice.below(NUMBERS), dice.below(4) > 0);
        self.holds.keys().next_back().copied().filter(|_| own).unwrap_or(any)
    }

    /// Gives back a hold that he linked, or links one.
    fn give_back(&self) -> Option<HoldCall> {
        let linked = self.linked.iter().next_back();
        let link = || self.holds.keys().next_back().map(|number| HoldCall::BeginCheckout { number: *number, by: self.user });
        linked.map(|(number, until)| HoldCall::GiveBack { number: *number, until: *until }).or_else(link)
    }

    /// Tells of a sale, if the durable store makes it.
    fn sell(&self) -> Option<HoldCall> {
        let mut sales = self.sales.lock();
        let sold = self.holds.iter().find(|(number, seats)| sales.confirm(**number, seats));
        sold.map(|(number, seats)| HoldCall::MarkSold { number: *number, owner: self.user, seats: seats.clone() })
    }

    /// Tells of a cancellation, of a sale that he knows the hold store was told of; or of a sale.
    fn free(&mut self) -> Option<HoldCall> {
        let Some((number, seats)) = self.sold.pop_first() else { return self.sell() };
        self.sales.lock().cancel(number);
        Some(HoldCall::MarkFree { number, owner: self.user, seats })
    }
}
