//! The ACL line of the README is enough, and no more than that.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bms_domain::id::Caller;
use bms_domain::store::{
    Fingerprint, HoldChange, HoldStore as _, IdempotencyKey, IdempotencyStore as _, OccupancyRead, PlaceHold, Placed, SeatLimits,
    ShowClaims,
};
use bms_domain::testing::{self, Fresh, ManualClock, conformance, sample};
use bms_redis::testing::{Cluster, Server};
use bms_redis::{RedisHolds, RedisIdempotency};
use tokio::runtime::Handle;

use support::{Tokio, connect, fresh_holds};

/// What stays subscribed for a minute is unsubscribed after the suites have ended.
const NOT_SEEN_HERE: [&str; 1] = ["sunsubscribe"];

const HOUR: Duration = Duration::from_hours(1);

/// The user of the README, for the prefixes of the suites' cases.
fn user() -> String {
    let readme = include_str!("../README.md");
    let rules = readme.lines().find_map(|line| line.strip_prefix("user ")).unwrap();
    rules.replace("~bms:*", "~case-*:*").replace("&bms:*", "&case-*:*")
}

/// Runs every rule of both stores.
async fn run_suites(url: &str) {
    let holds = |clock: ManualClock| async move { fresh_holds(url, clock).await };
    conformance::hold_store(testing::on(Tokio(Handle::current()), holds)).await;
    let keys =
        |clock: ManualClock| async move { Fresh::new(RedisIdempotency::new(connect(url).await).with_clock(Arc::new(clock))) };
    conformance::idempotency_store(testing::on(Tokio(Handle::current()), keys)).await;
}

/// What the suites do not come to: the server's own clock, a log and a show that have grown too long, tidying up.
async fn run_the_rest(url: &str) {
    let redis = connect(url).await;
    let key = IdempotencyKey::new(sample::user("ann"), "k").unwrap();
    RedisIdempotency::new(redis.clone()).begin(&key, Fingerprint([1; 32]), sample::uuid(1), HOUR).await.unwrap();

    let clock = ManualClock::new();
    let holds = RedisHolds::new(redis).with_clock(Arc::new(clock.clone()));
    let (show, layout, ann) = (sample::show("long"), sample::layout_id("plan"), sample::user("ann"));
    let claims = ShowClaims { show, layout, seats: 4, sold: vec![], pending: vec![], grace: HOUR };
    let OccupancyRead::NotPrimed(fence) = holds.occupancy(&show).await.unwrap() else { panic!("a new show is known") };
    holds.restore(&claims, fence).await.unwrap();
    for n in 0..1_100 {
        let (id, seats, price) = (sample::hold_id(&show, n), sample::seats(&[1]), sample::euro(1));
        let limits = SeatLimits { per_hold: 1, per_user_and_show: 1 };
        let wish = PlaceHold { id, show, layout, owner: ann.clone(), seats, price, ttl: HOUR, limits };
        assert!(matches!(holds.place(&wish).await.unwrap(), Placed::Placed(_)));
        assert!(matches!(holds.release(id, &Caller::user(ann.clone())).await.unwrap(), HoldChange::Done(_)));
    }
    clock.advance(2 * HOUR);
    for _ in 0..2 {
        holds.sweep(2_000).await.unwrap();
        clock.advance(24 * HOUR);
    }
}

/// The commands that were refused, within scripts too.
fn refused(server: &Server) -> BTreeSet<String> {
    let entries: Vec<HashMap<String, redis::Value>> = server.command(&["ACL", "LOG"]).unwrap();
    entries.iter().map(|entry| redis::from_redis_value(entry.get("object").unwrap().clone()).unwrap()).collect()
}

/// The commands that were carried out.
fn used(server: &Server) -> BTreeSet<String> {
    let stats: String = server.command(&["INFO", "commandstats"]).unwrap();
    stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

fn allowed(user: &str) -> BTreeSet<String> {
    user.split(' ').filter_map(|rule| rule.strip_prefix('+')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_of_the_readme_is_enough_and_no_more_on_one_server() {
    let server = Server::builder().user("default off").user(user()).start().unwrap();
    run_suites(&server.url_of("booking", "PASSWORD")).await;
    run_the_rest(&server.url_of("booking", "PASSWORD")).await;
    // The README says that this one may be missing.
    assert_eq!(refused(&server), BTreeSet::from(["config|get".to_owned()]));
    let used = used(&server);
    let unused: Vec<String> = allowed(&user()).into_iter().filter(|name| !used.contains(name)).collect();
    assert_eq!(unused, NOT_SEEN_HERE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_needs_two_commands_more() {
    let readme = include_str!("../README.md");
    let more = readme.lines().find_map(|line| line.strip_prefix("A cluster needs `")?.split('`').next()).unwrap();
    let cluster = Cluster::start_with(Server::builder().user(format!("{} {more}", user()))).unwrap();
    let urls: Vec<String> = cluster.nodes().iter().map(|node| node.url_of("booking", "PASSWORD")).collect();
    run_suites(&urls.join(",")).await;
    for node in cluster.nodes() {
        assert!(refused(node).iter().all(|name| name == "config|get"), "{:?}", refused(node));
    }
}
