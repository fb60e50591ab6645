//! Orders: make, look at, pay, give up.

use std::sync::Arc;

use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bms_domain::id::{Caller, HoldId, OrderId};
use bms_domain::payment::PaymentReference;
use bms_domain::service::Payment;

use crate::auth::User;
use crate::dto::{self, BookingId, ConfirmRequest, CreateOrderRequest, OrderBody, OrderList, PageQuery};
use crate::extract::{Id, Json, Query};
use crate::problem::Problem;
use crate::state::App;

/// Turns a hold into an order that waits for payment. The same hold again gives the same order.
#[utoipa::path(post, path = "/api/v1/orders", operation_id = "createOrder", tag = "orders", security(("bearer" = [])),
    request_body = CreateOrderRequest,
    responses(
        (status = 201, body = OrderBody, description = "The order was made", headers(("Location" = String))),
        (status = 200, body = OrderBody, description = "The hold has this order already"),
        (status = 404, description = "`not-found`: the hold"),
        (status = 409, description = "`hold-not-active`, `sales-closed`, `seats-unavailable`"),
        (status = 410, description = "`hold-expired`"),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    User(caller): User,
    Json(request): Json<CreateOrderRequest>,
) -> Result<Response, Problem> {
    let hold = HoldId::parse(&request.hold_id).map_err(|_| Problem::not_found())?;
    let placed = app.service.create_order(&caller, hold, request.customer.into()).await?;
    let body = JsonBody(OrderBody::seen_by(&caller, &placed.order));
    if !placed.created {
        return Ok(body.into_response());
    }
    app.edge.metrics.order_created();
    let location = format!("/api/v1/orders/{}", placed.order.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], body).into_response())
}

/// The caller's own orders, newest first.
#[utoipa::path(get, path = "/api/v1/orders", operation_id = "listOrders", tag = "orders", security(("bearer" = [])),
    params(PageQuery),
    responses((status = 200, body = OrderList, description = "A part of the orders")))]
pub(crate) async fn mine(
    State(app): State<Arc<App>>,
    User(caller): User,
    Query(query): Query<PageQuery>,
) -> Result<JsonBody<OrderList>, Problem> {
    let before: Option<OrderId> = dto::cursor(query.cursor.as_deref())?;
    let page = app.service.my_orders(&caller, before, dto::limit(query.limit.as_deref())?).await?;
    let orders = page.items.iter().map(|order| OrderBody::seen_by(&caller, order)).collect();
    Ok(JsonBody(OrderList { orders, next_cursor: page.next }))
}

/// An order.
#[utoipa::path(get, path = "/api/v1/orders/{orderId}", operation_id = "getOrder", tag = "orders", security(("bearer" = [])),
    params(("orderId" = BookingId, Path)),
    responses((status = 200, body = OrderBody, description = "The order"), (status = 404, description = "`not-found`")))]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    User(caller): User,
    Id(id): Id<OrderId>,
) -> Result<JsonBody<OrderBody>, Problem> {
    let order = app.service.order(&caller, id).await?;
    Ok(JsonBody(OrderBody::seen_by(&caller, &order)))
}

/// Gives up an order that waits for payment: FAILED, and its hold can be used again. Repeating it gives the same.
#[utoipa::path(delete, path = "/api/v1/orders/{orderId}", operation_id = "giveUpOrder", tag = "orders", security(("bearer" = [])),
    params(("orderId" = BookingId, Path)),
    responses(
        (status = 200, body = OrderBody, description = "The order, FAILED"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`order-not-pending`"),
        (status = 410, description = "`order-expired`"),
    ))]
pub(crate) async fn give_up(
    State(app): State<Arc<App>>,
    User(caller): User,
    Id(id): Id<OrderId>,
) -> Result<JsonBody<OrderBody>, Problem> {
    let order = app.service.give_up_order(&caller, id).await?;
    Ok(JsonBody(OrderBody::seen_by(&caller, &order)))
}

/// Confirms an order that was paid. Repeating it gives the same.
#[utoipa::path(post, path = "/api/v1/orders/{orderId}/confirm", operation_id = "confirmOrder", tag = "orders", security(("bearer" = [])),
    params(("orderId" = BookingId, Path)),
    request_body = ConfirmRequest,
    responses(
        (status = 200, body = OrderBody, description = "The order, CONFIRMED, with its ticket"),
        (status = 202, body = OrderBody, description = "The payment is under way; the order goes on waiting for it"),
        (status = 402, description = "`payment-declined` with the order as it is now"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`order-not-pending`"),
        (status = 410, description = "`order-expired`"),
    ))]
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    User(caller): User,
    Id(id): Id<OrderId>,
    Json(request): Json<ConfirmRequest>,
) -> Result<Response, Problem> {
    confirm_with(&app, &caller, id, &request).await
}

/// The same as `/confirm`.
#[utoipa::path(post, path = "/api/v1/orders/{orderId}/confirm-payment", operation_id = "confirmPayment", tag = "orders", security(("bearer" = [])),
    params(("orderId" = BookingId, Path)),
    request_body = ConfirmRequest,
    responses(
        (status = 200, body = OrderBody, description = "The order, CONFIRMED, with its ticket"),
        (status = 202, body = OrderBody, description = "The payment is under way; the order goes on waiting for it"),
        (status = 402, description = "`payment-declined` with the order as it is now"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`order-not-pending`"),
        (status = 410, description = "`order-expired`"),
    ))]
pub(crate) async fn confirm_payment(
    State(app): State<Arc<App>>,
    User(caller): User,
    Id(id): Id<OrderId>,
    Json(request): Json<ConfirmRequest>,
) -> Result<Response, Problem> {
    confirm_with(&app, &caller, id, &request).await
}

async fn confirm_with(app: &App, caller: &Caller, id: OrderId, request: &ConfirmRequest) -> Result<Response, Problem> {
    let reference = PaymentReference::parse(&request.payment_reference)
        .map_err(|error| Problem::invalid("/paymentReference", error.rule()))?;
    let (status, order) = match app.service.confirm_order(caller, id, &reference).await? {
        Payment::Confirmed(order) => {
            app.edge.metrics.order_confirmed();
            (StatusCode::OK, order)
        }
        Payment::Pending(order) => (StatusCode::ACCEPTED, order),
    };
    Ok((status, JsonBody(OrderBody::seen_by(caller, &order))).into_response())
}
