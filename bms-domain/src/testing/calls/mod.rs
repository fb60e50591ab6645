//! Calls of stores as values: drawn, made of several stores, written down, and compared by their answers.
//!
//! Ids, users and seats are told in the numbers of the [`model`](super::model).

mod holds;
mod orders;
mod tally;

use std::fmt;

use async_trait::async_trait;

pub use holds::{HoldAnswer, HoldCall};
pub(crate) use holds::{state, user};
pub use orders::{Events, OrderAnswer, OrderCall};
pub(crate) use orders::{PRICE, sent};
pub use tally::Tally;

use crate::store::StoreError;

/// A call of a store, as a value.
pub trait Call: Clone + fmt::Debug + Send + Sync + 'static {
    /// What a store answers.
    type Answer: Clone + fmt::Debug + PartialEq + Send + Sync + 'static;

    /// The name of the call.
    fn name(&self) -> &'static str;

    /// An answer without what the documentation leaves to the store, so that it can be compared with another's.
    fn comparable(&self, answer: Self::Answer) -> Self::Answer;

    /// The name of the answer, for counting.
    fn kind(answer: &Self::Answer) -> &'static str;
}

/// Whatever answers calls: each [`HoldStore`](crate::store::HoldStore) those of holds; each
/// [`OrderStore`](crate::store::OrderStore) with its [`Outbox`](crate::store::Outbox) those of orders.
#[async_trait]
pub trait Answers<C: Call>: Send + Sync + 'static {
    /// Makes the call.
    ///
    /// # Errors
    /// What the store fails with.
    async fn answer(&self, call: &C) -> Result<C::Answer, StoreError>;
}
