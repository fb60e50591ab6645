//! Takes payment reports.
//!
//! The common case, a first success that comes in time, is one conditional statement. Every other report is looked at with
//! everything that is known, decided by [`payment::apply`], and written to the version that was looked at, or looked at again.

use bms_domain::event::OrderEventKind;
use bms_domain::id::OrderId;
use bms_domain::order::{Order, OrderState, Ticket};
use bms_domain::payment::{self, Decision, Known, PaymentReport, PaymentState, PaymentStatus, RefundReason};
use bms_domain::store::{Settled, Settlement, StoreError};
use bms_domain::time::Timestamp;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::confirm::Confirm;
use super::{ATTEMPTS, PostgresOrders, row};
use crate::codec::{get, instant, number, parsed};
use crate::error::{STORE, broken};
use crate::run::Failed;
use crate::statements::query;

/// The constraint that gives a code to one order.
const CODE: &str = "tickets_pkey";
/// The index that lets a hold have one open order.
const ONE_OPEN_A_HOLD: &str = "orders_one_open_a_hold";

/// All that decides what a report does.
struct Facts {
    now: Timestamp,
    /// The order as it is written down, and its version.
    order: Option<(Order, i32)>,
    payment: Option<PaymentState>,
    another_open: bool,
    /// Which order the payment was counted for, or is to be given back for.
    payer: Option<Uuid>,
    notice_known: bool,
    claimable: bool,
}

impl Facts {
    fn of(row: &PgRow) -> Result<Self, StoreError> {
        let order = match get::<Option<Uuid>>(row, "id")? {
            Some(_) => Some((row::order(row)?, get(row, "version")?)),
            None => None,
        };
        Ok(Self {
            now: instant(row, "now")?,
            order,
            payment: payment_state(row)?,
            another_open: get(row, "another_open")?,
            payer: get(row, "payer")?,
            notice_known: get(row, "notice_known")?,
            claimable: get(row, "claimable")?,
        })
    }
}

fn payment_state(row: &PgRow) -> Result<Option<PaymentState>, StoreError> {
    if get::<Option<&str>>(row, "payment_state")?.is_none() {
        return Ok(None);
    }
    let reason = match get::<Option<&str>>(row, "refund_reason")? {
        Some(_) => Some(parsed(row, "refund_reason", RefundReason::parse)?),
        None => None,
    };
    parsed(row, "payment_state", |name| PaymentState::parse(name, reason)).map(Some)
}

/// What a payment that is known already amounts to.
fn recorded(state: Option<PaymentState>) -> Settled {
    match state {
        Some(PaymentState::RefundDue(reason)) => Settled::RefundDue(reason),
        Some(PaymentState::Pending | PaymentState::Failed | PaymentState::Counted) | None => Settled::Recorded,
    }
}

/// What a change writes beside the order.
pub(super) struct Change<'a> {
    pub(super) id: OrderId,
    pub(super) version: i32,
    pub(super) state: &'a OrderState,
    /// The kind of each event, and whether money is to be given back after it.
    pub(super) events: Vec<(OrderEventKind, bool)>,
    pub(super) payment: Option<(PaymentState, &'a PaymentReport)>,
    pub(super) now: Timestamp,
}

impl PostgresOrders {
    pub(super) async fn take_report(&self, report: &PaymentReport, ticket: &Ticket) -> Result<Settlement, StoreError> {
        if report.status == PaymentStatus::Succeeded {
            let confirm = Confirm { report: report.clone(), ticket: *ticket, looked_at: None };
            match self.confirms.ask(confirm, self.postgres.until()).await {
                Ok(Some(order)) => return Ok(Settlement { order: Some(order), settled: Settled::Confirmed }),
                Ok(None) => {}
                Err(Failed::Violates(constraint)) => tracing::trace!(order = %report.order, constraint, "a payment is looked at"),
                Err(Failed::Store(error)) => return Err(error),
            }
        }
        for _ in 0..ATTEMPTS {
            if let Some(settlement) = self.settle_by_facts(report, ticket).await? {
                return Ok(settlement);
            }
        }
        Err(StoreError::unavailable(STORE))
    }

    /// `None` when something changed meanwhile, and nothing was written.
    async fn settle_by_facts(&self, report: &PaymentReport, ticket: &Ticket) -> Result<Option<Settlement>, StoreError> {
        let facts = self.facts(report).await?;
        let Some((order, version)) = &facts.order else {
            return self.settle_stray(report, &facts).await;
        };
        let answer = |order: Order, settled| Some(Settlement { order: Some(order.at(facts.now)), settled });
        if facts.notice_known {
            return Ok(answer(order.clone(), recorded(facts.payment)));
        }
        if facts.payer.is_some_and(|payer| payer != report.order.uuid()) {
            self.note(report, facts.now).await?;
            return Ok(answer(order.clone(), Settled::OtherOrders));
        }
        let known = Known { order, payment: facts.payment, another_open: facts.another_open, claimable: facts.claimable };
        let decision = payment::apply(known, report, *ticket, facts.now);
        if decision.order.is_confirmed() && !order.state.is_confirmed() {
            let confirm = Confirm { report: report.clone(), ticket: *ticket, looked_at: Some((*version, facts.now)) };
            return match self.confirms.alone(&confirm, self.postgres.until()).await {
                Ok(confirmed) => Ok(confirmed.and_then(|order| answer(order, Settled::Confirmed))),
                Err(Failed::Violates(constraint)) if constraint == CODE => Ok(answer(order.clone(), Settled::CodeTaken)),
                Err(Failed::Violates(constraint)) if constraint == ONE_OPEN_A_HOLD => {
                    self.expire_others_of_hold(order).await?;
                    Ok(None)
                }
                Err(Failed::Violates(_)) => Ok(None),
                Err(Failed::Store(error)) => Err(error),
            };
        }
        let settled = match decision.payment {
            PaymentState::Failed if order.state.is_pending() && matches!(decision.order, OrderState::Failed { .. }) => {
                Settled::Failed
            }
            state => recorded(Some(state)),
        };
        let Some(order) = self.write_decision(order, *version, &facts, report, &decision).await? else { return Ok(None) };
        Ok(answer(order, settled))
    }

    /// Persists that the other orders of a late order's hold have expired: as they are written down they are open still.
    async fn expire_others_of_hold(&self, order: &Order) -> Result<(), StoreError> {
        let shard = number(order.id.shard());
        let ran_out =
            || query(&self.sql.ran_out).bind(self.postgres.now()).bind(shard).bind(order.hold.uuid()).bind(order.id.uuid());
        let rows = self.postgres.read(ran_out).await?;
        let others: Vec<Uuid> = rows.iter().map(|row| get(row, "id")).collect::<Result<_, _>>()?;
        self.persist_expiry_in_turn(shard, &others).await
    }

    async fn facts(&self, report: &PaymentReport) -> Result<Facts, StoreError> {
        let rows = self.postgres.read(|| {
            query(&self.sql.facts)
                .bind(self.postgres.now())
                .bind(number(report.order.shard()))
                .bind(report.order.uuid())
                .bind(report.key.as_str().to_owned())
                .bind(report.notice.as_ref().map(|notice| notice.as_str().to_owned()))
        });
        Facts::of(rows.await?.first().ok_or_else(|| broken("no answer"))?)
    }

    /// Writes what was decided of a report that does not confirm its order. `None` when something changed meanwhile.
    async fn write_decision(
        &self,
        order: &Order,
        version: i32,
        facts: &Facts,
        report: &PaymentReport,
        decision: &Decision,
    ) -> Result<Option<Order>, StoreError> {
        let mut after = Order { state: decision.order.clone(), ..order.clone() };
        let newly = facts.payment != Some(decision.payment);
        let mut events = Vec::new();
        if decision.order != order.state {
            events.push((OrderEventKind::of(&decision.order), order.refund_due));
        }
        if newly && decision.payment.refund().is_some() {
            events.push((OrderEventKind::RefundDue, true));
            after.refund_due = true;
        }
        if !newly && events.is_empty() {
            self.note(report, facts.now).await?;
            return Ok(Some(after));
        }
        let payment = newly.then_some((decision.payment, report));
        let change = Change { id: order.id, version, state: &decision.order, events, payment, now: facts.now };
        match self.change(&change, Some(report)).await {
            Ok(true) => Ok(Some(after)),
            // A notice or a payment that came in between: look again.
            Ok(false) | Err(Failed::Violates(_)) => Ok(None),
            Err(Failed::Store(error)) => Err(error),
        }
    }

    /// Brings an order from a version to a state; `false` when it has another version by now.
    pub(super) async fn change(&self, change: &Change<'_>, notice: Option<&PaymentReport>) -> Result<bool, Failed> {
        let columns = row::StateColumns::of(change.state);
        let kinds: Vec<&str> = change.events.iter().map(|(kind, _)| kind.name()).collect();
        let owed: Vec<bool> = change.events.iter().map(|(_, owed)| *owed).collect();
        let payment = change.payment.as_ref();
        let report = payment.map(|(_, report)| *report).or(notice);
        let rows = self.postgres.write(|| {
            query(&self.sql.change)
                .bind(Some(change.now.to_utc()))
                .bind(number(change.id.shard()))
                .bind(change.id.uuid())
                .bind(change.version)
                .bind(change.state.name())
                .bind(columns.at)
                .bind(columns.fail_reason)
                .bind(columns.payment.map(str::to_owned))
                .bind(kinds.clone())
                .bind(owed.clone())
                .bind(payment.map(|(_, report)| report.key.as_str().to_owned()))
                .bind(report.map(|report| report.reference.as_str().to_owned()))
                .bind(payment.map(|(state, _)| state.name()))
                .bind(payment.and_then(|(state, _)| state.refund()).map(RefundReason::name))
                .bind(report.map(|report| report.amount.amount()))
                .bind(report.map(|report| report.amount.currency().code()))
                .bind(notice.and_then(|report| report.notice.as_ref()).map(|notice| notice.as_str().to_owned()))
                .bind(notice.map(|report| report.status.name()))
        });
        Ok(!rows.await?.is_empty())
    }

    /// Money came, or did not, for an order that does not exist. `None` when it does by now.
    async fn settle_stray(&self, report: &PaymentReport, facts: &Facts) -> Result<Option<Settlement>, StoreError> {
        let answer = |settled| Some(Settlement { order: None, settled });
        if facts.payer.is_some_and(|payer| payer != report.order.uuid()) {
            self.note(report, facts.now).await?;
            return Ok(answer(Settled::OtherOrders));
        }
        if facts.notice_known || facts.payment.is_some() || report.status != PaymentStatus::Succeeded {
            self.note(report, facts.now).await?;
            return Ok(answer(recorded(facts.payment)));
        }
        let stray = self.postgres.write(|| {
            query(&self.sql.stray)
                .bind(Some(facts.now.to_utc()))
                .bind(number(report.order.shard()))
                .bind(report.order.uuid())
                .bind(report.key.as_str().to_owned())
                .bind(report.reference.as_str().to_owned())
                .bind(report.amount.amount())
                .bind(report.amount.currency().code())
                .bind(report.notice.as_ref().map(|notice| notice.as_str().to_owned()))
        });
        match stray.await {
            Ok(rows) if rows.is_empty() => Ok(None),
            Ok(_) => Ok(answer(Settled::RefundDue(RefundReason::UnknownOrder))),
            Err(Failed::Violates(_)) => Ok(None),
            Err(Failed::Store(error)) => Err(error),
        }
    }

    /// Records a notice that changes nothing else.
    async fn note(&self, report: &PaymentReport, now: Timestamp) -> Result<(), StoreError> {
        let Some(notice) = &report.notice else { return Ok(()) };
        let noted = self.postgres.write(|| {
            query(&self.sql.notice)
                .bind(Some(now.to_utc()))
                .bind(notice.as_str().to_owned())
                .bind(number(report.order.shard()))
                .bind(report.order.uuid())
                .bind(report.reference.as_str().to_owned())
                .bind(report.status.name())
                .bind(report.amount.amount())
                .bind(report.amount.currency().code())
        });
        noted.await.map_err(Failed::unexpected)?;
        Ok(())
    }
}
