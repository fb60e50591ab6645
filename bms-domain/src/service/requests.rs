//! Repeated requests: the idempotency keys, with the policy's times.

use std::future::Future;

use uuid::Uuid;

use super::BookingService;
use crate::error::Error;
use crate::store::{Begun, Fingerprint, IdempotencyKey, StoreError};

impl BookingService {
    /// Begins a request under a client's key (promise P6). The answer [`Begun::Run`] carries the seed for
    /// [`place_hold`](Self::place_hold).
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store of keys does not answer.
    pub async fn begin_request(&self, key: &IdempotencyKey, request: Fingerprint) -> Result<Begun, Error> {
        let lease = self.policy().request_lease;
        Ok(self.of_keys(self.ports().idempotency.begin(key, request, self.new_seed(), lease)).await?)
    }

    /// Keeps the answer to a request. The first answer wins and comes back.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store of keys does not answer.
    pub async fn finish_request(&self, key: &IdempotencyKey, answer: Vec<u8>) -> Result<Vec<u8>, Error> {
        let keep = self.policy().keep_answers;
        Ok(self.of_keys(self.ports().idempotency.finish(key, answer, keep)).await?)
    }

    /// Lets the next caller run a request again that ended without a definite answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store of keys does not answer.
    pub async fn abandon_request(&self, key: &IdempotencyKey) -> Result<(), Error> {
        Ok(self.of_keys(self.ports().idempotency.abandon(key)).await?)
    }

    /// A seed to make a hold's id of.
    #[must_use]
    pub fn new_seed(&self) -> Uuid {
        self.shared.ids.uuid()
    }

    pub(super) async fn of_keys<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.bounded(call, || StoreError::outcome_unknown("the idempotency store")).await
    }
}
