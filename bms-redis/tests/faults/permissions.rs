//! A user of Redis who may do no more than the store needs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::store::{Changes, HoldStore as _};
use bms_domain::testing::{self, Fresh, ManualClock, conformance};
use bms_redis::testing::Server;
use bms_redis::{Error, Redis, RedisConfig, RedisHolds, RedisIdempotency};
use parking_lot::Mutex;
use redis::{Client, cmd};
use tokio::runtime::Handle;

use crate::support::Tokio;
use crate::support::audit::audit;
use crate::support::rig::{PREFIX, Rig, caller, connect_within, hold_id, show};

/// The user of the README, for the prefix of these tests.
fn rules() -> String {
    let rules = include_str!("../../README.md").lines().find_map(|line| line.strip_prefix("user ")).unwrap();
    rules.replace("~bms:", &format!("~{PREFIX}:")).replace("&bms:", &format!("&{PREFIX}:"))
}

fn server() -> Server {
    Server::builder().user("default off").user(rules()).start().unwrap()
}

fn url(server: &Server) -> String {
    server.url_of("booking", "PASSWORD")
}

/// What was called, by itself or in scripts, since it was last asked for.
fn called(server: &Server) -> BTreeSet<String> {
    let stats: String = server.command(&["INFO", "commandstats"]).unwrap();
    server.command::<()>(&["CONFIG", "RESETSTAT"]).unwrap();
    stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

/// Connecting tries every command. Apart from that, each is called by something, too: none is permitted for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_that_is_permitted_is_needed() {
    let server = Arc::new(server());
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let connected = || {
        let (server, seen) = (Arc::clone(&server), Arc::clone(&seen));
        async move {
            seen.lock().extend(called(&server));
            // The cases come one after the other, and share the one prefix that is permitted.
            server.command::<()>(&["FLUSHALL"]).unwrap();
            let redis = connect_within(&url(&server), Duration::from_secs(5)).await;
            seen.lock().extend(called(&server).into_iter().filter(|command| ["info", "eval"].contains(&command.as_str())));
            redis
        }
    };
    let holds = |clock: ManualClock| {
        let connecting = connected();
        async move { Fresh::new(RedisHolds::new(connecting.await).with_clock(Arc::new(clock))) }
    };
    conformance::hold_store(testing::on(Tokio(Handle::current()), holds)).await;
    let keys = |clock: ManualClock| {
        let connecting = connected();
        async move { Fresh::new(RedisIdempotency::new(connecting.await).with_clock(Arc::new(clock))) }
    };
    conformance::idempotency_store(testing::on(Tokio(Handle::current()), keys)).await;

    // What the suites do not do: go by the server's clock; have more changes than the log; forget a show.
    let rig = Rig::on_real_time(connected().await, 6).await;
    rig.place("ann", &[1], 1).await.unwrap();
    rig.holds.ping().await.unwrap();
    let rig = Rig::on(connected().await, 6).await;
    for seed in 10..660 {
        rig.place("ann", &[1], seed).await.unwrap();
        rig.service.release_hold(&caller("ann"), hold_id(seed)).await.unwrap();
    }
    rig.place("ann", &[1], 1).await.unwrap();
    rig.clock.advance(Duration::from_hours(24));
    assert_eq!(rig.holds.sweep(1_000).await.unwrap(), 1);
    for _ in 0..4 {
        rig.clock.advance(Duration::from_hours(8 * 24));
        rig.holds.sweep(1_000).await.unwrap();
    }
    assert!(audit(&server, PREFIX, &show()).is_none(), "a show is forgotten when nobody asks for it for long");
    seen.lock().extend(called(&server));

    // A show that nobody follows any more is unsubscribed after a minute.
    seen.lock().insert("sunsubscribe".to_owned());
    let rules = rules();
    let permitted = rules.split(' ').filter_map(|rule| rule.strip_prefix('+'));
    let idle: Vec<_> = permitted.filter(|command| !seen.lock().contains(*command)).collect();
    assert!(idle.is_empty(), "permitted, and never called: {idle:?}");
}

/// P11: what is not permitted is told as such, at once, and names the server without its password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_channels_of_another_prefix_are_refused() {
    let server = server();
    let config = RedisConfig::new(&url(&server)).unwrap().prefix("other").unwrap();
    let refused = Redis::connect(config).await.unwrap_err();
    assert!(matches!(refused, Error::NotPermitted { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains(&server.address()) && !format!("{refused:?} {refused}").contains("PASSWORD"),
        "{refused}"
    );

    let client = Client::open(url(&server)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let script = format!("return redis.call('GET', '{PREFIX}-:key')");
    for forbidden in [
        cmd("GET").arg("other:key"),
        cmd("EVAL").arg("return redis.call('GET', KEYS[1])").arg(1).arg("other:key"),
        cmd("EVAL").arg(&script).arg(0),
        cmd("SPUBLISH").arg("other:channel").arg("news"),
        cmd("FLUSHALL").arg("SYNC"),
        cmd("KEYS").arg("*"),
    ] {
        let refusal = forbidden.query_async::<redis::Value>(&mut connection).await.unwrap_err();
        // Within a script it is the script that fails.
        assert!(matches!(refusal.code(), Some("NOPERM" | "ERR")), "{refusal}");
    }
}

/// A live map, too: the channel is permitted with its prefix.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_told_to_a_user_with_one_prefix() {
    let server = server();
    let rig = Rig::new(&url(&server), 6).await;
    let version = rig.map().await.version;
    let watching = rig.holds.clone();
    let told = tokio::spawn(async move { watching.changes(&show(), version).await });
    rig.place("ann", &[1], 1).await.unwrap();
    assert!(matches!(told.await.unwrap().unwrap(), Changes::Since(changes) if changes.len() == 1));
}
