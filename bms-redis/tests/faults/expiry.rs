//! Very many holds end at once, in one show and in many: who asks next waits no longer than his deadline, and the sweeper
//! takes them in steps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bms_domain::id::ShowId;
use bms_domain::store::{Counts, HoldStore as _, OccupancyRead, Placed, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_redis::testing::Server;
use bms_redis::{Redis, RedisConfig, RedisHolds};
use futures::{StreamExt as _, stream};

use crate::support::audit::audit;
use crate::support::rig::{PREFIX, connect_within};
use crate::support::{TTL, calls, prime, scripts_called, until, wish};

/// What a sweep retires at the most, whatever it is told.
const MOST: usize = 10_000;

struct Stores {
    server: Server,
    clock: ManualClock,
    holds: RedisHolds,
}

impl Stores {
    async fn new() -> Self {
        let (server, clock) = (Server::start().unwrap(), ManualClock::new());
        let redis = connect_within(&server.url(), Duration::from_secs(10)).await;
        let holds = RedisHolds::new(redis).with_clock(Arc::new(clock.clone()));
        Self { server, clock, holds }
    }

    /// Holds the first seats of a show, one each, and lets their time run out.
    async fn expire(&self, show: &ShowId, count: u32) {
        prime(&self.holds, show, count).await;
        let placed = stream::iter(0..count).map(|n| async move {
            let placed = self.holds.place(&wish(show, n, &[n])).await.unwrap();
            assert!(matches!(placed, Placed::Placed(_)), "{placed:?}");
        });
        placed.buffer_unordered(256).collect::<Vec<()>>().await;
        self.clock.advance(TTL);
    }
}

/// A show of this shard.
fn show_of(shard: u16) -> ShowId {
    (0..).map(|n| sample::show(&format!("show-{n}"))).find(|show| show.shard().number() == shard).unwrap()
}

/// How often a show was tidied up: each time its oldest ended hold is looked at, once if it stays.
fn visits(server: &Server) -> u64 {
    calls(server, "lindex")
}

/// The shards are asked some at a time: those at the borders are not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_reaches_the_shows_of_every_shard_and_keeps_to_its_limit() {
    let stores = Stores::new().await;
    let shows = [0, 63, 64, 2_000, 4_095].map(show_of);
    for show in &shows {
        stores.expire(show, 2).await;
    }
    let mut swept = Vec::new();
    for limit in [3, 0, 3, 100, 100] {
        swept.push(stores.holds.sweep(limit).await.unwrap());
    }
    assert_eq!(swept, [3, 0, 3, 4, 0]);
    assert_eq!(stores.holds.counts(&shows).await.unwrap(), [Some(Counts { held: 0, sold: 0 }); 5]);
}

/// Shows of which something is due by the hour are as many as there are on sale. A call that visited them all would be late,
/// and one that began with the same ones each time would never come to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeps_of_a_small_limit_visit_no_more_shows_and_reach_all_of_them_in_turn() {
    const SHOWS: u32 = 100;
    let stores = Stores::new().await;
    // Most are shows of one shard, where more is due than a sweep takes of it.
    let crowded = (0..).map(|n| sample::show(&format!("crowded-{n}"))).filter(|show| show.shard().number() == 63);
    let shows: Vec<ShowId> = crowded.take(SHOWS as usize - 4).chain([0, 62, 64, 4_095].map(show_of)).collect();
    for show in &shows {
        prime(&stores.holds, show, 1).await;
    }
    stores.clock.advance(Duration::from_hours(24 * 7));
    let known = || async {
        let counts = stores.holds.counts(&shows).await.unwrap();
        counts.into_iter().flatten().count()
    };
    let mut sweeps = 0;
    while known().await > 0 {
        let (before, (asked, looked)) = (known().await, (scripts_called(&stores.server), visits(&stores.server)));
        assert_eq!(stores.holds.sweep(5).await.unwrap(), 0, "nothing expired");
        let (asked, looked) = (scripts_called(&stores.server) - asked, visits(&stores.server) - looked);
        assert!(looked <= 5 && before - known().await == looked as usize, "{looked} shows were visited");
        assert!(asked <= 4_096 + 5, "{asked} calls");
        sweeps += 1;
        assert!(sweeps < 2 * SHOWS, "some are never reached: {} are left", known().await);
    }
    assert!(sweeps >= SHOWS / 5);
}

/// Two shows of which more is to be retired than a sweep takes: they take turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_show_with_much_to_retire_keeps_no_other_from_its_turn() {
    let stores = Stores::new().await;
    let shows = [0, 2_000].map(show_of);
    for show in &shows {
        stores.expire(show, 50).await;
    }
    for left in [47, 44] {
        for _ in &shows {
            assert_eq!(stores.holds.sweep(3).await.unwrap(), 3);
        }
        assert_eq!(shows.map(|show| audit(&stores.server, PREFIX, &show).unwrap().live), [left; 2]);
    }
}

/// A script that retires ten thousand holds would keep everybody else waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_after_a_rush_is_bounded_and_goes_in_steps() {
    let stores = Stores::new().await;
    stores.expire(&sample::show("gala"), 10_050).await;
    assert_eq!(stores.holds.sweep(0).await.unwrap(), 0);
    let before = visits(&stores.server);
    assert_eq!(stores.holds.sweep(usize::MAX).await.unwrap(), MOST);
    let steps = visits(&stores.server) - before;
    assert!(steps >= MOST as u64 / 256, "{MOST} holds in {steps} steps");
    assert_eq!(stores.holds.sweep(usize::MAX).await.unwrap(), 50);
    assert_eq!(stores.holds.sweep(usize::MAX).await.unwrap(), 0);
}

/// What ended long ago is forgotten in steps as well; what one sweep leaves, the next one takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeps_in_a_row_forget_all_that_ended_long_ago() {
    let stores = Stores::new().await;
    let show = sample::show("gala");
    stores.expire(&show, 600).await;
    assert_eq!(stores.holds.sweep(1_000).await.unwrap(), 600);
    assert_eq!(audit(&stores.server, PREFIX, &show).unwrap().ended, 600);
    stores.clock.advance(Duration::from_hours(2));
    for _ in 0..4 {
        stores.holds.sweep(1_000).await.unwrap();
    }
    assert_eq!(audit(&stores.server, PREFIX, &show).unwrap().ended, 0);
}

/// A name that is none stands where the sweeper looks: the other shows are tidied up all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_passes_over_what_is_no_show() {
    let stores = Stores::new().await;
    let show = sample::show("gala");
    stores.expire(&show, 2).await;
    let due = format!("{PREFIX}:{{{}}}:due", show.shard().number());
    stores.server.command::<u32>(&["ZADD", &due, "0", "no show: it has a space"]).unwrap();
    assert_eq!(stores.holds.sweep(100).await.unwrap(), 2);
}

/// P11: a call retires some holds and asks again, for as long as it may take altogether; what it did is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_again_shares_one_deadline() {
    const DEADLINE: Duration = Duration::from_millis(50);
    let stores = Stores::new().await;
    let show = sample::show("gala");
    stores.expire(&show, 20_000).await;
    let config = RedisConfig::new(&stores.server.url()).unwrap().prefix(PREFIX).unwrap().deadline(DEADLINE).unwrap();
    let connected = tokio::sync::OnceCell::new();
    // A busy machine may need more than one try to connect in so short a time.
    until("a connection", || async {
        match Redis::connect(config.clone()).await {
            Ok(redis) => connected.set(redis).is_ok(),
            Err(_) => false,
        }
    })
    .await;
    let hasty = RedisHolds::new(connected.get().unwrap().clone()).with_clock(Arc::new(stores.clock.clone()));

    let (began, before) = (Instant::now(), scripts_called(&stores.server));
    let first = hasty.occupancy(&show).await;
    assert!(matches!(first, Err(StoreError::Unavailable { store: "redis", .. })), "after {:?}: {first:?}", began.elapsed());
    until("an answer", || async {
        matches!(hasty.occupancy(&show).await, Ok(OccupancyRead::Known(known)) if known.held.count() == 0)
    })
    .await;
    let steps = scripts_called(&stores.server) - before;
    assert!(steps >= 20_000 / 256, "20,000 holds in {steps} steps");
}
