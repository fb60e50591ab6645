//! Orders.

use std::fmt;

use bms_domain::id::{Caller, HoldId, OrderId, SeatId, ShowId};
use bms_domain::money::Currency;
use bms_domain::order::{Customer, Order, OrderState, Ticket, TicketCode};
use bms_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BookingId, CurrencyCode, EntryId, Instant, SeatName};

/// Which hold to buy, and whom to write to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateOrder)]
pub(crate) struct CreateOrderRequest {
    /// The hold.
    #[schema(value_type = BookingId)]
    pub(crate) hold_id: String,
    /// Whom to write to.
    pub(crate) customer: CustomerBody,
}

/// Whom to write to about an order.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Customer)]
pub(crate) struct CustomerBody {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(min_length = 3, max_length = 254, format = Email)]
    email: String,
}

impl fmt::Debug for CustomerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Customer(…)")
    }
}

impl From<CustomerBody> for Customer {
    fn from(CustomerBody { name, email }: CustomerBody) -> Self {
        Self { name, email }
    }
}

/// Which payment paid for the order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ConfirmOrder)]
pub(crate) struct ConfirmRequest {
    /// The payment with its provider.
    #[schema(min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    pub(crate) payment_reference: String,
}

/// A state of an order.
#[derive(ToSchema)]
#[schema(as = OrderStatus, rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "names a schema")]
pub(crate) enum OrderStatus {
    PaymentPending,
    Confirmed,
    Failed,
    Expired,
    Cancelled,
}

/// An order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Order)]
pub(crate) struct OrderBody {
    #[schema(value_type = BookingId)]
    order_id: OrderId,
    #[schema(value_type = BookingId)]
    hold_id: HoldId,
    #[schema(value_type = EntryId)]
    show_id: ShowId,
    #[schema(value_type = Vec<SeatName>)]
    seat_ids: Vec<SeatId>,
    #[schema(value_type = OrderStatus)]
    status: &'static str,
    customer: CustomerBody,
    /// Minor units.
    amount: i64,
    #[schema(value_type = CurrencyCode)]
    currency: Currency,
    #[schema(value_type = Instant)]
    created_at: Timestamp,
    /// Until when it waits for payment.
    #[schema(value_type = Instant)]
    expires_at: Timestamp,
    /// For reading aloud: it authorises nothing. Null until the order is confirmed.
    #[schema(required, value_type = Option<String>)]
    ticket_code: Option<TicketCode>,
    /// What opens the door: 160 random bits, to be shown as a barcode. Null unless the order is CONFIRMED, and for
    /// everybody but its owner.
    #[schema(required)]
    ticket_secret: Option<String>,
    /// Whether money is to be given back.
    refund_due: bool,
}

impl fmt::Debug for OrderBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("order_id", &self.order_id).field("status", &self.status).finish_non_exhaustive()
    }
}

/// A part of the caller's orders, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderList {
    pub(crate) orders: Vec<OrderBody>,
    /// Where the next part begins; null at the end.
    #[schema(required, value_type = Option<String>)]
    pub(crate) next_cursor: Option<OrderId>,
}

impl OrderBody {
    /// The order as the caller may see it.
    pub(crate) fn seen_by(caller: &Caller, order: &Order) -> Self {
        let mut body = Self::without_secret(order);
        if let OrderState::Confirmed { ticket, .. } = &order.state
            && *caller.id() == order.owner
        {
            body.ticket_secret = Some(ticket.secret.expose().to_owned());
        }
        body
    }

    /// The order without what opens the door.
    pub(crate) fn without_secret(order: &Order) -> Self {
        let ticket: Option<&Ticket> = match &order.state {
            OrderState::Confirmed { ticket, .. } | OrderState::Cancelled { ticket, .. } => Some(ticket),
            OrderState::PaymentPending | OrderState::Failed { .. } | OrderState::Expired { .. } => None,
        };
        Self {
            order_id: order.id,
            hold_id: order.hold,
            show_id: order.show,
            seat_ids: order.seats.ids().collect(),
            status: order.state.name(),
            customer: CustomerBody { name: order.customer.name.clone(), email: order.customer.email.clone() },
            amount: order.price.amount(),
            currency: order.price.currency(),
            created_at: order.created_at,
            expires_at: order.expires_at,
            ticket_code: ticket.map(|ticket| ticket.code),
            ticket_secret: None,
            refund_due: order.refund_due,
        }
    }
}
