//! Listening, and going down in good order.

use std::io;
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

/// How long the network may take to say that what was sent has arrived; after so long it is asked whether there is still
/// somebody. Whole seconds.
const ACKNOWLEDGE: Duration = Duration::from_secs(30);

/// Listens where it is told to. The operating system ends connections whose other side says nothing any more.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    listen_with(ACKNOWLEDGE, address)
        .await
        .map_err(|error| Failure::Refused(format!("cannot listen on {address}: {error}; choose another address with --listen")))
}

async fn listen_with(acknowledge: Duration, address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    // What is accepted has the options of what it was accepted from.
    let socket = SockRef::from(&listener);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(acknowledge).with_interval(acknowledge / 3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(acknowledge))?;
    Ok(listener)
}

/// How long clients may keep what is theirs to give.
#[derive(Clone, Copy)]
struct Patience {
    /// For the whole of the first request's head, from when the connection stands.
    first: Duration,
    /// For the head of each further request, counted from the answer before: longer than a balancer in front keeps a connection
    /// that nobody uses (a minute is usual), or it would find some of them closed under its requests.
    next: Duration,
}

const PATIENCE: Patience = Patience { first: Duration::from_secs(10), next: Duration::from_secs(75) };

/// Serves until SIGTERM or Ctrl-C, and then until every running request has ended, or the time for that is over. A client that
/// is slow, silent or gone keeps its connection for a bounded time; the bodies of requests are the router's, which bounds them.
pub(crate) async fn serve(listener: TcpListener, app: Router, shutdown: Shutdown) -> Result<(), Failure> {
    tokio::spawn(begin_on_signal(shutdown.clone()));
    serve_with(PATIENCE, listener, app, shutdown).await
}

async fn serve_with(patience: Patience, listener: TcpListener, app: Router, shutdown: Shutdown) -> Result<(), Failure> {
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
    use std::convert::Infallible;

    use axum::body::Body;
    use axum::routing::get;
    use futures::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::mpsc;

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
        let patience = Patience { first: short, next: short };
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

    /// Tells of its end.
    struct Running(mpsc::UnboundedSender<()>);

    impl Drop for Running {
        fn drop(&mut self) {
            _ = self.0.send(());
        }
    }

    /// One that asks for much and takes none of it is to the server as one whose machine was switched off.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_client_that_acknowledges_nothing_is_let_go() {
        let (ends, mut ended) = mpsc::unbounded_channel();
        // An answer that only ends with its connection.
        let endless = move || {
            let running = Running(ends.clone());
            let bytes = stream::repeat_with(move || {
                _ = &running;
                Ok::<_, Infallible>(vec![b' '; 64 * 1024])
            });
            async { Body::from_stream(bytes) }
        };
        let shutdown = Shutdown::new();
        let listener = listen_with(Duration::from_secs(3), SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let app = Router::new().route("/", get(endless));
        let server = tokio::spawn(serve_with(PATIENCE, listener, app, shutdown.clone()));
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        client.read_exact(&mut [0; 12]).await.unwrap();

        let ended = tokio::time::timeout(Duration::from_secs(20), ended.recv()).await;
        assert_eq!(ended, Ok(Some(())), "it still has its connection");
        drop(client);
        shutdown.begin();
        server.await.unwrap().unwrap();
    }

    /// Whoever is gone without a word while nothing is sent to him, as on a live map, is asked after.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn every_connection_asks_after_its_client() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (accepted, _) = accepted.unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
    }
}
