//! The route table, by resource.

mod admin;
mod health;
mod holds;
mod movies;
mod orders;
mod payments;
mod seatmap;
mod sse;
mod tickets;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Every route once: for the router and for the document.
pub(crate) fn table() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(crate::openapi::base())
        .routes(routes!(movies::list))
        .routes(routes!(movies::one))
        .routes(routes!(movies::shows))
        .routes(routes!(seatmap::map))
        .routes(routes!(sse::events))
        .routes(routes!(holds::place, holds::many))
        .routes(routes!(holds::one, holds::release))
        .routes(routes!(orders::create, orders::mine))
        .routes(routes!(orders::one, orders::give_up))
        .routes(routes!(orders::confirm))
        .routes(routes!(orders::confirm_payment))
        .routes(routes!(payments::notice))
        .routes(routes!(tickets::one))
        .routes(routes!(admin::put_movie))
        .routes(routes!(admin::put_theatre))
        .routes(routes!(admin::put_show))
        .routes(routes!(admin::cancel_order))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(crate::openapi::document))
}
