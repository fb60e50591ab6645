//! Rows of holds and of marks.

use bms_domain::hold::{Hold, HoldLife, HoldState};
use bms_domain::id::{HoldId, LayoutId, OrderId, ShowId};
use bms_domain::seat::SeatSet;
use bms_domain::store::{Fence, StoreError};
use bms_domain::time::Timestamp;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Type};
use uuid::Uuid;

use crate::codec::{get, index, instant, money, parsed, user};
use crate::error::broken;

/// The hold of a row with the columns of `holds`, as it is at `now`; `None` where they are null.
pub(super) fn hold(row: &PgRow, now: Timestamp) -> Result<Option<Hold>, StoreError> {
    let Some(id) = get::<Option<Uuid>>(row, "id")? else { return Ok(None) };
    Ok(Some(Hold {
        id: HoldId::from_uuid(id).map_err(|_| broken("column id is no hold id"))?,
        show: parsed(row, "show_id", ShowId::parse)?,
        layout: parsed(row, "layout_id", LayoutId::parse)?,
        owner: user(row, "owner")?,
        seats: crate::codec::seats(get(row, "seats")?)?,
        price: money(row)?,
        life: HoldLife { created_at: instant(row, "created_at")?, own_end: instant(row, "own_end")? },
        state: state(row)?.at(now),
    }))
}

fn state(row: &PgRow) -> Result<HoldState, StoreError> {
    let at = instant(row, "ends_at")?;
    let order = get::<Option<Uuid>>(row, "order_id")?.map(OrderId::from_uuid).transpose();
    let order = order.map_err(|_| broken("column order_id is no order id"))?;
    match (get(row, "state")?, order) {
        ("HELD", order) => Ok(HoldState::Held { until: at, order }),
        ("RELEASED", None) => Ok(HoldState::Released { at }),
        ("EXPIRED", None) => Ok(HoldState::Expired { at }),
        ("CONSUMED", Some(order)) => Ok(HoldState::Consumed { order, at }),
        (other, _) => Err(broken(format!("a hold's state is {other}"))),
    }
}

/// A column that counts from a clock's microseconds.
pub(super) fn version(row: &PgRow, column: &str) -> Result<u64, StoreError> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| broken(format!("column {column} is negative")))
}

/// A number of seats.
pub(super) fn number(row: &PgRow, column: &str) -> Result<u32, StoreError> {
    u32::try_from(get::<i32>(row, column)?).map_err(|_| broken(format!("column {column} is negative")))
}

pub(super) fn fence(row: &PgRow, frees: &str, version: &str) -> Result<Fence, StoreError> {
    Ok(Fence { frees: self::version(row, frees)?, version: self::version(row, version)? })
}

/// Seats as an argument.
pub(super) fn indices(seats: &SeatSet) -> Vec<i32> {
    seats.iter().map(index).collect()
}

/// A `bit(n)`, as words of 64 with the first bit lowest.
pub(super) struct Bits(pub(super) Vec<u64>);

/// The type `bit`, which has had this number for ever.
const BIT: Oid = Oid(1560);

impl Type<sqlx::Postgres> for Bits {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(BIT)
    }

    fn compatible(other: &PgTypeInfo) -> bool {
        other.oid() == Some(BIT)
    }
}

impl Decode<'_, sqlx::Postgres> for Bits {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() != PgValueFormat::Binary {
            return Err("bits came as text".into());
        }
        Self::read(value.as_bytes()?).ok_or_else(|| "bits without their number".into())
    }
}

impl Bits {
    /// Reads what Postgres sends: how many bits there are, then the bits, the first of each byte highest.
    fn read(sent: &[u8]) -> Option<Self> {
        let (_, bits) = sent.split_first_chunk::<4>()?;
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            u64::from_be_bytes(word).reverse_bits()
        };
        Some(Self(bits.chunks(8).map(word).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bms_domain::seat::SeatBits;

    #[test]
    fn the_first_bit_is_the_first_seat() {
        let mut sent = vec![0, 0, 0, 80];
        sent.extend([0b1000_0001, 0, 0, 0, 0, 0, 0, 0b0000_0001, 0b0100_0000, 0]);
        let bits = SeatBits::from_words(80, Bits::read(&sent).unwrap().0);
        assert!(bits.iter().eq([0, 7, 63, 65]));
        assert!(Bits::read(&sent[..3]).is_none());
    }
}
