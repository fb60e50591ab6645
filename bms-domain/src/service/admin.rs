//! Changing the catalogue. One entry or a whole document, all by the same way: checked against itself and against what
//! there is, then written together or not at all.

use std::sync::Arc;

use super::BookingService;
use super::orders::require_admin;
use crate::catalogue::{
    CatalogueDocument, DocumentError, Existing, Listing, Movie, MovieEntry, Show, ShowEntry, Theatre, TheatreEntry,
};
use crate::error::{Error, Violation};
use crate::id::{Caller, ShowId};
use crate::store::{CatalogueWrite, LayoutPin, StoreError};

impl BookingService {
    /// Creates or replaces everything in a document, or nothing. For administrators. A show that has sales keeps its
    /// layout. Says what was written.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid` with every fault by its place in the document, `Unavailable`.
    pub async fn import(&self, caller: &Caller, document: &CatalogueDocument) -> Result<CatalogueWrite, Error> {
        require_admin(caller)?;
        let existing = self.existing(document).await?;
        let mut write = document.expand(self.shared.clock.now(), &existing).map_err(invalid)?;
        let asked: Vec<ShowId> = document.shows.iter().filter(|show| show.layout_id.is_some()).map(|show| show.show_id).collect();
        for show in &mut write.shows {
            self.keep_layout(show, asked.contains(&show.show_id)).await?;
        }
        let written = self.of_catalogue(self.ports().catalogue.write(&write)).await;
        // Whatever came of it: listings hang together, and an unknown outcome may have taken effect.
        self.shared.maps.forget_all();
        match written {
            Ok(()) => Ok(write),
            Err(StoreError::Broken { detail, .. }) => Err(Error::Invalid(vec![Violation::new("", detail)])),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates or replaces a movie. For administrators.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Unavailable`.
    pub async fn put_movie(&self, caller: &Caller, movie: MovieEntry) -> Result<Arc<Movie>, Error> {
        let id = movie.movie_id;
        let document = CatalogueDocument { movies: vec![movie], ..CatalogueDocument::default() };
        self.import(caller, &document).await.map_err(|error| within(error, "/movies/0"))?;
        self.movie(&id).await
    }

    /// Creates or replaces a theatre, with the seat plans of its screens. Shows keep the layout they were made with. For
    /// administrators.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid` (also when a layout exists already with another plan, or a screen with shows would go),
    /// `Unavailable`.
    pub async fn put_theatre(&self, caller: &Caller, theatre: TheatreEntry) -> Result<Arc<Theatre>, Error> {
        let id = theatre.theatre_id;
        let document = CatalogueDocument { theatres: vec![theatre], ..CatalogueDocument::default() };
        self.import(caller, &document).await.map_err(|error| within(error, "/theatres/0"))?;
        self.of_catalogue(self.ports().catalogue.theatre(&id)).await?.ok_or(Error::NotFound("theatre"))
    }

    /// Creates or replaces a show. One that has sales keeps its layout. For administrators.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid` (also when another layout is asked for by name and the show has sales), `Unavailable`.
    pub async fn put_show(&self, caller: &Caller, show: ShowEntry) -> Result<Arc<Listing>, Error> {
        let id = show.show_id;
        let document = CatalogueDocument { shows: vec![show], ..CatalogueDocument::default() };
        self.import(caller, &document).await.map_err(|error| within(error, "/shows/0"))?;
        self.listing(&id).await
    }

    /// Looks up what a document mentions.
    async fn existing(&self, document: &CatalogueDocument) -> Result<Existing, Error> {
        let catalogue = &self.ports().catalogue;
        let mut references = document.references();
        let mut existing = Existing::default();
        for id in references.movies {
            if self.of_catalogue(catalogue.movie(&id)).await?.is_some() {
                existing.movies.insert(id);
            }
        }
        for id in references.theatres {
            if let Some(theatre) = self.of_catalogue(catalogue.theatre(&id)).await? {
                references.layouts.extend(theatre.screens.iter().map(|screen| screen.layout_id));
                existing.theatres.insert(id, theatre);
            }
        }
        for id in references.layouts {
            if let Some(layout) = self.of_catalogue(catalogue.layout(&id)).await? {
                existing.layouts.insert(id, layout);
            }
        }
        Ok(existing)
    }

    /// A show that has sales keeps its layout: silently when the new one is only its screen's, with a refusal when it was
    /// asked for by name.
    async fn keep_layout(&self, show: &mut Show, asked: bool) -> Result<(), Error> {
        let LayoutPin::InUse(layout) = self.of_orders(self.orders().pin_layout(&show.show_id, show.layout_id)).await? else {
            return Ok(());
        };
        if asked {
            let detail = format!("show {} has sales, and keeps its layout {layout}", show.show_id);
            return Err(Error::Invalid(vec![Violation::new("/shows/0/layoutId", detail)]));
        }
        show.layout_id = layout;
        Ok(())
    }
}

fn invalid(error: DocumentError) -> Error {
    Error::Invalid(error.violations().to_vec())
}

/// Turns places in a document of one entry into places in the entry.
fn within(error: Error, entry: &str) -> Error {
    match error {
        Error::Invalid(mut violations) => {
            for violation in &mut violations {
                if let Some(rest) = violation.pointer.strip_prefix(entry) {
                    violation.pointer = rest.to_owned();
                }
            }
            Error::Invalid(violations)
        }
        other => other,
    }
}
