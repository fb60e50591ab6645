//! Seat plans: immutable, versioned, of any shape. Sections hold rows, rows hold seats; every seat has a name, a dense
//! index, a price category and a place on the plan. A row may have any number of seats, at any distance: an aisle is
//! a gap between two places.

use std::collections::HashSet;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::id::{CategoryId, LayoutId, SeatId};
use crate::seat::{SeatIndex, SeatList, SeatSet};

/// A price category of a layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Category {
    /// The name that price lists use.
    pub category: CategoryId,
    /// The name that people read.
    pub name: String,
}

/// A part of the venue: stalls, circle, a box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Section {
    /// The section's id, unique in its layout.
    pub section_id: String,
    /// The name that people read.
    pub name: String,
    /// The rows, front to back.
    pub rows: Vec<Row>,
}

/// One row of seats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Row {
    /// The row's id, unique in its section.
    pub row_id: String,
    /// The seats, left to right.
    pub seats: Vec<Seat>,
}

/// One seat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seat {
    /// The seat's name, unique in its layout.
    pub seat_id: SeatId,
    /// The seat's dense index: its position in the layout, counted from 0.
    pub index: SeatIndex,
    /// Its price category.
    pub category: CategoryId,
    /// Plan coordinate, to the right; any unit, the same for the whole layout.
    pub x: f32,
    /// Plan coordinate, away from stage or screen.
    pub y: f32,
    /// Whether it is a place for a wheelchair user, or otherwise accessible.
    pub accessible: bool,
}

/// A seat plan as it is written down, before it has been checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LayoutDraft {
    /// The id of this version of the plan.
    pub layout_id: LayoutId,
    /// The name that people read.
    pub name: String,
    /// The price categories.
    pub categories: Vec<Category>,
    /// The parts of the venue.
    pub sections: Vec<Section>,
}

/// A checked seat plan. It never changes: another plan is another [`LayoutId`].
///
/// Invariants: 1..=[`Layout::MAX_SEATS`] seats; indices dense from 0 in reading order; seat names unique; each seat's
/// category is one of the layout's; coordinates are finite.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "LayoutDraft")]
pub struct Layout {
    draft: LayoutDraft,
    /// Index → name and position of the category.
    seats: Vec<(SeatId, u16)>,
    by_id: HashMap<SeatId, SeatIndex>,
}

/// Why a seat plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// No seats, or more than [`Layout::MAX_SEATS`].
    #[error("a layout has 1 to {} seats", Layout::MAX_SEATS)]
    SeatCount,
    /// Two seats of one name.
    #[error("seat {0} is there twice")]
    DuplicateSeat(SeatId),
    /// Two categories, sections of the layout, or rows of a section of one name.
    #[error("{what} {name:?} is there twice")]
    Duplicate {
        /// `category`, `section` or `row`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A seat of a category that the layout does not list.
    #[error("seat {seat} is of category {category}, which the layout does not list")]
    UnknownCategory {
        /// The seat.
        seat: SeatId,
        /// Its category.
        category: CategoryId,
    },
    /// An index out of its order.
    #[error("seat {seat} has index {found} where {expected} is next")]
    IndexNotDense {
        /// The seat.
        seat: SeatId,
        /// The index that was next.
        expected: SeatIndex,
        /// The index it has.
        found: SeatIndex,
    },
    /// A coordinate that is no number.
    #[error("seat {0} has a coordinate that is not a finite number")]
    Coordinate(SeatId),
}

impl Layout {
    /// The most seats a layout has.
    pub const MAX_SEATS: u32 = 200_000;

    /// Checks a plan.
    ///
    /// # Errors
    /// [`LayoutError`] names the first seat or part that breaks an invariant of [`Layout`].
    pub fn parse(draft: LayoutDraft) -> Result<Self, LayoutError> {
        let mut categories = HashMap::new();
        for (position, category) in (0_u16..).zip(&draft.categories) {
            if categories.insert(category.category, position).is_some() {
                return Err(LayoutError::Duplicate { what: "category", name: category.category.to_string() });
            }
        }
        let mut seats = Vec::new();
        let mut by_id = HashMap::new();
        let mut sections = HashSet::new();
        for section in &draft.sections {
            if !sections.insert(&section.section_id) {
                return Err(LayoutError::Duplicate { what: "section", name: section.section_id.clone() });
            }
            let mut rows = HashSet::new();
            for row in &section.rows {
                if !rows.insert(&row.row_id) {
                    return Err(LayoutError::Duplicate { what: "row", name: row.row_id.clone() });
                }
                for seat in &row.seats {
                    let expected = SeatIndex::try_from(seats.len()).map_err(|_| LayoutError::SeatCount)?;
                    if expected >= Self::MAX_SEATS {
                        return Err(LayoutError::SeatCount);
                    }
                    if seat.index != expected {
                        return Err(LayoutError::IndexNotDense { seat: seat.seat_id, expected, found: seat.index });
                    }
                    if !seat.x.is_finite() || !seat.y.is_finite() {
                        return Err(LayoutError::Coordinate(seat.seat_id));
                    }
                    let category = categories
                        .get(&seat.category)
                        .ok_or(LayoutError::UnknownCategory { seat: seat.seat_id, category: seat.category })?;
                    if by_id.insert(seat.seat_id, expected).is_some() {
                        return Err(LayoutError::DuplicateSeat(seat.seat_id));
                    }
                    seats.push((seat.seat_id, *category));
                }
            }
        }
        if seats.is_empty() {
            return Err(LayoutError::SeatCount);
        }
        Ok(Self { draft, seats, by_id })
    }

    /// The id of this version of the plan.
    #[must_use]
    pub fn id(&self) -> LayoutId {
        self.draft.layout_id
    }

    /// The plan as it is written down.
    #[must_use]
    pub fn plan(&self) -> &LayoutDraft {
        &self.draft
    }

    /// How many seats there are.
    #[must_use]
    pub fn seat_count(&self) -> u32 {
        u32::try_from(self.seats.len()).unwrap_or(u32::MAX)
    }

    /// The index of a seat.
    #[must_use]
    pub fn index_of(&self, seat: &SeatId) -> Option<SeatIndex> {
        self.by_id.get(seat).copied()
    }

    /// The name of a seat.
    #[must_use]
    pub fn seat_id(&self, index: SeatIndex) -> Option<SeatId> {
        self.seats.get(index as usize).map(|(id, _)| *id)
    }

    /// The position of a seat's category in [`LayoutDraft::categories`].
    #[must_use]
    pub fn category_of(&self, index: SeatIndex) -> Option<usize> {
        self.seats.get(index as usize).map(|(_, category)| usize::from(*category))
    }

    /// The names of seats, in the order of their indices. Seats that the layout does not have are left out.
    #[must_use]
    pub fn names(&self, seats: &SeatSet) -> SeatList {
        seats.iter().filter_map(|index| Some((index, self.seat_id(index)?))).collect()
    }
}

impl From<Layout> for LayoutDraft {
    fn from(layout: Layout) -> Self {
        layout.draft
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(id: &str, index: SeatIndex) -> Seat {
        let category = CategoryId::parse("stalls").unwrap();
        Seat { seat_id: SeatId::parse(id).unwrap(), index, category, x: 0.0, y: 0.0, accessible: false }
    }

    fn draft(seats: Vec<Seat>) -> LayoutDraft {
        let category = CategoryId::parse("stalls").unwrap();
        LayoutDraft {
            layout_id: LayoutId::parse("l").unwrap(),
            name: "Hall".into(),
            categories: vec![Category { category, name: "Stalls".into() }],
            sections: vec![Section {
                section_id: "s".into(),
                name: "Stalls".into(),
                rows: vec![Row { row_id: "A".into(), seats }],
            }],
        }
    }

    #[test]
    fn a_checked_layout_finds_seats_both_ways() {
        let layout = Layout::parse(draft(vec![seat("A1", 0), seat("A2", 1)])).unwrap();
        let a2 = SeatId::parse("A2").unwrap();
        assert_eq!(layout.index_of(&a2), Some(1));
        assert_eq!(layout.seat_id(1), Some(a2));
        assert_eq!(layout.seat_id(2), None);
        assert_eq!(layout.names(&[1, 7].into_iter().collect()).as_slice(), [(1, a2)]);
    }

    #[test]
    fn broken_plans_are_refused_by_the_part_that_is_broken() {
        let a1 = SeatId::parse("A1").unwrap();
        assert_eq!(Layout::parse(draft(vec![])), Err(LayoutError::SeatCount));
        assert_eq!(Layout::parse(draft(vec![seat("A1", 0), seat("A1", 1)])), Err(LayoutError::DuplicateSeat(a1)));
        assert_eq!(
            Layout::parse(draft(vec![seat("A1", 1)])),
            Err(LayoutError::IndexNotDense { seat: a1, expected: 0, found: 1 })
        );
        let mut nowhere = seat("A1", 0);
        nowhere.x = f32::NAN;
        assert_eq!(Layout::parse(draft(vec![nowhere])), Err(LayoutError::Coordinate(a1)));
        let mut strange = seat("A1", 0);
        strange.category = CategoryId::parse("moon").unwrap();
        assert!(matches!(Layout::parse(draft(vec![strange])), Err(LayoutError::UnknownCategory { .. })));
        let mut twice = draft(vec![seat("A1", 0)]);
        twice.sections.push(twice.sections[0].clone());
        assert!(matches!(Layout::parse(twice), Err(LayoutError::Duplicate { what: "section", .. })));
    }
}
