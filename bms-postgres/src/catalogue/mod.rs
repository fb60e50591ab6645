//! Movies, theatres, seat plans and shows.

mod kept;
mod row;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use bms_domain::catalogue::{Listing, Movie, Theatre};
use bms_domain::id::{LayoutId, MovieId, ShowId, TheatreId};
use bms_domain::layout::Layout;
use bms_domain::store::{CatalogueStore, CatalogueWrite, MovieQuery, StoreError};
use bms_domain::time::Timestamp;
use sqlx::postgres::PgRow;
use tokio::time::timeout;

use crate::codec::escaped;
use crate::connection::Postgres;
use crate::error::{STORE, broken};
use crate::run::count;
use crate::statements::{query, statements};

use kept::Kept;

statements!(
    /// The statements of the catalogue.
    CatalogueSql in "catalogue":
    layouts, movie, movies, movies_in, movies_known, show, shows, stranded, theatres, write
);

/// Keeps movies, theatres, seat plans and shows in Postgres. Cheap to clone.
///
/// A show is asked for with every hold and every order. So clones share what they have read: seat plans for good, as they
/// never change, and shows for [`PostgresConfig::listing_life`], or until one of these clones writes. Another process, or
/// another catalogue made by [`new`](Self::new), may change a price or close a show: this one sells by what it has read for
/// that long at most. Which seats there are is safe: an order of another plan than the show's is refused
/// ([`OrderStore::pin_layout`]).
///
/// Lists of movies and of shows come from the replica, where there is one, and may be as old as that; what is asked for by
/// its id comes from the primary.
///
/// [`PostgresConfig::listing_life`]: crate::PostgresConfig::listing_life
/// [`OrderStore::pin_layout`]: bms_domain::store::OrderStore::pin_layout
#[derive(Clone)]
pub struct PostgresCatalogue {
    postgres: Postgres,
    sql: Arc<CatalogueSql>,
    kept: Arc<Kept>,
}

impl PostgresCatalogue {
    /// The catalogue in this database.
    #[must_use]
    pub fn new(postgres: Postgres) -> Self {
        let sql = Arc::new(CatalogueSql::new(postgres.schema()));
        let kept = Arc::new(Kept::new(postgres.listing_life()));
        Self { postgres, sql, kept }
    }

    /// A call of several statements, with a deadline for all of them.
    async fn in_time<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        timeout(self.postgres.deadline(), call).await.unwrap_or_else(|_| Err(StoreError::unavailable(STORE)))
    }

    async fn read_show(&self, id: &ShowId) -> Result<Option<Arc<Listing>>, StoreError> {
        let rows = self.postgres.read(|| query(&self.sql.show).bind(id.as_str())).await?;
        Ok(self.listings(&rows).await?.pop())
    }

    /// The shows of rows.
    async fn listings(&self, rows: &[PgRow]) -> Result<Vec<Arc<Listing>>, StoreError> {
        let plans: BTreeSet<LayoutId> = rows.iter().map(row::layout_id).collect::<Result<_, _>>()?;
        let layouts = self.layouts(plans).await?;
        let mut theatres: HashMap<TheatreId, Arc<Theatre>> = HashMap::new();
        let mut listings = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row::theatre_id(row)?;
            let theatre = match theatres.get(&id) {
                Some(theatre) => theatre.clone(),
                None => theatres.entry(id).or_insert(Arc::new(row::theatre(row)?)).clone(),
            };
            let id = row::layout_id(row)?;
            let layout = layouts.get(&id).ok_or_else(|| broken(format!("layout {id} is not there")))?;
            listings.push(Arc::new(row::listing(row, theatre, layout.clone())?));
        }
        Ok(listings)
    }

    /// Those of these seat plans that there are. From the primary: a list of shows that a replica has told may be ahead of
    /// another replica behind the same name.
    async fn layouts(&self, mut ids: BTreeSet<LayoutId>) -> Result<HashMap<LayoutId, Arc<Layout>>, StoreError> {
        let mut found = HashMap::new();
        ids.retain(|id| match self.kept.layouts.get(id) {
            Some(layout) => {
                found.insert(*id, layout);
                false
            }
            None => true,
        });
        if ids.is_empty() {
            return Ok(found);
        }
        let ids = names(&ids);
        for row in &self.postgres.read(|| query(&self.sql.layouts).bind(ids.clone())).await? {
            let layout = Arc::new(row::layout(row)?);
            self.kept.layouts.insert(layout.id(), layout.clone());
            found.insert(layout.id(), layout);
        }
        Ok(found)
    }
}

/// Ids as Postgres is told of them.
fn names<Id: ToString>(ids: &BTreeSet<Id>) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// A city as it is compared: in lower case, whatever the script.
fn folded(city: &str) -> String {
    escaped(&city.to_lowercase()).into_owned()
}

#[async_trait]
impl CatalogueStore for PostgresCatalogue {
    async fn movies(&self, wanted: &MovieQuery) -> Result<Vec<Arc<Movie>>, StoreError> {
        let (after, limit) = (wanted.after.map(|id| id.to_string()), count(wanted.limit));
        let movies = || match &wanted.city {
            None => query(&self.sql.movies).bind(after.clone()).bind(limit),
            Some((city, from)) => {
                query(&self.sql.movies_in).bind(after.clone()).bind(limit).bind(folded(city)).bind(from.to_utc())
            }
        };
        self.postgres.read_replica(movies).await?.iter().map(|row| row::movie(row).map(Arc::new)).collect()
    }

    async fn movie(&self, id: &MovieId) -> Result<Option<Arc<Movie>>, StoreError> {
        let rows = self.postgres.read(|| query(&self.sql.movie).bind(id.as_str())).await?;
        rows.first().map(|row| row::movie(row).map(Arc::new)).transpose()
    }

    async fn theatre(&self, id: &TheatreId) -> Result<Option<Arc<Theatre>>, StoreError> {
        let rows = self.postgres.read(|| query(&self.sql.theatres).bind(vec![id.to_string()])).await?;
        rows.first().map(|row| row::theatre(row).map(Arc::new)).transpose()
    }

    async fn layout(&self, id: &LayoutId) -> Result<Option<Arc<Layout>>, StoreError> {
        Ok(self.layouts(BTreeSet::from([*id])).await?.remove(id))
    }

    async fn show(&self, id: &ShowId) -> Result<Option<Arc<Listing>>, StoreError> {
        let Some(reading) = self.kept.reading(id, self.postgres.moment()) else {
            return self.in_time(self.read_show(id)).await;
        };
        if let Some(listing) = reading.listing.get() {
            return Ok(listing.clone());
        }
        // Whoever waits for another's reading has a deadline of his own: a failed one is tried by each who waited.
        self.in_time(async { reading.listing.get_or_try_init(|| self.read_show(id)).await.cloned() }).await
    }

    async fn shows(
        &self,
        movie: &MovieId,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<Listing>>, StoreError> {
        let shows = || query(&self.sql.shows).bind(movie.as_str()).bind(from.to_utc()).bind(until.to_utc()).bind(count(limit));
        self.in_time(async { self.listings(&self.postgres.read_replica(shows).await?).await }).await
    }

    async fn write(&self, entries: &CatalogueWrite) -> Result<(), StoreError> {
        self.replace(entries).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.postgres.ping().await
    }
}
