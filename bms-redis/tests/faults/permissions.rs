//! A user of Redis who may do no more than the store needs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::store::{Changes, HoldStore as _, StoreError};
use bms_domain::testing::{self, Fresh, ManualClock, conformance, sample};
use bms_redis::testing::Server;
use bms_redis::{Error, RedisConfig, RedisHolds};
use redis::{Client, cmd};
use tokio::runtime::Handle;

use crate::support::Tokio;
use crate::support::rig::{PREFIX, Rig, caller, connect_within, hold_id, show};

/// Every command that the store gives, by itself or in its scripts. `HELLO` and `AUTH` need no permission.
const NEEDED: [&str; 28] = [
    "ping",
    "info",
    "evalsha",
    "eval",
    "ssubscribe",
    "sunsubscribe", // the connection
    "time",
    "spublish", // scripts, from here on
    "hget",
    "hset",
    "hdel",
    "hmget",
    "hkeys",
    "hincrby", // records
    "get",
    "bitfield",
    "bitfield_ro",
    "del",
    "exists", // seats
    "zadd",
    "zrem",
    "zrange", // ends
    "rpush",
    "lpop",
    "lindex",
    "lrange",
    "ltrim",  // what ended, and the log
    "select", // in a database other than 0
];

/// What is asked for at the start, and done without where it is not permitted.
const OPTIONAL: [&str; 2] = ["config|get", "client|setinfo"];

fn server() -> Server {
    let commands: Vec<String> = NEEDED.iter().map(|command| format!("+{command}")).collect();
    let rules = format!("app on >secret ~{PREFIX}:* &{PREFIX}:* -@all {}", commands.join(" "));
    Server::builder().user("default off").user(rules).start().unwrap()
}

fn url(server: &Server) -> String {
    server.url_of("app", "secret")
}

/// Commands that were called, and those that were refused.
fn commands(server: &Server) -> (BTreeSet<String>, BTreeSet<String>) {
    let stats: String = server.command(&["INFO", "commandstats"]).unwrap();
    let (mut called, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for (command, numbers) in stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':')) {
        let number = |name: &str| numbers.split(',').find_map(|part| part.strip_prefix(name)).unwrap().parse::<u64>().unwrap();
        if number("calls=") > 0 {
            called.insert(command.to_owned());
        }
        if number("rejected_calls=") > 0 {
            refused.insert(command.to_owned());
        }
    }
    (called, refused)
}

/// Every rule of a hold store is kept by a user with these commands and the keys and channels of one prefix; and none of the
/// commands is there for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_only_the_needed_commands_and_one_prefix_keeps_every_rule() {
    let server = Arc::new(server());
    let fresh = |clock: ManualClock| {
        let server = Arc::clone(&server);
        async move {
            // The cases come one after the other, and share the one prefix that is permitted.
            server.command::<()>(&["FLUSHALL"]).unwrap();
            let redis = connect_within(&url(&server), Duration::from_secs(5)).await;
            Fresh::new(RedisHolds::new(redis).with_clock(Arc::new(clock)))
        }
    };
    conformance::hold_store(testing::on(Tokio(Handle::current()), fresh)).await;

    // What the suite does not do: go by the server's clock, in another database; forget a show; have more changes than the log.
    let rig = Rig::on_real_time(connect_within(&format!("{}/3", url(&server)), Duration::from_secs(5)).await, 6).await;
    rig.place("ann", &[1], 1).await.unwrap();
    let rig = Rig::new(&url(&server), 6).await;
    for seed in 10..660 {
        rig.place("ann", &[1], seed).await.unwrap();
        rig.service.release_hold(&caller("ann"), hold_id(seed)).await.unwrap();
    }
    rig.place("ann", &[1], 1).await.unwrap();
    rig.clock.advance(Duration::from_hours(24));
    assert_eq!(rig.holds.sweep(10).await.unwrap(), 1);
    for _ in 0..8 {
        rig.clock.advance(Duration::from_hours(8 * 24));
        rig.holds.sweep(10).await.unwrap();
    }
    rig.holds.ping().await.unwrap();
    // A show that nobody follows any more is unsubscribed after a minute.
    let client = Client::open(url(&server)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    cmd("SUNSUBSCRIBE").arg(format!("{PREFIX}:channel")).exec_async(&mut connection).await.unwrap();

    let (called, refused) = commands(&server);
    let idle: Vec<_> = NEEDED.iter().filter(|command| !called.contains(**command)).collect();
    assert!(idle.is_empty(), "permitted, and never called: {idle:?}");
    let missing: Vec<_> = refused.iter().filter(|command| !OPTIONAL.contains(&command.as_str())).collect();
    assert!(missing.is_empty(), "called, and not permitted: {missing:?}");
}

/// P11: what is not permitted is told as such, at once, and names the server without its password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_channels_of_another_prefix_are_refused() {
    let server = server();
    let config = RedisConfig::new(&url(&server)).unwrap().prefix("other").unwrap();
    let strange = RedisHolds::new(bms_redis::Redis::connect(config).await.unwrap());
    let refused = strange.occupancy(&show()).await.unwrap_err();
    let StoreError::Unavailable { source: Some(source), .. } = &refused else { panic!("{refused:?}") };
    let source = source.downcast_ref::<Error>().unwrap();
    assert!(matches!(source, Error::NotPermitted { .. }), "{source:?}");
    assert!(source.to_string().contains(&server.address()) && !format!("{source:?} {source}").contains("secret"), "{source}");
    assert!(strange.get(&[sample::hold_id(&show(), 1)]).await.is_err() && strange.changes(&show(), 0).await.is_err());

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
