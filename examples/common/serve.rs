//! Listening, and going down in good order.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use bms_adapters_http::Shutdown;
use socket2::{SockRef, TcpKeepalive};
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

/// How long clients may keep what is theirs to give.
#[derive(Clone, Copy)]
struct Patience {
    /// For the whole of the first request's head, from when the connection stands.
    first: Duration,
    /// For the head of each further request, counted from the answer before: longer than a balancer in front keeps a connection
    /// that nobody uses (a minute is usual), or it would find some of them closed under its requests.
    next: Duration,
    /// For the network to say that what was sent has arrived; after so long it is asked whether there is still somebody. Whole
    /// seconds.
    acknowledge: Duration,
}

const PATIENCE: Patience =
    Patience { first: Duration::from_secs(10), next: Duration::from_secs(75), acknowledge: Duration::from_secs(30) };

/// Serves until SIGTERM or Ctrl-C, and then until every running request has ended, or the time for that is over. A client that
/// is slow, silent or gone keeps its connection for a bounded time; the bodies of requests are the router's, which bounds them.
pub(crate) async fn serve(listener: TcpListener, app: Router, shutdown: Shutdown) -> Result<(), Failure> {
    tokio::spawn(begin_on_signal(shutdown.clone()));
    serve_with(PATIENCE, listener, app, shutdown).await
}

async fn serve_with(patience: Patience, listener: TcpListener, app: Router, shutdown: Shutdown) -> Result<(), Failure> {
    // What is accepted has the options of what it was accepted from.
    let socket = SockRef::from(&listener);
    let probe = TcpKeepalive::new().with_time(patience.acknowledge).with_interval(patience.acknowledge / 3);
    socket.set_tcp_keepalive(&probe)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(patience.acknowledge))?;

    let handle = Handle::new();
    let (begun, ends) = (shutdown.clone(), handle.clone());
    tokio::spawn(async move {
        begun.begun().await;
        ends.graceful_shutdown(Some(DRAIN_DEADLINE));
    });
    let mut server = axum_server::from_tcp(listener.into_std()?)?.http1_only().first_request_timeout(patience.first);
    server.http_builder().http1().header_read_timeout(patience.next);
    let server = server.handle(handle.clone()).accept_error_handler(|_, error| {
        tracing::warn!(%error, "a connection was not accepted; if descriptors are few, raise their number (ulimit -n)");
    });
    server.serve(app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    if handle.connection_count() > 0 {
        tracing::warn!("requests were still running when the time to finish them was over");
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// Everything that arrives until the other side closes.
    async fn said(stream: &mut TcpStream) -> String {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        String::from_utf8(all).unwrap()
    }

    /// A connection costs a descriptor, whether anything is ever asked on it or not.
    #[tokio::test]
    async fn clients_that_are_silent_or_never_finish_are_let_go() {
        let (short, shutdown) = (Duration::from_millis(300), Shutdown::new());
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Patience { first: short, next: short, ..PATIENCE };
        let app = Router::new().route("/", get(async || "here"));
        let server = tokio::spawn(serve_with(patience, listener, app, shutdown.clone()));

        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n").await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let (silent, half, idle) = tokio::join!(said(&mut silent), said(&mut half), said(&mut idle));
        assert!(!silent.contains("200") && !half.contains("200"), "{silent} {half}");
        assert!(idle.starts_with("HTTP/1.1 200") && idle.ends_with("here"), "{idle}");

        shutdown.begin();
        server.await.unwrap().unwrap();
    }
}
