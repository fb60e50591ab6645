//! Going down in good order: what runs is finished, what is new is refused.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::edge::Edge;
use crate::problem::Problem;

/// A handle that tells the router that the program is going down. Clones are one handle.
///
/// Once begun, live seat maps end and new requests are answered 503 `unavailable` (not those for `/healthz` and
/// `/metrics`), while requests that are running go on.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    running: TaskTracker,
}

impl Shutdown {
    /// A handle of a program that is up.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to go down. There is no way back.
    pub fn begin(&self) {
        self.begun.cancel();
        self.running.close();
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Ends once it has begun: what a server's own graceful shutdown waits for.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Ends once it has begun and every request that goes on without its client has been finished.
    pub async fn drained(&self) {
        self.begun().await;
        self.running.wait().await;
    }

    /// Ends when no request goes on without its client: for a host that is frozen once it has answered.
    pub async fn idle(&self) {
        // Closed or not, requests may go on without their clients; only who waits wants it closed.
        self.running.close();
        self.running.wait().await;
    }

    pub(crate) fn running(&self) -> &TaskTracker {
        &self.running
    }
}

/// Refuses what comes after the beginning of the end.
pub(crate) async fn refuse_when_down(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let exempt = path.is_some_and(|path| matches!(path.as_str(), "/healthz" | "/metrics"));
    if edge.shutdown.has_begun() && !exempt {
        return Problem::unavailable("this server is going down; ask again").into_response();
    }
    next.run(request).await
}
