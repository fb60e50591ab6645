//! A small Lambda: the runtime interface, over HTTP on loopback, with one instance of a function behind it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{Path as InPath, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use bms_domain::testing::servers::Process;
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as Waiting, mpsc, oneshot, watch};

/// Nothing here takes this long; a test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What an invocation ended with: its answer, or the error that the function told.
pub(crate) type Outcome = Result<Value, Value>;

/// One instance of a function.
pub(crate) struct Instance {
    process: Process,
    runtime: Arc<Runtime>,
    invocations: mpsc::UnboundedSender<Invocation>,
    log: NamedTempFile,
}

struct Invocation {
    id: String,
    event: String,
    deadline_ms: u128,
}

struct Runtime {
    next: Waiting<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    /// How often the function has asked for work.
    asked: watch::Sender<u64>,
    count: AtomicU64,
}

impl Instance {
    /// Starts a function's program with these variables, and no others.
    pub(crate) async fn start(program: &str, variables: &[(&str, &str)]) -> Self {
        let (invocations, next) = mpsc::unbounded_channel();
        let runtime = Arc::new(Runtime {
            next: Waiting::new(next),
            running: Mutex::default(),
            asked: watch::Sender::new(0),
            count: AtomicU64::new(0),
        });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_invocation))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(runtime.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, routes).into_future());
        let log = NamedTempFile::new().unwrap();
        let process = Process::spawn(Path::new(program), |command| {
            command.env_clear().stderr(log.reopen().unwrap()).envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "bms"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("BMS_LOG_FORMAT", "text"),
            ]);
            command.envs(variables.iter().copied());
            Ok(())
        });
        Self { process: process.unwrap(), runtime, invocations, log }
    }

    /// Has the function carry out one event, with this much time.
    pub(crate) async fn invoke_within(&self, event: &str, time: Duration) -> Outcome {
        let id = format!("8476a536-e9f4-11e8-9739-{:012}", self.runtime.count.fetch_add(1, Ordering::Relaxed));
        let (ended, outcome) = oneshot::channel();
        self.runtime.running.lock().insert(id.clone(), ended);
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
        let invocation = Invocation { id, event: event.to_owned(), deadline_ms: deadline.as_millis() };
        self.invocations.send(invocation).unwrap_or_else(|_| panic!("the emulator is gone: {}", self.log()));
        match tokio::time::timeout(PATIENCE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            _ => panic!("no answer to {event}: {}", self.log()),
        }
    }

    /// Has the function carry out one event, with the time that functions usually have.
    pub(crate) async fn invoke(&self, event: &Value) -> Outcome {
        self.invoke_within(&event.to_string(), Duration::from_secs(15)).await
    }

    /// Waits until the function asks for work: everything before is done.
    pub(crate) async fn is_idle(&self) {
        let done = self.runtime.count.load(Ordering::Relaxed);
        let mut asked = self.runtime.asked.subscribe();
        let idle = asked.wait_for(|asked| *asked > done);
        match tokio::time::timeout(PATIENCE, idle).await {
            Ok(Ok(_)) => {}
            _ => panic!("it does not ask for work: {}", self.log()),
        }
    }

    /// Freezes it, as Lambda does between two events.
    pub(crate) fn freeze(&mut self) {
        self.process.pause().unwrap();
    }

    /// Thaws it.
    pub(crate) fn thaw(&mut self) {
        self.process.resume().unwrap();
    }

    /// Kills it, as Lambda does with a function that takes too long.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ends(&mut self) {
        self.process.wait(PATIENCE).unwrap();
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

async fn next_invocation(State(runtime): State<Arc<Runtime>>) -> impl IntoResponse {
    runtime.asked.send_modify(|asked| *asked += 1);
    let Some(invocation) = runtime.next.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("lambda-runtime-aws-request-id", invocation.id),
        ("lambda-runtime-deadline-ms", invocation.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-2:123456789012:function:bms".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, invocation.event).into_response()
}

async fn response(state: State<Arc<Runtime>>, id: InPath<String>, answer: Bytes) -> impl IntoResponse {
    ended(&state, &id, Ok(serde_json::from_slice(&answer).unwrap()))
}

async fn error(state: State<Arc<Runtime>>, id: InPath<String>, said: Bytes) -> impl IntoResponse {
    ended(&state, &id, Err(serde_json::from_slice(&said).unwrap()))
}

fn ended(runtime: &Runtime, id: &str, outcome: Outcome) -> impl IntoResponse + use<> {
    if let Some(waiting) = runtime.running.lock().remove(id) {
        // Whoever waited may have given up.
        let _ = waiting.send(outcome);
    }
    (StatusCode::ACCEPTED, Json(serde_json::json!({"status": "OK"})))
}
