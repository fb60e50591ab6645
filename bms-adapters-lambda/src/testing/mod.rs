//! A small Lambda on loopback (feature `testing`): the runtime interface that a function's program asks for its work, and a
//! function URL in front of it.
//!
//! It starts no programs and ends none; whoever does gives them [`Emulator::variables`]. A real Lambda starts as many
//! instances as there are requests, and kills one that takes too long; here the instances are those that ask.

mod url;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex as Waiting, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long an instance may take to start, or to say that it failed, beyond the time of an invocation.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest request and the largest answer that Lambda takes.
const PAYLOAD_LIMIT: usize = 6 * 1024 * 1024;

/// What an invocation ended with: its answer, or the error that the function told.
pub type Outcome = Result<Value, Value>;

/// One function's queue of work, and the address where its instances ask for it. It is gone when it is dropped.
#[derive(Debug)]
pub struct Emulator {
    runtime: Arc<Runtime>,
    address: SocketAddr,
    server: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Runtime {
    invocations: mpsc::UnboundedSender<Invocation>,
    next: Waiting<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    /// How often instances have asked for work.
    asked: watch::Sender<u64>,
    invoked: AtomicU64,
}

#[derive(Debug)]
struct Invocation {
    id: String,
    event: String,
    time: Duration,
}

impl Emulator {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> io::Result<Self> {
        let (invocations, next) = mpsc::unbounded_channel();
        let runtime = Arc::new(Runtime {
            invocations,
            next: Waiting::new(next),
            running: Mutex::default(),
            asked: watch::Sender::new(0),
            invoked: AtomicU64::new(0),
        });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_invocation))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .layer(DefaultBodyLimit::max(PAYLOAD_LIMIT))
            .with_state(runtime.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { runtime, address, server })
    }

    /// The environment that Lambda gives to an instance.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_LAMBDA_RUNTIME_API", self.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", "bms".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ]
    }

    /// Has the function carry out one event, with this much time from when an instance takes it. When none says in time how it
    /// ended, that is the error.
    pub async fn invoke_within(&self, event: &str, time: Duration) -> Outcome {
        self.runtime.invoke(event.to_owned(), time).await
    }

    /// Waits until an instance has asked for more work than there was: of one instance, everything before is done.
    pub async fn is_idle(&self) {
        let done = self.runtime.invoked.load(Ordering::Relaxed);
        // Fails when nobody can ask any more, and `self` can be asked.
        let _ = self.runtime.asked.subscribe().wait_for(|asked| *asked > done).await;
    }

    /// Serves the function as its URL does: each request is an event of the payload format 2.0, and has this much time.
    pub fn url(&self, time: Duration) -> Router {
        url::router(self.runtime.clone(), time)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Runtime {
    async fn invoke(&self, event: String, time: Duration) -> Outcome {
        let id = format!("8476a536-e9f4-11e8-9739-{:012}", self.invoked.fetch_add(1, Ordering::Relaxed));
        let (ended, outcome) = oneshot::channel();
        self.running.lock().insert(id.clone(), ended);
        // The receiver is kept as long as this is.
        let _ = self.invocations.send(Invocation { id: id.clone(), event, time });
        match timeout(time + PATIENCE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            _ => {
                self.running.lock().remove(&id);
                Err(json!({"errorType": "Sandbox.Timedout", "errorMessage": format!("RequestId: {id} Error: Task timed out")}))
            }
        }
    }

    fn end(&self, id: &str, outcome: Outcome) -> Response {
        if let Some(waiting) = self.running.lock().remove(id) {
            // Whoever waited may have given up.
            let _ = waiting.send(outcome);
        }
        (StatusCode::ACCEPTED, Json(json!({"status": "OK"}))).into_response()
    }
}

async fn next_invocation(State(runtime): State<Arc<Runtime>>) -> Response {
    runtime.asked.send_modify(|asked| *asked += 1);
    let Some(Invocation { id, event, time }) = runtime.next.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + time;
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", end.as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-2:123456789012:function:bms".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, event).into_response()
}

async fn response(State(runtime): State<Arc<Runtime>>, Path(id): Path<String>, answer: Bytes) -> Response {
    runtime.end(&id, serde_json::from_slice(&answer).map_err(|error| not_json(&error)))
}

async fn error(State(runtime): State<Arc<Runtime>>, Path(id): Path<String>, said: Bytes) -> Response {
    runtime.end(&id, Err(serde_json::from_slice(&said).unwrap_or_else(|error| not_json(&error))))
}

fn not_json(error: &serde_json::Error) -> Value {
    json!({"errorType": "Runtime.MarshalError", "errorMessage": error.to_string()})
}
