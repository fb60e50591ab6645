//! Idempotency keys in memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use uuid::Uuid;

use super::shards::Stripes;
use crate::store::{Begun, Fingerprint, IdempotencyKey, IdempotencyStore, StoreError};
use crate::time::{Clock, Timestamp};

/// How long a key is kept that was begun and never finished, after its lease: its retries get the first seed for so long.
const UNFINISHED_KEPT_FOR: Duration = Duration::from_hours(24);

struct Entry {
    request: Fingerprint,
    seed: Uuid,
    progress: Progress,
}

enum Progress {
    Running { until: Timestamp },
    Abandoned,
    Finished { answer: Vec<u8>, until: Timestamp },
}

/// Keeps the first answer to each key in this process's memory. What is over is forgotten by and by, as new keys come.
pub struct MemoryIdempotency {
    clock: Arc<dyn Clock>,
    entries: Stripes<IdempotencyKey, Entry>,
    /// When answers are over, so that forgetting them needs no search.
    ends: Mutex<BTreeSet<(Timestamp, IdempotencyKey)>>,
}

impl MemoryIdempotency {
    /// An empty store on a clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Stripes::new(), ends: Mutex::default() }
    }

    fn forget_old(&self, limit: usize) -> usize {
        let now = self.clock.now();
        let mut forgotten = 0;
        while forgotten < limit {
            let over = {
                let mut ends = self.ends.lock();
                match ends.first() {
                    Some((until, _)) if until.has_passed(now) => ends.pop_first(),
                    _ => None,
                }
            };
            let Some((_, key)) = over else { break };
            let mut stripe = self.entries.of(&key);
            let is_over = stripe.get(&key).is_some_and(|entry| match &entry.progress {
                Progress::Finished { until, .. } | Progress::Running { until } => until.has_passed(now),
                Progress::Abandoned => true,
            });
            if is_over {
                stripe.remove(&key);
            }
            forgotten += 1;
        }
        forgotten
    }
}

#[async_trait]
impl IdempotencyStore for MemoryIdempotency {
    async fn begin(&self, key: &IdempotencyKey, request: Fingerprint, seed: Uuid, lease: Duration) -> Result<Begun, StoreError> {
        self.forget_old(2);
        let now = self.clock.now();
        let running = Progress::Running { until: now.plus(lease) };
        let mut stripe = self.entries.of(key);
        if let Some(entry) = stripe.get_mut(key) {
            let over = matches!(&entry.progress, Progress::Finished { until, .. } if until.has_passed(now));
            if !over {
                if entry.request != request {
                    return Ok(Begun::Reused);
                }
                return Ok(match &entry.progress {
                    Progress::Finished { answer, .. } => Begun::Finished(answer.clone()),
                    Progress::Running { until } if !until.has_passed(now) => Begun::InProgress,
                    Progress::Running { .. } | Progress::Abandoned => {
                        entry.progress = running;
                        Begun::Run { seed: entry.seed }
                    }
                });
            }
        }
        stripe.insert(key.clone(), Entry { request, seed, progress: running });
        drop(stripe);
        // Forgotten too when nobody finishes it.
        self.ends.lock().insert((now.plus(lease).plus(UNFINISHED_KEPT_FOR), key.clone()));
        Ok(Begun::Run { seed })
    }

    async fn finish(&self, key: &IdempotencyKey, answer: Vec<u8>, keep: Duration) -> Result<Vec<u8>, StoreError> {
        let now = self.clock.now();
        let until = now.plus(keep);
        {
            let mut stripe = self.entries.of(key);
            let Some(entry) = stripe.get_mut(key) else {
                return Err(StoreError::Broken { store: "memory", detail: "a key was finished that was not begun".to_owned() });
            };
            match &entry.progress {
                Progress::Finished { answer, until } if !until.has_passed(now) => return Ok(answer.clone()),
                _ => entry.progress = Progress::Finished { answer: answer.clone(), until },
            }
        }
        self.ends.lock().insert((until, key.clone()));
        Ok(answer)
    }

    async fn abandon(&self, key: &IdempotencyKey) -> Result<(), StoreError> {
        if let Some(entry) = self.entries.of(key).get_mut(key)
            && matches!(entry.progress, Progress::Running { .. })
        {
            entry.progress = Progress::Abandoned;
        }
        Ok(())
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        Ok(self.forget_old(limit))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
