//! Rows of orders, events and payments.

use bms_domain::event::{EventKey, OrderEvent, OrderEventKind};
use bms_domain::id::{HoldId, LayoutId, OrderId, ShowId};
use bms_domain::order::{Customer, FailReason, Order, OrderState, Ticket, TicketCode, TicketSecret};
use bms_domain::payment::PaymentReference;
use bms_domain::seat::{SeatIndex, SeatList};
use bms_domain::store::{Delivery, StoreError};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::codec::{get, instant, money, parsed, seats, unescaped, user};
use crate::error::broken;

/// The order that a row of `order_records`, or of anything with its columns, holds: as it is written down.
pub(super) fn order(row: &PgRow) -> Result<Order, StoreError> {
    let id = order_id(row, "id")?;
    Ok(Order {
        id,
        hold: HoldId::from_uuid(get::<Uuid>(row, "hold_id")?).map_err(|_| broken(format!("order {id}: no hold id")))?,
        show: parsed(row, "show_id", ShowId::parse)?,
        layout: parsed(row, "layout_id", LayoutId::parse)?,
        owner: user(row, "owner")?,
        seats: seat_list(row)?,
        price: money(row)?,
        customer: Customer {
            name: unescaped(get(row, "customer_name")?).into_owned(),
            email: unescaped(get(row, "customer_email")?).into_owned(),
        },
        created_at: instant(row, "created_at")?,
        expires_at: instant(row, "expires_at")?,
        state: state(row)?,
        refund_due: get(row, "refund_due")?,
    })
}

/// The order of a row in its state of the row's `now`.
pub(super) fn order_of_now(row: &PgRow) -> Result<Order, StoreError> {
    Ok(order(row)?.at(instant(row, "now")?))
}

pub(super) fn order_id(row: &PgRow, column: &str) -> Result<OrderId, StoreError> {
    OrderId::from_uuid(get::<Uuid>(row, column)?).map_err(|_| broken(format!("column {column} is no order id")))
}

fn seat_list(row: &PgRow) -> Result<SeatList, StoreError> {
    let indices = seats(get::<Vec<i32>>(row, "seat_indices")?)?;
    let names: Vec<String> = get(row, "seat_ids")?;
    let indices: Vec<SeatIndex> = indices.iter().collect();
    SeatList::from_stored(indices, names).map_err(|_| broken("an order's seats and their names do not fit"))
}

fn state(row: &PgRow) -> Result<OrderState, StoreError> {
    let at = || instant(row, "state_at");
    match get(row, "state")? {
        "PAYMENT_PENDING" => Ok(OrderState::PaymentPending),
        "CONFIRMED" => Ok(OrderState::Confirmed { ticket: ticket(row)?, payment: payment(row)?, at: at()? }),
        "FAILED" => Ok(OrderState::Failed { reason: parsed(row, "fail_reason", FailReason::parse)?, at: at()? }),
        "EXPIRED" => Ok(OrderState::Expired { at: at()? }),
        "CANCELLED" => Ok(OrderState::Cancelled { ticket: ticket(row)?, payment: payment(row)?, at: at()? }),
        other => Err(broken(format!("an order's state is {other}"))),
    }
}

fn ticket(row: &PgRow) -> Result<Ticket, StoreError> {
    Ok(Ticket {
        code: parsed(row, "ticket_code", TicketCode::parse)?,
        secret: parsed(row, "ticket_secret", TicketSecret::parse)?,
    })
}

fn payment(row: &PgRow) -> Result<PaymentReference, StoreError> {
    parsed(row, "payment_reference", PaymentReference::parse)
}

/// An event on its way out, of a row of `order_events` with its `attempts`.
pub(super) fn delivery(row: &PgRow) -> Result<Delivery, StoreError> {
    let sequence: i32 = get(row, "sequence")?;
    let key = EventKey { order: order_id(row, "order_id")?, sequence: u32::try_from(sequence).unwrap_or(0) };
    let kind = parsed(row, "kind", OrderEventKind::parse)?;
    let event = OrderEvent { key, kind, at: instant(row, "at")?, order: order(row)? };
    let attempts: i32 = get(row, "attempts")?;
    Ok(Delivery { event, attempts: u32::try_from(attempts).unwrap_or(0) })
}

/// What a state takes in the columns of an order.
pub(super) struct StateColumns<'a> {
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) fail_reason: Option<&'static str>,
    pub(super) payment: Option<&'a str>,
}

impl<'a> StateColumns<'a> {
    pub(super) fn of(state: &'a OrderState) -> Self {
        match state {
            OrderState::PaymentPending => Self { at: None, fail_reason: None, payment: None },
            OrderState::Confirmed { payment, at, .. } | OrderState::Cancelled { payment, at, .. } => {
                Self { at: Some(at.to_utc()), fail_reason: None, payment: Some(payment.as_str()) }
            }
            OrderState::Failed { reason, at } => Self { at: Some(at.to_utc()), fail_reason: Some(reason.name()), payment: None },
            OrderState::Expired { at } => Self { at: Some(at.to_utc()), fail_reason: None, payment: None },
        }
    }
}
