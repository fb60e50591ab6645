//! The demo mode: a catalogue to look at, and tokens for whoever asks. Only ever on a loopback address.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bms_adapters_http::auth::mint_hs256;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::UserId;
use bms_domain::time::{Clock, SystemClock, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// The demo catalogue, as the file says it.
pub(crate) const CATALOGUE: &str = include_str!("../demo/catalogue.json");

/// How long a demo token is good for.
const TOKEN_TTL: Duration = Duration::from_hours(12);

pub(crate) fn catalogue() -> Result<CatalogueDocument, Failure> {
    CatalogueDocument::parse(CATALOGUE)
        .map_err(|faults| Failure::Catalogue { path: "the demo catalogue".to_owned(), faults: faults.to_string() })
}

/// A secret that lives as long as this process.
pub(crate) fn secret() -> Result<SecretString, Failure> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| Failure::Refused(format!("no randomness for a demo secret: {error}")))?;
    Ok(SecretString::from(random.map(|byte| format!("{byte:02x}")).concat()))
}

/// `POST /api/v1/demo/token`.
pub(crate) fn router(secret: SecretString) -> Router {
    Router::new().route("/api/v1/demo/token", post(token)).with_state(Arc::new(secret))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenRequest {
    user_id: UserId,
    #[serde(default)]
    admin: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer {
    token: String,
    expires_at: Timestamp,
}

async fn token(State(secret): State<Arc<SecretString>>, body: Bytes) -> Response {
    let Ok(TokenRequest { user_id, admin }) = serde_json::from_slice(&body) else {
        return malformed();
    };
    let expires_at = SystemClock.now().plus(TOKEN_TTL);
    match mint_hs256(&secret, &user_id, admin, expires_at) {
        Ok(token) => ([(header::CACHE_CONTROL, "no-store")], Json(TokenAnswer { token, expires_at })).into_response(),
        Err(_) => malformed(),
    }
}

fn malformed() -> Response {
    let problem = serde_json::json!({
        "type": "urn:bms:problem:malformed-request",
        "title": "The request is malformed",
        "status": 400,
        "detail": r#"send {"userId": "alice"}, and "admin": true for an administrator's token"#,
    });
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::BAD_REQUEST, headers, problem.to_string()).into_response()
}
