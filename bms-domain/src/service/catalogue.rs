//! The catalogue: browse, and change.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;

use super::BookingService;
use crate::catalogue::{Listing, Movie};
use crate::error::{Error, Violation};
use crate::id::{MovieId, ShowId};
use crate::store::MovieQuery;
use crate::time::Timestamp;

/// The most shows that one answer lists.
const MAX_SHOWS: usize = 1_000;

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// The most items of one part.
    pub const MAX: usize = 100;

    pub(super) fn check_limit(limit: usize) -> Result<usize, Error> {
        if (1..=Self::MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Error::Invalid(vec![Violation::new("/limit", format!("1 to {}", Self::MAX))]))
        }
    }

    /// Cuts a list that was read one item too far.
    pub(super) fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

/// A show, and how many of its seats can be had.
#[derive(Clone, Debug, PartialEq)]
pub struct ShowAvailability {
    /// The show's listing.
    pub listing: Arc<Listing>,
    /// Seats that are neither held nor sold nor blocked, as far as the hold store knows.
    pub seats_available: u32,
}

impl BookingService {
    /// Movies by id, `limit` of 1–100 at a time; with a city, only those with a show there that has not started.
    ///
    /// # Errors
    /// `Invalid` (limit), `Unavailable`.
    pub async fn movies(
        &self,
        city: Option<String>,
        after: Option<MovieId>,
        limit: usize,
    ) -> Result<Page<Arc<Movie>, MovieId>, Error> {
        let limit = Page::<Arc<Movie>, MovieId>::check_limit(limit)?;
        let city = city.map(|city| (city, self.shared.clock.now()));
        let query = MovieQuery { city, after, limit: limit + 1 };
        let found = self.of_catalogue(self.ports().catalogue.movies(&query)).await?;
        Ok(Page::cut(found, limit, |movie| movie.movie_id))
    }

    /// A movie.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn movie(&self, id: &MovieId) -> Result<Arc<Movie>, Error> {
        self.of_catalogue(self.ports().catalogue.movie(id)).await?.ok_or(Error::NotFound("movie"))
    }

    /// A movie's shows by start, at most 1,000: those of a day in their theatre's time zone, or those that have not
    /// started yet.
    ///
    /// # Errors
    /// `NotFound` (the movie), `Unavailable`.
    pub async fn shows(&self, movie: &MovieId, date: Option<NaiveDate>) -> Result<Vec<ShowAvailability>, Error> {
        self.movie(movie).await?;
        let (from, until) = match date {
            // No clock on Earth is more than 14 hours from UTC.
            Some(date) => {
                let midnight = Timestamp::from(date.and_time(chrono::NaiveTime::MIN).and_utc());
                (midnight.minus(Duration::from_hours(14)), midnight.plus(Duration::from_hours(24 + 14)))
            }
            None => (self.shared.clock.now(), Timestamp::MAX),
        };
        let mut found = self.of_catalogue(self.ports().catalogue.shows(movie, from, until, MAX_SHOWS)).await?;
        if let Some(date) = date {
            found.retain(|listing| listing.local_date() == date);
        }
        self.with_availability(found).await
    }

    async fn with_availability(&self, listings: Vec<Arc<Listing>>) -> Result<Vec<ShowAvailability>, Error> {
        let ids: Vec<ShowId> = listings.iter().map(|listing| listing.show().show_id).collect();
        let counts = self.of_holds(self.holds().counts(&ids)).await?;
        let mut shows = Vec::with_capacity(listings.len());
        for (listing, counts) in listings.into_iter().zip(counts) {
            let seats_available = match counts {
                Some(counts) => {
                    let taken = counts.held + counts.sold + listing.blocked().count();
                    listing.layout().seat_count().saturating_sub(taken)
                }
                // Primes it too, so that the next one is counted.
                None => self.seat_map_fresh(&listing.show().show_id).await?.available(),
            };
            shows.push(ShowAvailability { listing, seats_available });
        }
        Ok(shows)
    }

    /// A show, ready to be sold.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn listing(&self, show: &ShowId) -> Result<Arc<Listing>, Error> {
        self.of_catalogue(self.ports().catalogue.show(show)).await?.ok_or(Error::NotFound("show"))
    }
}
