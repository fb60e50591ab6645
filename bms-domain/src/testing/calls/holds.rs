//! Calls of a hold store.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{Answers, Call};
use crate::hold::{Hold, HoldState};
use crate::id::{Caller, HoldId, OrderId, UserId};
use crate::seat::SeatIndex;
use crate::store::{
    Checkout, Counts, Fence, HoldChange, HoldStore, Occupancy, OccupancyRead, PlaceHold, Placed, Restored, SeatLimits,
    ShowClaims, SoldSeats, StoreError,
};
use crate::testing::model::{self, Number, Standing};
use crate::testing::sample;
use crate::time::Timestamp;

/// A call of a hold store, of the model's show.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are the arguments of the methods of these names")]
pub enum HoldCall {
    /// [`HoldStore::place`].
    Place { number: Number, owner: u8, seats: BTreeSet<SeatIndex> },
    /// [`HoldStore::get`].
    Get { numbers: Vec<Number> },
    /// [`HoldStore::release`].
    Release { number: Number, by: u8 },
    /// [`HoldStore::begin_checkout`], with the order of the same number.
    BeginCheckout { number: Number, by: u8 },
    /// [`HoldStore::end_checkout`].
    EndCheckout { number: Number },
    /// [`HoldStore::give_back`].
    GiveBack { number: Number, until: Timestamp },
    /// [`HoldStore::mark_sold`].
    MarkSold { number: Number, owner: u8, seats: BTreeSet<SeatIndex> },
    /// [`HoldStore::mark_free`].
    MarkFree { number: Number, owner: u8, seats: BTreeSet<SeatIndex> },
    /// [`HoldStore::restore`].
    Restore { claims: ShowClaims, fence: Fence },
    /// [`HoldStore::occupancy`].
    Occupancy,
    /// [`HoldStore::counts`].
    Counts,
    /// [`HoldStore::sweep`].
    Sweep { limit: usize },
}

/// What a hold store answers.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is what the method of that name answers")]
pub enum HoldAnswer {
    Placed(Placed),
    Holds(Vec<Option<Hold>>),
    Changed(HoldChange),
    Done,
    Restored(Restored),
    Occupancy(OccupancyRead),
    Counts(Option<Counts>),
    Swept(usize),
}

impl Call for HoldCall {
    type Answer = HoldAnswer;

    fn name(&self) -> &'static str {
        match self {
            Self::Place { .. } => "place",
            Self::Get { .. } => "get",
            Self::Release { .. } => "release",
            Self::BeginCheckout { .. } => "begin_checkout",
            Self::EndCheckout { .. } => "end_checkout",
            Self::GiveBack { .. } => "give_back",
            Self::MarkSold { .. } => "mark_sold",
            Self::MarkFree { .. } => "mark_free",
            Self::Restore { .. } => "restore",
            Self::Occupancy => "occupancy",
            Self::Counts => "counts",
            Self::Sweep { .. } => "sweep",
        }
    }

    /// Left to the store are: versions and fences, which only it reads, though what a fence *does* is compared, by the
    /// restore that carries it; and how many holds a sweep still finds, because every call retires some on its way.
    fn comparable(&self, answer: HoldAnswer) -> HoldAnswer {
        let fence = Fence::default();
        match answer {
            HoldAnswer::Placed(Placed::NotPrimed(_)) => HoldAnswer::Placed(Placed::NotPrimed(fence)),
            HoldAnswer::Restored(Restored::Stale(_)) => HoldAnswer::Restored(Restored::Stale(fence)),
            HoldAnswer::Occupancy(OccupancyRead::NotPrimed(_)) => HoldAnswer::Occupancy(OccupancyRead::NotPrimed(fence)),
            HoldAnswer::Occupancy(OccupancyRead::Known(known)) => {
                HoldAnswer::Occupancy(OccupancyRead::Known(Occupancy { version: 0, fence, ..known }))
            }
            HoldAnswer::Swept(_) => HoldAnswer::Swept(0),
            same => same,
        }
    }

    fn kind(answer: &HoldAnswer) -> &'static str {
        match answer {
            HoldAnswer::Placed(Placed::Placed(_)) => "placed",
            HoldAnswer::Placed(Placed::Existing(_)) => "existing",
            HoldAnswer::Placed(Placed::Taken(_)) => "taken",
            HoldAnswer::Placed(Placed::TooMany { .. }) => "too many",
            HoldAnswer::Placed(Placed::IdTaken) => "id taken",
            HoldAnswer::Placed(Placed::NotPrimed(_)) | HoldAnswer::Occupancy(OccupancyRead::NotPrimed(_)) => "not primed",
            HoldAnswer::Counts(None) => "not primed",
            HoldAnswer::Changed(HoldChange::Refused(..)) => "refused",
            HoldAnswer::Changed(HoldChange::NotFound) => "not found",
            HoldAnswer::Changed(HoldChange::Done(_)) | HoldAnswer::Done | HoldAnswer::Restored(Restored::Done { .. }) => "done",
            HoldAnswer::Restored(Restored::Stale(_)) => "stale",
            HoldAnswer::Holds(_) | HoldAnswer::Occupancy(_) | HoldAnswer::Counts(_) | HoldAnswer::Swept(_) => "answered",
        }
    }
}

#[async_trait]
impl<S: HoldStore> Answers<HoldCall> for S {
    async fn answer(&self, call: &HoldCall) -> Result<HoldAnswer, StoreError> {
        Ok(match call {
            HoldCall::Place { number, owner, seats } => HoldAnswer::Placed(self.place(&wish(*number, *owner, seats)).await?),
            HoldCall::Get { numbers } => {
                let ids: Vec<HoldId> = numbers.iter().map(|number| hold_id(*number)).collect();
                HoldAnswer::Holds(self.get(&ids).await?)
            }
            HoldCall::Release { number, by } => {
                HoldAnswer::Changed(self.release(hold_id(*number), &Caller::user(user(*by))).await?)
            }
            HoldCall::BeginCheckout { number, by } => {
                let cover = model::ORDER_TTL + model::GRACE;
                let checkout = Checkout { order: order_id(*number), cover, longest_life: model::LONGEST };
                HoldAnswer::Changed(self.begin_checkout(hold_id(*number), &Caller::user(user(*by)), &checkout).await?)
            }
            HoldCall::EndCheckout { number } => {
                HoldAnswer::Changed(self.end_checkout(hold_id(*number), order_id(*number)).await?)
            }
            HoldCall::GiveBack { number, until } => {
                HoldAnswer::Changed(self.give_back(hold_id(*number), order_id(*number), *until).await?)
            }
            HoldCall::MarkSold { number, owner, seats } => {
                self.mark_sold(&sold_seats(*number, *owner, seats)).await?;
                HoldAnswer::Done
            }
            HoldCall::MarkFree { number, owner, seats } => {
                self.mark_free(&sold_seats(*number, *owner, seats)).await?;
                HoldAnswer::Done
            }
            HoldCall::Restore { claims, fence } => HoldAnswer::Restored(self.restore(claims, *fence).await?),
            HoldCall::Occupancy => HoldAnswer::Occupancy(self.occupancy(&model::show()).await?),
            HoldCall::Counts => HoldAnswer::Counts(self.counts(&[model::show()]).await?.into_iter().next().flatten()),
            HoldCall::Sweep { limit } => HoldAnswer::Swept(self.sweep(*limit).await?),
        })
    }
}

fn wish(number: Number, owner: u8, seats: &BTreeSet<SeatIndex>) -> PlaceHold {
    PlaceHold {
        id: hold_id(number),
        show: model::show(),
        layout: sample::layout_id("plan-1"),
        owner: user(owner),
        seats: seats.iter().copied().collect(),
        price: sample::euro(100),
        ttl: model::HOLD_TTL,
        limits: SeatLimits { per_hold: model::PER_HOLD, per_user_and_show: model::PER_USER },
    }
}

/// A user of the model.
pub(crate) fn user(number: u8) -> UserId {
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

/// The state that a standing of the model is told as.
pub(crate) fn state(standing: Standing) -> HoldState {
    match standing {
        Standing::Held { until, order } => HoldState::Held { until, order: order.map(|(number, _)| order_id(number)) },
        Standing::Released(at) => HoldState::Released { at },
        Standing::Expired(at) => HoldState::Expired { at },
        Standing::Consumed(number, at) => HoldState::Consumed { order: order_id(number), at },
    }
}
