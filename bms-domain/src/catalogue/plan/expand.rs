//! From the short form to the layout. Every list is measured before it is written out, and the seats of the whole plan
//! are counted against [`Layout::MAX_SEATS`] row by row, so that a small text cannot ask for much work.

use std::collections::HashMap;

use super::super::check::check_name;
use super::super::numbers::{ListError, names, numbers};
use super::{ArcPlan, LinePlan, PlanError, RowFault, RowPlan, SeatPlan, SectionPlan, Step};
use crate::id::{CategoryId, SeatId};
use crate::layout::{Layout, LayoutDraft, Row, Seat, Section};
use crate::seat::SeatIndex;

/// The longest id of a section or a row, in characters.
const MAX_ID_CHARS: usize = 32;
/// The farthest that a place may be from the origin.
const MAX_COORDINATE: f64 = 1_000_000.0;
/// Places are rounded to `1 / PLACES_PER_UNIT`: enough for a drawing, and short when written down.
const PLACES_PER_UNIT: f64 = 100.0;

impl SeatPlan {
    /// The most price categories of a plan. Each show is checked against all of them.
    pub const MAX_CATEGORIES: usize = 200;

    /// Writes the plan out and checks it.
    ///
    /// # Errors
    /// [`PlanError`] names the section and the row, and what is wrong with it.
    pub fn expand(&self) -> Result<Layout, PlanError> {
        let name = |what: &str, text: &str| check_name(text).map_err(|detail| PlanError::Name { what: what.to_owned(), detail });
        name("name", &self.name)?;
        if self.categories.len() > Self::MAX_CATEGORIES {
            return Err(PlanError::TooManyCategories);
        }
        for category in &self.categories {
            name(&format!("category {}", category.category), &category.name)?;
        }
        let mut floor = Floor::default();
        let mut sections = Vec::with_capacity(self.sections.len());
        for (position, section) in self.sections.iter().enumerate() {
            if !is_id(&section.section_id) {
                let detail = format!("a section id is 1 to {MAX_ID_CHARS} characters without control characters");
                return Err(PlanError::Name { what: format!("section {position}"), detail });
            }
            name(&format!("section {}", section.section_id), &section.name)?;
            sections.push(floor.section(section)?);
        }
        let draft =
            LayoutDraft { layout_id: self.layout_id, name: self.name.clone(), categories: self.categories.clone(), sections };
        Ok(Layout::parse(draft)?)
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().take(MAX_ID_CHARS + 1).count() <= MAX_ID_CHARS && !text.chars().any(char::is_control)
}

/// The seats so far.
#[derive(Default)]
struct Floor {
    /// The next seat's index.
    next: SeatIndex,
    /// Who is where.
    places: HashMap<(i64, i64), SeatId>,
}

impl Floor {
    fn section(&mut self, section: &SectionPlan) -> Result<Section, PlanError> {
        let mut rows = Vec::new();
        for row in &section.rows {
            let made = if is_id(&row.row_id) { self.rows(row) } else { Err(RowFault::RowId) };
            rows.extend(made.map_err(|fault| PlanError::Row {
                section: section.section_id.clone(),
                row: row.row_id.chars().take(MAX_ID_CHARS).collect(),
                fault: Box::new(fault),
            })?);
        }
        Ok(Section { section_id: section.section_id.clone(), name: section.name.clone(), rows })
    }

    /// The written row and its repetitions.
    fn rows(&mut self, row: &RowPlan) -> Result<Vec<Row>, RowFault> {
        let shape = match (&row.line, &row.arc) {
            _ if !row.seats.is_empty() => return Ok(vec![self.placed_row(row)?]),
            (Some(line), None) => Shape::Line(line),
            (None, Some(arc)) => Shape::Arc(arc),
            (Some(_), Some(_)) | (None, None) => return Err(RowFault::Form),
        };
        let seats = NumberedSeats::of(row, self.room())?;
        let mut ids = vec![row.row_id.clone()];
        let mut step = Step::default();
        if let Some(repeat) = &row.repeat {
            let rows = self.room() / seats.0.len().max(1);
            ids.extend(names(&repeat.row_ids, rows.saturating_sub(1)).map_err(list("repeat.rowIds"))?);
            step = repeat.step;
        }
        let gap = at_least(row.gap.unwrap_or(1.0), 0.0, "gap")?;
        let prefix = row.seat_prefix.as_deref().unwrap_or("{row}");
        let mut rows = Vec::with_capacity(ids.len());
        for (row_id, copy) in ids.into_iter().zip(0_u32..) {
            if !is_id(&row_id) {
                return Err(RowFault::RowId);
            }
            let places = shape.places(&seats, gap, step, f64::from(copy))?;
            let prefix = prefix.replace("{row}", &row_id);
            let mut made = Vec::with_capacity(seats.0.len());
            for (seat, (x, y)) in seats.0.iter().zip(places) {
                let seat_id = SeatId::parse(&format!("{prefix}{}", seat.number))
                    .map_err(|error| RowFault::SeatId { number: seat.number, error })?;
                made.push(self.seat(seat_id, seat.category, x, y, seat.accessible)?);
            }
            rows.push(Row { row_id, seats: made });
        }
        Ok(rows)
    }

    /// A row whose seats are written one by one.
    fn placed_row(&mut self, row: &RowPlan) -> Result<Row, RowFault> {
        // Nothing that would have no effect is let pass.
        let only_seats =
            RowPlan { row_id: row.row_id.clone(), category: row.category, seats: row.seats.clone(), ..RowPlan::default() };
        if *row != only_seats {
            return Err(RowFault::Form);
        }
        let mut seats = Vec::with_capacity(row.seats.len());
        for seat in &row.seats {
            let category = seat.category.or(row.category).ok_or(RowFault::NoCategory)?;
            seats.push(self.seat(seat.seat_id, category, seat.x, seat.y, seat.accessible)?);
        }
        Ok(Row { row_id: row.row_id.clone(), seats })
    }

    fn seat(&mut self, seat_id: SeatId, category: CategoryId, x: f64, y: f64, accessible: bool) -> Result<Seat, RowFault> {
        let (x, y) = (hundredths(x)?, hundredths(y)?);
        if let Some(other) = self.places.insert((x, y), seat_id) {
            return Err(RowFault::SamePlace { seat: seat_id, other });
        }
        let index = self.next;
        self.next = index.saturating_add(1);
        Ok(Seat { seat_id, index, category, x: coordinate(x), y: coordinate(y), accessible })
    }

    /// How many more seats the layout may have.
    fn room(&self) -> usize {
        Layout::MAX_SEATS.saturating_sub(self.next) as usize
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the bound is far inside both types")]
fn hundredths(measure: f64) -> Result<i64, RowFault> {
    if measure.abs() <= MAX_COORDINATE {
        Ok((measure * PLACES_PER_UNIT).round() as i64)
    } else {
        Err(RowFault::Measure("x or y"))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a plan coordinate is for drawing")]
fn coordinate(hundredths: i64) -> f32 {
    (hundredths as f64 / PLACES_PER_UNIT) as f32
}

fn list(field: &'static str) -> impl Fn(ListError) -> RowFault {
    move |error| match error {
        ListError::TooMany(_) if matches!(field, "numbers" | "repeat.rowIds") => RowFault::TooManySeats,
        error => RowFault::List { field, error },
    }
}

/// Also refuses what is no number.
fn at_least(measure: f64, least: f64, name: &'static str) -> Result<f64, RowFault> {
    if (least..=MAX_COORDINATE).contains(&measure) { Ok(measure) } else { Err(RowFault::Measure(name)) }
}

/// The seats of a row of numbers, left to right, without their places.
struct NumberedSeats(Vec<NumberedSeat>);

struct NumberedSeat {
    number: u32,
    category: CategoryId,
    own_category: bool,
    accessible: bool,
    gap_after: bool,
}

impl NumberedSeats {
    fn of(row: &RowPlan, room: usize) -> Result<Self, RowFault> {
        let (Some(written), Some(category)) = (&row.numbers, row.category) else {
            return Err(if row.numbers.is_none() { RowFault::Form } else { RowFault::NoCategory });
        };
        let mut seats: Vec<_> = numbers(written, room)
            .map_err(list("numbers"))?
            .into_iter()
            .map(|number| NumberedSeat { number, category, own_category: false, accessible: false, gap_after: false })
            .collect();
        let positions: HashMap<u32, usize> = seats.iter().map(|seat| seat.number).zip(0..).collect();
        let mut mark = |field: &'static str, written: &str, set: &mut dyn FnMut(&mut NumberedSeat) -> Result<(), RowFault>| {
            for number in numbers(written, positions.len()).map_err(list(field))? {
                let seat = positions.get(&number).and_then(|position| seats.get_mut(*position));
                set(seat.ok_or(RowFault::NoSuchNumber { field, number })?)?;
            }
            Ok(())
        };
        if let Some(written) = &row.accessible {
            mark("accessible", written, &mut |seat| {
                seat.accessible = true;
                Ok(())
            })?;
        }
        if let Some(written) = &row.gaps_after {
            mark("gapsAfter", written, &mut |seat| {
                seat.gap_after = true;
                Ok(())
            })?;
        }
        for (category, written) in &row.categories {
            mark("categories", written, &mut |seat| {
                if std::mem::replace(&mut seat.own_category, true) {
                    return Err(RowFault::TwoCategories(seat.number));
                }
                seat.category = *category;
                Ok(())
            })?;
        }
        Ok(Self(seats))
    }

    /// For each seat, how many seats and how many gaps are before it in its row.
    fn before(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let mut gaps = 0.0;
        self.0.iter().zip(0_u32..).map(move |(seat, seats)| {
            let before = (f64::from(seats), gaps);
            gaps += f64::from(u8::from(seat.gap_after));
            before
        })
    }
}

/// The curve that a row follows.
enum Shape<'a> {
    Line(&'a LinePlan),
    Arc(&'a ArcPlan),
}

impl Shape<'_> {
    /// The places of a row, `copy` steps behind the written one.
    fn places(&self, seats: &NumberedSeats, gap: f64, step: Step, copy: f64) -> Result<Vec<(f64, f64)>, RowFault> {
        match self {
            Self::Line(line) => {
                if step.radius != 0.0 {
                    return Err(RowFault::Measure("repeat.step.radius of a line"));
                }
                let spacing = at_least(line.spacing.unwrap_or(1.0), 1.0 / PLACES_PER_UNIT, "line.spacing")?;
                let (sin, cos) = line.angle.unwrap_or(0.0).to_radians().sin_cos();
                let (x, y) = (line.x + copy * step.x, line.y + copy * step.y);
                let along = seats.before().map(|(seats, gaps)| seats * spacing + gaps * gap);
                Ok(along.map(|along| (x + along * cos, y + along * sin)).collect())
            }
            Self::Arc(arc) => {
                let radius = at_least(arc.radius + copy * step.radius, 1.0 / PLACES_PER_UNIT, "arc.radius")?;
                let turn = (arc.to - arc.from).to_radians();
                at_least(turn.abs(), 0.0, "arc.to")?;
                if turn.abs() > std::f64::consts::TAU {
                    return Err(RowFault::Measure("arc.to"));
                }
                let (last, gaps) = seats.before().last().unwrap_or_default();
                let spacing = if last > 0.0 { (radius * turn.abs() - gaps * gap) / last } else { 0.0 };
                if last > 0.0 && spacing <= 0.0 {
                    return Err(RowFault::ArcTooShort);
                }
                let first = arc.from.to_radians() + if last > 0.0 { 0.0 } else { turn / 2.0 };
                let (x, y) = (arc.x + copy * step.x, arc.y + copy * step.y);
                let along = seats.before().map(|(seats, gaps)| seats * spacing + gaps * gap);
                let angles = along.map(|along| first + turn.signum() * along / radius);
                Ok(angles.map(|angle| (x + radius * angle.cos(), y + radius * angle.sin())).collect())
            }
        }
    }
}
