//! A receiver of webhooks, which verifies as one would without a library.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signature: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Taken {
    fn new(headers: &HeaderMap, body: &Bytes) -> Self {
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        Self {
            id: header("webhook-id").unwrap_or_default(),
            timestamp: header("webhook-timestamp").unwrap_or_default(),
            signature: header("webhook-signature").unwrap_or_default(),
            content_type: header("content-type"),
            body: body.to_vec(),
        }
    }

    /// Whether one of the signatures is one of this secret. A receiver looks at the timestamp's age too.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let signed = [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", &self.body].concat();
        let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(signed);
        let mut signatures = self.signature.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        signatures.any(|signature| mac.clone().verify_slice(&STANDARD.decode(signature).unwrap()).is_ok())
    }
}

type Answer = dyn Fn(Taken) -> BoxFuture<'static, StatusCode> + Send + Sync;

/// Takes whatever comes on a free port, and remembers it.
pub(crate) struct Receiver {
    pub(crate) url: String,
    taken: Arc<Mutex<Vec<Taken>>>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// Answers what `answer` says.
    pub(crate) async fn start<F, Answering>(answer: F) -> Self
    where
        F: Fn(Taken) -> Answering + Send + Sync + 'static,
        Answering: Future<Output = StatusCode> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let (seen, answer): (_, Arc<Answer>) = (taken.clone(), Arc::new(move |taken| answer(taken).boxed()));
        let hook = post(async move |headers: HeaderMap, body: Bytes| {
            let request = Taken::new(&headers, &body);
            seen.lock().push(request.clone());
            // A redirect that would be followed to where everything is taken.
            ([("location", "/taken")], answer(request).await)
        });
        let app = Router::new().route("/hook", hook).route("/taken", post(async || StatusCode::OK).get(async || StatusCode::OK));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, taken, server }
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().clone()
    }

    /// Ends, and closes its port.
    pub(crate) async fn stop(mut self) {
        self.server.abort();
        let _cancelled = (&mut self.server).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}
