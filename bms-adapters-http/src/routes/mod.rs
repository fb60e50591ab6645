//! The route table, by resource.

mod admin;
pub(crate) mod health;
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

/// Every route once: for the router and for the document. Those whose path `serves` says no to are left out.
pub(crate) fn table(serves: impl Fn(&str) -> bool) -> OpenApiRouter<Arc<App>> {
    let all = [
        routes!(movies::list),
        routes!(movies::one),
        routes!(movies::shows),
        routes!(seatmap::map),
        routes!(sse::events),
        routes!(holds::place, holds::many),
        routes!(holds::one, holds::release),
        routes!(orders::create, orders::mine),
        routes!(orders::one, orders::give_up),
        routes!(orders::confirm),
        routes!(orders::confirm_payment),
        routes!(payments::notice),
        routes!(tickets::one),
        routes!(admin::put_movie),
        routes!(admin::put_theatre),
        routes!(admin::put_show),
        routes!(admin::cancel_order),
        routes!(health::alive),
        routes!(health::ready),
        routes!(health::metrics),
        routes!(crate::openapi::document),
    ];
    all.into_iter()
        .filter(|(_, paths, _)| paths.paths.keys().all(|path| serves(path)))
        .fold(OpenApiRouter::with_openapi(crate::openapi::base()), OpenApiRouter::routes)
}
