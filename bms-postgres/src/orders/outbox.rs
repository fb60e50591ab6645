//! Events on their way out.

use std::time::Duration;

use async_trait::async_trait;
use bms_domain::event::EventKey;
use bms_domain::id::OrderId;
use bms_domain::store::{Delivery, Outbox, Replay, StoreError};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{PostgresOrders, row};
use crate::codec::number;
use crate::error::broken;
use crate::run::{Failed, count, millis};
use crate::statements::{Query, query, statements};

statements!(
    /// The statements of the outbox.
    OutboxSql in "outbox": claim, dead, failed, prune, published, replay
);

/// Keys of events, column by column.
struct Keys {
    shards: Vec<i16>,
    orders: Vec<Uuid>,
    sequences: Vec<i32>,
}

impl Keys {
    fn of(events: &[EventKey]) -> Self {
        Self {
            shards: events.iter().map(|key| number(key.order.shard())).collect(),
            orders: events.iter().map(|key| key.order.uuid()).collect(),
            sequences: events.iter().map(|key| sequence(*key)).collect(),
        }
    }

    fn bind<'q>(&self, query: Query<'q>) -> Query<'q> {
        query.bind(self.shards.clone()).bind(self.orders.clone()).bind(self.sequences.clone())
    }
}

fn sequence(key: EventKey) -> i32 {
    i32::try_from(key.sequence).unwrap_or(i32::MAX)
}

impl PostgresOrders {
    /// Writes, where no constraint can stand in the way.
    async fn tell<'q>(&self, statement: impl Fn() -> Query<'q>) -> Result<Vec<PgRow>, StoreError> {
        self.postgres.write(statement).await.map_err(Failed::unexpected)
    }

    /// Events did not arrive, and wait for so many milliseconds, or for good.
    async fn failed(&self, events: &[EventKey], wait: Option<i64>) -> Result<(), StoreError> {
        let keys = Keys::of(events);
        self.tell(|| keys.bind(query(&self.events.failed).bind(self.postgres.now())).bind(wait)).await?;
        Ok(())
    }
}

#[async_trait]
impl Outbox for PostgresOrders {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<Delivery>, StoreError> {
        let claim = || query(&self.events.claim).bind(self.postgres.now()).bind(count(limit)).bind(millis(lease));
        self.tell(claim).await?.iter().map(row::delivery).collect()
    }

    async fn published(&self, events: &[EventKey]) -> Result<(), StoreError> {
        let keys = Keys::of(events);
        self.tell(|| keys.bind(query(&self.events.published).bind(self.postgres.now()))).await?;
        Ok(())
    }

    async fn postpone(&self, events: &[EventKey], by: Duration) -> Result<(), StoreError> {
        self.failed(events, Some(millis(by))).await
    }

    async fn bury(&self, events: &[EventKey]) -> Result<(), StoreError> {
        self.failed(events, None).await
    }

    async fn dead(&self, after: Option<EventKey>, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let dead =
            || query(&self.events.dead).bind(after.map(|key| key.order.uuid())).bind(after.map(sequence)).bind(count(limit));
        self.postgres.read(dead).await?.iter().map(row::delivery).collect()
    }

    async fn replay(&self, which: &Replay) -> Result<usize, StoreError> {
        let order: Option<OrderId> = match which {
            Replay::Order(order) => Some(*order),
            Replay::Dead | Replay::Since(_) => None,
        };
        let since = match which {
            Replay::Since(since) => Some(since.to_utc()),
            Replay::Dead | Replay::Order(_) => None,
        };
        let replay = || {
            query(&self.events.replay)
                .bind(self.postgres.now())
                .bind(order.map(|order| number(order.shard())))
                .bind(order.map(|order| order.uuid()))
                .bind(since)
        };
        let rows = self.tell(replay).await?;
        let row = rows.first().ok_or_else(|| broken("no answer"))?;
        let count: i64 = crate::codec::get(row, "count")?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    async fn prune(&self, older_than: Duration, limit: usize) -> Result<usize, StoreError> {
        let prune = || query(&self.events.prune).bind(self.postgres.now()).bind(millis(older_than)).bind(count(limit));
        Ok(self.tell(prune).await?.len())
    }
}
