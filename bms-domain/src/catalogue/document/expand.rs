//! From the document to the entries that a store takes, checked against each other and against what exists.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::super::{Listing, Movie, Screen, Show, ShowStatus, Theatre};
use super::{CatalogueDocument, DocumentError, Existing, Schedule, ScreenLayout, ShowEntry, TheatreEntry};
use crate::catalogue::plan::SeatPlan;
use crate::error::Violation;
use crate::id::{LayoutId, MovieId, ScreenId, ShowId, TheatreId};
use crate::layout::Layout;
use crate::store::CatalogueWrite;
use crate::time::Timestamp;

/// A small document could ask for many large plans, and for many shows.
const MAX_SEATS: u32 = 500_000;
const MAX_SHOWS: usize = 20_000;

impl CatalogueDocument {
    /// Checks the whole document and writes it out: schedules relative to `now`, seat plans seat by seat. Layouts that
    /// exist already are left out of the result.
    ///
    /// A document brings at most 20,000 shows and, in all its seat plans together, half a million seats.
    ///
    /// # Errors
    /// [`DocumentError`] with everything that is wrong, up to [`DocumentError::MAX_VIOLATIONS`].
    pub fn expand(&self, now: Timestamp, existing: &Existing) -> Result<CatalogueWrite, DocumentError> {
        let mut expansion = Expansion::new(existing);
        match expansion.document(self, now) {
            Ok(()) if expansion.violations.is_empty() => Ok(expansion.write),
            Ok(()) | Err(Full) => Err(DocumentError { violations: expansion.violations }),
        }
    }
}

/// As many faults as are reported have been found.
struct Full;

struct Expansion<'a> {
    existing: &'a Existing,
    movies: HashSet<MovieId>,
    theatres: HashMap<TheatreId, Arc<Theatre>>,
    plans: HashMap<LayoutId, &'a SeatPlan>,
    /// The document's layouts; `None` for one that has been complained of.
    layouts: HashMap<LayoutId, Option<Arc<Layout>>>,
    shows: HashSet<ShowId>,
    seats: u32,
    violations: Vec<Violation>,
    write: CatalogueWrite,
}

impl<'a> Expansion<'a> {
    fn new(existing: &'a Existing) -> Self {
        Self {
            existing,
            movies: HashSet::new(),
            theatres: HashMap::new(),
            plans: HashMap::new(),
            layouts: HashMap::new(),
            shows: HashSet::new(),
            seats: 0,
            violations: Vec::new(),
            write: CatalogueWrite::default(),
        }
    }

    fn document(&mut self, document: &'a CatalogueDocument, now: Timestamp) -> Result<(), Full> {
        for (position, entry) in document.movies.iter().enumerate() {
            self.movie(
                &Place { pointer: format!("/movies/{position}"), id: format!("movie {}", entry.movie_id) },
                entry.clone().into(),
            )?;
        }
        // All plans before all theatres, because a screen may refer to a plan that stands further down.
        for (position, entry) in document.theatres.iter().enumerate() {
            self.plans(&Place::theatre(position, entry), entry)?;
        }
        for (position, entry) in document.theatres.iter().enumerate() {
            self.theatre(&Place::theatre(position, entry), entry)?;
        }
        for (position, entry) in document.shows.iter().enumerate() {
            let place = Place { pointer: format!("/shows/{position}"), id: format!("show {}", entry.show_id) };
            self.show_entry(&place, entry)?;
        }
        for (position, schedule) in document.schedules.iter().enumerate() {
            let id = format!("schedule {}", schedule.id_prefix.chars().take(ShowId::MAX_LEN).collect::<String>());
            self.schedule(&Place { pointer: format!("/schedules/{position}"), id }, schedule, now)?;
        }
        Ok(())
    }

    fn movie(&mut self, place: &Place, movie: Movie) -> Result<(), Full> {
        if !self.movies.insert(movie.movie_id) {
            self.report(place, "/movieId", "is there twice")?;
        }
        self.report_all(place, movie.check())?;
        self.write.movies.push(movie);
        Ok(())
    }

    fn plans(&mut self, place: &Place, entry: &'a TheatreEntry) -> Result<(), Full> {
        for (position, screen) in entry.screens.iter().enumerate() {
            let ScreenLayout::Plan(plan) = &screen.layout else { continue };
            let (field, id) = (format!("/screens/{position}/layout"), plan.layout_id);
            match self.plans.insert(id, plan) {
                Some(other) if other == plan => continue,
                Some(_) => {
                    self.report(place, &field, format_args!("layout {id} is there twice, with two plans"))?;
                    continue;
                }
                None => {}
            }
            let layout = match plan.expand() {
                Ok(layout) => Some(Arc::new(layout)),
                Err(error) => {
                    self.report(place, &field, format_args!("layout {id}: {error}"))?;
                    None
                }
            };
            self.seats = self.seats.saturating_add(layout.as_ref().map_or(0, |layout| layout.seat_count()));
            if self.seats > MAX_SEATS {
                self.report(place, &field, format_args!("the plans of a document have at most {MAX_SEATS} seats together"))?;
                // There is no point in naming every later plan as well.
                return Err(Full);
            }
            self.layout(place, &field, id, layout)?;
        }
        Ok(())
    }

    fn layout(&mut self, place: &Place, field: &str, id: LayoutId, layout: Option<Arc<Layout>>) -> Result<(), Full> {
        match (&layout, self.existing.layouts.get(&id)) {
            (Some(layout), Some(there)) if layout != there => {
                let detail = format_args!("layout {id} exists with another plan; a changed plan needs a new layoutId");
                self.report(place, field, detail)?;
            }
            (Some(layout), None) => self.write.layouts.push(Arc::clone(layout)),
            (Some(_), Some(_)) | (None, _) => {}
        }
        self.layouts.insert(id, layout);
        Ok(())
    }

    fn theatre(&mut self, place: &Place, entry: &TheatreEntry) -> Result<(), Full> {
        for (position, screen) in entry.screens.iter().enumerate() {
            let id = screen.layout.id();
            if self.find_layout(&id).is_none() {
                self.report(place, &format!("/screens/{position}/layout/layoutId"), format_args!("there is no layout {id}"))?;
                self.layouts.insert(id, None);
            }
        }
        let screens = entry.screens.iter().map(|screen| Screen {
            screen: screen.screen,
            name: screen.name.clone(),
            layout_id: screen.layout.id(),
        });
        let theatre = Theatre {
            theatre_id: entry.theatre_id,
            name: entry.name.clone(),
            city: entry.city.clone(),
            time_zone: entry.time_zone,
            screens: screens.collect(),
        };
        self.report_all(place, theatre.check())?;
        if self.theatres.insert(entry.theatre_id, Arc::new(theatre.clone())).is_some() {
            self.report(place, "/theatreId", "is there twice")?;
        }
        self.write.theatres.push(theatre);
        Ok(())
    }

    fn show_entry(&mut self, place: &Place, entry: &ShowEntry) -> Result<(), Full> {
        let Some(venue) = self.venue(place, entry.movie_id, entry.theatre_id, entry.screen)? else { return Ok(()) };
        let show = Show {
            show_id: entry.show_id,
            movie_id: entry.movie_id,
            theatre_id: entry.theatre_id,
            screen: entry.screen,
            layout_id: entry.layout_id.unwrap_or(venue.layout_id),
            start_time: entry.start_time,
            sales_open_at: entry.sales_open_at,
            status: entry.status,
            prices: entry.prices.clone(),
            blocked_seats: entry.blocked_seats.clone(),
        };
        self.show(place, &venue.theatre, show)
    }

    fn schedule(&mut self, place: &Place, schedule: &Schedule, now: Timestamp) -> Result<(), Full> {
        let Some(venue) = self.venue(place, schedule.movie_id, schedule.theatre_id, schedule.screen)? else { return Ok(()) };
        let starts = match schedule.starts(now, venue.theatre.time_zone) {
            Ok(starts) => starts,
            Err(violation) => return self.report(place, &violation.pointer, violation.detail),
        };
        for (show_id, start_time) in starts {
            let show = Show {
                show_id,
                movie_id: schedule.movie_id,
                theatre_id: schedule.theatre_id,
                screen: schedule.screen,
                layout_id: venue.layout_id,
                start_time,
                sales_open_at: None,
                status: ShowStatus::OnSale,
                prices: schedule.prices.clone(),
                blocked_seats: Vec::new(),
            };
            let found = self.violations.len();
            self.show(place, &venue.theatre, show)?;
            // What is wrong with one show of a schedule is mostly wrong with all: it is said once.
            if self.violations.len() > found {
                break;
            }
        }
        Ok(())
    }

    /// Where a show takes place; `None` when something of it is not known, which has been reported then.
    fn venue(&mut self, place: &Place, movie: MovieId, theatre: TheatreId, screen: ScreenId) -> Result<Option<Venue>, Full> {
        if !self.movies.contains(&movie) && !self.existing.movies.contains(&movie) {
            self.report(place, "/movieId", format_args!("there is no movie {movie}"))?;
        }
        let Some(found) = self.theatres.get(&theatre).or_else(|| self.existing.theatres.get(&theatre)).cloned() else {
            self.report(place, "/theatreId", format_args!("there is no theatre {theatre}"))?;
            return Ok(None);
        };
        let Some(layout_id) = found.screens.iter().find(|known| known.screen == screen).map(|known| known.layout_id) else {
            self.report(place, "/screen", format_args!("theatre {theatre} has no screen {screen}"))?;
            return Ok(None);
        };
        Ok(Some(Venue { theatre: found, layout_id }))
    }

    fn show(&mut self, place: &Place, theatre: &Arc<Theatre>, show: Show) -> Result<(), Full> {
        if self.write.shows.len() >= MAX_SHOWS {
            self.report(place, "", format_args!("a document has at most {MAX_SHOWS} shows"))?;
            return Err(Full);
        }
        if !self.shows.insert(show.show_id) {
            self.report(place, "", format_args!("there are two shows {}", show.show_id))?;
        }
        self.report_all(place, show.check())?;
        match self.find_layout(&show.layout_id) {
            Some(Some(layout)) => {
                if let Err(error) = Listing::new(show.clone(), Arc::clone(theatre), layout) {
                    self.report(place, "", error)?;
                }
            }
            // The plan itself is what is wrong, and has been reported.
            Some(None) => {}
            None => self.report(place, "/layoutId", format_args!("there is no layout {}", show.layout_id))?,
        }
        self.write.shows.push(show);
        Ok(())
    }

    /// `None` when it is nowhere, `Some(None)` when it is in the document but was refused.
    fn find_layout(&self, id: &LayoutId) -> Option<Option<Arc<Layout>>> {
        self.layouts.get(id).cloned().or_else(|| self.existing.layouts.get(id).cloned().map(Some))
    }

    fn report_all(&mut self, place: &Place, result: Result<(), Vec<Violation>>) -> Result<(), Full> {
        let found = result.err().unwrap_or_default();
        found.into_iter().try_for_each(|violation| self.report(place, &violation.pointer, violation.detail))
    }

    fn report(&mut self, place: &Place, field: &str, detail: impl fmt::Display) -> Result<(), Full> {
        self.violations.push(Violation::new(format!("{}{field}", place.pointer), format_args!("{}: {detail}", place.id)));
        if self.violations.len() < DocumentError::MAX_VIOLATIONS { Ok(()) } else { Err(Full) }
    }
}

/// An entry of the document.
struct Place {
    pointer: String,
    id: String,
}

impl Place {
    fn theatre(position: usize, entry: &TheatreEntry) -> Self {
        Self { pointer: format!("/theatres/{position}"), id: format!("theatre {}", entry.theatre_id) }
    }
}

struct Venue {
    theatre: Arc<Theatre>,
    layout_id: LayoutId,
}
