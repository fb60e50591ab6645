//! The catalogue store: movies, theatres, layouts and shows.

use std::sync::Arc;

use async_trait::async_trait;

use crate::catalogue::{Listing, Movie, Show, Theatre};
use crate::id::{LayoutId, MovieId, ShowId, TheatreId};
use crate::layout::Layout;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Which movies.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MovieQuery {
    /// Only movies with a show in this city, letter case aside, that starts at or after the instant.
    pub city: Option<(String, Timestamp)>,
    /// Only movies whose id comes after this one.
    pub after: Option<MovieId>,
    /// At most this many.
    pub limit: usize,
}

/// Entries to create or to replace, together or not at all.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CatalogueWrite {
    /// Movies.
    pub movies: Vec<Movie>,
    /// New layouts. A layout that exists is never replaced.
    pub layouts: Vec<Arc<Layout>>,
    /// Theatres.
    pub theatres: Vec<Theatre>,
    /// Shows.
    pub shows: Vec<Show>,
}

/// Keeps the catalogue. The service checks entries before it writes them, and decides on replacing a show's layout.
#[async_trait]
pub trait CatalogueStore: Send + Sync + 'static {
    /// Movies by id, ascending.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn movies(&self, query: &MovieQuery) -> Result<Vec<Arc<Movie>>, StoreError>;

    /// The movie of an id.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn movie(&self, id: &MovieId) -> Result<Option<Arc<Movie>>, StoreError>;

    /// The theatre of an id.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn theatre(&self, id: &TheatreId) -> Result<Option<Arc<Theatre>>, StoreError>;

    /// The layout of an id.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn layout(&self, id: &LayoutId) -> Result<Option<Arc<Layout>>, StoreError>;

    /// The show of an id, ready to be sold.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn show(&self, id: &ShowId) -> Result<Option<Arc<Listing>>, StoreError>;

    /// Shows of a movie that start in `from..until`, by start and id, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn shows(
        &self,
        movie: &MovieId,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<Listing>>, StoreError>;

    /// Creates or replaces entries, all or none.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when a show's movie, theatre or layout is not there or does not fit; the others when the
    /// backend does not answer.
    async fn write(&self, entries: &CatalogueWrite) -> Result<(), StoreError>;

    /// Whether the backend answers, for readiness.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    async fn ping(&self) -> Result<(), StoreError>;
}
