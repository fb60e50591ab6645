//! What is sent of an event, wherever it is sent.

use bms_domain::event::{EventKey, OrderEvent, OrderEventKind};
use bms_domain::id::{OrderId, SeatId, ShowId};
use bms_domain::money::Money;
use bms_domain::order::Customer;
use bms_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An event as JSON, the same to a webhook, a queue or a topic. Who reads it ignores fields that he does not know, and kinds
/// of events that do not concern him: there may be more of both one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventBody {
    /// Which event: the same each time it comes.
    pub id: EventKey,
    /// What happened: the [name](OrderEventKind::name) of a kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// The order just after it happened.
    pub order: OrderBody,
}

/// The order of an [`EventBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrderBody {
    /// Its id.
    pub order_id: OrderId,
    /// The show.
    pub show_id: ShowId,
    /// The seats.
    pub seat_ids: Vec<SeatId>,
    /// The [name](bms_domain::order::OrderState::name) of its state.
    pub status: String,
    /// What was to be paid: `amount` in minor units, and `currency`.
    #[serde(flatten)]
    pub price: Money,
    /// Whether money is to be given back.
    pub refund_due: bool,
    /// Whom to write to; only where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
}

impl EventBody {
    /// What is sent of an event. The customer is personal data: only to a receiver that needs it. Tickets never are.
    #[must_use]
    pub fn of(event: &OrderEvent, with_customer: bool) -> Self {
        let order = &event.order;
        Self {
            id: event.key,
            kind: event.kind.name().to_owned(),
            at: event.at,
            order: OrderBody {
                order_id: order.id,
                show_id: order.show,
                seat_ids: order.seats.ids().collect(),
                status: order.state.name().to_owned(),
                price: order.price,
                refund_due: order.refund_due,
                customer: with_customer.then(|| order.customer.clone()),
            },
        }
    }

    /// Whether it tells that this happened.
    #[must_use]
    pub fn is(&self, kind: OrderEventKind) -> bool {
        self.kind == kind.name()
    }
}
