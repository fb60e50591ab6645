//! Waking up: a frozen function does not notice that its connections were closed.

use std::time::{Duration, SystemTime};

use bms_domain::BookingService;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

/// A function that has done nothing for longer may have been frozen.
const AWAKE: Duration = Duration::from_secs(1);
/// How long the stores are waited for: long enough for a call to find out that a server says nothing any more, and to connect.
/// What is not there by then is down, and the request is told so by whatever it needs.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The pauses before they are asked again: a connection that was found dead is replaced within a few milliseconds, and what refuses
/// at once after the last of them is down. No request shall wait for it that does not need it.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];

/// Knows when the function last did anything.
pub(crate) struct Thaw(Mutex<(Instant, SystemTime)>);

impl Thaw {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((Instant::now(), SystemTime::now())))
    }

    /// Has the stores asked whether they are there, until they are, when the function may have been frozen: the first to speak
    /// on a dead connection finds it so, and it is replaced. Otherwise that would be the request, whose change may then have
    /// been made or not.
    pub(crate) async fn wake(&self, service: &BookingService, end: Instant) {
        if self.idle() <= AWAKE {
            return;
        }
        let end = end.min(Instant::now() + PATIENCE);
        let answer = async {
            for pause in PAUSES {
                if all_answer(service).await {
                    return true;
                }
                sleep(pause).await;
            }
            all_answer(service).await
        };
        if !timeout_at(end, answer).await.unwrap_or(false) {
            tracing::warn!("not every store answers after a pause");
        }
    }

    /// The function has done what it was asked for.
    pub(crate) fn rest(&self) {
        *self.0.lock() = (Instant::now(), SystemTime::now());
    }

    /// By the clock that says more: either may stand still while the function is frozen.
    fn idle(&self) -> Duration {
        let (instant, time) = *self.0.lock();
        instant.elapsed().max(SystemTime::now().duration_since(time).unwrap_or_default())
    }
}

async fn all_answer(service: &BookingService) -> bool {
    service.store_readiness().await.iter().all(|store| store.problem.is_none())
}
