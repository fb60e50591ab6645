//! What is sent of an event.

use bms_domain::event::OrderEvent;
use bms_domain::id::{OrderId, SeatId, ShowId};
use bms_domain::money::Currency;
use bms_domain::order::Customer;
use bms_domain::time::Timestamp;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct EventBody<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    at: Timestamp,
    order: OrderBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderBody<'a> {
    order_id: OrderId,
    show_id: ShowId,
    seat_ids: Vec<SeatId>,
    status: &'static str,
    amount: i64,
    currency: Currency,
    refund_due: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<&'a Customer>,
}

impl<'a> EventBody<'a> {
    pub(super) fn of(event: &'a OrderEvent, id: &'a str, with_customer: bool) -> Self {
        let order = &event.order;
        Self {
            id,
            kind: event.kind.name(),
            at: event.at,
            order: OrderBody {
                order_id: order.id,
                show_id: order.show,
                seat_ids: order.seats.ids().collect(),
                status: order.state.name(),
                amount: order.price.amount(),
                currency: order.price.currency(),
                refund_due: order.refund_due,
                customer: with_customer.then_some(&order.customer),
            },
        }
    }
}
