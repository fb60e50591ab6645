//! Holds: place, look at, release.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::try_join_all;
use uuid::Uuid;

use super::BookingService;
use crate::catalogue::Listing;
use crate::error::{Error, Subject, Violation};
use crate::hold::{Hold, HoldLife, HoldRefusal, HoldState};
use crate::id::{Caller, HoldId, OrderId, SeatId, ShowId};
use crate::layout::Layout;
use crate::order::{Order, OrderState};
use crate::seat::{SeatList, SeatSet};
use crate::store::{HoldChange, OccupancyRead, PlaceHold, Placed};

/// How often a step is tried again after the hold store said that it must be primed first.
pub(super) const PRIME_ATTEMPTS: usize = 4;

/// A hold with the seat plan it was placed by, which knows the names of its seats.
#[derive(Clone, Debug, PartialEq)]
pub struct BookedHold {
    /// The hold.
    pub hold: Hold,
    /// The seat plan.
    pub layout: Arc<Layout>,
}

impl BookedHold {
    /// The seats with their names.
    #[must_use]
    pub fn seats(&self) -> SeatList {
        self.layout.names(&self.hold.seats)
    }
}

impl BookingService {
    /// Holds all of the seats, or none (promises P2, P3). The hold's id is made of `seed`: the same seed again is the same
    /// hold, so a request whose answer was lost is repeated with its seed ([`new_seed`](Self::new_seed) draws one).
    ///
    /// # Errors
    /// `NotFound` (the show), `SalesClosed`, `Invalid` (no seats, or one twice), `TooManySeats`, `UnknownSeats`,
    /// `SeatsUnavailable` with every seat in the way, `Unavailable`, `OutcomeUnknown`.
    pub async fn place_hold(&self, caller: &Caller, show: &ShowId, seats: &[SeatId], seed: Uuid) -> Result<BookedHold, Error> {
        let limits = self.policy().limits;
        for _ in 0..PRIME_ATTEMPTS {
            // Each time anew: the catalogue may have moved on to another seat plan.
            let listing = self.listing(show).await?;
            let wanted = parse_seats(&listing, seats, limits.per_hold)?;
            listing.check_sales(self.shared.clock.now()).map_err(|reason| Error::SalesClosed { show: *show, reason })?;
            if wanted.iter().any(|seat| listing.blocked().contains(seat)) {
                return Err(self.blocked(&listing, &wanted).await);
            }
            let price = listing.price_of(&wanted);
            let request = PlaceHold {
                id: HoldId::of(show, seed),
                show: *show,
                layout: listing.layout().id(),
                owner: caller.id().clone(),
                seats: wanted,
                price: price.ok_or_else(|| Error::Internal(format!("show {show}: a price above the range")))?,
                ttl: self.policy().hold_ttl,
                limits,
            };
            let placed = self.of_holds(self.holds().place(&request)).await;
            // Whatever came of it: who was refused looks at the map next, to see what is left.
            self.shared.maps.forget(show);
            match placed.map_err(Error::changing(Subject::Hold(request.id)))? {
                Placed::Placed(hold) | Placed::Existing(hold) => {
                    let layout = listing.layout().clone();
                    return Ok(BookedHold { hold, layout });
                }
                Placed::Taken(seats) => return Err(unavailable(&listing, &seats)),
                Placed::TooMany { limit } => return Err(Error::TooManySeats { limit }),
                Placed::IdTaken => return Err(Error::Internal(format!("hold id {} is another hold's", request.id))),
                Placed::NotPrimed(fence) => self.prime_together(&listing, fence).await?,
            }
        }
        Err(Error::Unavailable { dependency: "the hold store", source: None })
    }

    /// A hold, whatever its state.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, it is somebody else's (promise P9), or it ended long ago; `Unavailable`.
    pub async fn hold(&self, caller: &Caller, id: HoldId) -> Result<BookedHold, Error> {
        self.hold_by_id(caller, id).await?.ok_or(Error::NotFound("hold"))
    }

    /// Many holds at once, in the order of `ids`; `None` for one that is not there or is somebody else's. One round trip to the
    /// hold store, one to the order store if some are not there, and what the catalogue knows of their shows all at once.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn holds_by_id(&self, caller: &Caller, ids: &[HoldId]) -> Result<Vec<Option<BookedHold>>, Error> {
        let mut found = self.of_holds(self.holds().get(ids)).await?;
        let missing: Vec<HoldId> = ids.iter().zip(&found).filter(|(_, hold)| hold.is_none()).map(|(id, _)| *id).collect();
        if !missing.is_empty() {
            // The hold store may have forgotten a hold that an order was made of; the order knows enough to tell of it.
            let orders = self.of_orders(self.orders().by_holds(&missing)).await?;
            let mut restored = orders.into_iter();
            for hold in found.iter_mut().filter(|hold| hold.is_none()) {
                *hold = restored.next().flatten().map(|order| self.hold_of(&order));
            }
        }
        let booked = found.into_iter().map(async |hold| match hold.filter(|hold| caller.may_touch(&hold.owner)) {
            Some(hold) => self.booked(hold).await.map(Some),
            None => Ok(None),
        });
        try_join_all(booked).await
    }

    /// Gives the seats back. Repeating it gives the same.
    ///
    /// # Errors
    /// `NotFound`, `OrderPending` while an order of it waits for payment, `HoldNotActive` when its order was confirmed,
    /// `HoldExpired`, `Unavailable`, `OutcomeUnknown`.
    pub async fn release_hold(&self, caller: &Caller, id: HoldId) -> Result<BookedHold, Error> {
        let mut retried = false;
        loop {
            let change = self.of_holds(self.holds().release(id, caller)).await;
            self.shared.maps.forget_changed(&change);
            return match change.map_err(Error::changing(Subject::Hold(id)))? {
                HoldChange::Done(hold) => self.booked(hold).await,
                HoldChange::Refused(_, HoldRefusal::OrderPending(order)) if !retried => {
                    self.unlink_if_ended(id, order).await?;
                    retried = true;
                    continue;
                }
                HoldChange::Refused(hold, refusal) => Err(refused(&hold, refusal)),
                HoldChange::NotFound => match self.order_of_hold(caller, id).await? {
                    Some(order) if order.state.is_pending() => Err(Error::OrderPending(order.id)),
                    Some(order) => Err(ended(&self.hold_of(&order))),
                    None => Err(Error::NotFound("hold")),
                },
            };
        }
    }

    async fn hold_by_id(&self, caller: &Caller, id: HoldId) -> Result<Option<BookedHold>, Error> {
        Ok(self.holds_by_id(caller, &[id]).await?.pop().flatten())
    }

    /// The order that was made of a hold, if the caller may know of it.
    pub(super) async fn order_of_hold(&self, caller: &Caller, hold: HoldId) -> Result<Option<Order>, Error> {
        let found = self.of_orders(self.orders().by_holds(&[hold])).await?.pop().flatten();
        Ok(found.filter(|order| caller.may_touch(&order.owner)))
    }

    /// Unlinks an order from its hold when the order has ended and nobody has told the hold store yet.
    ///
    /// An order that is linked and does not exist may be on its way: it counts as pending.
    async fn unlink_if_ended(&self, hold: HoldId, order: OrderId) -> Result<(), Error> {
        match self.of_orders(self.orders().get(order)).await? {
            Some(found) if found.state.is_confirmed() => self.tell_sold(&found).await,
            Some(found) if !found.state.is_pending() => self.end_checkout(hold, order).await,
            Some(_) | None => Err(Error::OrderPending(order)),
        }
    }

    pub(super) async fn booked(&self, hold: Hold) -> Result<BookedHold, Error> {
        let listing = self.listing(&hold.show).await?;
        if listing.layout().id() == hold.layout {
            return Ok(BookedHold { hold, layout: listing.layout().clone() });
        }
        let layout = self.of_catalogue(self.ports().catalogue.layout(&hold.layout)).await?;
        Ok(BookedHold { hold, layout: layout.ok_or(Error::NotFound("layout"))? })
    }

    /// What is known of a hold from its order alone, when the hold store has forgotten it.
    fn hold_of(&self, order: &Order) -> Hold {
        let state = match &order.state {
            OrderState::PaymentPending => {
                HoldState::Held { until: order.expires_at.plus(self.policy().checkout_grace), order: Some(order.id) }
            }
            OrderState::Confirmed { at, .. } | OrderState::Cancelled { at, .. } => {
                HoldState::Consumed { order: order.id, at: *at }
            }
            OrderState::Failed { at, .. } | OrderState::Expired { at } => HoldState::Expired { at: *at },
        };
        Hold {
            id: order.hold,
            show: order.show,
            layout: order.layout,
            owner: order.owner.clone(),
            seats: order.seats.indices(),
            price: order.price,
            life: HoldLife { created_at: order.created_at, own_end: order.expires_at },
            state,
        }
    }

    /// Some of the wanted seats are not for sale at all: names them, and those that are held or sold (promise P3).
    async fn blocked(&self, listing: &Listing, wanted: &SeatSet) -> Error {
        let occupancy = self.of_holds(self.holds().occupancy(&listing.show().show_id)).await;
        let taken = |seat| match &occupancy {
            Ok(OccupancyRead::Known(known)) => known.held.contains(seat) || known.sold.contains(seat),
            Ok(OccupancyRead::NotPrimed(_)) | Err(_) => false,
        };
        unavailable(listing, &wanted.iter().filter(|seat| listing.blocked().contains(*seat) || taken(*seat)).collect())
    }
}

/// Resolves the names of wanted seats against the show's layout.
fn parse_seats(listing: &Listing, seats: &[SeatId], limit: u32) -> Result<SeatSet, Error> {
    if seats.is_empty() {
        return Err(Error::Invalid(vec![Violation::new("/seatIds", "at least one seat")]));
    }
    if seats.len() > limit as usize {
        return Err(Error::TooManySeats { limit });
    }
    let layout = listing.layout();
    let wanted: SeatSet = seats.iter().filter_map(|seat| layout.index_of(seat)).collect();
    if wanted.len() == seats.len() {
        return Ok(wanted);
    }
    let mut seen = HashSet::new();
    let twice: Vec<Violation> = seats
        .iter()
        .enumerate()
        .filter(|(_, seat)| !seen.insert(**seat))
        .map(|(position, _)| Violation::new(format!("/seatIds/{position}"), "the same seat a second time"))
        .collect();
    if !twice.is_empty() {
        return Err(Error::Invalid(twice));
    }
    Err(Error::UnknownSeats(seats.iter().filter(|seat| layout.index_of(seat).is_none()).copied().collect()))
}

pub(super) fn unavailable(listing: &Listing, seats: &SeatSet) -> Error {
    Error::SeatsUnavailable(listing.layout().names(seats).ids().collect())
}

/// What a refusal of the hold's table is called outside.
pub(super) fn refused(hold: &Hold, refusal: HoldRefusal) -> Error {
    match refusal {
        HoldRefusal::NotActive(state) => Error::HoldNotActive { hold: hold.id, state },
        HoldRefusal::Expired | HoldRefusal::TooOld => Error::HoldExpired(hold.id),
        HoldRefusal::OrderPending(order) => Error::OrderPending(order),
        HoldRefusal::NotDue => Error::Internal(format!("hold {} is not due", hold.id)),
    }
}

/// What a hold that is not live any more is called outside.
pub(super) fn ended(hold: &Hold) -> Error {
    match hold.state {
        HoldState::Expired { .. } | HoldState::Held { .. } => Error::HoldExpired(hold.id),
        state @ (HoldState::Released { .. } | HoldState::Consumed { .. }) => Error::HoldNotActive { hold: hold.id, state },
    }
}
