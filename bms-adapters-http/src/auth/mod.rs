//! Who is calling.

mod jwt;

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use bms_domain::id::{Caller, UserId};

pub use jwt::{JwtAuthenticator, KeyAlgorithm, KeyError, mint_hs256};

use crate::edge::Edge;
use crate::problem::{Code, Problem};
use crate::state::App;

/// The scope that opens the admin routes.
const ADMIN_SCOPE: &str = "bms:admin";

/// The caller that a token's `sub` and `scope` tell of: an administrator, if `bms:admin` is one of the scopes, which stand
/// with spaces between. For an authenticator of checked claims.
#[must_use]
pub fn caller_of(sub: UserId, scope: &str) -> Caller {
    if scope.split(' ').any(|scope| scope == ADMIN_SCOPE) { Caller::admin(sub) } else { Caller::user(sub) }
}

/// Tells who sent a request. [`JwtAuthenticator`] reads bearer tokens; a host program with sessions of its own
/// implements this instead, and may read what its own layers put into the request's extensions.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Who sent the request with this head.
    ///
    /// # Errors
    /// [`AuthError`] when it cannot be told, or what is presented is not accepted.
    async fn authenticate(&self, request: &Parts) -> Result<Caller, AuthError>;
}

/// Why it cannot be told who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Nothing was presented.
    #[error("no credentials")]
    Missing,
    /// What was presented is not accepted: malformed, of a wrong key or algorithm, expired.
    #[error("the credentials are not accepted")]
    Refused,
    /// It cannot be told now. Trying again is safe.
    #[error("credentials cannot be checked now")]
    Unavailable,
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::unauthenticated("a bearer token is needed"),
            AuthError::Refused => Self::unauthenticated("the token is not accepted"),
            AuthError::Unavailable => Self::unavailable("tokens cannot be checked now"),
        }
    }
}

/// What the authenticator said of a request, in the request's extensions; it is asked once a request.
#[derive(Clone, Debug)]
pub struct Identity(pub Result<Caller, AuthError>);

/// Asks the authenticator, and notes its answer for the rate limit, the idempotency keys and the routes. What is answered
/// to somebody is not for caches, unless the route says otherwise.
pub(crate) async fn identify(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let identity = Identity(edge.authenticator.authenticate(&parts).await);
    let is_known = identity.0.is_ok();
    parts.extensions.insert(identity);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if is_known {
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

/// A caller who is known.
pub(crate) struct User(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        match parts.extensions.get::<Identity>() {
            Some(Identity(Ok(caller))) => Ok(Self(caller.clone())),
            Some(Identity(Err(error))) => Err((*error).into()),
            None => Err(AuthError::Missing.into()),
        }
    }
}

/// A caller with an administrator's rights.
pub(crate) struct Admin(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let User(caller) = User::from_request_parts(parts, app).await?;
        if caller.is_admin() { Ok(Self(caller)) } else { Err(Problem::new(Code::Forbidden, "this needs the scope bms:admin")) }
    }
}
