//! Whether it works, and how much.

use std::sync::Arc;

use axum::Json as JsonBody;
use axum::extract::State;
use axum::response::IntoResponse;
use bms_domain::Error;
use bms_domain::service::Readiness;

use crate::dto::{HealthBody, ReadyBody};
use crate::problem::Problem;
use crate::state::App;

/// The process is alive.
#[utoipa::path(get, path = "/healthz", operation_id = "isAlive", tag = "operation",
    responses((status = 200, body = HealthBody, description = "It is alive")))]
pub(crate) async fn alive() -> JsonBody<HealthBody> {
    JsonBody(HealthBody { status: "ok" })
}

/// Every dependency answers.
#[utoipa::path(get, path = "/readyz", operation_id = "isReady", tag = "operation",
    responses(
        (status = 200, body = ReadyBody, description = "Every dependency answers"),
        (status = 503, description = "`unavailable` with the `dependencies` that do not answer"),
    ))]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<JsonBody<ReadyBody>, Problem> {
    let readiness = app.service.readiness().await;
    let failing: Vec<String> = readiness.iter().filter_map(name_if_failing).collect();
    if failing.is_empty() {
        return Ok(JsonBody(ReadyBody { status: "ready", dependencies: readiness.iter().map(|it| it.dependency).collect() }));
    }
    tracing::warn!(?failing, "not ready");
    Err(Problem::unavailable("dependencies do not answer").with("dependencies", failing))
}

/// What a dependency that does not answer is, and by whose name its store goes: `the hold store (redis)`.
fn name_if_failing(readiness: &Readiness) -> Option<String> {
    let part = readiness.dependency;
    match readiness.problem.as_ref()? {
        Error::Unavailable { dependency, .. } | Error::OutcomeUnknown { dependency, .. } if *dependency != part => {
            Some(format!("{part} ({dependency})"))
        }
        _ => Some(part.to_owned()),
    }
}

/// Counts and latencies as Prometheus text.
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String, description = "Prometheus text")))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    app.edge.metrics.page(Some(app.service.seat_map_reads()))
}
