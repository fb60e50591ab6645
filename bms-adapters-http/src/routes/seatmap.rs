//! Which seats of a show can be had, now.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bms_domain::id::ShowId;
use bms_domain::service::SeatMap;
use sha2::{Digest as _, Sha256};

use crate::dto::{EntryId, SeatMapBody, SeatMapQuery};
use crate::extract::{Id, Query};
use crate::problem::Problem;
use crate::state::App;

/// The seat map of a show. It is made for every request, also without `Cache-Control: no-cache`.
#[utoipa::path(get, path = "/api/v1/shows/{showId}/seatmap", operation_id = "getSeatMap", tag = "seats",
    params(("showId" = EntryId, Path), SeatMapQuery, ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the map that is known")),
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
    let map = app.service.seat_map(&id).await?;
    let tag = entity_tag(&map, with_layout);
    let mut response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        JsonBody(SeatMapBody::new(&map, with_layout)).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// A strong tag: the same for the same bytes alone. The version does not cover what the durable store adds to a map.
fn entity_tag(map: &SeatMap, with_layout: bool) -> String {
    let mut digest = Sha256::new();
    digest.update([u8::from(with_layout)]);
    digest.update(map.version.to_be_bytes());
    for name in [map.listing.show().show_id.as_str(), map.listing.layout().id().as_str()] {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
    }
    for bits in [&map.unavailable, &map.held] {
        digest.update((bits.words().len() as u64).to_be_bytes());
        for word in bits.words() {
            digest.update(word.to_be_bytes());
        }
    }
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in digest.finalize().iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Whether `If-None-Match` names the tag. It is compared weakly, as RFC 9110 asks.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|list| list.split(',')).map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}
