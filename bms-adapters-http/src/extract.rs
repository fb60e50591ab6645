//! What a route takes out of a request, with problems for what is not there.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query as RawQuery, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::problem::{Code, Problem};
use crate::shape;
use crate::state::App;

/// The id in a path. One that does not parse is not found, like an unknown one.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr> FromRequestParts<Arc<App>> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| Problem::not_found())?;
        text.parse().map(Self).map_err(|_| Problem::not_found())
    }
}

/// The query, as a struct of texts. A field too many, or twice, is refused.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let RawQuery(pairs) = RawQuery::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::malformed("the query is not a list of names and values"))?;
        let mut fields = Map::new();
        for (name, value) in pairs {
            if fields.insert(name, Value::String(value)).is_some() {
                return Err(Problem::malformed("the query has a field twice"));
            }
        }
        shape::read_value(Value::Object(fields)).map(Self)
    }
}

/// A JSON body of at most the configured length.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let body = read_body(request.into_body(), app.body_limit).await?;
        shape::read(&body).map(Self)
    }
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// `body-too-large`; `malformed-request` when the client stops in the middle.
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<Bytes, Problem> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let inner = error.into_inner();
        if inner.is::<LengthLimitError>() {
            Problem::new(Code::BodyTooLarge, format!("at most {limit} bytes"))
        } else {
            Problem::malformed("the body could not be read")
        }
    })
}

/// JSON, and nothing else.
///
/// # Errors
/// `unsupported-media-type`.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, _) = media_type.split_once(';').unwrap_or((media_type, ""));
    if essence.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Problem::new(Code::UnsupportedMediaType, "the body must be application/json"))
    }
}
