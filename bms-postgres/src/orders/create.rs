//! Makes orders.
//!
//! The statement does it all, which is the common case by far, or nothing. Then a look says what is in the way: an order of the
//! same id or hold, another seat plan, somebody's claim. Claims of orders that have expired are taken over by persisting that
//! those have expired, and trying again.

use std::time::Duration;

use bms_domain::id::{HoldId, LayoutId, OrderId, SeatId, ShowId};
use bms_domain::order::{Order, OrderState};
use bms_domain::seat::SeatSet;
use bms_domain::store::{Creation, NewOrder, OrderStore as _, StoreError};
use bms_domain::time::Timestamp;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::gather::Call;
use super::{ATTEMPTS, OrderSql, PostgresOrders};
use crate::codec::{escaped, get, instant, parsed, seats, shard};
use crate::error::{STORE, broken};
use crate::run::{Effect, Failed, millis};
use crate::statements::{Query, query};

/// How often an order is refused for a constraint with nothing in its way to be seen: once because it was there for a moment.
const UNEXPLAINED: u32 = 2;

/// What is in the way of an order.
enum Way {
    /// Something that stays.
    Barred(Box<Creation>),
    /// Nothing any more: what there was was removed.
    Cleared,
    /// Nothing.
    Clear,
}

/// An order that is to be made.
pub(super) struct Create(NewOrder);

/// What the server adds to it.
pub(super) struct Made {
    created_at: Timestamp,
    expires_at: Timestamp,
    refund_due: bool,
}

/// What one order can have only.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Want {
    Order(OrderId),
    Hold(HoldId),
    Seat(ShowId, SeatId),
}

impl Call for Create {
    type Done = Made;
    type Want = Want;

    const EFFECT: Effect = Effect::Writes;

    fn order(&self) -> OrderId {
        self.0.id
    }

    fn wants(&self) -> impl Iterator<Item = Want> {
        let Self(new) = self;
        let seats = new.seats.ids().map(|seat| Want::Seat(new.show, seat));
        [Want::Order(new.id), Want::Hold(new.hold)].into_iter().chain(seats)
    }

    fn statement<'q>(calls: &[&Self], sql: &OrderSql, now: Option<DateTime<Utc>>, patience: Duration) -> Query<'q> {
        let orders = || calls.iter().map(|Self(new)| new);
        query(&sql.create)
            .bind(now)
            .bind(orders().map(|new| shard(&new.show)).collect::<Vec<_>>())
            .bind(orders().map(|new| new.id.uuid()).collect::<Vec<_>>())
            .bind(orders().map(|new| new.hold.uuid()).collect::<Vec<_>>())
            .bind(orders().map(|new| new.show.as_str()).collect::<Vec<_>>())
            .bind(orders().map(|new| new.layout.as_str()).collect::<Vec<_>>())
            .bind(orders().map(|new| escaped(new.owner.as_str())).collect::<Vec<_>>())
            .bind(orders().map(|new| joined(new.seats.ids())).collect::<Vec<_>>())
            .bind(orders().map(|new| joined(new.seats.indices().iter())).collect::<Vec<_>>())
            .bind(orders().map(|new| new.price.amount()).collect::<Vec<_>>())
            .bind(orders().map(|new| new.price.currency().code()).collect::<Vec<_>>())
            .bind(orders().map(|new| escaped(&new.customer.name)).collect::<Vec<_>>())
            .bind(orders().map(|new| escaped(&new.customer.email)).collect::<Vec<_>>())
            .bind(orders().map(|new| millis(new.ttl)).collect::<Vec<_>>())
            .bind(millis(patience).to_string())
    }

    fn done(row: &PgRow) -> Result<Made, StoreError> {
        Ok(Made {
            created_at: instant(row, "created_at")?,
            expires_at: instant(row, "expires_at")?,
            refund_due: get(row, "refund_due")?,
        })
    }
}

impl Made {
    fn order(self, new: &NewOrder) -> Order {
        Order {
            id: new.id,
            hold: new.hold,
            show: new.show,
            layout: new.layout,
            owner: new.owner.clone(),
            seats: new.seats.clone(),
            price: new.price,
            customer: new.customer.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            state: OrderState::PaymentPending,
            refund_due: self.refund_due,
        }
    }
}

/// A list within a list of texts. No name of a seat has a comma in it.
fn joined(parts: impl Iterator<Item = impl ToString>) -> String {
    let mut list = String::new();
    for part in parts {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&part.to_string());
    }
    list
}

impl PostgresOrders {
    pub(super) async fn make(&self, new: &NewOrder) -> Result<Creation, StoreError> {
        if new.seats.is_empty() {
            return Err(broken(format!("order {}: no seats", new.id)));
        }
        let (mut alone, mut unexplained) = (false, 0);
        for _ in 0..ATTEMPTS {
            let (create, until) = (Create(new.clone()), self.postgres.until());
            let made = if alone { self.creates.alone(&create, until).await } else { self.creates.ask(create, until).await };
            let violated = match made {
                Ok(Some(made)) => return Ok(Creation::Created(made.order(new))),
                Ok(None) => None,
                Err(Failed::Violates(constraint)) => Some(constraint),
                Err(Failed::Store(error)) => return Err(error),
            };
            let way = self.clear_the_way(new).await?;
            if let Way::Barred(refused) = way {
                return Ok(*refused);
            }
            // It may break a constraint for ever, such as one of the host's: then others are not to fail with it again.
            alone = violated.is_some() && matches!(way, Way::Clear);
            if let Some(constraint) = violated.filter(|_| alone) {
                unexplained += 1;
                if unexplained == UNEXPLAINED {
                    tracing::warn!(order = %new.id, constraint, "an order breaks a constraint, and nothing is in its way");
                    break;
                }
            }
            tracing::trace!(order = %new.id, "an order is tried again");
        }
        Err(StoreError::unavailable(STORE))
    }

    /// Removes what is in the way if that is due, and says what else is.
    async fn clear_the_way(&self, new: &NewOrder) -> Result<Way, StoreError> {
        let names: Vec<String> = new.seats.ids().map(|seat| seat.as_str().to_owned()).collect();
        let rows = self.postgres.read(|| {
            query(&self.sql.in_the_way)
                .bind(self.postgres.now())
                .bind(shard(&new.show))
                .bind(new.id.uuid())
                .bind(new.hold.uuid())
                .bind(new.show.as_str())
                .bind(names.clone())
        });
        let rows = rows.await?;
        let row = rows.first().ok_or_else(|| broken("no answer"))?;
        if let Some(existing) = get::<Option<Uuid>>(row, "existing")? {
            let existing = OrderId::from_uuid(existing).map_err(|_| broken("an order's id is none"))?;
            return Ok(self.get(existing).await?.map_or(Way::Cleared, |order| Way::Barred(Box::new(Creation::Existing(order)))));
        }
        let layout: Option<&str> = get(row, "layout_id")?;
        if layout.is_some_and(|layout| layout != new.layout.as_str()) {
            return Ok(Way::Barred(Box::new(Creation::LayoutChanged(parsed(row, "layout_id", LayoutId::parse)?))));
        }
        if layout.is_none() {
            self.decide_first_plan(new).await?;
        }
        let taken: SeatSet = seats(get(row, "taken")?)?;
        if !taken.is_empty() {
            return Ok(Way::Barred(Box::new(Creation::Taken(taken))));
        }
        // Claims of orders that have ended, or an order that has ended of the same hold.
        let ended: Vec<Uuid> = get(row, "ended")?;
        self.persist_expiry_in_turn(shard(&new.show), &ended).await?;
        Ok(if layout.is_none() || !ended.is_empty() { Way::Cleared } else { Way::Clear })
    }

    async fn decide_first_plan(&self, new: &NewOrder) -> Result<(), StoreError> {
        let plan = || query(&self.sql.first_plan).bind(shard(&new.show)).bind(new.show.as_str()).bind(new.layout.as_str());
        self.postgres.write(plan).await.map_err(Failed::unexpected)?;
        Ok(())
    }
}
