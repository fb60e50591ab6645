//! Seat maps.

use bms_domain::id::{SeatId, ShowId};
use bms_domain::layout::{Layout, LayoutDraft};
use bms_domain::seat::{SeatBits, SeatSet};
use bms_domain::service::SeatMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{CategoryName, EntryId, SeatName};

/// How much of a seat map.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SeatMapQuery {
    /// Whether to send the seat plan too: true unless given. A page asks for it once.
    #[param(value_type = Option<bool>)]
    pub(crate) layout: Option<String>,
}

/// Which seats of a show can be had: those that are in neither list. The lists never overlap.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SeatMap)]
pub(crate) struct SeatMapBody<'a> {
    #[schema(value_type = EntryId)]
    show_id: ShowId,
    /// Grows with every change.
    version: u64,
    /// The seat plan, unless it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LayoutBody>, nullable = false)]
    layout: Option<&'a LayoutDraft>,
    /// Sold, or not for sale.
    #[schema(value_type = Vec<SeatName>)]
    unavailable_seat_ids: Vec<SeatId>,
    /// Under a live hold.
    #[schema(value_type = Vec<SeatName>)]
    held_seat_ids: Vec<SeatId>,
}

impl<'a> SeatMapBody<'a> {
    pub(crate) fn new(map: &'a SeatMap, with_layout: bool) -> Self {
        let layout = map.listing.layout();
        Self {
            show_id: map.listing.show().show_id,
            version: map.version,
            layout: with_layout.then(|| layout.plan()),
            unavailable_seat_ids: names(layout, &map.unavailable),
            held_seat_ids: names(layout, &map.held),
        }
    }
}

fn names(layout: &Layout, seats: &SeatBits) -> Vec<SeatId> {
    seats.iter().filter_map(|seat| layout.seat_id(seat)).collect()
}

/// The whole of a show's occupancy, as the `snapshot` event has it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SeatMapSnapshot)]
pub(crate) struct SnapshotBody {
    #[schema(value_type = EntryId)]
    show_id: ShowId,
    version: u64,
    #[schema(value_type = Vec<SeatName>)]
    unavailable_seat_ids: Vec<SeatId>,
    #[schema(value_type = Vec<SeatName>)]
    held_seat_ids: Vec<SeatId>,
}

impl From<&SeatMap> for SnapshotBody {
    fn from(map: &SeatMap) -> Self {
        let layout = map.listing.layout();
        Self {
            show_id: map.listing.show().show_id,
            version: map.version,
            unavailable_seat_ids: names(layout, &map.unavailable),
            held_seat_ids: names(layout, &map.held),
        }
    }
}

/// One change of a show's occupancy, as the `change` event has it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SeatMapChange)]
pub(crate) struct ChangeBody {
    version: u64,
    #[schema(value_type = Vec<SeatName>)]
    held: Vec<SeatId>,
    #[schema(value_type = Vec<SeatName>)]
    sold: Vec<SeatId>,
    #[schema(value_type = Vec<SeatName>)]
    freed: Vec<SeatId>,
}

impl ChangeBody {
    pub(crate) fn new(layout: &Layout, change: &bms_domain::store::OccupancyChange) -> Self {
        let names = |seats: &SeatSet| layout.names(seats).ids().collect();
        Self { version: change.version, held: names(&change.held), sold: names(&change.sold), freed: names(&change.freed) }
    }
}

/// A seat plan.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Layout)]
pub(crate) struct LayoutBody {
    #[schema(value_type = EntryId)]
    layout_id: String,
    name: String,
    categories: Vec<CategoryBody>,
    sections: Vec<SectionBody>,
}

/// A price category.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Category)]
pub(crate) struct CategoryBody {
    #[schema(value_type = CategoryName)]
    category: String,
    name: String,
}

/// A part of the venue.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Section)]
pub(crate) struct SectionBody {
    section_id: String,
    name: String,
    rows: Vec<RowBody>,
}

/// A row of seats.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Row)]
pub(crate) struct RowBody {
    row_id: String,
    seats: Vec<SeatBody>,
}

/// A seat.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Seat)]
pub(crate) struct SeatBody {
    #[schema(value_type = SeatName)]
    seat_id: String,
    /// Dense, from 0.
    index: u32,
    #[schema(value_type = CategoryName)]
    category: String,
    /// Plan coordinate, to the right.
    x: f32,
    /// Plan coordinate, away from stage or screen.
    y: f32,
    accessible: bool,
}
