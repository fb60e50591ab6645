//! What is on.

use std::sync::Arc;

use axum::Json as JsonBody;
use axum::extract::State;
use bms_domain::id::MovieId;
use chrono::NaiveDate;

use crate::dto::{self, EntryId, MovieBody, MovieList, MovieQuery, MovieSummary, ShowBody, ShowList, ShowQuery};
use crate::extract::{Id, Query};
use crate::problem::Problem;
use crate::state::App;

/// Movies, by id.
#[utoipa::path(get, path = "/movies", operation_id = "listMovies", tag = "catalogue", params(MovieQuery),
    responses((status = 200, body = MovieList, description = "A part of the movies")))]
pub(crate) async fn list(State(app): State<Arc<App>>, Query(query): Query<MovieQuery>) -> Result<JsonBody<MovieList>, Problem> {
    let after: Option<MovieId> = dto::cursor(query.cursor.as_deref())?;
    let page = app.service.movies(query.city, after, dto::limit(query.limit.as_deref())?).await?;
    let movies = page.items.iter().map(|movie| MovieSummary::from(&**movie)).collect();
    Ok(JsonBody(MovieList { movies, next_cursor: page.next }))
}

/// One movie.
#[utoipa::path(get, path = "/movies/{movieId}", operation_id = "getMovie", tag = "catalogue",
    params(("movieId" = EntryId, Path)),
    responses((status = 200, body = MovieBody, description = "The movie"), (status = 404, description = "`not-found`")))]
pub(crate) async fn one(State(app): State<Arc<App>>, Id(id): Id<MovieId>) -> Result<JsonBody<MovieBody>, Problem> {
    Ok(JsonBody(MovieBody::from(&*app.service.movie(&id).await?)))
}

/// A movie's shows, by start: upcoming ones, or those of a day in their theatre's time zone.
#[utoipa::path(get, path = "/movies/{movieId}/shows", operation_id = "listShows", tag = "catalogue",
    params(("movieId" = EntryId, Path), ShowQuery),
    responses((status = 200, body = ShowList, description = "The shows"), (status = 404, description = "`not-found`")))]
pub(crate) async fn shows(
    State(app): State<Arc<App>>,
    Id(id): Id<MovieId>,
    Query(query): Query<ShowQuery>,
) -> Result<JsonBody<ShowList>, Problem> {
    let date = query.date.as_deref().map(parse_date).transpose()?;
    let shows = app.service.shows(&id, date).await?;
    Ok(JsonBody(ShowList { shows: shows.iter().map(ShowBody::from).collect() }))
}

/// Exactly `YYYY-MM-DD`.
fn parse_date(text: &str) -> Result<NaiveDate, Problem> {
    let shape = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = if shape { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None };
    date.ok_or_else(|| Problem::invalid("/date", "a day as YYYY-MM-DD"))
}
