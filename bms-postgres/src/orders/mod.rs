//! Orders, claims, payments and the outbox.

mod confirm;
mod create;
mod end;
mod gather;
mod look;
mod outbox;
mod row;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::id::{Caller, HoldId, LayoutId, OrderId, ShowId, UserId};
use bms_domain::order::{Order, OrderCommand, OrderState, Ticket, TicketCode};
use bms_domain::payment::{PaymentReference, PaymentReport, RefundDue, RefundReason};
use bms_domain::seat::SeatBits;
use bms_domain::store::{
    Attempt, Creation, LayoutPin, NewOrder, OrderChange, OrderStore, PendingClaim, Settlement, SoldSeats, StoreError,
};
use bms_domain::time::Timestamp;
use sqlx::postgres::PgRow;

use self::confirm::Confirm;
use self::create::Create;
use self::gather::{Call as _, Gather};
use self::look::Look;
use crate::codec::{escaped, get, instant, money, number, parsed, seats, shard, user};
use crate::connection::Postgres;
use crate::error::broken;
use crate::run::{Failed, count, millis};
use crate::statements::{query, statements};

/// How often a change is tried that others come before of. Each of them has changed something by then, so that somebody
/// always gets ahead.
const ATTEMPTS: usize = 32;

/// Keeps orders, claims and payments in Postgres, durably (promises P1, P3, P4, P6, P7); and the [`Outbox`] with them.
///
/// After `OutcomeUnknown` the same call again finds out: every one of them can be repeated.
///
/// Cheap to clone, and to be cloned: orders that are made, paid for, or looked at through clones at the same time go to the server as
/// one statement, at a fraction of the cost. A call needs a tokio runtime, in which it may leave a task until the server has answered.
/// That task sends the calls of others too, and a connection belongs to the runtime that opened it: so a store wants one runtime,
/// and one that is driven as long as the store is used.
///
/// [`Outbox`]: bms_domain::store::Outbox
#[derive(Clone)]
pub struct PostgresOrders {
    postgres: Postgres,
    sql: Arc<OrderSql>,
    creates: Arc<Gather<Create>>,
    confirms: Arc<Gather<Confirm>>,
    looks: Arc<Gather<Look>>,
    /// Expires orders, and waits for those that somebody else is changing.
    expire_in_turn: Arc<str>,
    events: Arc<outbox::OutboxSql>,
}

statements!(
    /// The statements of the order store.
    OrderSql in "orders":
    attempts, by_holds, by_ticket, change, claims, confirm, create, expire, facts, first_plan, get, in_the_way, list, notice,
    overdue, paid_by, plan, plan_of, ran_out, refunds, sales_within, sold, stray
);

/// A statement of the schema `bms`.
#[cfg(feature = "testing")]
pub(crate) fn own_statement(of: fn(&OrderSql) -> &Arc<str>) -> String {
    of(&OrderSql::new(&crate::config::Schema::default())).to_string()
}

impl PostgresOrders {
    /// The orders in this database.
    #[must_use]
    pub fn new(postgres: Postgres) -> Self {
        let sql = Arc::new(OrderSql::new(postgres.schema()));
        let events = Arc::new(outbox::OutboxSql::new(postgres.schema()));
        let expire_in_turn = sql.expire.replace(" skip locked", "").into();
        let creates = Arc::new(Gather::new(postgres.clone(), sql.clone()));
        let confirms = Arc::new(Gather::new(postgres.clone(), sql.clone()));
        let looks = Arc::new(Gather::new(postgres.clone(), sql.clone()));
        Self { postgres, sql, creates, confirms, looks, expire_in_turn, events }
    }

    /// The same, for a call of several statements.
    fn for_one_call(&self) -> Self {
        Self { postgres: self.postgres.for_one_call(), ..self.clone() }
    }

    async fn rows_of(&self, id: OrderId) -> Result<Vec<PgRow>, StoreError> {
        self.postgres.read(|| Look::statement(&[&Look(id)], &self.sql, self.postgres.now(), Duration::ZERO)).await
    }
}

#[async_trait]
impl OrderStore for PostgresOrders {
    async fn create(&self, order: &NewOrder) -> Result<Creation, StoreError> {
        self.for_one_call().make(order).await
    }

    async fn get(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        self.looks.ask(Look(id), self.postgres.until()).await.map_err(Failed::unexpected)
    }

    async fn by_holds(&self, holds: &[HoldId]) -> Result<Vec<Option<Order>>, StoreError> {
        if holds.is_empty() {
            return Ok(Vec::new());
        }
        let shards: Vec<i16> = holds.iter().map(|hold| number(hold.shard())).collect();
        let ids: Vec<_> = holds.iter().map(HoldId::uuid).collect();
        let by_holds = || query(&self.sql.by_holds).bind(self.postgres.now()).bind(shards.clone()).bind(ids.clone());
        let rows = self.postgres.read(by_holds).await?;
        let orders: Vec<Order> = rows.iter().map(row::order_of_now).collect::<Result<_, _>>()?;
        Ok(holds.iter().map(|hold| orders.iter().find(|order| order.hold == *hold).cloned()).collect())
    }

    async fn list(&self, owner: &UserId, before: Option<OrderId>, limit: usize) -> Result<Vec<Order>, StoreError> {
        let list = || {
            query(&self.sql.list)
                .bind(self.postgres.now())
                .bind(escaped(owner.as_str()).into_owned())
                .bind(before.map(|id| id.uuid()))
                .bind(count(limit))
        };
        self.postgres.read(list).await?.iter().map(row::order_of_now).collect()
    }

    async fn by_ticket(&self, code: &TicketCode) -> Result<Option<Order>, StoreError> {
        let by_ticket = || query(&self.sql.by_ticket).bind(self.postgres.now()).bind(code.to_string());
        self.postgres.read(by_ticket).await?.first().map(row::order_of_now).transpose()
    }

    async fn settle(&self, report: &PaymentReport, ticket: &Ticket) -> Result<Settlement, StoreError> {
        self.for_one_call().take_report(report, ticket).await
    }

    async fn give_up(&self, id: OrderId, by: &Caller) -> Result<OrderChange, StoreError> {
        self.for_one_call().command(id, Some(by), &OrderCommand::GiveUp).await
    }

    async fn cancel(&self, id: OrderId) -> Result<OrderChange, StoreError> {
        self.for_one_call().command(id, None, &OrderCommand::Cancel).await
    }

    async fn expire_overdue(&self, limit: usize) -> Result<Vec<Order>, StoreError> {
        self.for_one_call().expire_up_to(limit).await
    }

    async fn claim_attempts(&self, limit: usize, lease: Duration) -> Result<Vec<Attempt>, StoreError> {
        let attempts = || query(&self.sql.attempts).bind(self.postgres.now()).bind(count(limit)).bind(millis(lease));
        let rows = self.postgres.write(attempts).await.map_err(Failed::unexpected)?;
        let attempt =
            |row| Ok(Attempt { order: row::order_of_now(row)?, reference: parsed(row, "reference", PaymentReference::parse)? });
        rows.iter().map(attempt).collect()
    }

    async fn refunds_due(&self, after: Option<&(OrderId, PaymentReference)>, limit: usize) -> Result<Vec<RefundDue>, StoreError> {
        let refunds = || {
            query(&self.sql.refunds)
                .bind(after.map(|(order, _)| order.uuid()))
                .bind(after.map(|(_, reference)| reference.as_str().to_owned()))
                .bind(count(limit))
        };
        let refund = |row: &PgRow| {
            Ok(RefundDue {
                order: row::order_id(row, "order_id")?,
                reference: parsed(row, "reference", PaymentReference::parse)?,
                amount: money(row)?,
                reason: parsed(row, "refund_reason", RefundReason::parse)?,
            })
        };
        self.postgres.read(refunds).await?.iter().map(refund).collect()
    }

    async fn sold(&self, show: &ShowId, seats: u32) -> Result<SeatBits, StoreError> {
        let rows = self.postgres.read(|| query(&self.sql.sold).bind(shard(show)).bind(show.as_str().to_owned())).await?;
        let row = rows.first().ok_or_else(|| broken("no answer"))?;
        let mut bits = SeatBits::new(seats);
        for seat in self::seats(get(row, "seats")?)?.iter() {
            bits.grow(seat.saturating_add(1));
            bits.insert(seat);
        }
        Ok(bits)
    }

    async fn claims(&self, show: &ShowId) -> Result<(Vec<SoldSeats>, Vec<PendingClaim>), StoreError> {
        let claims = || query(&self.sql.claims).bind(self.postgres.now()).bind(shard(show)).bind(show.as_str().to_owned());
        let rows = self.postgres.read(claims).await?;
        let (mut sold, mut pending) = (Vec::new(), Vec::new());
        for row in &rows {
            let (order, owner) = (row::order_id(row, "id")?, user(row, "owner")?);
            let hold = HoldId::from_uuid(get(row, "hold_id")?).map_err(|_| broken(format!("order {order}: no hold id")))?;
            let seats = self::seats(get(row, "seats")?)?;
            let (expires_at, now): (Timestamp, Timestamp) = (instant(row, "expires_at")?, instant(row, "now")?);
            match get(row, "state")? {
                "CONFIRMED" => sold.push(SoldSeats { show: *show, order, hold, owner, seats }),
                state if state == OrderState::PaymentPending.name() && !expires_at.has_passed(now) => {
                    let (price, remaining) = (money(row)?, expires_at.since(now));
                    pending.push(PendingClaim { order, hold, owner, seats, price, remaining });
                }
                _ => {}
            }
        }
        Ok((sold, pending))
    }

    async fn sales_within(
        &self,
        span: Duration,
        after: Option<&(Timestamp, ShowId)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ShowId)>, StoreError> {
        let (at, last) = after.map(|(at, show)| (at.to_utc(), show.as_str())).unzip();
        let sales = || {
            let sales = query(&self.sql.sales_within).bind(self.postgres.now()).bind(millis(span)).bind(count(limit));
            sales.bind(at).bind(last)
        };
        let sale = |row| Ok((instant(row, "last_sale_at")?, parsed(row, "show_id", ShowId::parse)?));
        self.postgres.read(sales).await?.iter().map(sale).collect()
    }

    async fn pin_layout(&self, show: &ShowId, layout: LayoutId) -> Result<LayoutPin, StoreError> {
        let plan = || query(&self.sql.plan).bind(shard(show)).bind(show.as_str().to_owned()).bind(layout.as_str().to_owned());
        match self.postgres.write(plan).await {
            Ok(_) => Ok(LayoutPin::Pinned),
            Err(Failed::Violates(_)) => {
                let plan_of = || query(&self.sql.plan_of).bind(shard(show)).bind(show.as_str().to_owned());
                let rows = self.postgres.read(plan_of).await?;
                let row = rows.first().ok_or_else(|| broken(format!("show {show}: no plan was decided")))?;
                parsed(row, "layout_id", LayoutId::parse).map(LayoutPin::InUse)
            }
            Err(Failed::Store(error)) => Err(error),
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.postgres.ping().await
    }
}
