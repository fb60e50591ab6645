//! A short way to write a seat plan down: a row is a list of seat numbers on a line or an arc, and rows that differ only
//! in their place are written once. [`SeatPlan::expand`] makes the checked [`Layout`] of it.
//!
//! # Example
//!
//! ```
//! use bms_domain::catalogue::SeatPlan;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan: SeatPlan = serde_json::from_str(
//!     r#"{
//!       "layoutId": "studio-v1",
//!       "name": "Studio",
//!       "categories": [{"category": "standard", "name": "Standard"}, {"category": "sofa", "name": "Sofa"}],
//!       "sections": [{
//!         "sectionId": "floor",
//!         "name": "Floor",
//!         "rows": [
//!           {"rowId": "A", "numbers": "1-8", "category": "standard", "accessible": "1,8", "gapsAfter": "4",
//!            "line": {"x": 0, "y": 0}, "repeat": {"rowIds": "B-D", "step": {"y": 1.2}}},
//!           {"rowId": "E", "category": "sofa", "seats": [{"seatId": "SOFA-1", "x": 2, "y": 5.5}]}
//!         ]
//!       }]
//!     }"#,
//! )?;
//! let layout = plan.expand()?;
//! assert_eq!(layout.seat_count(), 4 * 8 + 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Places
//!
//! `x` grows to the right and `y` away from the stage or screen, in any unit; neighbours are 1 apart unless a row says
//! otherwise. Places are rounded to hundredths of the unit, and no two seats may share one. The numbers of a row are only
//! names: the seats of `1-12,15-26` stand side by side, and an aisle is written with `gapsAfter`.

mod expand;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::numbers::ListError;
use crate::id::{CategoryId, LayoutId, ParseIdError, SeatId};
use crate::layout::{Category, LayoutError};

#[cfg(doc)]
use crate::layout::Layout;

/// A seat plan in short form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeatPlan {
    /// The id of this version of the plan.
    pub layout_id: LayoutId,
    /// The name that people read.
    pub name: String,
    /// The price categories.
    pub categories: Vec<Category>,
    /// The parts of the venue.
    pub sections: Vec<SectionPlan>,
}

/// A part of the venue in short form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SectionPlan {
    /// The section's id, unique in its layout.
    pub section_id: String,
    /// The name that people read.
    pub name: String,
    /// The rows, front to back.
    pub rows: Vec<RowPlan>,
}

/// A row, or several alike: either [`numbers`](Self::numbers) on a [`line`](Self::line) or an [`arc`](Self::arc), or
/// [`seats`](Self::seats) one by one.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RowPlan {
    /// The row's id, unique in its section.
    pub row_id: String,
    /// The seats' numbers from left to right, such as `1-12,15-26`. `12-1` counts down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<String>,
    /// What stands before the number in a seat's id; `{row}` in it becomes the row's id. The row's id alone by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat_prefix: Option<String>,
    /// The category of the row's seats. Only a row whose seats all name their own can do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<CategoryId>,
    /// Seats of another category, by number: `{"premium": "5-8"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub categories: BTreeMap<CategoryId, String>,
    /// The numbers of the accessible places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessible: Option<String>,
    /// The numbers after which an aisle follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gaps_after: Option<String>,
    /// How much farther than usual the next seat is after a gap; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
    /// The row is straight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LinePlan>,
    /// The row is bent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arc: Option<ArcPlan>,
    /// The seats one by one, where no rule fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seats: Vec<PlacedSeat>,
    /// More rows like this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
}

/// A straight row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinePlan {
    /// The first seat's place.
    pub x: f64,
    /// The first seat's place.
    pub y: f64,
    /// The distance between neighbours; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing: Option<f64>,
    /// Where the row runs to, in degrees: 0 (the default) to the right, 90 away from the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub angle: Option<f64>,
}

/// A row along a circle. The seats and gaps fill the arc from its start to its end; a single seat is in its middle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArcPlan {
    /// The circle's centre.
    pub x: f64,
    /// The circle's centre.
    pub y: f64,
    /// The circle's radius.
    pub radius: f64,
    /// Where the first seat is, in degrees: 0 to the right of the centre, 90 behind it as seen from the stage. With the
    /// stage at the centre, `120` to `60` runs from left to right.
    pub from: f64,
    /// Where the last seat is, in degrees. At most a full turn from `from`.
    pub to: f64,
}

/// One seat with its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlacedSeat {
    /// The seat's whole id.
    pub seat_id: SeatId,
    /// Its category; the row's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<CategoryId>,
    /// Its place.
    pub x: f64,
    /// Its place.
    pub y: f64,
    /// Whether it is an accessible place; not by default.
    #[serde(default)]
    pub accessible: bool,
}

/// More rows like the one that is written: one for each id, each a step farther than the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repeat {
    /// The further rows' ids, such as `B-H,J-N` or `2-20`; the written row is not among them.
    pub row_ids: String,
    /// From each row to the next.
    pub step: Step,
}

/// From one row to the next.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Step {
    /// To the right.
    pub x: f64,
    /// Away from the stage.
    pub y: f64,
    /// How much an arc's radius grows.
    pub radius: f64,
}

/// Why a seat plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A name or an id of the plan, a category or a section is not fit to be shown.
    #[error("{what}: {detail}")]
    Name {
        /// Whose, such as `section 3`.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// More categories than [`SeatPlan::MAX_CATEGORIES`].
    #[error("more than {} categories", SeatPlan::MAX_CATEGORIES)]
    TooManyCategories,
    /// A row, or one of its repetitions.
    #[error("section {section}, row {row}: {fault}")]
    Row {
        /// The section's id.
        section: String,
        /// The written row's id.
        row: String,
        /// What is wrong with it.
        fault: Box<RowFault>,
    },
    /// The plan as a whole, such as two seats of one name.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowFault {
    /// The row's id, or that of a repetition, is empty, longer than 32 characters or has control characters.
    #[error("a row id is 1 to 32 characters without control characters")]
    RowId,
    /// A list that cannot be read or is too long.
    #[error("{field}: {error}")]
    List {
        /// The list's name in the plan, such as `gapsAfter`.
        field: &'static str,
        /// Why.
        error: ListError,
    },
    /// A number that is not one of the row's.
    #[error("{field}: the row has no number {number}")]
    NoSuchNumber {
        /// The list's name in the plan.
        field: &'static str,
        /// The number.
        number: u32,
    },
    /// A number in two of the lists of `categories`.
    #[error("number {0} is in two categories")]
    TwoCategories(u32),
    /// No category for some of the seats.
    #[error("no category")]
    NoCategory,
    /// The row's way of being written is neither numbers with a line or an arc, nor seats.
    #[error("a row has either numbers with one line or arc, or seats (with a category at most)")]
    Form,
    /// A prefix and a number that make no seat id.
    #[error("number {number} with its prefix: {error}")]
    SeatId {
        /// The number.
        number: u32,
        /// Why.
        error: ParseIdError,
    },
    /// A measure that is no number or out of its range.
    #[error("{0} is out of range")]
    Measure(&'static str),
    /// An arc too short for its gaps.
    #[error("the gaps are longer than the arc")]
    ArcTooShort,
    /// Two seats at one place.
    #[error("seat {seat} is where seat {other} is")]
    SamePlace {
        /// The seat.
        seat: SeatId,
        /// The seat that was there first.
        other: SeatId,
    },
    /// More seats than a layout may have.
    #[error("more seats than the {} that a layout may have", crate::layout::Layout::MAX_SEATS)]
    TooManySeats,
}
