//! The store of idempotency keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::store::{Begun, Fingerprint, IdempotencyKey, IdempotencyStore, StoreError};
use uuid::Uuid;

use crate::codec::{escaped, get};
use crate::connection::Postgres;
use crate::error::{STORE, broken};
use crate::run::{Failed, count, millis};
use crate::statements::{Query, query, statements};

/// How long a key is kept that was begun and never finished, after its lease: its retries get the first seed for so long.
const UNFINISHED_KEPT_FOR: Duration = Duration::from_hours(24);

/// How often a key is looked at that others change at the same time. Each of them has changed it by then.
const ATTEMPTS: usize = 32;

statements!(
    /// The statements of the store of idempotency keys.
    IdempotencySql in "idempotency": abandon, begin, finish, sweep
);

/// Keeps the first answer to each idempotency key in Postgres (promise P6). Cheap to clone; every process on the same schema
/// shares the same keys.
///
/// A key is over at its time, decided by the server's clock; [`sweep`](Self::sweep) only frees the room. A request that was
/// begun and never finished keeps its seed for 24 hours after its lease.
///
/// After `OutcomeUnknown`, `begin` may have given the lease to nobody: the key is [`Begun::InProgress`] until the lease is
/// over, and then runs with its first seed. The others can be repeated.
#[derive(Clone)]
pub struct PostgresIdempotency {
    postgres: Postgres,
    sql: Arc<IdempotencySql>,
}

impl PostgresIdempotency {
    /// The keys in this database.
    #[must_use]
    pub fn new(postgres: Postgres) -> Self {
        let sql = Arc::new(IdempotencySql::new(postgres.schema()));
        Self { postgres, sql }
    }

    /// `None` when somebody else changed the key at the same time, and nothing was done.
    async fn try_begin(
        &self,
        key: &IdempotencyKey,
        request: Fingerprint,
        seed: Uuid,
        lease: Duration,
    ) -> Result<Option<Begun>, StoreError> {
        let begin = || {
            of(query(&self.sql.begin).bind(self.postgres.now()), key)
                .bind(request.0.to_vec())
                .bind(seed)
                .bind(millis(lease))
                .bind(millis(UNFINISHED_KEPT_FOR))
        };
        let rows = self.postgres.write(begin).await.map_err(Failed::unexpected)?;
        let Some(row) = rows.first() else { return Ok(None) };
        if let Some(seed) = get(row, "seed")? {
            return Ok(Some(Begun::Run { seed }));
        }
        if get(row, "reused")? {
            return Ok(Some(Begun::Reused));
        }
        if let Some(answer) = get(row, "answer")? {
            return Ok(Some(Begun::Finished(answer)));
        }
        Ok(if get(row, "running")? { Some(Begun::InProgress) } else { None })
    }
}

/// Adds whose key it is, and its text.
fn of<'q>(query: Query<'q>, key: &IdempotencyKey) -> Query<'q> {
    query.bind(escaped(key.user().as_str()).into_owned()).bind(key.key().to_owned())
}

#[async_trait]
impl IdempotencyStore for PostgresIdempotency {
    async fn begin(&self, key: &IdempotencyKey, request: Fingerprint, seed: Uuid, lease: Duration) -> Result<Begun, StoreError> {
        let this = Self { postgres: self.postgres.for_one_call(), ..self.clone() };
        for _ in 0..ATTEMPTS {
            if let Some(begun) = this.try_begin(key, request, seed, lease).await? {
                return Ok(begun);
            }
        }
        Err(StoreError::unavailable(STORE))
    }

    async fn finish(&self, key: &IdempotencyKey, answer: Vec<u8>, keep: Duration) -> Result<Vec<u8>, StoreError> {
        let finish = || of(query(&self.sql.finish).bind(self.postgres.now()), key).bind(answer.clone()).bind(millis(keep));
        let postgres = self.postgres.for_one_call();
        for _ in 0..ATTEMPTS {
            let rows = postgres.write(finish).await.map_err(Failed::unexpected)?;
            let row = rows.first().ok_or_else(|| broken("a key was finished that was not begun"))?;
            if get(row, "kept")? {
                return Ok(answer);
            }
            if let Some(first) = get(row, "answer")? {
                return Ok(first);
            }
        }
        Err(StoreError::unavailable(STORE))
    }

    async fn abandon(&self, key: &IdempotencyKey) -> Result<(), StoreError> {
        self.postgres.write(|| of(query(&self.sql.abandon), key)).await.map_err(Failed::unexpected)?;
        Ok(())
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let sweep = || query(&self.sql.sweep).bind(self.postgres.now()).bind(count(limit));
        Ok(self.postgres.write(sweep).await.map_err(Failed::unexpected)?.len())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.postgres.ping().await
    }
}
