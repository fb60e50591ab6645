//! Which seats of a show can be had, now.

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bms_domain::Error;
use bms_domain::id::ShowId;

use crate::dto::{EntryId, SeatMapBody, SeatMapQuery};
use crate::extract::{Id, Query};
use crate::problem::Problem;
use crate::state::App;
use crate::written::entity_tag;

/// The seat map of a show, at most 5 seconds old while its seats change and 30 seconds when they do not; with
/// `Cache-Control: no-cache` it is read anew. What was held, sold or freed through the same server never is missing. An
/// answer is not to be used again without asking whether it still is right: its own `Cache-Control` says so, and a
/// map that did not change is answered 304.
#[utoipa::path(get, path = "/api/v1/shows/{showId}/seatmap", operation_id = "getSeatMap", tag = "seats",
    params(("showId" = EntryId, Path), SeatMapQuery, ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the map that is known"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache` (or `max-age=0`) asks for a map that is read now")),
    responses(
        (status = 200, body = SeatMapBody<'static>, description = "The seat map", headers(("ETag" = String), ("Cache-Control" = String))),
        (status = 304, description = "It is as it was", headers(("ETag" = String), ("Cache-Control" = String))),
        (status = 404, description = "`not-found`"),
    ))]
pub(crate) async fn map(
    State(app): State<Arc<App>>,
    Id(id): Id<ShowId>,
    Query(query): Query<SeatMapQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let with_layout = match query.layout.as_deref() {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(Problem::invalid("/layout", "true or false")),
    };
    let map = match wants_fresh(&headers) {
        true => app.service.seat_map_fresh(&id).await?,
        false => app.service.seat_map(&id).await?,
    };
    let sheet = app.sheets.find(&map, with_layout);
    let tag = match &sheet {
        Some(sheet) => sheet.tag.clone(),
        None => HeaderValue::try_from(entity_tag(&map, with_layout)).map_err(internal)?,
    };
    let mut response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let sheet = match sheet {
            Some(sheet) => sheet,
            None => app.sheets.write(&map, with_layout, tag.clone()).map_err(internal)?,
        };
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], sheet.json).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::ETAG, tag);
    Ok(response)
}

/// Whether the request takes no kept answer, as RFC 9111 says it: `no-cache`, or an age that nothing kept has. `Pragma`
/// counts where there is no `Cache-Control`.
fn wants_fresh(headers: &HeaderMap) -> bool {
    let name = if headers.contains_key(header::CACHE_CONTROL) { header::CACHE_CONTROL } else { header::PRAGMA };
    let values = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).any(|directive| {
        let (directive, argument) = directive.split_once('=').unwrap_or((directive, ""));
        let is = |name: &str| directive.trim().eq_ignore_ascii_case(name);
        is("no-cache") || (is("max-age") && argument.trim().trim_matches('"').parse() == Ok(0_u64))
    })
}

/// Whether `If-None-Match` names the tag. It is compared weakly, as RFC 9110 asks.
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|list| list.split(',')).map(str::trim).any(|known| known == "*" || *tag == known.trim_start_matches("W/"))
}

fn internal(error: impl Display) -> Problem {
    Error::Internal(error.to_string()).into()
}
