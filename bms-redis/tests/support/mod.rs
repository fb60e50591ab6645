//! What the tests of the stores share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test file uses a part of it; a test fails by panicking"
)]

pub mod audit;
pub mod crowd;
pub mod rig;
mod sales;
pub mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bms_domain::id::ShowId;
use bms_domain::store::{HoldStore as _, OccupancyRead, PlaceHold, SeatLimits, ShowClaims};
use bms_domain::testing::{Fresh, ManualClock, Runtime, sample};
use bms_redis::testing::{Server, eventually};
use bms_redis::{Redis, RedisConfig, RedisHolds};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::runtime::Handle;

/// Waits until another process has done what it has to do, for a minute at most.
pub async fn until<Answer: Future<Output = bool>>(what: &str, asks: impl FnMut() -> Answer) {
    eventually(what, asks).await.unwrap();
}

/// Runs the suites' tasks on tokio.
pub struct Tokio(pub Handle);

impl Runtime for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn block_on(&self, task: BoxFuture<'_, ()>) {
        self.0.block_on(task);
    }
}

/// A connection with a key prefix of its own, so that cases do not see each other's holds.
pub async fn connect(url: &str) -> Redis {
    static CASES: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("case-{}", CASES.fetch_add(1, Ordering::Relaxed));
    Redis::connect(RedisConfig::new(url).unwrap().prefix(&prefix).unwrap()).await.unwrap()
}

/// A hold store that nothing was done to.
pub async fn fresh_holds(url: &str, clock: ManualClock) -> Fresh<RedisHolds> {
    Fresh::new(RedisHolds::new(connect(url).await).with_clock(Arc::new(clock)))
}

/// How many scripts were called at a server so far, by their hashes.
pub fn scripts_called(server: &Server) -> u64 {
    calls(server, "evalsha")
}

/// How many commands of a name a server has carried out so far, those of scripts among them.
pub fn calls(server: &Server, command: &str) -> u64 {
    let stats = server.info(&format!("cmdstat_{command}")).unwrap_or_default();
    stats.split(',').find_map(|part| part.strip_prefix("calls=")).map_or(0, |calls| calls.parse().unwrap())
}

/// The commands that scripts have a server carry out while something is done, each with its arguments in quotes.
pub async fn commands(server: &Server, act: impl Future) -> Vec<String> {
    const END: &str = "that was all";
    let mut monitor = redis::Client::open(server.url()).unwrap().get_async_monitor().await.unwrap();
    act.await;
    server.command::<String>(&["ECHO", END]).unwrap();
    let lines = monitor.on_message::<String>().take_while(|line| std::future::ready(!line.contains(END)));
    let lines: Vec<String> = lines.collect().await;
    lines.iter().filter_map(|line| line.split_once(" lua] ")).map(|(_, command)| command.to_owned()).collect()
}

/// How long the holds of [`wish`] last.
pub const TTL: Duration = Duration::from_mins(10);

/// Tells a store that nothing of a show is sold, by the plan of [`wish`].
pub async fn prime(holds: &RedisHolds, show: &ShowId, seats: u32) {
    let OccupancyRead::NotPrimed(fence) = holds.occupancy(show).await.unwrap() else { panic!("{show} is primed") };
    let (layout, grace) = (sample::layout_id("hall-1"), Duration::from_secs(2));
    let claims = ShowClaims { show: *show, layout, seats, sold: Vec::new(), pending: Vec::new(), grace };
    holds.restore(&claims, fence).await.unwrap();
}

/// Seats for a user of his own; the hold's id is made of `n`.
pub fn wish(show: &ShowId, n: u32, seats: &[u32]) -> PlaceHold {
    PlaceHold {
        id: sample::hold_id(show, n),
        show: *show,
        layout: sample::layout_id("hall-1"),
        owner: sample::user(&format!("user-{n}")),
        seats: sample::seats(seats),
        price: sample::euro(2_500),
        ttl: TTL,
        limits: SeatLimits { per_hold: 10, per_user_and_show: 10 },
    }
}
