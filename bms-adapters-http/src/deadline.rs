//! Nothing hangs: the runtime's timer for the service's calls, and an end to every request.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bms_domain::time::Timer;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::edge::Edge;
use crate::problem::Problem;

/// Lets tokio's time pass, for [`Builder::deadline`](bms_domain::service::Builder::deadline).
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimer;

impl Timer for TokioTimer {
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

/// In a request's extensions: when it has to be answered, should that be sooner than the configured deadline. For a host
/// that itself has no more time than that.
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd(pub Instant);

/// Ends a request that takes too long, a body that never arrives included (promise P11).
pub(crate) async fn end_in_time(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let mut end = Instant::now() + edge.request_deadline;
    if let Some(RequestEnd(sooner)) = request.extensions().get() {
        end = end.min(*sooner);
    }
    match tokio::time::timeout_at(end, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!("a request took too long");
            Problem::unavailable("it took too long; ask for what you wanted, or try again").into_response()
        }
    }
}
