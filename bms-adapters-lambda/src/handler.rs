//! One function of the API: from a gateway's event to its answer.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use bms_adapters_http::{HttpConfig, RequestEnd, Shutdown, router, unavailable};
use bms_domain::BookingService;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Service as _};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt as _;

use crate::answer::{LARGEST, LARGEST_OF_BALANCERS, whole};
use crate::arrival::Arrival;
use crate::function::Function;
use crate::thaw::Thaw;
use crate::time;

/// As long as a call of a store takes.
const LONGEST_WIND_UP: Duration = Duration::from_secs(2);

/// A function of the API: its routes of the one router, for events of API Gateway (REST and HTTP APIs), function URLs and load
/// balancers. Clones are one function.
#[derive(Clone)]
pub struct Handler {
    parts: Arc<Parts>,
}

struct Parts {
    router: Router,
    service: BookingService,
    requests: Shutdown,
    thaw: Thaw,
}

impl Handler {
    /// The function's part of the router over a service. `config` is that of the router; which routes are served, and the
    /// end of the program, are decided here.
    #[must_use]
    pub fn new(function: Function, service: BookingService, config: HttpConfig) -> Self {
        let requests = Shutdown::new();
        let config = config.only(move |path| function.serves(path)).shutdown(requests.clone());
        let router = router(service.clone(), config);
        Self { parts: Arc::new(Parts { router, service, requests, thaw: Thaw::new() }) }
    }

    /// Answers one event in the form that its sender understands, by the end of the invocation. Everything that the request
    /// began has ended then, but for what is left when the time is over.
    ///
    /// # Errors
    /// None: what goes wrong is an answer.
    pub async fn handle(&self, event: LambdaEvent<LambdaRequest>) -> Result<impl Serialize + use<>, Infallible> {
        let parts = self.parts.clone();
        answer(event, async move |request: Request<Body>, end| parts.serve(request, end).await).await
    }
}

impl Parts {
    async fn serve(&self, mut request: Request<Body>, end: Instant) -> Response<Body> {
        self.thaw.wake(&self.service, end).await;
        request.extensions_mut().insert(RequestEnd(end - to_wind_up(end)));
        let answer = match self.router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        // A request under an idempotency key goes on when its time is over: frozen, it would end some other day.
        if timeout_at(end, self.requests.idle()).await.is_err() {
            tracing::warn!("a request was not ended when the invocation was");
        }
        self.thaw.rest();
        answer
    }
}

/// How long before the end of an invocation a request is answered at the latest, so that what it began can end as well.
fn to_wind_up(end: Instant) -> Duration {
    (end.saturating_duration_since(Instant::now()) / 4).min(LONGEST_WIND_UP)
}

/// Has an event's request answered.
async fn answer<F, A>(event: LambdaEvent<LambdaRequest>, serve: F) -> Result<impl Serialize + use<F, A>, Infallible>
where
    F: FnOnce(Request<Body>, Instant) -> A + Send + 'static,
    A: Future<Output = Response<Body>> + Send,
{
    let LambdaEvent { mut payload, context } = event;
    let largest = if matches!(payload, LambdaRequest::Alb(_)) { LARGEST_OF_BALANCERS } else { LARGEST };
    let (invocation, end) = (context.request_id.clone(), time::end(&context));
    let mut once = Some((Arrival::take_from(&mut payload), serve));
    // Puts together what the event says, and takes the answer apart again, each in the form of its sender.
    let mut adapter = Adapter::from(service_fn(move |request: lambda_http::Request| {
        let once = once.take().map(|(arrival, serve)| {
            let (head, _) = request.into_parts();
            serve(arrival.put_into(head, &invocation), end)
        });
        async move {
            let answer = match once {
                Some(answer) => answer.await,
                None => unavailable(),
            };
            Ok::<_, Infallible>(whole(answer, end, largest).await)
        }
    }));
    adapter.call(LambdaEvent::new(payload, context)).await
}

/// Answers events as they come, until the runtime ends the process.
///
/// `make` makes the function, connections included, once: before the first event, where there is time for it. As long as it
/// gives none, since a store is down, events are answered 503 `unavailable`, and each has it try again.
///
/// # Errors
/// When `make` fails before the first event: with settings that make no sense, the runtime shall know that nothing works.
/// When the runtime cannot be spoken to.
///
/// # Panics
/// Where there is no Lambda runtime: without the variables that it sets.
pub async fn serve<E>(make: impl AsyncFn() -> Result<Option<Handler>, E>) -> Result<(), Error>
where
    E: Into<Error> + fmt::Display,
{
    let made = Mutex::new(make().await.map_err(Into::into)?);
    let ready = async || {
        let mut made = made.lock().await;
        if made.is_none() {
            *made = make().await.unwrap_or_else(|error| {
                tracing::error!(%error, "this function cannot work");
                None
            });
        }
        made.clone()
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<LambdaRequest>| {
        let handler = timeout_at(time::end(&event.context), ready()).await.ok().flatten();
        answer(event, async move |request: Request<Body>, end| match handler {
            Some(handler) => handler.parts.serve(request, end).await,
            None => unavailable(),
        })
        .await
    }))
    .await
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler(…)")
    }
}
