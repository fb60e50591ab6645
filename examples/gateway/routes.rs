//! The gateway's routes: those of the contract, each handed to the function that serves it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, get, on};
use axum::{Json, Router};
use bms_adapters_http::auth::Identity;
use bms_adapters_http::problem::{Code, Problem};
use bms_adapters_http::{Operation, operations};
use bms_adapters_lambda::Function;
use serde_json::json;

use crate::upstream::Upstream;

/// What is known of a request by its route.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) function: Function,
    pub(crate) needs_user: bool,
}

/// Every route of the contract, of its one table, by the one division. Probes are answered for the gateway itself.
pub(crate) fn router(upstream: Arc<Upstream>) -> Router {
    let mut router = Router::new().route("/readyz", get(ready));
    for Operation { method, path, needs_user, .. } in operations() {
        if let (Some(function), Ok(method)) = (Function::of(&path), MethodFilter::try_from(method)) {
            let route = Route { function, needs_user };
            let forward = async move |State(upstream): State<Arc<Upstream>>, request| forward(&upstream, route, request).await;
            router = router.route(&path, on(method, forward));
        }
    }
    router.with_state(upstream)
}

/// Hands a request on. Who must be known is, before it costs anybody anything; the function looks at the token again.
async fn forward(upstream: &Upstream, route: Route, request: Request) -> Response {
    if let Some(Identity(Err(unknown))) = request.extensions().get().filter(|_| route.needs_user) {
        return Problem::from(*unknown).into_response();
    }
    upstream.ask(route, request).await.unwrap_or_else(|failure| Problem::from(failure).into_response())
}

/// Whether every function is ready.
async fn ready(State(upstream): State<Arc<Upstream>>) -> Response {
    let functions = upstream.readiness().await;
    let (ready, failing): (Vec<_>, Vec<_>) = functions.into_iter().partition(|(_, is_ready)| *is_ready);
    let names = |functions: &[(&'static str, bool)]| functions.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    if failing.is_empty() {
        return Json(json!({"status": "ready", "dependencies": names(&ready)})).into_response();
    }
    let failing = names(&failing);
    tracing::warn!(?failing, "not ready");
    Problem::new(Code::Unavailable, "functions are not ready").with("dependencies", failing).into_response()
}
