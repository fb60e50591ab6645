//! Writes entries, all or none.
//!
//! What the entries refer to is read, every show is put together with its theatre and its seat plan, and then one statement
//! writes everything. Two writers cannot undo each other's checks in between: a seat plan never changes, a show refers to
//! its movie, its plan and its screen by foreign keys, and a theatre is replaced in the version that was read or not at all.
//! When one of these refuses, nothing was written, and everything is read and checked anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bms_domain::catalogue::{Listing, Movie, Show, ShowError, Theatre};
use bms_domain::id::{LayoutId, MovieId, ScreenId, ShowId, TheatreId};
use bms_domain::layout::Layout;
use bms_domain::store::{CatalogueWrite, StoreError};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{PostgresCatalogue, folded, names, row};
use crate::codec::{escaped, get, parsed};
use crate::error::{STORE, broken};
use crate::run::Failed;
use crate::statements::query;

/// How often a write is tried that others come before of. Each of them has written by then, so that somebody gets ahead.
const ATTEMPTS: usize = 32;
/// What another writer can make a statement break that was fine when it was checked.
const OVERTAKEN: [&str; 3] = ["layouts_pkey", "theatres_as_read", "shows_screen"];

/// The entries of a write, each once.
struct Entries {
    movies: BTreeMap<MovieId, Movie>,
    layouts: BTreeMap<LayoutId, Arc<Layout>>,
    theatres: BTreeMap<TheatreId, Arc<Theatre>>,
    shows: BTreeMap<ShowId, Show>,
}

/// What there is already of all that entries name.
struct Known {
    movies: BTreeSet<MovieId>,
    layouts: HashMap<LayoutId, Arc<Layout>>,
    /// With their versions.
    theatres: BTreeMap<TheatreId, (Arc<Theatre>, i32)>,
}

impl PostgresCatalogue {
    pub(super) async fn replace(&self, write: &CatalogueWrite) -> Result<(), StoreError> {
        let _writing = self.kept.writing();
        let entries = Entries::of(write)?;
        let until = Instant::now() + self.postgres.deadline();
        for _ in 0..ATTEMPTS {
            // The statement that writes has a deadline of its own, so that it is known what became of it.
            let known = timeout_at(until, self.check(&entries)).await.map_err(|_| StoreError::unavailable(STORE))??;
            match self.insert(&entries, &known).await {
                Ok(()) => {
                    entries.layouts.into_iter().for_each(|(id, layout)| self.kept.layouts.insert(id, layout));
                    return Ok(());
                }
                Err(Failed::Violates(constraint)) if OVERTAKEN.contains(&constraint.as_str()) => {
                    tracing::trace!(constraint, "a catalogue's entries are checked again");
                }
                Err(failed) => return Err(failed.unexpected()),
            }
        }
        Err(StoreError::unavailable(STORE))
    }

    /// Reads what entries refer to, and refuses them if they do not fit.
    async fn check(&self, entries: &Entries) -> Result<Known, StoreError> {
        let known = self.known(entries).await?;
        entries.check(&known)?;
        self.check_screens(entries, &known).await?;
        Ok(known)
    }

    async fn known(&self, entries: &Entries) -> Result<Known, StoreError> {
        let of_shows = || entries.shows.values();
        let movies: BTreeSet<MovieId> =
            of_shows().map(|show| show.movie_id).filter(|id| !entries.movies.contains_key(id)).collect();
        let theatres = of_shows().map(|show| show.theatre_id).chain(entries.theatres.keys().copied()).collect();
        let layouts = of_shows().map(|show| show.layout_id).chain(entries.layouts.keys().copied()).collect();
        Ok(Known {
            movies: self.known_movies(movies).await?,
            layouts: self.layouts(layouts).await?,
            theatres: self.known_theatres(theatres).await?,
        })
    }

    async fn known_movies(&self, ids: BTreeSet<MovieId>) -> Result<BTreeSet<MovieId>, StoreError> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let ids = names(&ids);
        let rows = self.postgres.read(|| query(&self.sql.movies_known).bind(ids.clone())).await?;
        rows.iter().map(|row| parsed(row, "id", MovieId::parse)).collect()
    }

    async fn known_theatres(&self, ids: BTreeSet<TheatreId>) -> Result<BTreeMap<TheatreId, (Arc<Theatre>, i32)>, StoreError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids = names(&ids);
        let rows = self.postgres.read(|| query(&self.sql.theatres).bind(ids.clone())).await?;
        let known = |row| {
            let theatre = row::theatre(row)?;
            Ok((theatre.theatre_id, (Arc::new(theatre), get(row, "version")?)))
        };
        rows.iter().map(known).collect()
    }

    /// Refuses to take a screen away that shows are on.
    async fn check_screens(&self, entries: &Entries, known: &Known) -> Result<(), StoreError> {
        let gone = entries.screens_gone(known);
        if gone.is_empty() {
            return Ok(());
        }
        let (theatres, screens): (Vec<String>, Vec<String>) =
            gone.into_iter().map(|(theatre, screen)| (theatre.to_string(), screen.to_string())).unzip();
        let shows: Vec<String> = entries.shows.keys().map(ToString::to_string).collect();
        let stranded = || query(&self.sql.stranded).bind(theatres.clone()).bind(screens.clone()).bind(shows.clone());
        let rows = self.postgres.read(stranded).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let id: &str = get(row, "id")?;
        let error = ShowError::UnknownScreen(parsed(row, "screen_id", ScreenId::parse)?);
        Err(broken(format!("show {id}: {error}")))
    }

    async fn insert(&self, entries: &Entries, known: &Known) -> Result<(), Failed> {
        let movies = Value::from_iter(entries.movies.values().map(movie)).to_string();
        let theatres = Value::from_iter(entries.changed_theatres(known).map(|(one, version)| theatre(one, version))).to_string();
        let shows = Value::from_iter(entries.shows.values().map(show)).to_string();
        let new = entries.layouts.values().filter(|layout| !known.layouts.contains_key(&layout.id()));
        let (mut ids, mut plans) = (Vec::new(), Vec::new());
        for layout in new {
            ids.push(layout.id().to_string());
            let plan = serde_json::to_string(layout.plan());
            plans.push(plan.map_err(|error| broken(format!("layout {}: {error}", layout.id())))?);
        }
        let write = || {
            query(&self.sql.write)
                .bind(movies.clone())
                .bind(theatres.clone())
                .bind(shows.clone())
                .bind(ids.clone())
                .bind(plans.clone())
        };
        self.postgres.write(write).await.map(|_| ())
    }
}

impl Entries {
    /// The last of each id counts; but of a seat plan all have to be the same.
    fn of(write: &CatalogueWrite) -> Result<Self, StoreError> {
        let mut layouts: BTreeMap<LayoutId, Arc<Layout>> = BTreeMap::new();
        for layout in &write.layouts {
            check_same(layouts.entry(layout.id()).or_insert_with(|| layout.clone()), layout)?;
        }
        for theatre in &write.theatres {
            let mut ids = BTreeSet::new();
            if let Some(twice) = theatre.screens.iter().find(|screen| !ids.insert(screen.screen)) {
                return Err(broken(format!("theatre {}: screen {} is there twice", theatre.theatre_id, twice.screen)));
            }
        }
        Ok(Self {
            movies: write.movies.iter().map(|movie| (movie.movie_id, movie.clone())).collect(),
            layouts,
            theatres: write.theatres.iter().map(|theatre| (theatre.theatre_id, Arc::new(theatre.clone()))).collect(),
            shows: write.shows.iter().map(|show| (show.show_id, show.clone())).collect(),
        })
    }

    fn check(&self, known: &Known) -> Result<(), StoreError> {
        for (id, layout) in &self.layouts {
            if let Some(kept) = known.layouts.get(id) {
                check_same(kept, layout)?;
            }
        }
        for (id, show) in &self.shows {
            let missing = |what| broken(format!("show {id}: no such {what}"));
            if !self.movies.contains_key(&show.movie_id) && !known.movies.contains(&show.movie_id) {
                return Err(missing("movie"));
            }
            let there = || known.theatres.get(&show.theatre_id).map(|(theatre, _)| theatre);
            let theatre = self.theatres.get(&show.theatre_id).or_else(there).ok_or_else(|| missing("theatre"))?;
            let there = || known.layouts.get(&show.layout_id);
            let layout = self.layouts.get(&show.layout_id).or_else(there).ok_or_else(|| missing("layout"))?;
            Listing::new(show.clone(), theatre.clone(), layout.clone()).map_err(|error| broken(format!("show {id}: {error}")))?;
        }
        Ok(())
    }

    /// The theatres that are not yet as they are to be, with the versions that they replace.
    fn changed_theatres(&self, known: &Known) -> impl Iterator<Item = (&Theatre, i32)> {
        self.theatres.iter().filter_map(|(id, theatre)| match known.theatres.get(id) {
            Some((there, _)) if there == theatre => None,
            Some((_, version)) => Some((theatre.as_ref(), *version)),
            None => Some((theatre.as_ref(), 0)),
        })
    }

    fn screens_gone(&self, known: &Known) -> Vec<(TheatreId, ScreenId)> {
        let mut gone = Vec::new();
        for (id, theatre) in &self.theatres {
            let there = known.theatres.get(id).into_iter().flat_map(|(there, _)| &there.screens);
            let lost = there.filter(|screen| !theatre.screens.iter().any(|stays| stays.screen == screen.screen));
            gone.extend(lost.map(|screen| (*id, screen.screen)));
        }
        gone
    }
}

fn check_same(kept: &Layout, layout: &Layout) -> Result<(), StoreError> {
    if kept == layout { Ok(()) } else { Err(broken(format!("layout {} exists already, with another plan", layout.id()))) }
}

fn movie(movie: &Movie) -> Value {
    json!({
        "id": movie.movie_id,
        "title": escaped(&movie.title),
        "duration_minutes": movie.duration_minutes,
        "language": escaped(&movie.language),
        "genres": movie.genres.iter().map(|genre| escaped(genre)).collect::<Vec<_>>(),
        "certificate": escaped(&movie.certificate),
        "poster_url": movie.poster_url.as_deref().map(escaped),
        "synopsis": escaped(&movie.synopsis),
    })
}

fn theatre(theatre: &Theatre, version: i32) -> Value {
    let screens = theatre.screens.iter();
    json!({
        "id": theatre.theatre_id,
        "name": escaped(&theatre.name),
        "city": escaped(&theatre.city),
        "city_folded": folded(&theatre.city),
        "time_zone": theatre.time_zone.name(),
        "read_version": version,
        "screens": screens
            .map(|screen| json!({ "id": screen.screen, "name": escaped(&screen.name), "layout_id": screen.layout_id }))
            .collect::<Vec<_>>(),
    })
}

fn show(show: &Show) -> Value {
    json!({
        "id": show.show_id,
        "movie_id": show.movie_id,
        "theatre_id": show.theatre_id,
        "screen_id": show.screen,
        "layout_id": show.layout_id,
        "start_time": show.start_time,
        "sales_open_at": show.sales_open_at,
        "status": show.status.name(),
        "price_categories": show.prices.iter().map(|price| price.category).collect::<Vec<_>>(),
        "price_amounts": show.prices.iter().map(|price| price.amount).collect::<Vec<_>>(),
        "currency": show.prices.first().map(|price| price.currency.code()),
        "blocked_seats": show.blocked_seats,
    })
}
