//! Holds: place, look at, release.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as JsonBody};
use bms_domain::error::Error;
use bms_domain::id::{Caller, HoldId, SeatId, ShowId};
use bms_domain::service::BookedHold;

use crate::auth::User;
use crate::dto::{BookingId, HoldBody, HoldList, HoldQuery, PlaceHoldRequest};
use crate::extract::{Id, Json, Query};
use crate::idempotency::Seed;
use crate::problem::Problem;
use crate::state::App;

/// The most holds that are asked for at once.
const MAX_IDS: usize = 100;

/// Holds all of the seats, or none.
#[utoipa::path(post, path = "/api/v1/holds", operation_id = "placeHold", tag = "holds", security(("bearer" = [])),
    request_body = PlaceHoldRequest,
    responses(
        (status = 201, body = HoldBody, description = "The seats are held", headers(("Location" = String))),
        (status = 404, description = "`not-found`: the show"),
        (status = 409, description = "`seats-unavailable` with every seat that is held or sold, `sales-closed`"),
        (status = 422, description = "`unknown-seats`, `too-many-seats`"),
    ))]
pub(crate) async fn place(
    State(app): State<Arc<App>>,
    User(caller): User,
    seed: Option<Extension<Seed>>,
    Json(request): Json<PlaceHoldRequest>,
) -> Result<Response, Problem> {
    let placed =
        place_all(&app, &caller, seed, &request).await.inspect_err(|problem| app.edge.metrics.hold_refused(problem.code()))?;
    app.edge.metrics.hold_placed();
    let location = format!("/api/v1/holds/{}", placed.hold.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], JsonBody(HoldBody::from(&placed))).into_response())
}

async fn place_all(
    app: &App,
    caller: &Caller,
    seed: Option<Extension<Seed>>,
    request: &PlaceHoldRequest,
) -> Result<BookedHold, Problem> {
    let show = ShowId::parse(&request.show_id).map_err(|_| Problem::not_found())?;
    let no_names: Vec<&String> = request.seat_ids.iter().filter(|seat| SeatId::parse(seat).is_err()).collect();
    if !no_names.is_empty() {
        // What is no seat's name is unknown in every layout; those that this layout lacks are named beside.
        let listing = app.service.listing(&show).await?;
        let is_unknown = |seat: &&String| SeatId::parse(seat).map_or(true, |seat| listing.layout().index_of(&seat).is_none());
        return Err(Problem::unknown_seats(request.seat_ids.iter().filter(is_unknown)));
    }
    let seats: Vec<SeatId> = request.seat_ids.iter().filter_map(|seat| SeatId::parse(seat).ok()).collect();
    let seed = match seed {
        None => app.service.new_seed(),
        Some(Extension(Seed::Kept(seed))) => seed,
        Some(Extension(Seed::Unknown)) => {
            return Err(Problem::from(Error::Unavailable { dependency: "the idempotency store", source: None }));
        }
    };
    Ok(app.service.place_hold(caller, &show, &seats, seed).await?)
}

/// Many holds at once.
#[utoipa::path(get, path = "/api/v1/holds", operation_id = "getHolds", tag = "holds", security(("bearer" = [])),
    params(HoldQuery),
    responses((status = 200, body = HoldList, description = "The holds, null for one that is unknown or somebody else's")))]
pub(crate) async fn many(
    State(app): State<Arc<App>>,
    User(caller): User,
    Query(query): Query<HoldQuery>,
) -> Result<JsonBody<HoldList>, Problem> {
    let asked: Vec<Option<HoldId>> = query.ids.split(',').take(MAX_IDS + 1).map(|id| HoldId::parse(id).ok()).collect();
    if asked.len() > MAX_IDS {
        return Err(Problem::invalid("/ids", format!("1 to {MAX_IDS} ids")));
    }
    let ids: Vec<HoldId> = asked.iter().flatten().copied().collect();
    let mut found = app.service.holds_by_id(&caller, &ids).await?.into_iter();
    let holds = asked.iter().map(|id| id.and_then(|_| found.next().flatten()).as_ref().map(HoldBody::from)).collect();
    Ok(JsonBody(HoldList { holds }))
}

/// A hold, whatever its state.
#[utoipa::path(get, path = "/api/v1/holds/{holdId}", operation_id = "getHold", tag = "holds", security(("bearer" = [])),
    params(("holdId" = BookingId, Path)),
    responses((status = 200, body = HoldBody, description = "The hold"), (status = 404, description = "`not-found`")))]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    User(caller): User,
    Id(id): Id<HoldId>,
) -> Result<JsonBody<HoldBody>, Problem> {
    Ok(JsonBody(HoldBody::from(&app.service.hold(&caller, id).await?)))
}

/// Gives the seats back. Repeating it gives the same.
#[utoipa::path(delete, path = "/api/v1/holds/{holdId}", operation_id = "releaseHold", tag = "holds", security(("bearer" = [])),
    params(("holdId" = BookingId, Path)),
    responses(
        (status = 200, body = HoldBody, description = "The hold, RELEASED"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`order-pending`, `hold-not-active`"),
        (status = 410, description = "`hold-expired`"),
    ))]
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    User(caller): User,
    Id(id): Id<HoldId>,
) -> Result<JsonBody<HoldBody>, Problem> {
    Ok(JsonBody(HoldBody::from(&app.service.release_hold(&caller, id).await?)))
}
