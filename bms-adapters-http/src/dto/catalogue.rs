//! Movies and shows.

use bms_domain::catalogue::{Movie, Price, ShowStatus};
use bms_domain::id::{MovieId, ScreenId, ShowId, TheatreId};
use bms_domain::service::ShowAvailability;
use bms_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{CategoryName, CurrencyCode, EntryId, Instant};

/// Which movies.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MovieQuery {
    /// Only movies with a show in this city, letter case aside, that has not started.
    pub(crate) city: Option<String>,
    /// The `nextCursor` of the part before.
    pub(crate) cursor: Option<String>,
    /// How many: 1 to 100; 20 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub(crate) limit: Option<String>,
}

/// Which shows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ShowQuery {
    /// A day in the theatre's time zone, `YYYY-MM-DD`; upcoming shows unless given.
    #[param(value_type = Option<String>, format = Date)]
    pub(crate) date: Option<String>,
}

/// A movie in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MovieSummary {
    #[schema(value_type = EntryId)]
    movie_id: MovieId,
    title: String,
    duration_minutes: u32,
    /// A BCP 47 tag such as `en`.
    language: String,
    genres: Vec<String>,
    certificate: String,
    #[schema(required)]
    poster_url: Option<String>,
}

/// A movie.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Movie)]
pub(crate) struct MovieBody {
    #[schema(value_type = EntryId)]
    movie_id: MovieId,
    title: String,
    duration_minutes: u32,
    /// A BCP 47 tag such as `en`.
    language: String,
    genres: Vec<String>,
    certificate: String,
    #[schema(required)]
    poster_url: Option<String>,
    synopsis: String,
}

/// A part of the movies, by id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MovieList {
    pub(crate) movies: Vec<MovieSummary>,
    /// Where the next part begins; null at the end.
    #[schema(required, value_type = Option<String>)]
    pub(crate) next_cursor: Option<MovieId>,
}

impl From<&Movie> for MovieSummary {
    fn from(movie: &Movie) -> Self {
        Self {
            movie_id: movie.movie_id,
            title: movie.title.clone(),
            duration_minutes: movie.duration_minutes,
            language: movie.language.clone(),
            genres: movie.genres.clone(),
            certificate: movie.certificate.clone(),
            poster_url: movie.poster_url.clone(),
        }
    }
}

impl From<&Movie> for MovieBody {
    fn from(movie: &Movie) -> Self {
        Self {
            movie_id: movie.movie_id,
            title: movie.title.clone(),
            duration_minutes: movie.duration_minutes,
            language: movie.language.clone(),
            genres: movie.genres.clone(),
            certificate: movie.certificate.clone(),
            poster_url: movie.poster_url.clone(),
            synopsis: movie.synopsis.clone(),
        }
    }
}

/// Whether a show's seats can be had.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = ShowStatus)]
pub(crate) enum ShowStatusName {
    Scheduled,
    OnSale,
    Closed,
    Cancelled,
}

/// What a seat of a category costs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Price)]
pub(crate) struct PriceSchema {
    #[schema(value_type = CategoryName)]
    category: String,
    /// Minor units.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    amount: i64,
    #[schema(value_type = CurrencyCode)]
    currency: String,
}

/// A show, and how many of its seats can be had.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Show)]
pub(crate) struct ShowBody {
    #[schema(value_type = EntryId)]
    show_id: ShowId,
    #[schema(value_type = EntryId)]
    movie_id: MovieId,
    #[schema(value_type = EntryId)]
    theatre_id: TheatreId,
    theatre_name: String,
    #[schema(value_type = EntryId)]
    screen: ScreenId,
    #[schema(value_type = Instant)]
    start_time: Timestamp,
    /// The IANA time zone of the theatre.
    time_zone: String,
    #[schema(value_type = ShowStatusName)]
    status: ShowStatus,
    #[schema(value_type = Vec<PriceSchema>)]
    prices: Vec<Price>,
    seats_total: u32,
    seats_available: u32,
}

/// A movie's shows, by start.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShowList {
    pub(crate) shows: Vec<ShowBody>,
}

impl From<&ShowAvailability> for ShowBody {
    fn from(found: &ShowAvailability) -> Self {
        let (show, theatre) = (found.listing.show(), found.listing.theatre());
        Self {
            show_id: show.show_id,
            movie_id: show.movie_id,
            theatre_id: show.theatre_id,
            theatre_name: theatre.name.clone(),
            screen: show.screen,
            start_time: show.start_time,
            time_zone: theatre.time_zone.name().to_owned(),
            status: show.status,
            prices: show.prices.clone(),
            seats_total: found.listing.layout().seat_count(),
            seats_available: found.seats_available,
        }
    }
}
