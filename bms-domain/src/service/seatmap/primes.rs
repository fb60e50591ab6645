//! Shows that are being restored into the hold store.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::error::Error;
use crate::id::{LayoutId, ShowId};

/// Whoever waits for it drives it on; when the last has gone, it ends where it is.
type Priming = Shared<Course>;
type Course = BoxFuture<'static, Result<(), Arc<Error>>>;

/// At most one restoring for each show and seat plan.
#[derive(Default)]
pub(in crate::service) struct Primes(Mutex<HashMap<(ShowId, LayoutId), WeakShared<Course>>>);

impl Primes {
    /// The one that is under way, or the one that `begin` begins. One that has ended is none: whoever comes after it was told
    /// that it did not suffice.
    pub(super) fn find_or_begin(&self, plan: (ShowId, LayoutId), begin: impl FnOnce() -> Course) -> Priming {
        let under_way = |priming: &WeakShared<Course>| priming.upgrade().filter(|priming| priming.peek().is_none());
        let mut primes = self.0.lock();
        if let Some(priming) = primes.get(&plan).and_then(under_way) {
            return priming;
        }
        primes.retain(|_, priming| under_way(priming).is_some());
        let priming = begin().shared();
        if let Some(weak) = priming.downgrade() {
            primes.insert(plan, weak);
        }
        priming
    }
}
