//! Users that a gateway's authorizer has already checked.

use async_trait::async_trait;
use axum::http::request::Parts;
use bms_adapters_http::Authenticator;
use bms_adapters_http::auth::{AuthError, caller_of};
use bms_domain::id::{Caller, UserId};
use lambda_http::request::RequestContext;
use serde_json::Value;

/// Takes the user from what the gateway's authorizer has found out, and checks nothing again: `sub` is the user's id, and
/// `scope` may hold `bms:admin`, as in a token.
///
/// They are looked for in the event's request context alone, where no client can write: the claims of a JWT authorizer (HTTP
/// APIs) or of a Cognito authorizer (REST APIs), or else the context that a Lambda authorizer returned. No header counts,
/// `Authorization` included.
///
/// Use it only where every way to the function leads through that authorizer: whoever may invoke the function by itself writes
/// the event, and is whom he says he is. A function URL has no authorizer, so through it nobody is anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthorizerClaims;

#[async_trait]
impl Authenticator for AuthorizerClaims {
    async fn authenticate(&self, request: &Parts) -> Result<Caller, AuthError> {
        let authorizer = request.extensions.get::<RequestContext>().and_then(RequestContext::authorizer);
        let authorizer = authorizer.ok_or(AuthError::Missing)?;
        let fields = &authorizer.fields;
        let claim = |name: &str| match (&authorizer.jwt, fields.get("claims")) {
            (Some(jwt), _) => jwt.claims.get(name).map(String::as_str),
            (None, Some(claims)) => claims.get(name).and_then(Value::as_str),
            (None, None) => fields.get(name).and_then(Value::as_str),
        };
        let sub = claim("sub").ok_or(AuthError::Missing)?;
        let user = UserId::parse(sub).map_err(|_| AuthError::Refused)?;
        Ok(caller_of(user, claim("scope").unwrap_or_default()))
    }
}
