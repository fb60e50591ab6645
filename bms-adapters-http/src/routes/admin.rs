//! What only administrators may do.

use std::sync::Arc;

use axum::Json as JsonBody;
use axum::extract::State;
use bms_domain::catalogue::{MovieEntry, Show, ShowEntry, Theatre, TheatreEntry};
use bms_domain::id::{MovieId, OrderId, ShowId, TheatreId};

use crate::auth::Admin;
use crate::dto::{
    BookingId, EntryId, MovieBody, MovieEntrySchema, OrderBody, ShowEntrySchema, StoredShowSchema, TheatreEntrySchema,
    TheatreSchema,
};
use crate::extract::{Id, Json};
use crate::problem::Problem;
use crate::state::App;

/// Creates or replaces a movie.
#[utoipa::path(put, path = "/api/v1/admin/movies/{id}", operation_id = "putMovie", tag = "admin", security(("bearer" = [])),
    params(("id" = EntryId, Path)),
    request_body = MovieEntrySchema,
    responses((status = 200, body = MovieBody, description = "The movie"), (status = 403, description = "`forbidden`"), (status = 404, description = "`not-found`: not an id")))]
pub(crate) async fn put_movie(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(id): Id<MovieId>,
    Json(entry): Json<MovieEntry>,
) -> Result<JsonBody<MovieBody>, Problem> {
    check_id(entry.movie_id == id, "/movieId")?;
    Ok(JsonBody(MovieBody::from(&*app.service.put_movie(&caller, entry).await?)))
}

/// Creates or replaces a theatre with the seat plans of its screens. Shows keep the plan they were made with.
#[utoipa::path(put, path = "/api/v1/admin/theatres/{id}", operation_id = "putTheatre", tag = "admin", security(("bearer" = [])),
    params(("id" = EntryId, Path)),
    request_body = TheatreEntrySchema,
    responses((status = 200, body = TheatreSchema, description = "The theatre"), (status = 403, description = "`forbidden`"), (status = 404, description = "`not-found`: not an id")))]
pub(crate) async fn put_theatre(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(id): Id<TheatreId>,
    Json(entry): Json<TheatreEntry>,
) -> Result<JsonBody<Theatre>, Problem> {
    check_id(entry.theatre_id == id, "/theatreId")?;
    Ok(JsonBody((*app.service.put_theatre(&caller, entry).await?).clone()))
}

/// Creates or replaces a show. One that has sales keeps its seat plan.
#[utoipa::path(put, path = "/api/v1/admin/shows/{id}", operation_id = "putShow", tag = "admin", security(("bearer" = [])),
    params(("id" = EntryId, Path)),
    request_body = ShowEntrySchema,
    responses((status = 200, body = StoredShowSchema, description = "The show"), (status = 403, description = "`forbidden`"), (status = 404, description = "`not-found`: not an id")))]
pub(crate) async fn put_show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(id): Id<ShowId>,
    Json(entry): Json<ShowEntry>,
) -> Result<JsonBody<Show>, Problem> {
    check_id(entry.show_id == id, "/showId")?;
    Ok(JsonBody(app.service.put_show(&caller, entry).await?.show().clone()))
}

fn check_id(same: bool, pointer: &str) -> Result<(), Problem> {
    if same { Ok(()) } else { Err(Problem::invalid(pointer, "the id in the path")) }
}

/// Cancels a confirmed order: its seats are free, its payment is to be given back. Repeating it gives the same.
#[utoipa::path(post, path = "/api/v1/admin/orders/{orderId}/cancel", operation_id = "cancelOrder", tag = "admin", security(("bearer" = [])),
    params(("orderId" = BookingId, Path)),
    responses(
        (status = 200, body = OrderBody, description = "The order, CANCELLED"),
        (status = 403, description = "`forbidden`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`order-pending`, `order-not-pending`"),
        (status = 410, description = "`order-expired`"),
    ))]
pub(crate) async fn cancel_order(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(id): Id<OrderId>,
) -> Result<JsonBody<OrderBody>, Problem> {
    let order = app.service.cancel_order(&caller, id).await?;
    app.edge.metrics.refund_due();
    Ok(JsonBody(OrderBody::seen_by(&caller, &order)))
}
