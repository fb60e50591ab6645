//! What stands around routes, whichever they are: ids, counts, an authenticator, limits, a way down.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bms_domain::id::{IdSource, SystemIds};

use crate::auth::{self, Authenticator};
use crate::config::HttpConfig;
use crate::metrics::Metrics;
use crate::problem::{Code, Problem};
use crate::rate::{self, Limiter};
use crate::routes::health::alive;
use crate::shutdown::{self, Shutdown};
use crate::{deadline, trace};

pub(crate) struct Edge {
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) request_deadline: Duration,
    pub(crate) shutdown: Shutdown,
    pub(crate) metrics: Metrics,
    pub(crate) ids: Arc<dyn IdSource>,
    /// Whether a request without a trace begins one.
    pub(crate) begins_traces: bool,
}

impl Edge {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self {
            authenticator: config.authenticator.clone(),
            limiter: config.rate_limit.map(Limiter::new),
            request_deadline: config.request_deadline,
            shutdown: config.shutdown.clone(),
            metrics: Metrics::new(),
            ids: Arc::new(SystemIds),
            begins_traces: false,
        }
    }

    /// Puts everything around the routes. The last layer is the outermost.
    pub(crate) fn around<S: Clone + Send + Sync + 'static>(self: &Arc<Self>, routes: Router<S>) -> Router<S> {
        routes
            .layer(from_fn_with_state(self.clone(), rate::limit))
            .layer(from_fn_with_state(self.clone(), auth::identify))
            .layer(from_fn_with_state(self.clone(), deadline::end_in_time))
            .layer(from_fn_with_state(self.clone(), shutdown::refuse_when_down))
            .layer(from_fn_with_state(self.clone(), trace::observe))
    }
}

/// Puts around other routes what stands around those of [`router`](crate::router): for a gateway in front of servers that
/// serve the contract.
///
/// A request that reaches them has an `X-Request-Id` and a `traceparent`, the client's or new ones, and an
/// [`Identity`](auth::Identity) in its extensions; whether a route insists on a caller is its own affair. Rates are limited, a
/// request is answered by its deadline, and refused once the program goes down. `/healthz` and `/metrics` are added,
/// unknown paths and methods are answered with problems. What the configuration says of bodies, payment notices and parts of the
/// routes is of no account.
pub fn around(routes: Router, config: &HttpConfig) -> Router {
    let edge = Arc::new(Edge { begins_traces: true, ..Edge::new(config) });
    let metrics = Router::new().route("/metrics", get(async |State(edge): State<Arc<Edge>>| edge.metrics.page(None)));
    let routes = routes
        .route("/healthz", get(alive))
        .merge(metrics.with_state(edge.clone()))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(async || Problem::not_found());
    edge.around(routes)
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "not with this method")
}
