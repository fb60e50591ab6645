//! Makes orders.
//!
//! The statement does it all or breaks a constraint, which is the common case by far. When one is broken, a look says what
//! is in the way: an order of the same id or hold, another seat plan, somebody's claim. Claims of orders that have expired are
//! taken over by persisting that those have expired, and trying again.

use bms_domain::id::LayoutId;
use bms_domain::id::OrderId;
use bms_domain::order::{Order, OrderState};
use bms_domain::seat::SeatSet;
use bms_domain::store::{Creation, NewOrder, OrderStore as _, StoreError};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{ATTEMPTS, PostgresOrders};
use crate::codec::{escaped, get, index, instant, parsed, seats, shard};
use crate::error::{STORE, broken};
use crate::run::{Failed, millis};
use crate::statements::query;

impl PostgresOrders {
    pub(super) async fn make(&self, new: &NewOrder) -> Result<Creation, StoreError> {
        if new.seats.is_empty() {
            return Err(broken(format!("order {}: no seats", new.id)));
        }
        for _ in 0..ATTEMPTS {
            match self.insert(new).await {
                Ok(order) => return Ok(Creation::Created(order)),
                Err(Failed::Store(error)) => return Err(error),
                Err(Failed::Violates(constraint)) => {
                    if let Some(refused) = self.clear_the_way(new).await? {
                        return Ok(refused);
                    }
                    tracing::trace!(order = %new.id, constraint, "an order is tried again");
                }
            }
        }
        Err(StoreError::unavailable(STORE))
    }

    async fn insert(&self, new: &NewOrder) -> Result<Order, Failed> {
        let names: Vec<String> = new.seats.ids().map(|seat| seat.as_str().to_owned()).collect();
        let indices: Vec<i32> = new.seats.as_slice().iter().map(|(seat, _)| index(*seat)).collect();
        let rows = self.postgres.write(|| {
            query(&self.sql.create)
                .bind(self.postgres.now())
                .bind(shard(&new.show))
                .bind(new.id.uuid())
                .bind(new.hold.uuid())
                .bind(new.show.as_str())
                .bind(new.layout.as_str())
                .bind(escaped(new.owner.as_str()).into_owned())
                .bind(names.clone())
                .bind(indices.clone())
                .bind(new.price.amount())
                .bind(new.price.currency().code())
                .bind(escaped(&new.customer.name).into_owned())
                .bind(escaped(&new.customer.email).into_owned())
                .bind(millis(new.ttl))
        });
        let rows = rows.await?;
        let row = rows.first().ok_or_else(|| broken(format!("order {} was not made", new.id)))?;
        Ok(Order {
            id: new.id,
            hold: new.hold,
            show: new.show,
            layout: new.layout,
            owner: new.owner.clone(),
            seats: new.seats.clone(),
            price: new.price,
            customer: new.customer.clone(),
            created_at: instant(row, "created_at")?,
            expires_at: instant(row, "expires_at")?,
            state: OrderState::PaymentPending,
            refund_due: get(row, "refund_due")?,
        })
    }

    /// Removes what is in the way if that is due, and says what else is.
    async fn clear_the_way(&self, new: &NewOrder) -> Result<Option<Creation>, StoreError> {
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
            return Ok(self.get(existing).await?.map(Creation::Existing));
        }
        match get::<Option<&str>>(row, "layout_id")? {
            None => self.decide_first_plan(new).await?,
            Some(layout) if layout != new.layout.as_str() => {
                return Ok(Some(Creation::LayoutChanged(parsed(row, "layout_id", LayoutId::parse)?)));
            }
            Some(_) => {}
        }
        let taken: SeatSet = seats(get(row, "taken")?)?;
        if !taken.is_empty() {
            return Ok(Some(Creation::Taken(taken)));
        }
        self.expire_ended(new, row).await?;
        Ok(None)
    }

    async fn decide_first_plan(&self, new: &NewOrder) -> Result<(), StoreError> {
        let plan = || query(&self.sql.first_plan).bind(shard(&new.show)).bind(new.show.as_str()).bind(new.layout.as_str());
        self.postgres.write(plan).await.map_err(Failed::unexpected)?;
        Ok(())
    }

    /// Persists that the orders have expired whose claims, or whose hold, are wanted.
    async fn expire_ended(&self, new: &NewOrder, row: &PgRow) -> Result<(), StoreError> {
        let ended: Vec<Uuid> = get(row, "ended")?;
        self.persist_expiry_in_turn(shard(&new.show), &ended).await
    }
}
