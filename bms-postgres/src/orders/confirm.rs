//! Counts a payment for its order, and sells the order its seats: one conditional statement, for one order or for many.

use std::time::Duration;

use bms_domain::id::OrderId;
use bms_domain::order::{Order, Ticket, TicketCode};
use bms_domain::payment::{NoticeId, PaymentKey, PaymentReport};
use bms_domain::store::StoreError;
use bms_domain::time::Timestamp;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;

use super::gather::Call;
use super::{OrderSql, row};
use crate::codec::number;
use crate::run::{Effect, millis};
use crate::statements::{Query, query};

/// A payment for an order.
pub(super) struct Confirm {
    pub(super) report: PaymentReport,
    pub(super) ticket: Ticket,
    /// The version that was looked at, and when. Without, it is for an order that waits for just this payment. With, it goes alone.
    pub(super) looked_at: Option<(i32, Timestamp)>,
}

/// What can be for one order only.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Want {
    Order(OrderId),
    Payment(PaymentKey),
    Notice(NoticeId),
    Code(TicketCode),
}

impl Call for Confirm {
    type Done = Order;
    type Want = Want;

    const EFFECT: Effect = Effect::Writes;

    fn order(&self) -> OrderId {
        self.report.order
    }

    fn wants(&self) -> impl Iterator<Item = Want> {
        let notice = self.report.notice.clone().map(Want::Notice);
        [Want::Order(self.report.order), Want::Payment(self.report.key.clone()), Want::Code(self.ticket.code)]
            .into_iter()
            .chain(notice)
    }

    fn statement<'q>(calls: &[&Self], sql: &OrderSql, now: Option<DateTime<Utc>>, patience: Duration) -> Query<'q> {
        let looked_at = calls.first().and_then(|confirm| confirm.looked_at);
        let reports = || calls.iter().map(|confirm| &confirm.report);
        let tickets = || calls.iter().map(|confirm| &confirm.ticket);
        query(&sql.confirm)
            .bind(looked_at.map(|(_, at)| at.to_utc()).or(now))
            .bind(reports().map(|report| number(report.order.shard())).collect::<Vec<_>>())
            .bind(reports().map(|report| report.order.uuid()).collect::<Vec<_>>())
            .bind(reports().map(|report| report.key.as_str()).collect::<Vec<_>>())
            .bind(reports().map(|report| report.reference.as_str()).collect::<Vec<_>>())
            .bind(reports().map(|report| report.amount.amount()).collect::<Vec<_>>())
            .bind(reports().map(|report| report.amount.currency().code()).collect::<Vec<_>>())
            .bind(tickets().map(|ticket| ticket.code.to_string()).collect::<Vec<_>>())
            .bind(tickets().map(|ticket| ticket.secret.expose()).collect::<Vec<_>>())
            .bind(reports().map(|report| report.notice.as_ref().map(NoticeId::as_str)).collect::<Vec<_>>())
            .bind(looked_at.map(|(version, _)| version))
            .bind(millis(patience).to_string())
    }

    fn done(row: &PgRow) -> Result<Order, StoreError> {
        row::order(row)
    }
}
