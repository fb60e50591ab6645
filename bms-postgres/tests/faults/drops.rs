//! A caller's future is dropped at any await point. What it began is done or not done, never half; asking again completes it;
//! and whoever uses the connection next writes for good.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bms_domain::order::Order;
use bms_domain::payment::PaymentStatus;
use bms_domain::store::{OrderStore as _, Outbox as _, Replay};
use bms_domain::testing::{ManualClock, sample};
use bms_postgres::{Postgres, PostgresOrders};
use futures::future::{BoxFuture, poll_fn};

use crate::support;
use crate::support::shop::{TTL, ann, assert_sound, id, orders, paid, price, report, show, wish};

/// Polls a future `polls` times, and drops it. Whether it had ended.
async fn cut_off(future: impl Future, polls: usize) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(false) } else { Poll::Pending }
        }
    })
    .await
}

/// A call of the store for the `n`-th order.
type Call = for<'a> fn(&'a PostgresOrders, u32) -> BoxFuture<'a, ()>;

/// Every call that changes something, with what has to be there before.
const CALLS: [(&str, bool, Call); 11] = [
    ("create", false, |store, n| Box::pin(async move { drop(store.create(&wish(n)).await) })),
    ("settle", true, |store, n| Box::pin(async move { drop(store.settle(&paid(n), &sample::ticket(n)).await) })),
    ("settle a failure", true, |store, n| {
        Box::pin(async move {
            let failed = sample::notice(&format!("evt-{n}"), report(n, "bad", PaymentStatus::Failed, price()));
            drop(store.settle(&failed, &sample::ticket(n)).await);
        })
    }),
    ("give_up", true, |store, n| Box::pin(async move { drop(store.give_up(id(n), &ann()).await) })),
    ("cancel", true, |store, n| {
        Box::pin(async move {
            drop(store.settle(&paid(n), &sample::ticket(n)).await);
            drop(store.cancel(id(n)).await);
        })
    }),
    ("expire_overdue", true, |store, _| Box::pin(async move { drop(store.expire_overdue(10).await) })),
    ("claim_attempts", true, |store, _| Box::pin(async move { drop(store.claim_attempts(10, TTL).await) })),
    ("pin_layout", false, |store, _| Box::pin(async move { drop(store.pin_layout(&show(), sample::layout_id("plan-1")).await) })),
    ("claim events", true, |store, _| Box::pin(async move { drop(store.claim(10, Duration::ZERO).await) })),
    ("publish events", true, |store, _| {
        Box::pin(async move {
            let events = store.claim(10, Duration::ZERO).await.unwrap();
            let keys: Vec<_> = events.iter().map(|delivery| delivery.event.key).collect();
            drop(store.postpone(&keys, Duration::ZERO).await);
            drop(store.bury(&keys).await);
            drop(store.published(&keys).await);
        })
    }),
    ("replay events", true, |store, n| Box::pin(async move { drop(store.replay(&Replay::Order(id(n))).await) })),
];

/// The order as another connection sees it.
async fn seen(other: &PostgresOrders, n: u32) -> Option<Order> {
    other.get(id(n)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_leaves_nothing_half_done() {
    // One connection, so that the next caller gets the one that was left.
    let clock = ManualClock::default();
    let config = support::schema().await;
    let one = config.clone().connections(1).unwrap();
    let postgres = Postgres::connect(&one).await.unwrap().with_clock(std::sync::Arc::new(clock.clone()));
    let other = Postgres::connect(&config).await.unwrap();
    let (store, watcher) = (orders(&postgres), orders(&other));
    let (mut n, mut cuts) = (0, 0);
    for (name, ordered, call) in CALLS {
        let mut polls = 0;
        loop {
            polls += 1;
            n += 1;
            if ordered {
                store.create(&wish(n)).await.unwrap();
            }
            let ended = cut_off(call(&store, n), polls).await;
            // The next caller's write is there for everybody.
            n += 1;
            store.create(&wish(n)).await.unwrap();
            assert!(seen(&watcher, n).await.is_some(), "{name}, dropped after {polls} polls: the next write vanished");
            // Asking again completes what was begun.
            call(&store, n - 1).await;
            assert_sound(&other).await;
            if ended {
                break;
            }
            assert!(polls < 1_000, "{name} never ends");
        }
        cuts += polls - 1;
        clock.advance(TTL);
    }
    assert!(cuts >= CALLS.len(), "calls were cut off {cuts} times only");
}
