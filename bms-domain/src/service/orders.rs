//! Orders: make, look at, give up, cancel.

use super::BookingService;
use super::catalogue::Page;
use super::holds::{refused, unavailable};
use crate::error::{Error, Subject, Violation};
use crate::hold::{Hold, HoldRefusal, HoldState};
use crate::id::{Caller, HoldId, OrderId};
use crate::order::{Customer, Order, OrderRefusal, OrderState, TicketCode};
use crate::store::{Checkout, Creation, HoldChange, LayoutPin, NewOrder, OrderChange};
use crate::time::Timestamp;

/// How often an order of a hold is begun anew: once for an ended order that is still linked, and once for a race.
const CHECKOUT_ATTEMPTS: usize = 4;

/// How a hold was linked to an order.
#[derive(Clone, Copy)]
struct Link {
    order: OrderId,
    /// When the hold ends since.
    until: Timestamp,
    /// When this call asked.
    begun: Timestamp,
    /// Whether this call made the link. Else another was before it, and may be making the order.
    is_new: bool,
}

/// An order, and whether this call made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedOrder {
    /// The order.
    pub order: Order,
    /// `false` when the hold had that order already.
    pub created: bool,
}

impl BookingService {
    /// Turns a hold into an order that waits for payment. The same hold again gives the same order.
    ///
    /// Steps, each safe to crash after: link the order to the hold and prolong it (a retry finds the link); insert the
    /// order with its claims (a retry finds the order; time alone ends an unpaid one).
    ///
    /// # Errors
    /// `NotFound`, `Invalid` (customer), `HoldExpired`, `HoldNotActive`, `SalesClosed`, `SeatsUnavailable` when the
    /// durable store says that a held seat is another order's (the hold is released then, unless another call may be
    /// making the order), `Unavailable`, `OutcomeUnknown`.
    pub async fn create_order(&self, caller: &Caller, hold: HoldId, customer: Customer) -> Result<PlacedOrder, Error> {
        check_customer(&customer)?;
        for _ in 0..CHECKOUT_ATTEMPTS {
            let fresh = OrderId::new(hold.shard(), self.new_seed());
            let begun = self.shared.clock.now();
            let change = self.begin_checkout(caller, hold, fresh).await?;
            let held = match change {
                HoldChange::Done(held) => held,
                HoldChange::Refused(held, refusal) => return self.order_of_uncovered_hold(caller, &held, refusal).await,
                HoldChange::NotFound => return self.order_of_lost_hold(caller, hold).await,
            };
            let HoldState::Held { until, order: Some(linked) } = held.state else {
                return Err(Error::Internal(format!("hold {hold} was not linked to an order")));
            };
            let link = Link { order: linked, until, begun, is_new: linked == fresh };
            if let Some(placed) = self.order_linked(caller, held, link, &customer).await? {
                return Ok(placed);
            }
        }
        Err(Error::Unavailable { dependency: "the hold store", source: None })
    }

    async fn begin_checkout(&self, caller: &Caller, hold: HoldId, order: OrderId) -> Result<HoldChange, Error> {
        let checkout = Checkout { order, cover: self.policy().cover(), longest_life: self.policy().longest_hold };
        let change = self.of_holds(self.holds().begin_checkout(hold, caller, &checkout)).await;
        change.map_err(Error::changing(Subject::Hold(hold)))
    }

    /// The hold cannot be prolonged any more: an order that was made of it is still good.
    async fn order_of_uncovered_hold(&self, caller: &Caller, held: &Hold, refusal: HoldRefusal) -> Result<PlacedOrder, Error> {
        if refusal == HoldRefusal::TooOld
            && let Some(order) = self.order_of_hold(caller, held.id).await?
            && order.state.is_pending()
        {
            return Ok(PlacedOrder { order, created: false });
        }
        Err(refused(held, refusal))
    }

    /// The hold store has forgotten the hold (or never had it): an order that was made of it is still good.
    async fn order_of_lost_hold(&self, caller: &Caller, hold: HoldId) -> Result<PlacedOrder, Error> {
        match self.order_of_hold(caller, hold).await? {
            Some(order) if order.state.is_pending() => Ok(PlacedOrder { order, created: false }),
            Some(order) if order.state.is_confirmed() => {
                let state = HoldState::Consumed { order: order.id, at: order.created_at };
                Err(Error::HoldNotActive { hold, state })
            }
            Some(_) => Err(Error::HoldExpired(hold)),
            None => Err(Error::NotFound("hold")),
        }
    }

    /// The hold is linked: sees to it that its order exists. `None` when it had ended already: it is unlinked now, and
    /// another can be begun.
    async fn order_linked(
        &self,
        caller: &Caller,
        held: Hold,
        link: Link,
        customer: &Customer,
    ) -> Result<Option<PlacedOrder>, Error> {
        let linked = link.order;
        let listing = self.listing(&held.show).await?;
        if let Err(reason) = listing.check_sales(self.shared.clock.now()) {
            // The link stays: another call may be making the order right now, and a hold that is linked to no order only
            // lasts until its end.
            return match self.of_orders(self.orders().get(linked)).await? {
                Some(order) if order.state.is_pending() => Ok(Some(PlacedOrder { order, created: false })),
                _ => Err(Error::SalesClosed { show: held.show, reason }),
            };
        }
        if held.layout != listing.layout().id() {
            self.give_back(&held, link).await;
            return Err(Error::HoldExpired(held.id));
        }
        let order = NewOrder {
            id: linked,
            hold: held.id,
            show: held.show,
            layout: held.layout,
            owner: held.owner.clone(),
            seats: listing.layout().names(&held.seats),
            price: held.price,
            customer: customer.clone(),
            // The hold is covered from the instant at which it was linked.
            ttl: self.policy().order_ttl.saturating_sub(self.shared.clock.now().since(link.begun)),
        };
        let creation = self.of_orders(self.orders().create(&order)).await.map_err(Error::changing(Subject::Order(linked)))?;
        match creation {
            Creation::Created(order) => Ok(Some(PlacedOrder { order, created: true })),
            Creation::Existing(order) if order.state.is_pending() => {
                if order.id != linked {
                    // The hold store had forgotten the link; the durable store remembers the order.
                    self.unlink(held.id, linked).await;
                    self.begin_checkout(caller, held.id, order.id).await?;
                }
                Ok(Some(PlacedOrder { order, created: false }))
            }
            Creation::Existing(order) if order.state.is_confirmed() => {
                self.tell_sold(&order).await?;
                let state = HoldState::Consumed { order: order.id, at: order.created_at };
                Err(Error::HoldNotActive { hold: held.id, state })
            }
            Creation::Existing(_) => {
                self.end_checkout(held.id, linked).await?;
                Ok(None)
            }
            Creation::Taken(seats) => {
                self.give_back(&held, link).await;
                Err(unavailable(&listing, &seats))
            }
            // The plan was decided for a change of the catalogue that did not come about: decide it anew.
            Creation::LayoutChanged(_) => match self.of_orders(self.orders().pin_layout(&held.show, held.layout)).await? {
                LayoutPin::Pinned => Ok(None),
                LayoutPin::InUse(_) => {
                    self.give_back(&held, link).await;
                    Err(unavailable(&listing, &held.seats))
                }
            },
        }
    }

    /// The hold store was wrong about a hold: ends it, and brings the show in line with the durable store (promise P10). But
    /// while another call may be making the same order, of claims that have ended meanwhile, the hold must stay (promise
    /// P8): then it ends with a sale of its seats, or by its time. What is lost on the way is mended by the next conflict or
    /// the sweeper, so that errors are only logged.
    async fn give_back(&self, held: &Hold, link: Link) {
        if link.is_new
            && let Err(error) = self.of_holds(self.holds().give_back(held.id, link.order, link.until)).await
        {
            tracing::warn!(hold = %held.id, %error, "a hold in conflict was not released");
        }
        if let Err(error) = self.reconcile(&held.show).await {
            tracing::warn!(show = %held.show, %error, "a show in conflict was not reconciled");
        }
        self.shared.maps.forget(&held.show);
    }

    pub(super) async fn end_checkout(&self, hold: HoldId, order: OrderId) -> Result<(), Error> {
        let ended = self.of_holds(self.holds().end_checkout(hold, order)).await;
        self.shared.maps.forget_changed(&ended);
        ended.map(|_| ()).map_err(Error::changing(Subject::Hold(hold)))
    }

    /// Unlinks an order from its hold. If that is lost, the next order or release of the hold finds out.
    pub(super) async fn unlink(&self, hold: HoldId, order: OrderId) {
        if let Err(error) = self.end_checkout(hold, order).await {
            tracing::warn!(%hold, %order, %error, "an ended order is still linked to its hold");
        }
    }

    /// Tells the hold store what the durable store sold.
    pub(super) async fn tell_sold(&self, order: &Order) -> Result<(), Error> {
        let told = self.of_holds(self.holds().mark_sold(&order.sold_seats())).await;
        told.map_err(Error::changing(Subject::Hold(order.hold)))
    }

    /// An order.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id or it is somebody else's (promise P9); `Unavailable`.
    pub async fn order(&self, caller: &Caller, id: OrderId) -> Result<Order, Error> {
        let found = self.of_orders(self.orders().get(id)).await?;
        found.filter(|order| caller.may_touch(&order.owner)).ok_or(Error::NotFound("order"))
    }

    /// The caller's own orders, newest first: those older than `before`, `limit` of 1–100 at most.
    ///
    /// # Errors
    /// `Invalid` (limit), `Unavailable`.
    pub async fn my_orders(&self, caller: &Caller, before: Option<OrderId>, limit: usize) -> Result<Page<Order, OrderId>, Error> {
        let limit = Page::<Order, OrderId>::check_limit(limit)?;
        let found = self.of_orders(self.orders().list(caller.id(), before, limit + 1)).await?;
        Ok(Page::cut(found, limit, |order| order.id))
    }

    /// Gives up an order that waits for payment: FAILED, and its hold can be used again. Repeating it gives the same.
    ///
    /// # Errors
    /// `NotFound`, `OrderExpired`, `OrderNotPending`, `Unavailable`, `OutcomeUnknown`.
    pub async fn give_up_order(&self, caller: &Caller, id: OrderId) -> Result<Order, Error> {
        let change = self.of_orders(self.orders().give_up(id, caller)).await.map_err(Error::changing(Subject::Order(id)))?;
        let order = changed(change)?;
        self.unlink(order.hold, order.id).await;
        Ok(order)
    }

    /// Cancels a confirmed order: CANCELLED, its seats are free, its payment is to be given back. For administrators.
    /// Repeating it gives the same.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `OrderPending`, `OrderExpired`, `OrderNotPending`, `Unavailable`, `OutcomeUnknown`.
    pub async fn cancel_order(&self, caller: &Caller, id: OrderId) -> Result<Order, Error> {
        require_admin(caller)?;
        let change = self.of_orders(self.orders().cancel(id)).await.map_err(Error::changing(Subject::Order(id)))?;
        let newly = matches!(change, OrderChange::Done { changed: true, .. });
        let order = changed(change)?;
        self.shared.maps.forget(&order.show);
        // Only the call that cancelled may free its seats outright: they may have been sold again since. A repeated call,
        // and the sweeper, look at the whole show instead.
        let told = if newly {
            self.of_holds(self.holds().mark_free(&order.sold_seats())).await.map_err(Error::from)
        } else {
            self.reconcile(&order.show).await.map(|_| ())
        };
        if let Err(error) = told {
            tracing::warn!(order = %id, %error, "seats of a cancelled order may still be marked sold");
        }
        Ok(order)
    }

    /// The order behind a ticket code. For administrators.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `Unavailable`.
    pub async fn order_by_ticket(&self, caller: &Caller, code: &TicketCode) -> Result<Order, Error> {
        require_admin(caller)?;
        self.of_orders(self.orders().by_ticket(code)).await?.ok_or(Error::NotFound("ticket"))
    }
}

pub(super) fn require_admin(caller: &Caller) -> Result<(), Error> {
    if caller.is_admin() { Ok(()) } else { Err(Error::Forbidden) }
}

fn changed(change: OrderChange) -> Result<Order, Error> {
    match change {
        OrderChange::Done { order, .. } => Ok(order),
        OrderChange::Refused(order, OrderRefusal::Pending) => Err(Error::OrderPending(order.id)),
        OrderChange::Refused(order, OrderRefusal::Expired) => Err(Error::OrderExpired(Box::new(order))),
        OrderChange::Refused(order, OrderRefusal::NotPending) => Err(Error::OrderNotPending(Box::new(order))),
        OrderChange::Refused(order, OrderRefusal::NotDue) => Err(Error::OrderPending(order.id)),
        OrderChange::NotFound => Err(Error::NotFound("order")),
    }
}

/// What an order that a payment did not confirm is called outside.
pub(super) fn not_payable(order: Order) -> Error {
    match order.state {
        OrderState::Expired { .. } => Error::OrderExpired(Box::new(order)),
        OrderState::PaymentPending => Error::PaymentDeclined(Box::new(order)),
        OrderState::Confirmed { .. } | OrderState::Failed { .. } | OrderState::Cancelled { .. } => {
            Error::OrderNotPending(Box::new(order))
        }
    }
}

/// A name of 1–200 characters and an address of 3–254 with one `@` inside it; no control characters in either. Whether
/// the address is somebody's shows only when mail is sent.
fn check_customer(customer: &Customer) -> Result<(), Error> {
    let mut wrong = Vec::new();
    let name = customer.name.trim();
    if name.is_empty() || customer.name.chars().count() > 200 || customer.name.chars().any(char::is_control) {
        wrong.push(Violation::new("/customer/name", "1 to 200 characters, no control characters"));
    }
    let parts: Vec<&str> = customer.email.split('@').collect();
    let plausible = matches!(parts.as_slice(), [local, domain] if !local.is_empty() && !domain.is_empty());
    let strange = customer.email.chars().any(|c| c.is_control() || c.is_whitespace());
    if !plausible || strange || customer.email.len() > 254 {
        wrong.push(Violation::new("/customer/email", "an e-mail address of at most 254 bytes"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
}
