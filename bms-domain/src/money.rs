//! Money: integer minor units and an ISO 4217 currency. No floats.

use std::fmt;

pub use iso_currency::Currency;
use serde::{Deserialize, Serialize};

/// A price, in the currency's minor units (cents, pence, yen): `0..=`[`Money::MAX_AMOUNT`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "MoneyDraft")]
pub struct Money {
    amount: i64,
    currency: Currency,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoneyDraft {
    amount: i64,
    currency: Currency,
}

impl TryFrom<MoneyDraft> for Money {
    type Error = MoneyError;

    fn try_from(draft: MoneyDraft) -> Result<Self, MoneyError> {
        Self::new(draft.amount, draft.currency)
    }
}

/// Why an amount is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// The amount is negative or above [`Money::MAX_AMOUNT`].
    #[error("an amount is 0 to {} minor units", Money::MAX_AMOUNT)]
    OutOfRange,
    /// Two currencies in one sum.
    #[error("two currencies in one sum: {0} and {1}")]
    MixedCurrencies(Currency, Currency),
}

impl Money {
    /// The largest amount: 2^53 − 1 minor units, which every JSON reader keeps exactly.
    pub const MAX_AMOUNT: i64 = (1 << 53) - 1;

    /// Takes minor units and a currency.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] when the amount is negative or above [`Money::MAX_AMOUNT`].
    pub fn new(amount: i64, currency: Currency) -> Result<Self, MoneyError> {
        if (0..=Self::MAX_AMOUNT).contains(&amount) { Ok(Self { amount, currency }) } else { Err(MoneyError::OutOfRange) }
    }

    /// Minor units.
    #[must_use]
    pub fn amount(self) -> i64 {
        self.amount
    }

    /// The currency.
    #[must_use]
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The sum of two amounts of one currency.
    ///
    /// # Errors
    /// [`MoneyError`] when the currencies differ or the sum is out of range.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies(self.currency, other.currency));
        }
        Self::new(self.amount.saturating_add(other.amount), self.currency)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = usize::from(self.currency.exponent().unwrap_or(0));
        let unit = 10_i64.pow(u32::try_from(digits).unwrap_or(0));
        let code = self.currency.code();
        if digits == 0 {
            write!(f, "{} {code}", self.amount)
        } else {
            write!(f, "{}.{:0digits$} {code}", self.amount / unit, self.amount % unit)
        }
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_and_of_one_currency() {
        let euro = |amount| Money::new(amount, Currency::EUR).unwrap();
        assert_eq!(euro(1_050).plus(euro(950)), Ok(euro(2_000)));
        assert_eq!(
            euro(1).plus(Money::new(1, Currency::JPY).unwrap()),
            Err(MoneyError::MixedCurrencies(Currency::EUR, Currency::JPY))
        );
        assert_eq!(euro(Money::MAX_AMOUNT).plus(euro(1)), Err(MoneyError::OutOfRange));
        assert_eq!(Money::new(-1, Currency::EUR), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn text_has_the_digits_of_the_currency() {
        assert_eq!(Money::new(1_205, Currency::EUR).unwrap().to_string(), "12.05 EUR");
        assert_eq!(Money::new(1_205, Currency::JPY).unwrap().to_string(), "1205 JPY");
        assert_eq!(Money::new(1_205, Currency::KWD).unwrap().to_string(), "1.205 KWD");
    }
}
