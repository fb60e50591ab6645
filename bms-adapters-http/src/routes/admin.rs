//! What only administrators may do.

use std::sync::Arc;

use axum::Json as JsonBody;
use axum::extract::State;
use bms_domain::id::OrderId;

use crate::auth::Admin;
use crate::dto::{BookingId, OrderBody};
use crate::extract::Id;
use crate::problem::Problem;
use crate::state::App;

/// Cancels a confirmed order: its seats are free, its payment is to be given back. Repeating it gives the same.
#[utoipa::path(post, path = "/api/v1/admin/orders/{orderId}/cancel", operation_id = "cancelOrder", tag = "admin", security(("bearer" = [])),
    params(("orderId" = BookingId, Path)),
    responses(
        (status = 200, body = OrderBody, description = "The order, CANCELLED"),
        (status = 403, description = "`forbidden`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`order-pending`, `order-not-pending`"),
        (status = 410, description = "`order-expired`"),
    ))]
pub(crate) async fn cancel_order(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(id): Id<OrderId>,
) -> Result<JsonBody<OrderBody>, Problem> {
    let order = app.service.cancel_order(&caller, id).await?;
    app.metrics.refund_due();
    Ok(JsonBody(OrderBody::seen_by(&caller, &order)))
}
