//! Listening, and going down in good order.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use bms_adapters_http::Shutdown;
use tokio::net::TcpListener;

use super::Failure;

/// How long running requests may take to finish when the server goes down.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// Listens where it is told to.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::Refused(format!("cannot listen on {address}: {error}; choose another address with --listen")))
}

/// Serves until SIGTERM or Ctrl-C, and then until every running request has ended, or the time for that is over.
pub(crate) async fn serve(listener: TcpListener, app: Router, shutdown: Shutdown) -> Result<(), Failure> {
    tokio::spawn(begin_on_signal(shutdown.clone()));
    let begun = shutdown.clone();
    let server = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move { begun.begun().await });
    let drained = async {
        shutdown.begun().await;
        tokio::time::sleep(DRAIN_DEADLINE).await;
    };
    tokio::select! {
        served = server.into_future() => served?,
        () = drained => tracing::warn!("requests were still running when the time to finish them was over"),
    }
    if tokio::time::timeout(DRAIN_DEADLINE, shutdown.drained()).await.is_err() {
        tracing::warn!("requests without a client were still running when the time to finish them was over");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Begins to go down at SIGTERM or Ctrl-C.
async fn begin_on_signal(shutdown: Shutdown) {
    asked_to_end().await;
    shutdown.begin();
    tracing::info!("going down: running requests are finished, new ones are refused");
}

/// Waits for SIGTERM or Ctrl-C.
pub(crate) async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "SIGTERM is not listened to");
                _ = tokio::signal::ctrl_c().await;
            }
        }
    }
    #[cfg(not(unix))]
    {
        _ = tokio::signal::ctrl_c().await;
    }
}
