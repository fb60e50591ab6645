//! What is written, and how it is read back.

use std::borrow::Cow;

use bms_domain::id::{ShowId, UserId};
use bms_domain::money::{Currency, Money};
use bms_domain::seat::{SeatIndex, SeatSet};
use bms_domain::store::StoreError;
use bms_domain::time::Timestamp;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Row as _, Type};

use crate::error::broken;

/// Reads a column.
pub(crate) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T, StoreError>
where
    T: Decode<'r, sqlx::Postgres> + Type<sqlx::Postgres>,
{
    row.try_get(column).map_err(|error| broken(format!("column {column}: {error}")))
}

/// Reads a column with what makes sense of its text.
pub(crate) fn parsed<T, E>(row: &PgRow, column: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, StoreError> {
    let text: &str = get(row, column)?;
    parse(text).map_err(|_| broken(format!("column {column} makes no sense")))
}

/// The number of the shard of a show.
pub(crate) fn shard(show: &ShowId) -> i16 {
    number(show.shard())
}

/// The number of a shard, which is below 4,096.
pub(crate) fn number(shard: bms_domain::id::Shard) -> i16 {
    i16::try_from(shard.number()).unwrap_or(i16::MAX)
}

pub(crate) fn instant(row: &PgRow, column: &str) -> Result<Timestamp, StoreError> {
    get::<DateTime<Utc>>(row, column).map(Timestamp::from)
}

pub(crate) fn money(row: &PgRow) -> Result<Money, StoreError> {
    let amount: i64 = get(row, "amount")?;
    let currency = parsed(row, "currency", |text| Currency::from_code(text).ok_or(()))?;
    Money::new(amount, currency).map_err(|_| broken("column amount is out of range"))
}

/// A seat's index as a column holds it.
pub(crate) fn index(seat: SeatIndex) -> i32 {
    i32::try_from(seat).unwrap_or(i32::MAX)
}

/// Seats' indices as a column holds them.
pub(crate) fn seats(indices: Vec<i32>) -> Result<SeatSet, StoreError> {
    let seats: Result<SeatSet, _> = indices.into_iter().map(SeatIndex::try_from).collect();
    seats.map_err(|_| broken("a seat's index is negative"))
}

pub(crate) fn user(row: &PgRow, column: &str) -> Result<UserId, StoreError> {
    parsed(row, column, |text| UserId::parse(&unescaped(text)))
}

/// A text of a user's choice as Postgres can keep it: `\` becomes `\\`, and U+0000 becomes `\0`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['\\', '\0']) { text.replace('\\', "\\\\").replace('\0', "\\0").into() } else { text.into() }
}

/// The text that was [`escaped`].
pub(crate) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.push(if letters.next() == Some('0') { '\0' } else { '\\' }),
            other => plain.push(other),
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back_as_it_was_and_no_two_are_alike() {
        let texts = ["", "plain", "\\", "\0", "\\0", "\\\\0", "\0\\", "a\\b\0c", "日本\0"];
        let written: std::collections::BTreeSet<String> = texts.iter().map(|text| escaped(text).into_owned()).collect();
        assert_eq!(written.len(), texts.len());
        for text in texts {
            assert!(!escaped(text).contains('\0'));
            assert_eq!(unescaped(&escaped(text)), text);
        }
    }
}
