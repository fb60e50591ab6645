//! The whole catalogue as one JSON document: what a person writes, checks into version control and imports.
//!
//! [`CatalogueDocument::parse`] reads it, [`CatalogueDocument::references`] says what it mentions without bringing it, and
//! [`CatalogueDocument::expand`] checks all of it against itself and against what exists already, and makes the
//! [`CatalogueWrite`](crate::store::CatalogueWrite) that a store takes. Every fault is named by its JSON pointer and its id.
//!
//! ```
//! use bms_domain::catalogue::{CatalogueDocument, Existing};
//! use bms_domain::time::Timestamp;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let document = CatalogueDocument::parse(
//!     r#"{
//!       "movies": [{"movieId": "m", "title": "A Film", "durationMinutes": 90, "language": "en", "certificate": "PG",
//!                   "synopsis": "Things happen."}],
//!       "theatres": [{"theatreId": "t", "name": "Studio", "city": "Leeds", "timeZone": "Europe/London", "screens": [
//!         {"screen": "1", "name": "Screen 1", "layout": {
//!           "layoutId": "studio-v1", "name": "Studio", "categories": [{"category": "standard", "name": "Standard"}],
//!           "sections": [{"sectionId": "floor", "name": "Floor", "rows": [
//!             {"rowId": "A", "numbers": "1-8", "category": "standard", "line": {"x": 0, "y": 0}}]}]}}]}],
//!       "schedules": [{"idPrefix": "evening", "movieId": "m", "theatreId": "t", "screen": "1", "days": "0-6",
//!                      "times": ["19:30"], "prices": [{"category": "standard", "amount": 950, "currency": "GBP"}]}]
//!     }"#,
//! )?;
//! let now = Timestamp::parse("2030-01-07T09:00:00Z")?;
//! let write = document.expand(now, &Existing::default())?;
//! assert_eq!(write.shows.len(), 7);
//! assert_eq!(write.shows[0].show_id.as_str(), "evening-20300107-1930");
//! # Ok(())
//! # }
//! ```

mod expand;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

pub use self::schedule::{Days, Schedule};
use super::plan::{SeatPlan, SectionPlan};
use super::{Movie, Price, ShowStatus, Theatre};
use crate::error::Violation;
use crate::id::{LayoutId, MovieId, ScreenId, SeatId, ShowId, TheatreId};
use crate::layout::{Category, Layout};
use crate::time::Timestamp;

/// Movies, theatres with their seat plans, and shows. Every list may be left out.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CatalogueDocument {
    /// Movies.
    pub movies: Vec<MovieEntry>,
    /// Theatres.
    pub theatres: Vec<TheatreEntry>,
    /// Shows, one by one.
    pub shows: Vec<ShowEntry>,
    /// Shows by the day and the hour.
    pub schedules: Vec<Schedule>,
}

/// A film, play or concert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MovieEntry {
    /// Its id.
    pub movie_id: MovieId,
    /// Its title.
    pub title: String,
    /// Its length in minutes.
    pub duration_minutes: u32,
    /// The language that is spoken, as a BCP 47 tag such as `en`.
    pub language: String,
    /// Its genres; none by default.
    #[serde(default)]
    pub genres: Vec<String>,
    /// The age certificate, such as `PG-13`; empty for none.
    #[serde(default)]
    pub certificate: String,
    /// Where its poster is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster_url: Option<String>,
    /// What it is about.
    #[serde(default)]
    pub synopsis: String,
}

impl From<MovieEntry> for Movie {
    fn from(entry: MovieEntry) -> Self {
        let MovieEntry { movie_id, title, duration_minutes, language, genres, certificate, poster_url, synopsis } = entry;
        Self { movie_id, title, duration_minutes, language, genres, certificate, poster_url, synopsis }
    }
}

/// A venue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TheatreEntry {
    /// Its id.
    pub theatre_id: TheatreId,
    /// Its name.
    pub name: String,
    /// Its city.
    pub city: String,
    /// Its IANA time zone, such as `Europe/London`.
    pub time_zone: Tz,
    /// Its screens.
    pub screens: Vec<ScreenEntry>,
}

/// A screen (hall, stage) of a theatre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScreenEntry {
    /// Its id, unique in its theatre.
    pub screen: ScreenId,
    /// Its name.
    pub name: String,
    /// Its seat plan.
    pub layout: ScreenLayout,
}

/// The seat plan of a screen: written out, or `{"layoutId": "…"}` for one that stands elsewhere in the document or exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ScreenLayoutDraft", untagged)]
pub enum ScreenLayout {
    /// Written out.
    Plan(SeatPlan),
    /// The id of a plan.
    #[serde(rename_all = "camelCase")]
    Reference {
        /// Its id.
        layout_id: LayoutId,
    },
}

impl ScreenLayout {
    /// The plan's id.
    #[must_use]
    pub fn id(&self) -> LayoutId {
        match self {
            Self::Plan(plan) => plan.layout_id,
            Self::Reference { layout_id } => *layout_id,
        }
    }
}

/// Both forms at once, because an untagged enum would not say what is wrong inside a plan, or where.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScreenLayoutDraft {
    layout_id: LayoutId,
    name: Option<String>,
    categories: Option<Vec<Category>>,
    sections: Option<Vec<SectionPlan>>,
}

impl TryFrom<ScreenLayoutDraft> for ScreenLayout {
    type Error = &'static str;

    fn try_from(draft: ScreenLayoutDraft) -> Result<Self, Self::Error> {
        let layout_id = draft.layout_id;
        match (draft.name, draft.categories, draft.sections) {
            (None, None, None) => Ok(Self::Reference { layout_id }),
            (Some(name), Some(categories), Some(sections)) => Ok(Self::Plan(SeatPlan { layout_id, name, categories, sections })),
            _ => Err("a layout has layoutId, name, categories and sections, or layoutId alone to refer to another"),
        }
    }
}

/// One screening or performance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShowEntry {
    /// Its id.
    pub show_id: ShowId,
    /// What is shown.
    pub movie_id: MovieId,
    /// Where.
    pub theatre_id: TheatreId,
    /// On which screen.
    pub screen: ScreenId,
    /// The seat plan it is sold with; the screen's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout_id: Option<LayoutId>,
    /// When it starts.
    pub start_time: Timestamp,
    /// When sales open; at once by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sales_open_at: Option<Timestamp>,
    /// Whether its seats can be had; `ON_SALE` by default.
    #[serde(default = "on_sale")]
    pub status: ShowStatus,
    /// A price for each category of the layout, all in one currency.
    pub prices: Vec<Price>,
    /// Seats that are not for sale; none by default.
    #[serde(default)]
    pub blocked_seats: Vec<SeatId>,
}

fn on_sale() -> ShowStatus {
    ShowStatus::OnSale
}

/// What a document mentions and may find in the store: look these up and hand what there is to
/// [`CatalogueDocument::expand`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct References {
    /// Movies of shows that the document does not bring itself.
    pub movies: BTreeSet<MovieId>,
    /// Theatres of shows that the document does not bring itself. The layouts of their screens are needed too.
    pub theatres: BTreeSet<TheatreId>,
    /// All layouts that the document names. Also those that it brings: one that exists is never replaced, so the two must
    /// be equal.
    pub layouts: BTreeSet<LayoutId>,
}

/// What is in the store already, as far as a document has to do with it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Existing {
    /// Movies that are there.
    pub movies: HashSet<MovieId>,
    /// Theatres that are there.
    pub theatres: HashMap<TheatreId, Arc<Theatre>>,
    /// Layouts that are there.
    pub layouts: HashMap<LayoutId, Arc<Layout>>,
}

/// Why a document is refused: all its faults, up to [`DocumentError::MAX_VIOLATIONS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// Never empty.
    violations: Vec<Violation>,
}

impl DocumentError {
    /// The most faults that are reported at once.
    pub const MAX_VIOLATIONS: usize = 50;

    /// The faults, by JSON pointer, in the order of the document; at least one. The detail begins with the entry's id.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Where the first fault is, as a JSON pointer; empty when the text is no such document at all.
    #[must_use]
    pub fn pointer(&self) -> &str {
        self.violations.first().map_or("", |first| &first.pointer)
    }

    /// What the first fault is.
    #[must_use]
    pub fn detail(&self) -> &str {
        self.violations.first().map_or("", |first| &first.detail)
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, violation) in self.violations.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DocumentError {}

impl CatalogueDocument {
    /// Reads a document; `expand` checks what it says.
    ///
    /// # Errors
    /// [`DocumentError`] with the line and column where the text is not JSON or not of this shape.
    pub fn parse(json: impl AsRef<[u8]>) -> Result<Self, DocumentError> {
        serde_json::from_slice(json.as_ref()).map_err(|error| DocumentError { violations: vec![Violation::new("", error)] })
    }

    /// What the document mentions and may find in the store.
    #[must_use]
    pub fn references(&self) -> References {
        let movies: HashSet<_> = self.movies.iter().map(|entry| entry.movie_id).collect();
        let theatres: HashSet<_> = self.theatres.iter().map(|entry| entry.theatre_id).collect();
        let shows = self.shows.iter().map(|show| (show.movie_id, show.theatre_id));
        let all: Vec<_> = shows.chain(self.schedules.iter().map(|plan| (plan.movie_id, plan.theatre_id))).collect();
        let screens = self.theatres.iter().flat_map(|theatre| &theatre.screens);
        let of_shows = self.shows.iter().filter_map(|show| show.layout_id);
        References {
            movies: all.iter().map(|(movie, _)| *movie).filter(|id| !movies.contains(id)).collect(),
            theatres: all.iter().map(|(_, theatre)| *theatre).filter(|id| !theatres.contains(id)).collect(),
            layouts: screens.map(|screen| screen.layout.id()).chain(of_shows).collect(),
        }
    }
}
