//! Buyers who never rest: they hold, release, order and pay while the servers are given trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bms_domain::error::Error;
use bms_domain::id::{HoldId, ShowId};
use bms_domain::order::Order;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::rig::{LONGEST, Rig, SEATS, caller, hold_of, is_retryable};
use super::until;

/// What the buyers have seen.
#[derive(Default)]
pub struct Seen {
    /// Every hold that was asked for, whatever came of it.
    pub asked: Mutex<Vec<HoldId>>,
    /// Holds that were granted and not touched since.
    pub kept: Mutex<Vec<HoldId>>,
    /// Orders that were confirmed.
    pub confirmed: Mutex<Vec<Order>>,
    /// Calls that succeeded, or were refused because somebody else was quicker.
    pub answered: AtomicU32,
    /// Calls that may be repeated.
    pub retryable: AtomicU32,
    worst: Mutex<Duration>,
}

/// Buyers of some shows; they stop when told to.
pub struct Crowd {
    pub seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    buyers: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Sends `buyers` to each of the shows.
    pub fn send(rig: &Rig, shows: &[ShowId], buyers: u32) -> Self {
        let (seen, stop) = (Arc::<Seen>::default(), Arc::<AtomicBool>::default());
        let all = shows.iter().flat_map(|show| (0..buyers).map(move |buyer| (*show, buyer)));
        let buyers = all.map(|(show, buyer)| {
            let (rig, seen, stop) = (rig.clone(), seen.clone(), stop.clone());
            tokio::spawn(async move {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                    seen.round(&rig, &show, buyer * 100_000 + round).await;
                    round += 1;
                }
            })
        });
        Self { buyers: buyers.collect(), seen, stop }
    }

    /// Waits until so many more calls were answered.
    pub async fn until_answered(&self, more: u32) {
        let before = self.seen.answered.load(Ordering::Relaxed);
        until("answers to the buyers", || async {
            assert!(self.buyers.iter().all(|buyer| !buyer.is_finished()), "a buyer fell over something");
            self.seen.answered.load(Ordering::Relaxed) >= before + more
        })
        .await;
    }

    /// Sends the buyers home; fails if one of them met what no buyer may meet.
    pub async fn go_home(self) -> Arc<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        for buyer in self.buyers {
            buyer.await.unwrap();
        }
        self.seen
    }
}

impl Seen {
    /// One visit. Most release what they hold, so that there is always something left; some keep it; some buy.
    async fn round(&self, rig: &Rig, show: &ShowId, number: u32) {
        let user = format!("user-{number}");
        // Neighbours want the same seats.
        let first = number.wrapping_mul(2_654_435_761) % (SEATS - 1);
        let seats = [first, first + 1];
        let id = hold_of(show, number);
        self.asked.lock().push(id);
        if self.call(rig.place_in(show, &user, &seats, number)).await.is_none() {
            return;
        }
        match number % 32 {
            0 => self.kept.lock().push(id),
            1 => {
                let Some(order) = self.call(rig.order_of(&user, id)).await else { return };
                while let Err(error) = rig.paid(&user, &order, &format!("pay_ok_{user}")).await {
                    // The payment is durable without the hold store.
                    assert!(is_retryable(&error), "{error:?}");
                }
                let bought = rig.service.order(&caller(&user), order.id).await.unwrap();
                self.confirmed.lock().push(bought);
            }
            _ => drop(self.call(rig.service.release_hold(&caller(&user), id)).await),
        }
    }

    /// A call, which must end in time, as a success, a definite refusal, or an error that says it may be repeated (P11).
    async fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Option<T> {
        let began = Instant::now();
        let outcome = call.await;
        let took = began.elapsed();
        assert!(took < LONGEST, "P11: a call took {took:?}");
        {
            let mut worst = self.worst.lock();
            *worst = took.max(*worst);
        }
        match outcome {
            Err(error) if is_retryable(&error) => {
                self.retryable.fetch_add(1, Ordering::Relaxed);
                // A call that fails at once leaves nobody else a turn.
                tokio::time::sleep(Duration::from_millis(5)).await;
                None
            }
            Err(Error::SeatsUnavailable(_) | Error::NotFound(_) | Error::HoldExpired(_) | Error::HoldNotActive { .. }) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(error) => panic!("{error:?}"),
            Ok(done) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(done)
            }
        }
    }

    /// The longest that a call took.
    pub fn worst(&self) -> Duration {
        *self.worst.lock()
    }
}
