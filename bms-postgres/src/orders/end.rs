//! Ends orders: given up, cancelled, expired.

use std::sync::Arc;

use bms_domain::event::OrderEventKind;
use bms_domain::id::{Caller, OrderId};
use bms_domain::money::Money;
use bms_domain::order::{self, Order, OrderCommand};
use bms_domain::payment::{PaymentKey, PaymentReference, PaymentReport, PaymentState, PaymentStatus};
use bms_domain::store::{LONGEST_ASKING, OrderChange, StoreError};
use uuid::Uuid;

use super::settle::Change;
use super::{ATTEMPTS, PostgresOrders, row};
use crate::codec::{get, instant, money, number, parsed};
use crate::error::{STORE, broken};
use crate::run::{Failed, count, millis};
use crate::statements::query;

impl PostgresOrders {
    /// Does what the table says of a command to an order.
    pub(super) async fn command(
        &self,
        id: OrderId,
        by: Option<&Caller>,
        command: &OrderCommand,
    ) -> Result<OrderChange, StoreError> {
        for _ in 0..ATTEMPTS {
            if let Some(change) = self.try_command(id, by, command.clone()).await? {
                return Ok(change);
            }
        }
        Err(StoreError::unavailable(STORE))
    }

    /// `None` when something changed meanwhile, and nothing was written.
    async fn try_command(
        &self,
        id: OrderId,
        by: Option<&Caller>,
        command: OrderCommand,
    ) -> Result<Option<OrderChange>, StoreError> {
        let rows = self.rows_of(id).await?;
        let Some(row) = rows.first() else { return Ok(Some(OrderChange::NotFound)) };
        let (order, version, now) = (row::order(row)?, get::<i32>(row, "version")?, instant(row, "now")?);
        if by.is_some_and(|by| !by.may_touch(&order.owner)) {
            return Ok(Some(OrderChange::NotFound));
        }
        let step = match order::apply(&order.state, order.expires_at, command, now) {
            Ok(step) => step,
            Err(refusal) => return Ok(Some(OrderChange::Refused(order.at(now), refusal))),
        };
        if step.state == order.state {
            return Ok(Some(OrderChange::Done { order, changed: false }));
        }
        let owed = match step.refund {
            Some(reason) => match self.counted(&order).await? {
                Some(payment) => Some((PaymentState::RefundDue(reason), payment)),
                // Somebody else has ended it since it was read, or it never had one.
                None => match self.rows_of(id).await?.first() {
                    Some(row) if get::<i32>(row, "version")? == version => {
                        return Err(broken(format!("order {id}: no payment was counted for it")));
                    }
                    _ => return Ok(None),
                },
            },
            None => None,
        };
        let mut events = vec![(OrderEventKind::of(&step.state), order.refund_due)];
        if owed.is_some() {
            events.push((OrderEventKind::RefundDue, true));
        }
        let payment = owed.as_ref().map(|(state, report)| (*state, report));
        let change = Change { id, version, state: &step.state, events, payment, now };
        match self.change(&change, None).await {
            Ok(true) => {
                let refund_due = order.refund_due || owed.is_some();
                Ok(Some(OrderChange::Done { order: Order { state: step.state, refund_due, ..order }, changed: true }))
            }
            Ok(false) => Ok(None),
            Err(error) => Err(error.unexpected()),
        }
    }

    /// The payment that is counted for an order, if one is.
    async fn counted(&self, order: &Order) -> Result<Option<PaymentReport>, StoreError> {
        let rows = self.postgres.read(|| query(&self.sql.paid_by).bind(number(order.id.shard())).bind(order.id.uuid())).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let amount: Money = money(row)?;
        Ok(Some(PaymentReport {
            order: order.id,
            reference: parsed(row, "reference", PaymentReference::parse)?,
            key: parsed(row, "key", PaymentKey::parse)?,
            notice: None,
            status: PaymentStatus::Succeeded,
            amount,
        }))
    }

    /// Persists that orders have expired, unless somebody else changes them now. Gives back those that did.
    pub(super) async fn persist_expiry(&self, shards: &[i16], orders: &[Uuid]) -> Result<Vec<Order>, StoreError> {
        self.expire_by(&self.sql.expire, shards, orders).await
    }

    /// The same, waiting for whoever changes one of them now: to look again at once would find nothing new.
    pub(super) async fn persist_expiry_in_turn(&self, shard: i16, orders: &[Uuid]) -> Result<(), StoreError> {
        if !orders.is_empty() {
            self.expire_by(&self.expire_in_turn, &vec![shard; orders.len()], orders).await?;
        }
        Ok(())
    }

    async fn expire_by(&self, statement: &Arc<str>, shards: &[i16], orders: &[Uuid]) -> Result<Vec<Order>, StoreError> {
        let expire = || query(statement).bind(self.postgres.now()).bind(shards.to_vec()).bind(orders.to_vec());
        let rows = self.postgres.write(expire).await.map_err(Failed::unexpected)?;
        rows.iter().map(row::order).collect()
    }

    pub(super) async fn expire_up_to(&self, limit: usize) -> Result<Vec<Order>, StoreError> {
        let overdue = || query(&self.sql.overdue).bind(self.postgres.now()).bind(count(limit)).bind(millis(LONGEST_ASKING));
        let rows = self.postgres.read(overdue).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let shards: Vec<i16> = rows.iter().map(|row| get(row, "shard")).collect::<Result<_, _>>()?;
        let orders: Vec<Uuid> = rows.iter().map(|row| get(row, "id")).collect::<Result<_, _>>()?;
        self.persist_expiry(&shards, &orders).await
    }
}
