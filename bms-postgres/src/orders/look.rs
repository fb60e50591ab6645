//! Looks at an order, together with others who look at theirs.

use std::convert::Infallible;
use std::iter;
use std::time::Duration;

use bms_domain::id::OrderId;
use bms_domain::order::Order;
use bms_domain::store::StoreError;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;

use super::gather::Call;
use super::{OrderSql, row};
use crate::codec::number;
use crate::run::Effect;
use crate::statements::{Query, query};

/// An order that is asked for.
pub(super) struct Look(pub(super) OrderId);

impl Call for Look {
    /// As it is by then: an order that has expired says so.
    type Done = Order;
    /// Each has a row of its own, also of the same order.
    type Want = Infallible;

    const EFFECT: Effect = Effect::Reads;

    fn order(&self) -> OrderId {
        self.0
    }

    fn wants(&self) -> impl Iterator<Item = Infallible> {
        iter::empty()
    }

    fn statement<'q>(calls: &[&Self], sql: &OrderSql, now: Option<DateTime<Utc>>, _: Duration) -> Query<'q> {
        query(&sql.get)
            .bind(now)
            .bind(calls.iter().map(|Self(id)| number(id.shard())).collect::<Vec<_>>())
            .bind(calls.iter().map(|Self(id)| id.uuid()).collect::<Vec<_>>())
    }

    fn done(row: &PgRow) -> Result<Order, StoreError> {
        row::order_of_now(row)
    }
}
