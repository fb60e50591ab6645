//! How often one caller may ask.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bms_domain::id::UserId;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::auth::Identity;
use crate::edge::Edge;
use crate::problem::{Code, Problem};

/// After how many requests callers that have been quiet are forgotten.
const FORGET_EVERY: u32 = 4_096;

/// A number of requests in a time. All of them may come at once; they come back one by one over the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    quota: Quota,
}

impl RateLimit {
    /// At most `requests` in `time`. `None` when the time is zero.
    #[must_use]
    pub fn new(requests: NonZeroU32, time: Duration) -> Option<Self> {
        let quota = Quota::with_period(time / requests.get())?.allow_burst(requests);
        Some(Self { quota })
    }
}

/// Whom a limit is counted for.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    User(UserId),
    Address(IpAddr),
    Unknown,
}

pub(crate) struct Limiter {
    limiter: DefaultKeyedRateLimiter<Key>,
    clock: DefaultClock,
    asked: AtomicU32,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter(…)")
    }
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self { limiter: RateLimiter::keyed(limit.quota), clock: DefaultClock::default(), asked: AtomicU32::new(1) }
    }

    fn check(&self, key: &Key) -> Result<(), Problem> {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Problem::new(Code::RateLimited, "too many requests").retry_after(seconds.max(1))
        })
    }
}

/// One subscriber has a whole /64 of IPv6 addresses.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6((six.to_bits() & !u128::from(u64::MAX)).into()),
        four => four,
    }
}

/// Refuses callers who ask too often. Probes are not counted.
pub(crate) async fn limit(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let exempt = path.is_some_and(|path| matches!(path.as_str(), "/healthz" | "/readyz" | "/metrics"));
    if let Some(limiter) = edge.limiter.as_ref().filter(|_| !exempt) {
        let key = match request.extensions().get::<Identity>() {
            Some(Identity(Ok(caller))) => Key::User(caller.id().clone()),
            _ => match request.extensions().get::<ConnectInfo<SocketAddr>>() {
                Some(ConnectInfo(address)) => Key::Address(subscriber(address.ip())),
                None => Key::Unknown,
            },
        };
        if let Err(problem) = limiter.check(&key) {
            return problem.into_response();
        }
    }
    next.run(request).await
}
