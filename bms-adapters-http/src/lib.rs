#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod auth;
mod config;
mod contract;
mod deadline;
mod dto;
mod edge;
mod event;
mod extract;
mod idempotency;
mod metrics;
mod openapi;
pub mod problem;
mod rate;
mod routes;
mod shape;
mod shutdown;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
#[cfg(feature = "webhooks")]
pub mod webhooks;
mod written;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use bms_domain::BookingService;

pub use auth::{Authenticator, JwtAuthenticator};
pub use config::{ConfigError, HttpConfig};
pub use contract::{Operation, operations};
pub use deadline::{RequestEnd, TokioTimer};
pub use edge::around;
pub use event::{EventBody, OrderBody};
pub use rate::RateLimit;
pub use shutdown::Shutdown;

use problem::Problem;
use state::App;

/// All routes of the booking API over a service, ready to be merged into a host's own router.
///
/// Layers apply to these routes alone. Unknown paths are answered with a problem, also those of the host that it is
/// merged into, unless [`HttpConfig::without_fallback`] is set. Needs a tokio runtime with time.
pub fn router(service: BookingService, config: HttpConfig) -> Router {
    let fallback = config.fallback;
    let serves = config.serves.clone();
    let app = Arc::new(App::new(service, config));
    let (mut router, _) = routes::table(|path| serves.as_ref().is_none_or(|serves| serves(path))).split_for_parts();
    // A part of the routes serves the document of the whole, too.
    match openapi::finish(routes::table(|_| true).into_openapi()) {
        Ok(document) => drop(app.document.set(document)),
        Err(error) => tracing::error!(%error, "the OpenAPI document cannot be written"),
    }
    router = router.method_not_allowed_fallback(edge::method_not_allowed);
    router = router.route_layer(from_fn_with_state(app.clone(), idempotency::run_once));
    if fallback {
        router = router.fallback(async || Problem::not_found());
    }
    app.edge.around(router).with_state(app)
}

/// What a host answers as long as it has no service to make a router of: 503 `unavailable`, with `Retry-After`.
#[must_use]
pub fn unavailable() -> Response {
    Problem::unavailable("try again soon; nothing was done").into_response()
}
