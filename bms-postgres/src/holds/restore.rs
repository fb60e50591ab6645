//! What the durable store knows of a show, as the arguments of one statement.

use bms_domain::id::UserId;
use bms_domain::seat::SeatSet;
use bms_domain::store::{PendingClaim, ShowClaims, SoldSeats};
use uuid::Uuid;

use super::row::indices;
use crate::codec::escaped;
use crate::run::millis;

/// Orders in columns. The seats of all of them are in one array, and beside it whose each is: Postgres has no arrays of
/// arrays of different lengths.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) orders: Vec<Uuid>,
    pub(super) holds: Vec<Uuid>,
    pub(super) owners: Vec<String>,
    pub(super) seats: Vec<i32>,
    /// Counted from 1, as Postgres counts.
    pub(super) of: Vec<i32>,
}

impl Orders {
    fn push(&mut self, order: Uuid, hold: Uuid, owner: &UserId, seats: &SeatSet) {
        self.orders.push(order);
        self.holds.push(hold);
        self.owners.push(escaped(owner.as_str()).into_owned());
        let number = i32::try_from(self.orders.len()).unwrap_or(i32::MAX);
        self.seats.extend(indices(seats));
        self.of.resize(self.seats.len(), number);
    }
}

/// What a restore tells.
pub(super) struct Told {
    pub(super) sales: Orders,
    pub(super) pending: Orders,
    pub(super) amounts: Vec<i64>,
    pub(super) currencies: Vec<String>,
    /// How long the restored hold of each pending order lives.
    pub(super) lasts_ms: Vec<i64>,
}

impl Told {
    pub(super) fn of(claims: &ShowClaims) -> Self {
        let (mut sales, mut pending) = (Orders::default(), Orders::default());
        for SoldSeats { order, hold, owner, seats, .. } in &claims.sold {
            sales.push(order.uuid(), hold.uuid(), owner, seats);
        }
        for PendingClaim { order, hold, owner, seats, .. } in &claims.pending {
            pending.push(order.uuid(), hold.uuid(), owner, seats);
        }
        let all = claims.pending.iter();
        Self {
            sales,
            pending,
            amounts: all.clone().map(|pending| pending.price.amount()).collect(),
            currencies: all.clone().map(|pending| pending.price.currency().code().to_owned()).collect(),
            lasts_ms: all.map(|pending| millis(pending.remaining.saturating_add(claims.grace))).collect(),
        }
    }
}
