//! A caller's future is dropped at any await point. What it began is done or not done, never half; asking again completes it;
//! and whoever uses the connection next writes for good.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bms_domain::order::Order;
use bms_domain::payment::PaymentStatus;
use bms_domain::store::{
    CatalogueStore as _, Checkout, Fence, Fingerprint, HoldStore as _, IdempotencyKey, IdempotencyStore as _, MovieQuery,
    Occupancy, OccupancyRead, OrderStore, Outbox as _, PlaceHold, Replay, SeatLimits, ShowClaims, SoldSeats,
};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::Timestamp;
use bms_postgres::testing::Server;
use bms_postgres::{Postgres, PostgresCatalogue, PostgresConfig, PostgresHolds, PostgresIdempotency, PostgresOrders};
use futures::future::{BoxFuture, poll_fn};

use crate::support;
use crate::support::shop::{TTL, ann, assert_sound, id, orders, paid, price, report, show, wish};

/// How many seats the show has whose seats are held: enough for every order of the sweep.
const SEATS: u32 = 10_000;

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

/// All stores of one schema, on the same connections.
struct Stores {
    orders: PostgresOrders,
    holds: PostgresHolds,
    keys: PostgresIdempotency,
    catalogue: PostgresCatalogue,
}

impl Stores {
    fn of(postgres: &Postgres) -> Self {
        Self {
            orders: orders(postgres),
            holds: PostgresHolds::new(postgres.clone()),
            keys: PostgresIdempotency::new(postgres.clone()),
            catalogue: PostgresCatalogue::new(postgres.clone()),
        }
    }

    async fn settle(&self, n: u32) {
        drop(self.orders.settle(&paid(n), &sample::ticket(n)).await);
    }

    async fn place(&self, n: u32) {
        drop(self.holds.place(&hold(n)).await);
    }

    async fn begin_checkout(&self, n: u32) {
        let checkout = Checkout { order: id(n), cover: TTL, longest_life: TTL * 6 };
        drop(self.holds.begin_checkout(hold(n).id, &ann(), &checkout).await);
    }

    async fn begin_key(&self, n: u32) {
        drop(self.keys.begin(&key(n), Fingerprint([7; 32]), sample::uuid(n), TTL).await);
    }

    async fn read_orders(&self, n: u32) {
        drop(self.orders.get(id(n)).await);
        drop(self.orders.by_holds(&[wish(n).hold]).await);
        drop(self.orders.list(&sample::user("ann"), None, 10).await);
        drop(self.orders.by_ticket(&sample::ticket(n).code).await);
        drop(self.orders.refunds_due(None, 10).await);
        drop(self.orders.sold(&show(), SEATS).await);
        drop(self.orders.claims(&show()).await);
        drop(self.orders.sales_within(TTL, None, 10).await);
        drop(self.orders.dead(None, 10).await);
        drop(OrderStore::ping(&self.orders).await);
    }

    async fn read_the_rest(&self, n: u32) {
        drop(self.holds.get(&[hold(n).id]).await);
        drop(self.holds.occupancy(&show()).await);
        drop(self.holds.counts(&[show()]).await);
        drop(self.holds.changes(&show(), 0).await);
        let entries = entries(n, Timestamp::from_millis(0));
        drop(self.catalogue.movies(&MovieQuery { city: None, after: None, limit: 10 }).await);
        drop(self.catalogue.movie(&entries.movies[0].movie_id).await);
        drop(self.catalogue.theatre(&entries.theatres[0].theatre_id).await);
        drop(self.catalogue.layout(&entries.layouts[0].id()).await);
        drop(self.catalogue.show(&entries.shows[0].show_id).await);
    }

    async fn restore(&self) {
        let fence = match self.holds.occupancy(&show()).await {
            Ok(OccupancyRead::Known(known)) => known.fence,
            Ok(OccupancyRead::NotPrimed(fence)) => fence,
            Err(_) => Fence::default(),
        };
        let layout = sample::layout_id("plan-1");
        let nothing =
            ShowClaims { show: show(), layout, seats: SEATS, sold: Vec::new(), pending: Vec::new(), grace: Duration::ZERO };
        drop(self.holds.restore(&nothing, fence).await);
    }

    /// Fails if anything of `n` is half there, as another connection sees it.
    async fn assert_whole(&self, n: u32, clock: &ManualClock) {
        let (live, Occupancy { held, sold, .. }) = settled(async || self.is_held(n).await, async || self.occupancy().await).await;
        let seats = hold(n).seats;
        assert!(seats.iter().all(|seat| held.contains(seat) == live), "seats that are held, and their hold");
        assert_eq!(seats.iter().filter(|seat| sold.contains(*seat)).count() % seats.len(), 0, "seats that are sold together");
        let entries = entries(n, bms_domain::time::Clock::now(clock));
        let movie = async || self.catalogue.movie(&entries.movies[0].movie_id).await.unwrap().is_some();
        let show = async || self.catalogue.show(&entries.shows[0].show_id).await.unwrap().is_some();
        let (movie, show) = settled(movie, show).await;
        assert_eq!(movie, show, "entries that are written together");
    }

    async fn is_held(&self, n: u32) -> bool {
        self.holds.get(&[hold(n).id]).await.unwrap()[0].as_ref().is_some_and(|hold| hold.state.is_live())
    }

    async fn occupancy(&self) -> Occupancy {
        match self.holds.occupancy(&show()).await.unwrap() {
            OccupancyRead::Known(known) => known,
            OccupancyRead::NotPrimed(_) => panic!("the show is primed"),
        }
    }
}

/// Two things as they are at one moment: the server may be about to do what was dropped.
async fn settled<A: PartialEq, B>(one: impl AsyncFn() -> A, other: impl AsyncFn() -> B) -> (A, B) {
    loop {
        let (before, seen, after) = (one().await, other().await, one().await);
        if before == after {
            return (after, seen);
        }
    }
}

fn hold(n: u32) -> PlaceHold {
    PlaceHold {
        id: wish(n).hold,
        show: show(),
        layout: sample::layout_id("plan-1"),
        owner: sample::user("ann"),
        seats: wish(n).seats.indices(),
        price: price(),
        ttl: TTL,
        limits: SeatLimits { per_hold: 10, per_user_and_show: SEATS },
    }
}

fn sale(n: u32) -> SoldSeats {
    let PlaceHold { id: hold, owner, seats, .. } = hold(n);
    SoldSeats { show: show(), order: id(n), hold, owner, seats }
}

fn key(n: u32) -> IdempotencyKey {
    IdempotencyKey::new(sample::user("ann"), &format!("key-{n}")).unwrap()
}

/// A movie and a show of it, of the `n`-th call alone.
fn entries(n: u32, now: Timestamp) -> bms_domain::store::CatalogueWrite {
    let mut entries = sample::catalogue(&format!("show-of-{n}"), 20, now);
    entries.movies = vec![sample::movie(&format!("movie-{n}"))];
    entries.shows[0].movie_id = entries.movies[0].movie_id;
    entries
}

/// A call of a store for the `n`-th order.
type Call = for<'a> fn(&'a Stores, u32) -> BoxFuture<'a, ()>;

/// What has to be there before a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Order,
    Hold,
    Key,
}

/// Every call that changes something, with what has to be there before.
const CALLS: [(&str, Needs, Call); 27] = [
    ("create", Needs::Nothing, |on, n| Box::pin(async move { drop(on.orders.create(&wish(n)).await) })),
    ("settle", Needs::Order, |on, n| Box::pin(on.settle(n))),
    ("settle a failure", Needs::Order, |on, n| {
        Box::pin(async move {
            let failed = sample::notice(&format!("evt-{n}"), report(n, "bad", PaymentStatus::Failed, price()));
            drop(on.orders.settle(&failed, &sample::ticket(n)).await);
        })
    }),
    ("give_up", Needs::Order, |on, n| Box::pin(async move { drop(on.orders.give_up(id(n), &ann()).await) })),
    ("cancel", Needs::Order, |on, n| {
        Box::pin(async move {
            on.settle(n).await;
            drop(on.orders.cancel(id(n)).await);
        })
    }),
    ("expire_overdue", Needs::Order, |on, _| Box::pin(async move { drop(on.orders.expire_overdue(10).await) })),
    ("claim_attempts", Needs::Order, |on, _| Box::pin(async move { drop(on.orders.claim_attempts(10, TTL).await) })),
    ("pin_layout", Needs::Nothing, |on, _| {
        Box::pin(async move { drop(on.orders.pin_layout(&show(), sample::layout_id("plan-1")).await) })
    }),
    ("claim events", Needs::Order, |on, _| Box::pin(async move { drop(on.orders.claim(10, Duration::ZERO).await) })),
    ("publish events", Needs::Order, |on, _| {
        Box::pin(async move {
            let events = on.orders.claim(10, Duration::ZERO).await.unwrap();
            let keys: Vec<_> = events.iter().map(|delivery| delivery.event.key).collect();
            drop(on.orders.postpone(&keys, Duration::ZERO).await);
            drop(on.orders.bury(&keys).await);
            drop(on.orders.published(&keys).await);
        })
    }),
    ("replay events", Needs::Order, |on, n| Box::pin(async move { drop(on.orders.replay(&Replay::Order(id(n))).await) })),
    ("place", Needs::Nothing, |on, n| Box::pin(on.place(n))),
    ("release", Needs::Hold, |on, n| Box::pin(async move { drop(on.holds.release(hold(n).id, &ann()).await) })),
    ("begin_checkout", Needs::Hold, |on, n| Box::pin(on.begin_checkout(n))),
    ("end_checkout", Needs::Hold, |on, n| {
        Box::pin(async move {
            on.begin_checkout(n).await;
            drop(on.holds.end_checkout(hold(n).id, id(n)).await);
        })
    }),
    ("give_back", Needs::Hold, |on, n| {
        Box::pin(async move {
            on.begin_checkout(n).await;
            let held = on.holds.get(&[hold(n).id]).await.unwrap().remove(0).unwrap();
            drop(on.holds.give_back(hold(n).id, id(n), held.expires_at()).await);
        })
    }),
    ("mark_sold", Needs::Hold, |on, n| Box::pin(async move { drop(on.holds.mark_sold(&sale(n)).await) })),
    ("mark_free", Needs::Hold, |on, n| {
        Box::pin(async move {
            drop(on.holds.mark_sold(&sale(n)).await);
            drop(on.holds.mark_free(&sale(n)).await);
        })
    }),
    ("restore", Needs::Hold, |on, _| Box::pin(on.restore())),
    ("sweep holds", Needs::Hold, |on, _| Box::pin(async move { drop(on.holds.sweep(10).await) })),
    ("begin a key", Needs::Nothing, |on, n| Box::pin(on.begin_key(n))),
    ("finish a key", Needs::Key, |on, n| Box::pin(async move { drop(on.keys.finish(&key(n), vec![1], TTL).await) })),
    ("abandon a key", Needs::Key, |on, n| Box::pin(async move { drop(on.keys.abandon(&key(n)).await) })),
    ("sweep keys", Needs::Key, |on, _| Box::pin(async move { drop(on.keys.sweep(10).await) })),
    ("write a catalogue", Needs::Nothing, |on, n| {
        Box::pin(async move { drop(on.catalogue.write(&entries(n, Timestamp::from_millis(0))).await) })
    }),
    ("read orders", Needs::Order, |on, n| Box::pin(on.read_orders(n))),
    ("read the rest", Needs::Hold, |on, n| Box::pin(on.read_the_rest(n))),
];

/// The order as another connection sees it.
async fn seen(other: &Stores, n: u32) -> Option<Order> {
    other.orders.get(id(n)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_leaves_nothing_half_done() {
    // One connection, so that the next caller gets the one that was left.
    let clock = ManualClock::default();
    let config = support::schema().await;
    let one = config.clone().connections(1).unwrap();
    let postgres = Postgres::connect(&one).await.unwrap().with_clock(Arc::new(clock.clone()));
    let other = Postgres::connect(&config).await.unwrap().with_clock(Arc::new(clock.clone()));
    let (stores, watcher) = (Stores::of(&postgres), Stores::of(&other));
    stores.restore().await;
    let (mut n, mut cuts) = (0, 0);
    for (name, needs, call) in CALLS {
        let mut polls = 0;
        loop {
            polls += 1;
            n += 1;
            match needs {
                Needs::Nothing => {}
                Needs::Order => drop(stores.orders.create(&wish(n)).await.unwrap()),
                Needs::Hold => stores.place(n).await,
                Needs::Key => stores.begin_key(n).await,
            }
            let ended = cut_off(call(&stores, n), polls).await;
            watcher.assert_whole(n, &clock).await;
            // The next caller's write is there for everybody.
            n += 1;
            stores.orders.create(&wish(n)).await.unwrap();
            assert!(seen(&watcher, n).await.is_some(), "{name}, dropped after {polls} polls: the next write vanished");
            // Asking again completes what was begun.
            call(&stores, n - 1).await;
            watcher.assert_whole(n - 1, &clock).await;
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

/// Whether a call ended well, or in so many polls.
async fn ended(call: impl Future<Output = bool>, polls: Option<usize>) -> bool {
    match polls {
        Some(polls) => cut_off(call, polls).await,
        None => call.await,
    }
}

/// Two callers whose calls go together, and one of them leaves at every poll: the other does not notice.
async fn leave_another(call: impl AsyncFn(u32, Option<usize>) -> bool, made: impl AsyncFn(u32) -> bool) {
    let (mut polls, mut n) = (0, 0);
    loop {
        polls += 1;
        n += 2;
        let (done, other) = tokio::join!(call(n, Some(polls)), call(n + 1, None));
        assert!(other && made(n + 1).await, "dropped after {polls} polls: the other's call is not done");
        // Who left before it was sent is not sent any more.
        assert!(polls > 1 || !made(n).await, "nobody wanted it any more");
        assert!(call(n, None).await && made(n).await, "dropped after {polls} polls: asking again completes it");
        if done {
            break;
        }
        assert!(polls < 1_000, "it never ends");
    }
    assert!(polls > 1, "nothing was cut off");
}

/// On one thread, both calls have come before either is sent.
#[tokio::test]
async fn who_is_dropped_cuts_off_nobody_else() {
    let postgres = Postgres::connect(&support::schema().await).await.unwrap();
    let store = orders(&postgres);
    for n in 0..100 {
        store.create(&wish(1_000 + n)).await.unwrap();
    }
    let create = async |n: u32, polls| ended(async { store.create(&wish(n)).await.is_ok() }, polls).await;
    leave_another(create, async |n| store.get(id(n)).await.unwrap().is_some()).await;
    let settle = async |n: u32, polls| {
        let (report, ticket) = (paid(1_000 + n), sample::ticket(n));
        ended(async { store.settle(&report, &ticket).await.is_ok() }, polls).await
    };
    let confirmed = async |n| store.get(id(1_000 + n)).await.unwrap().unwrap().state.is_confirmed();
    leave_another(settle, confirmed).await;
    assert_sound(&postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_connecting_and_auditing_may_be_dropped() {
    let config = PostgresConfig::new(&Server::shared().fresh_database().unwrap()).unwrap();
    // Each of the first polls, and then fewer: migrating takes hundreds.
    let mut polls = 0;
    loop {
        polls += 1 + polls / 4;
        let config = config.clone().schema(&format!("cut_{polls}")).unwrap();
        let ended = cut_off(Postgres::migrate(&config), polls).await;
        // Whoever comes next finds all of it, or makes it.
        Postgres::migrate(&config).await.unwrap();
        cut_off(Postgres::connect(&config), polls).await;
        let postgres = Postgres::connect(&config).await.unwrap();
        cut_off(postgres.audit(), polls).await;
        assert_sound(&postgres).await;
        postgres.close().await;
        if ended {
            break;
        }
        assert!(polls < 1_000, "migrating never ends");
    }
    assert!(polls > 1, "nothing was cut off");
}
