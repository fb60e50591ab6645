//! The store of idempotency keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::store::{Begun, Fingerprint, IdempotencyKey, IdempotencyStore, StoreError};
use bms_domain::time::Clock;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::codec::Unreadable;
use crate::connection::{Effect, Redis};
use crate::holds::millis;
use crate::lua;
use crate::reply::Reply;
use crate::script::{Call, Script};

/// How much longer Redis itself keeps what is over. A request that was begun and never finished gets its first seed again
/// for so long; and it is room for a clock that is set forward.
const KEPT_LONGER: Duration = Duration::from_hours(24);

/// Keeps the first answer to each idempotency key in Redis (P6). Cheap to clone; every clone, and every process with the
/// same prefix, shares the same keys.
///
/// A request is one Redis key, named by a digest of the user and of the client's key. Its value holds the answer as it was
/// given to the client, until its time is over; then Redis forgets it by itself, and [`sweep`](Self::sweep) has nothing to
/// do. A request whose key Redis has lost while it ran is answered, and its answer is not kept.
#[derive(Clone)]
pub struct RedisIdempotency {
    redis: Redis,
    clock: Option<Arc<dyn Clock>>,
}

impl RedisIdempotency {
    /// Idempotency keys on a connection, under its key prefix. The time is that of the Redis server.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis, clock: None }
    }

    /// Goes by a clock instead of the server's, for tests and simulation: all who share the keys must share it.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// A call on a request, to which its own arguments are added.
    fn of(&self, key: &IdempotencyKey) -> Call {
        Call::new().key(name(self.redis.prefix(), key))
    }

    async fn run(&self, script: &Script, call: Call) -> Result<(u8, Reply), StoreError> {
        let mut reply = Reply::new(self.redis.run(script, call, Effect::Writes).await?)?;
        Ok((reply.code()?, reply))
    }
}

/// The name of a request. What users choose is only in the digest, each part after its length, so that no two pairs of user
/// and key are one. Without a hash tag, requests spread over a cluster.
fn name(prefix: &str, key: &IdempotencyKey) -> String {
    let mut digest = Sha256::new();
    for part in [key.user().as_str(), key.key()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}:request:{digest}")
}

#[async_trait]
impl IdempotencyStore for RedisIdempotency {
    async fn begin(&self, key: &IdempotencyKey, request: Fingerprint, seed: Uuid, lease: Duration) -> Result<Begun, StoreError> {
        let call = self.of(key).now(self.clock.as_deref()).arg(request.0).arg(seed);
        let call = call.number(millis(lease)).number(KEPT_LONGER.as_millis());
        let (code, mut reply) = self.run(&lua::BEGIN_REQUEST, call).await?;
        Ok(match code {
            b'R' => Begun::Run { seed: Uuid::from_slice(&reply.bytes()?).map_err(|_| Unreadable)? },
            b'P' => Begun::InProgress,
            b'F' => Begun::Finished(reply.bytes()?),
            b'U' => Begun::Reused,
            _ => return Err(Unreadable.into()),
        })
    }

    async fn finish(&self, key: &IdempotencyKey, answer: Vec<u8>, keep: Duration) -> Result<Vec<u8>, StoreError> {
        let call = self.of(key).now(self.clock.as_deref()).arg(&answer).number(millis(keep)).number(KEPT_LONGER.as_millis());
        let (code, mut reply) = self.run(&lua::FINISH_REQUEST, call).await?;
        match code {
            b'K' => Ok(answer),
            b'F' => Ok(reply.bytes()?),
            // Redis has lost it. Without the fingerprint the answer could be given to another request of the same key.
            b'N' => Ok(answer),
            _ => Err(Unreadable.into()),
        }
    }

    async fn abandon(&self, key: &IdempotencyKey) -> Result<(), StoreError> {
        self.redis.run(&lua::ABANDON_REQUEST, self.of(key), Effect::Writes).await.map(|_| ())
    }

    /// Redis forgets by itself: always 0.
    async fn sweep(&self, _limit: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.redis.ping().await
    }
}

#[cfg(test)]
mod tests {
    use bms_domain::id::UserId;

    use super::*;

    #[test]
    fn no_two_pairs_of_user_and_key_have_one_name() {
        let name = |user: &str, key: &str| name("bms", &IdempotencyKey::new(UserId::parse(user).unwrap(), key).unwrap());
        let names = [name("a", "bc"), name("ab", "c"), name("abc", "a"), name("a", "bc:"), name("a:", "bc")];
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
        assert_eq!(names[0].len(), "bms:request:".len() + 64);
    }
}
