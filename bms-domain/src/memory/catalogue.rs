//! The catalogue in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;

use super::shards::Shows;
use crate::catalogue::{Listing, Movie, Theatre};
use crate::id::{LayoutId, MovieId, ShowId, TheatreId};
use crate::layout::Layout;
use crate::store::{CatalogueStore, CatalogueWrite, MovieQuery, StoreError};
use crate::time::Timestamp;

/// Keeps movies, theatres, layouts and shows in this process's memory. Shows are found without a lock that writers of the
/// rest would hold.
pub struct MemoryCatalogue {
    entries: RwLock<Entries>,
    listings: Shows<Listing>,
}

#[derive(Clone, Default)]
struct Entries {
    movies: BTreeMap<MovieId, Arc<Movie>>,
    theatres: BTreeMap<TheatreId, Arc<Theatre>>,
    layouts: BTreeMap<LayoutId, Arc<Layout>>,
    /// The shows of a movie, by start.
    programme: BTreeMap<MovieId, BTreeSet<(Timestamp, ShowId)>>,
    /// The shows of a theatre.
    houses: BTreeMap<TheatreId, BTreeSet<ShowId>>,
}

impl MemoryCatalogue {
    /// An empty catalogue.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: RwLock::default(), listings: Shows::new() }
    }

    fn plays_in(&self, entries: &Entries, movie: MovieId, city: &str, from: Timestamp) -> bool {
        let Some(shows) = entries.programme.get(&movie) else { return false };
        shows
            .iter()
            .skip_while(|(start, _)| *start < from)
            .filter_map(|(_, show)| self.listings.get(show))
            .any(|listing| listing.theatre().city.to_lowercase() == city)
    }

    /// The listings that a write makes or changes: its own shows, and those of theatres that it replaces.
    fn changed_listings(&self, entries: &Entries, write: &CatalogueWrite) -> Result<Vec<Listing>, StoreError> {
        let touched = write.theatres.iter().filter_map(|theatre| entries.houses.get(&theatre.theatre_id)).flatten();
        let rebuilt = touched
            .filter(|show| !write.shows.iter().any(|new| new.show_id == **show))
            .filter_map(|show| self.listings.get(show))
            .map(|listing| listing.show().clone());
        rebuilt
            .chain(write.shows.iter().cloned())
            .map(|show| {
                let missing =
                    |what| StoreError::Broken { store: "memory", detail: format!("show {}: no such {what}", show.show_id) };
                if !entries.movies.contains_key(&show.movie_id) {
                    return Err(missing("movie"));
                }
                let theatre = entries.theatres.get(&show.theatre_id).ok_or_else(|| missing("theatre"))?;
                let layout = entries.layouts.get(&show.layout_id).ok_or_else(|| missing("layout"))?;
                let id = show.show_id;
                Listing::new(show, theatre.clone(), layout.clone())
                    .map_err(|error| StoreError::Broken { store: "memory", detail: format!("show {id}: {error}") })
            })
            .collect()
    }
}

impl Default for MemoryCatalogue {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl CatalogueStore for MemoryCatalogue {
    async fn movies(&self, query: &MovieQuery) -> Result<Vec<Arc<Movie>>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let entries = self.entries.read();
        let start = query.after.map_or(Unbounded, Excluded);
        let city = query.city.as_ref().map(|(city, from)| (city.to_lowercase(), *from));
        let plays = |movie: &MovieId| city.as_ref().is_none_or(|(city, from)| self.plays_in(&entries, *movie, city, *from));
        let found = entries.movies.range((start, Unbounded)).filter(|(id, _)| plays(id));
        Ok(found.take(query.limit).map(|(_, movie)| movie.clone()).collect())
    }

    async fn movie(&self, id: &MovieId) -> Result<Option<Arc<Movie>>, StoreError> {
        Ok(self.entries.read().movies.get(id).cloned())
    }

    async fn theatre(&self, id: &TheatreId) -> Result<Option<Arc<Theatre>>, StoreError> {
        Ok(self.entries.read().theatres.get(id).cloned())
    }

    async fn layout(&self, id: &LayoutId) -> Result<Option<Arc<Layout>>, StoreError> {
        Ok(self.entries.read().layouts.get(id).cloned())
    }

    async fn show(&self, id: &ShowId) -> Result<Option<Arc<Listing>>, StoreError> {
        Ok(self.listings.get(id))
    }

    async fn shows(
        &self,
        movie: &MovieId,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<Listing>>, StoreError> {
        let entries = self.entries.read();
        let shows = entries.programme.get(movie).into_iter().flatten();
        let found = shows.skip_while(|(start, _)| *start < from).take_while(|(start, _)| *start < until);
        Ok(found.filter_map(|(_, show)| self.listings.get(show)).take(limit).collect())
    }

    async fn write(&self, write: &CatalogueWrite) -> Result<(), StoreError> {
        let mut entries = self.entries.write();
        let mut next = entries.clone();
        for movie in &write.movies {
            next.movies.insert(movie.movie_id, Arc::new(movie.clone()));
        }
        for layout in &write.layouts {
            let kept = next.layouts.entry(layout.id()).or_insert_with(|| layout.clone());
            if **kept != **layout {
                let detail = format!("layout {} exists already, with another plan", layout.id());
                return Err(StoreError::Broken { store: "memory", detail });
            }
        }
        for theatre in &write.theatres {
            next.theatres.insert(theatre.theatre_id, Arc::new(theatre.clone()));
        }
        let listings = self.changed_listings(&next, write)?;
        for listing in listings {
            let show = listing.show().clone();
            if let Some(old) = self.listings.get(&show.show_id) {
                let old = old.show();
                if let Some(programme) = next.programme.get_mut(&old.movie_id) {
                    programme.remove(&(old.start_time, old.show_id));
                }
                if let Some(house) = next.houses.get_mut(&old.theatre_id) {
                    house.remove(&old.show_id);
                }
            }
            next.programme.entry(show.movie_id).or_default().insert((show.start_time, show.show_id));
            next.houses.entry(show.theatre_id).or_default().insert(show.show_id);
            self.listings.replace(&show.show_id, Arc::new(listing));
        }
        *entries = next;
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
