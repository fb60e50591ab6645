//! Tickets, at the box office.

use std::sync::Arc;

use axum::Json as JsonBody;
use axum::extract::{Path, State};
use bms_domain::order::TicketCode;

use crate::auth::Admin;
use crate::dto::OrderBody;
use crate::problem::Problem;
use crate::state::App;

/// The order behind a ticket code. For administrators.
#[utoipa::path(get, path = "/api/v1/tickets/{ticketCode}", operation_id = "getTicket", tag = "admin", security(("bearer" = [])),
    params(("ticketCode" = String, Path, description = "`BMS-` and six characters; case does not matter")),
    responses(
        (status = 200, body = OrderBody, description = "The order"),
        (status = 403, description = "`forbidden`"),
        (status = 404, description = "`not-found`"),
    ))]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    code: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<JsonBody<OrderBody>, Problem> {
    let code = code.ok().and_then(|Path(code)| TicketCode::parse(&code).ok()).ok_or_else(Problem::not_found)?;
    let order = app.service.order_by_ticket(&caller, &code).await?;
    Ok(JsonBody(OrderBody::seen_by(&caller, &order)))
}
