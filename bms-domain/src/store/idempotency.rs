//! Idempotency keys: the first answer to a request, kept for whoever asks again (promise P6).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::id::{ParseIdError, UserId};
use crate::store::StoreError;

/// A client's key for one request: the user, and 1–255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey {
    user: UserId,
    key: Box<str>,
}

impl IdempotencyKey {
    /// Takes a user's key.
    ///
    /// # Errors
    /// [`ParseIdError`] when the key is empty, longer than 255 characters, or not visible ASCII.
    pub fn new(user: UserId, key: &str) -> Result<Self, ParseIdError> {
        if (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self { user, key: key.into() })
        } else {
            Err(ParseIdError::new("idempotency key", "1 to 255 visible ASCII characters"))
        }
    }

    /// Whose key it is. The same text of two users is two keys.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The key's text.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(…)")
    }
}

/// A digest of a request: two requests of one key must be the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// What came of beginning a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Run it, and then [`finish`](IdempotencyStore::finish) or [`abandon`](IdempotencyStore::abandon) it.
    Run {
        /// The seed that was given when the key was first begun: ids made of it are the same in every try, so a try
        /// that was cut short is completed, not repeated.
        seed: Uuid,
    },
    /// Another caller runs it.
    InProgress,
    /// It was run: the first answer.
    Finished(Vec<u8>),
    /// The key was used for another request.
    Reused,
}

/// Keeps the first answer to each key.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Begins a request. Exactly one of many callers gets [`Begun::Run`], until it finishes or abandons it or `lease` is
    /// over (its process died). `seed` is kept when the key is new.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn begin(&self, key: &IdempotencyKey, request: Fingerprint, seed: Uuid, lease: Duration) -> Result<Begun, StoreError>;

    /// Keeps an answer for `keep`. The first one to finish wins: its answer is kept and comes back.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn finish(&self, key: &IdempotencyKey, answer: Vec<u8>, keep: Duration) -> Result<Vec<u8>, StoreError>;

    /// Lets the next caller run the request again, with the same seed: it ended without a definite answer.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn abandon(&self, key: &IdempotencyKey) -> Result<(), StoreError>;

    /// Forgets up to `limit` answers whose time is over. Says how many: 0 where they are forgotten by themselves. Only
    /// tidies up.
    ///
    /// # Errors
    /// [`StoreError`] when the backend does not answer.
    async fn sweep(&self, limit: usize) -> Result<usize, StoreError>;

    /// Whether the backend answers, for readiness.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    async fn ping(&self) -> Result<(), StoreError>;
}
