//! Finding a show's state without making shows wait for each other, and maps in stripes.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::id::{Shard, ShowId};

/// The states of all shows, by shard. A lookup takes the shard's lock for reading only, so that shows of one shard do not
/// wait for each other either, except while a new one is put in.
pub(super) struct Shows<T> {
    shards: Box<[ShardOf<T>]>,
    /// The shards that have a show: few of them, as a rule.
    used: RwLock<BTreeSet<Shard>>,
}

/// The shows of one shard: rarely more than one, so that a list is the quickest map.
type ShardOf<T> = RwLock<Vec<(ShowId, Arc<T>)>>;

impl<T> Shows<T> {
    pub(super) fn new() -> Self {
        Self { shards: (0..Shard::COUNT).map(|_| RwLock::default()).collect(), used: RwLock::default() }
    }

    fn shard(&self, shard: Shard) -> Option<&ShardOf<T>> {
        self.shards.get(usize::from(shard.number()))
    }

    pub(super) fn get(&self, show: &ShowId) -> Option<Arc<T>> {
        let shard = self.shard(show.shard())?.read();
        shard.iter().find(|(id, _)| id == show).map(|(_, state)| state.clone())
    }

    pub(super) fn get_or_insert(&self, show: &ShowId, new: impl FnOnce() -> T) -> Arc<T> {
        if let Some(found) = self.get(show) {
            return found;
        }
        let Some(shard) = self.shard(show.shard()) else { return Arc::new(new()) };
        let mut shard = shard.write();
        if let Some((_, found)) = shard.iter().find(|(id, _)| id == show) {
            return found.clone();
        }
        let state = Arc::new(new());
        shard.push((*show, state.clone()));
        self.used.write().insert(show.shard());
        state
    }

    pub(super) fn replace(&self, show: &ShowId, state: Arc<T>) {
        let Some(shard) = self.shard(show.shard()) else { return };
        let mut shard = shard.write();
        match shard.iter_mut().find(|(id, _)| id == show) {
            Some((_, old)) => *old = state,
            None => {
                shard.push((*show, state));
                self.used.write().insert(show.shard());
            }
        }
    }

    /// The first answer that a show of the shard gives.
    pub(super) fn find<R>(&self, shard: Shard, ask: impl FnMut(&(ShowId, Arc<T>)) -> Option<R>) -> Option<R> {
        self.shard(shard)?.read().iter().find_map(ask)
    }

    /// Asks every show until `visit` says `false`.
    pub(super) fn each(&self, mut visit: impl FnMut(&ShowId, &T) -> bool) {
        let used: Vec<Shard> = self.used.read().iter().copied().collect();
        for shard in used.into_iter().filter_map(|shard| self.shard(shard)) {
            let states: Vec<_> = shard.read().clone();
            if !states.iter().all(|(show, state)| visit(show, state)) {
                return;
            }
        }
    }
}

/// How many stripes a map has.
const STRIPES: usize = 64;

/// A map that many threads write, in stripes with a lock each.
pub(super) struct Stripes<K, V> {
    hasher: DefaultHashBuilder,
    stripes: [Mutex<HashMap<K, V>>; STRIPES],
}

impl<K: Hash + Eq, V> Stripes<K, V> {
    pub(super) fn new() -> Self {
        Self { hasher: DefaultHashBuilder::default(), stripes: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The stripe that a key is in.
    #[expect(clippy::indexing_slicing, reason = "a remainder by the length is an index")]
    pub(super) fn of(&self, key: &K) -> MutexGuard<'_, HashMap<K, V>> {
        self.stripes[(self.hasher.hash_one(key) as usize) % STRIPES].lock()
    }
}
