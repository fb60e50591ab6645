//! Bugs that are put in on purpose, between a service and its stores: the auditor must find each, by the promise that it
//! breaks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::id::{Caller, HoldId, OrderId};
use bms_domain::memory::MemoryHolds;
use bms_domain::money::Money;
use bms_domain::order::{FailReason, Order, OrderRefusal, OrderState, Ticket};
use bms_domain::payment::{PaymentKey, PaymentReference, PaymentReport, PaymentStatus, RefundReason};
use bms_domain::seat::{SeatList, SeatSet};
use bms_domain::store::{
    Checkout, Creation, HoldChange, HoldStore as _, NewOrder, OccupancyRead, OrderChange, OrderStore as _, PlaceHold, Placed,
    Settled, Settlement, ShowClaims, SoldSeats, StoreError,
};
use uuid::Uuid;

use crate::auditor::Promise;
use crate::servers::done;
use crate::sim::Group;
use crate::world::World;

macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident breaks $promise:ident,)*) => {
        /// A bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Flaw { $($(#[$doc])* $name,)* }

        impl Flaw {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The promise that it breaks first.
            pub(crate) fn breaks(self) -> Promise {
                match self { $(Self::$name => Promise::$promise,)* }
            }
        }

        impl FromStr for Flaw {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $(stringify!($name) => Ok(Self::$name),)*
                    _ => Err(format!("no such flaw; one of {:?}", Self::ALL)),
                }
            }
        }
    };
}

flaws! {
    /// A payment confirms its order without a look at the claims.
    ClaimsUnchecked breaks NoDoubleSale,
    /// An order claims the first of its seats alone.
    HalfClaimed breaks AllOrNothing,
    /// A hold's refusal leaves the sold seats out where others are held.
    SoldUnnamed breaks AllOrNothing,
    /// A hold's refusal names every seat that was asked for.
    AllNamed breaks AllOrNothing,
    /// A notice that comes again counts as another payment.
    NoticeTwice breaks MoneyIsNeverLost,
    /// Any amount pays for an order.
    AmountUnverified breaks MoneyIsNeverLost,
    /// A refund is told of a minute before it is written down.
    RefundLate breaks MoneyIsNeverLost,
    /// A payment under way that is to be asked after is not.
    PaymentForgotten breaks MoneyIsNeverLost,
    /// The hold store forgets which order a hold is linked to.
    LinkForgotten breaks CheckoutIsCovered,
    /// A checkout does not prolong its hold.
    NotProlonged breaks CheckoutIsCovered,
    /// An order waits three seconds longer than its hold was prolonged for.
    OrderProlonged breaks CheckoutIsCovered,
    /// A map from the cache is given out for a fresh one.
    KeptMapIsFresh breaks HonestMap,
    /// Anybody releases any hold.
    ReleaseUnchecked breaks OnlyTheOwner,
    /// A cancellation frees the seats of another order.
    OthersFreed breaks ExclusiveHolds,
    /// A repeated request places another hold.
    NewHoldEachTime breaks SafeRetries,
    /// An emptied hold store is told that nothing is sold or claimed.
    RestoredEmpty breaks SelfHealing,
    /// A sold order can be given up.
    SoldGivenUp breaks LegalMovesOnly,
    /// Calls of stores have no deadline.
    NoDeadline breaks BoundedWaits,
    /// They have one that is longer than was asked for, by a third.
    DeadlineStretched breaks BoundedWaits,
    /// A request tries again within itself until it comes to something.
    TriedOnAndOn breaks BoundedWaits,
    /// The newest event of a batch leaves first.
    NewestFirst breaks EventsInOrder,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl World {
    pub(crate) fn place_request(&self, request: &PlaceHold) -> PlaceHold {
        let mut request = request.clone();
        if self.plan.has(Flaw::NewHoldEachTime) {
            let fresh = u128::from(self.draw_u64()) << 64 | u128::from(self.draw_u64());
            request.id = HoldId::new(request.show.shard(), Uuid::from_u128(fresh));
        }
        request
    }

    pub(crate) fn releaser(&self, by: &Caller) -> Caller {
        if self.plan.has(Flaw::ReleaseUnchecked) { Caller::admin(by.id().clone()) } else { by.clone() }
    }

    pub(crate) fn checkout(&self, checkout: &Checkout) -> Checkout {
        let cover = if self.plan.has(Flaw::NotProlonged) { Default::default() } else { checkout.cover };
        Checkout { cover, ..*checkout }
    }

    pub(crate) fn claims_told(&self, claims: &ShowClaims) -> ShowClaims {
        let mut claims = claims.clone();
        if self.plan.has(Flaw::RestoredEmpty) {
            claims.sold.clear();
            claims.pending.clear();
        }
        claims
    }

    /// What a cancellation frees.
    pub(crate) fn freed(&self, sold: &SoldSeats) -> SoldSeats {
        if !self.plan.has(Flaw::OthersFreed) {
            return sold.clone();
        }
        let another = self.audit(|auditor| (0..self.plan.seats).find_map(|seat| auditor.owner_of(seat)));
        SoldSeats { order: another.unwrap_or(sold.order), seats: (0..self.plan.seats).collect(), ..sold.clone() }
    }

    pub(crate) fn create_order(&self, order: &NewOrder) -> Result<Creation, StoreError> {
        let store = &self.orders.store;
        if self.plan.has(Flaw::HalfClaimed) {
            let seats: SeatList = order.seats.as_slice().iter().take(1).copied().collect();
            return done(store.create(&NewOrder { seats, ..order.clone() }));
        }
        let longer = if self.plan.has(Flaw::OrderProlonged) { Duration::from_secs(3) } else { Duration::ZERO };
        done(store.create(&NewOrder { ttl: order.ttl + longer, ..order.clone() }))
    }

    pub(crate) fn settle_report(self: &Arc<Self>, report: &PaymentReport, ticket: &Ticket) -> Result<Settlement, StoreError> {
        let mut report = report.clone();
        if self.plan.has(Flaw::RefundLate)
            && report.status == PaymentStatus::Succeeded
            && let Some(order) = done(self.orders.store.get(report.order))?.filter(|order| order.price != report.amount)
        {
            return Ok(self.refund_late(report, *ticket, order));
        }
        if self.plan.has(Flaw::AmountUnverified) {
            report.amount = self.price_of(report.order).unwrap_or(report.amount);
        }
        let mut settlement = done(self.orders.store.settle(&report, ticket))?;
        if self.plan.has(Flaw::NoticeTwice)
            && report.status == PaymentStatus::Succeeded
            && settlement.settled == Settled::Recorded
        {
            let reference = PaymentReference::parse(&format!("{}-again", report.reference)).unwrap();
            let again = PaymentReport { key: PaymentKey::of(&reference), reference, notice: None, ..report.clone() };
            settlement = done(self.orders.store.settle(&again, ticket))?;
        }
        if self.plan.has(Flaw::ClaimsUnchecked)
            && settlement.settled == Settled::RefundDue(RefundReason::SeatsGone)
            && let Some(order) = &mut settlement.order
        {
            settlement.settled = Settled::Confirmed;
            order.state = OrderState::Confirmed { ticket: *ticket, payment: report.reference, at: order.expires_at };
        }
        Ok(settlement)
    }

    /// Says that a payment is to be given back, and writes it down in a minute.
    fn refund_late(self: &Arc<Self>, report: PaymentReport, ticket: Ticket, mut order: Order) -> Settlement {
        let world = self.clone();
        self.sim.spawn(Group::World, async move {
            world.sim.pause(60_000).await;
            let settlement = done(world.orders.store.settle(&report, &ticket));
            world.note(format_args!("a refund is written down: {}", settlement.is_ok()));
        });
        order.refund_due = true;
        Settlement { order: Some(order), settled: Settled::RefundDue(RefundReason::WrongAmount) }
    }

    fn price_of(&self, order: OrderId) -> Option<Money> {
        done(self.orders.store.get(order)).ok().flatten().map(|order| order.price)
    }

    pub(crate) fn give_up(&self, order: OrderId, by: &Caller) -> Result<OrderChange, StoreError> {
        let change = done(self.orders.store.give_up(order, by))?;
        Ok(match change {
            OrderChange::Refused(mut order, OrderRefusal::NotPending)
                if self.plan.has(Flaw::SoldGivenUp) && order.state.is_confirmed() =>
            {
                order.state = OrderState::Failed { reason: FailReason::GivenUp, at: order.expires_at };
                OrderChange::Done { order, changed: true }
            }
            change => change,
        })
    }
}

/// Places a hold.
pub(crate) fn place(holds: &MemoryHolds, flaw: Option<Flaw>, request: &PlaceHold) -> Result<Placed, StoreError> {
    let placed = done(holds.place(request))?;
    let Placed::Taken(taken) = &placed else { return Ok(placed) };
    match flaw {
        Some(Flaw::AllNamed) => Ok(Placed::Taken(request.seats.clone())),
        Some(Flaw::SoldUnnamed) => {
            let OccupancyRead::Known(known) = done(holds.occupancy(&request.show))? else { return Ok(placed) };
            let held: SeatSet = taken.iter().filter(|seat| known.held.contains(*seat)).collect();
            Ok(if held.is_empty() { placed } else { Placed::Taken(held) })
        }
        _ => Ok(placed),
    }
}

/// Links an order to a hold.
pub(crate) fn begin_checkout(
    holds: &MemoryHolds,
    forgets: bool,
    id: HoldId,
    by: &Caller,
    checkout: &Checkout,
) -> Result<HoldChange, StoreError> {
    let change = done(holds.begin_checkout(id, by, checkout))?;
    if forgets {
        done(holds.end_checkout(id, checkout.order))?;
    }
    Ok(change)
}
