#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod auth;
mod config;
mod deadline;
mod dto;
mod extract;
mod idempotency;
mod metrics;
mod openapi;
mod problem;
mod rate;
mod routes;
mod shape;
mod shutdown;
mod state;
mod trace;
#[cfg(feature = "webhooks")]
pub mod webhooks;
mod written;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use bms_domain::BookingService;

pub use auth::{Authenticator, JwtAuthenticator};
pub use config::{ConfigError, HttpConfig};
pub use deadline::TokioTimer;
pub use rate::RateLimit;
pub use shutdown::Shutdown;

use problem::{Code, Problem};
use state::App;

/// All routes of the booking API over a service, ready to be merged into a host's own router.
///
/// Layers apply to these routes alone. Unknown paths are answered with a problem, also those of the host that it is
/// merged into, unless [`HttpConfig::without_fallback`] is set. Needs a tokio runtime with time.
pub fn router(service: BookingService, config: HttpConfig) -> Router {
    let fallback = config.fallback;
    let app = Arc::new(App::new(service, config));
    let (mut router, api) = routes::table().split_for_parts();
    match openapi::finish(api) {
        Ok(document) => drop(app.document.set(document)),
        Err(error) => tracing::error!(%error, "the OpenAPI document cannot be written"),
    }
    router = router.method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed, "not with this method"));
    router = router.route_layer(from_fn_with_state(app.clone(), idempotency::run_once));
    if fallback {
        router = router.fallback(async || Problem::not_found());
    }
    // The last layer is the outermost.
    router
        .layer(from_fn_with_state(app.clone(), rate::limit))
        .layer(from_fn_with_state(app.clone(), auth::identify))
        .layer(from_fn_with_state(app.clone(), deadline::end_in_time))
        .layer(from_fn_with_state(app.clone(), shutdown::refuse_when_down))
        .layer(from_fn_with_state(app.clone(), trace::observe))
        .with_state(app)
}
