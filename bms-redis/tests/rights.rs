//! The rights of a Redis user: the ACL line of the README is enough and no more than that, and what is missing is named when
//! a program starts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation must stop the test"
)]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bms_domain::id::Caller;
use bms_domain::store::{Changes, Fingerprint, HoldChange, HoldStore as _, IdempotencyKey, IdempotencyStore as _, Placed};
use bms_domain::testing::{self, Fresh, ManualClock, conformance, sample};
use bms_redis::testing::{Cluster, Server};
use bms_redis::{Error, Redis, RedisConfig, RedisHolds, RedisIdempotency, Warning};
use parking_lot::Mutex;
use redis::{Client, cmd};
use tokio::runtime::Handle;

use support::{Tokio, connect, prime, wish};

const README: &str = include_str!("../README.md");
const HOUR: Duration = Duration::from_hours(1);

/// The user of the README.
fn line() -> String {
    README.lines().find_map(|line| line.strip_prefix("user ")).unwrap().to_owned()
}

/// The same for the prefixes of the suites' cases.
fn line_for_cases() -> String {
    line().replace("~bms:*", "~case-*:*").replace("&bms:*", "&case-*:*")
}

/// What a cluster needs too.
fn of_a_cluster() -> &'static str {
    README.lines().find_map(|line| line.strip_prefix("A cluster needs `")?.split('`').next()).unwrap()
}

/// The commands that rules allow, as ACL names them.
fn allowed(rules: &str) -> Vec<&str> {
    rules.split(' ').filter_map(|rule| rule.strip_prefix('+')).collect()
}

/// A server with this user alone.
fn server(user: &str) -> Server {
    Server::builder().user("default off").user(user).start().unwrap()
}

/// Makes the user of the README anew on a running server, with some rules more.
fn set_user(server: &Server, rules: &str, more: &str) {
    let all = format!("ACL SETUSER {} {more}", rules.replacen("booking ", "booking reset ", 1));
    server.command::<()>(&all.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>()).unwrap();
}

fn url(server: &Server) -> String {
    server.url_of("booking", "PASSWORD")
}

async fn connecting(url: &str) -> Result<Redis, Error> {
    Redis::connect(RedisConfig::new(url).unwrap()).await
}

/// What a program is told at its start of a user who lacks something: the commands, in capitals. `SPUBLISH`, and what has to
/// do with subscribing, is warned of.
async fn missing(url: &str) -> Vec<String> {
    match connecting(url).await {
        Ok(redis) => {
            let name = |warning: &Warning| match warning {
                Warning::Untold { .. } => Some("SPUBLISH".to_owned()),
                Warning::Unheard { .. } => Some("S(UN)SUBSCRIBE".to_owned()),
                _ => None,
            };
            redis.warnings().iter().filter_map(name).collect()
        }
        Err(Error::NotPermitted { commands, .. }) => commands,
        Err(other) => panic!("{other:?}"),
    }
}

/// What stands for a command of the line in [`missing`].
fn told_as(command: &str) -> String {
    match command {
        "ssubscribe" | "sunsubscribe" => "S(UN)SUBSCRIBE".to_owned(),
        command => command.to_uppercase(),
    }
}

/// The commands that were refused, within scripts too.
fn refused(server: &Server) -> BTreeSet<String> {
    let entries: Vec<HashMap<String, redis::Value>> = server.command(&["ACL", "LOG"]).unwrap();
    entries.iter().map(|entry| redis::from_redis_value(entry.get("object").unwrap().clone()).unwrap()).collect()
}

/// What was called, by itself or in scripts, since it was last asked for.
fn called(server: &Server) -> BTreeSet<String> {
    let stats: String = server.command(&["INFO", "commandstats"]).unwrap();
    server.command::<()>(&["CONFIG", "RESETSTAT"]).unwrap();
    stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

/// Runs every rule of both stores on connections that are made by `connected`.
async fn run_suites<Connecting: Future<Output = Redis> + Send + 'static>(connected: impl Fn() -> Connecting + Sync + Send) {
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
}

/// What the suites do not come to: the server's own clock, a log that has grown too long, a show that is forgotten.
async fn run_the_rest(redis: Redis) {
    let key = IdempotencyKey::new(sample::user("ann"), "k").unwrap();
    RedisIdempotency::new(redis.clone()).begin(&key, Fingerprint([1; 32]), sample::uuid(1), HOUR).await.unwrap();

    let clock = ManualClock::new();
    let holds = RedisHolds::new(redis).with_clock(Arc::new(clock.clone()));
    let show = sample::show("long");
    prime(&holds, &show, 4).await;
    for n in 0..700 {
        let request = wish(&show, n, &[1]);
        assert!(matches!(holds.place(&request).await.unwrap(), Placed::Placed(_)));
        let released = holds.release(request.id, &Caller::user(request.owner)).await.unwrap();
        assert!(matches!(released, HoldChange::Done(_)), "{released:?}");
    }
    for _ in 0..6 {
        clock.advance(48 * HOUR);
        holds.sweep(2_000).await.unwrap();
    }
    assert_eq!(holds.counts(&[show]).await.unwrap(), [None], "a show is forgotten when nobody asks for it for long");
    holds.ping().await.unwrap();
}

/// Follows a show for a moment, and lets the minute pass after which nobody follows it any more; in a runtime with a time of
/// its own.
fn leave_a_show(server: &Server) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let (holds, show) = (RedisHolds::new(connect(&url(server)).await), sample::show("left"));
        prime(&holds, &show, 4).await;
        let number = AtomicU32::new(0);
        let follows = || async {
            holds.newest(&show);
            let request = wish(&show, number.fetch_add(1, Ordering::Relaxed), &[1]);
            holds.place(&request).await.unwrap();
            holds.release(request.id, &Caller::user(request.owner)).await.unwrap();
            // It is told of changes.
            holds.newest(&show).is_some()
        };
        support::until("a subscription", follows).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        tokio::time::resume();
        let is_over = || async {
            let channels: Vec<String> = server.command(&["PUBSUB", "SHARDCHANNELS"]).unwrap();
            !channels.iter().any(|channel| channel.ends_with("left"))
        };
        support::until("the end of the subscription", is_over).await;
    });
}

/// Each is called by something, apart from connecting, which tries them all: none is permitted for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_of_the_readme_is_enough_and_each_of_its_commands_is_needed() {
    let server = Arc::new(server(&line_for_cases()));
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let connected = || {
        let (server, seen) = (Arc::clone(&server), Arc::clone(&seen));
        async move {
            seen.lock().extend(called(&server));
            let redis = connect(&url(&server)).await;
            seen.lock().extend(called(&server).into_iter().filter(|name| ["info", "eval"].contains(&name.as_str())));
            redis
        }
    };
    run_suites(connected).await;
    run_the_rest(connected().await).await;
    // The README says that this one may be missing.
    assert_eq!(refused(&server), BTreeSet::from(["config|get".to_owned()]));

    let left = Arc::clone(&server);
    tokio::task::spawn_blocking(move || leave_a_show(&left)).await.unwrap();
    seen.lock().extend(called(&server));
    let line = line();
    let idle: Vec<&str> = allowed(&line).into_iter().filter(|name| !seen.lock().contains(*name)).collect();
    assert!(idle.is_empty(), "permitted, and never called: {idle:?}");
}

/// Before it fails half-way: a script that is refused in its middle has done half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_that_is_missing_is_named_at_the_start() {
    let line = line();
    let server = server(&line);
    assert_eq!(missing(&url(&server)).await, [""; 0], "the whole line");
    for command in allowed(&line) {
        set_user(&server, &line, &format!("-{command}"));
        assert_eq!(missing(&url(&server)).await, [told_as(command)], "without {command}");
    }
    set_user(&server, &line, "-hset -zadd -spublish");
    assert_eq!(missing(&url(&server)).await, ["HSET", "ZADD"]);
    set_user(&server, &line, "resetchannels");
    assert_eq!(missing(&url(&server)).await, ["SPUBLISH", "S(UN)SUBSCRIBE"]);
    // A database of one's own.
    let of_another_database = format!("{}/1", url(&server));
    set_user(&server, &line, "");
    assert_eq!(missing(&of_another_database).await, ["SELECT"]);
    set_user(&server, &line, "+select");
    assert_eq!(missing(&of_another_database).await, [""; 0]);
}

/// P13: a server that refuses to write for now says nothing of rights, and what it denies for ever is told all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_for_now_is_not_taken_for_one_that_permits_none() {
    let line = line();
    let server = server(&line);
    for (setting, refusing, writing) in [("min-replicas-to-write", "1", "0"), ("maxmemory", "1", "0")] {
        server.command::<()>(&["CONFIG", "SET", setting, refusing]).unwrap();
        assert_eq!(missing(&url(&server)).await, [""; 0], "{setting}");
        set_user(&server, &line, "-hset -lrange");
        assert_eq!(missing(&url(&server)).await, ["HSET", "LRANGE"], "{setting}");
        set_user(&server, &line, "");
        server.command::<()>(&["CONFIG", "SET", setting, writing]).unwrap();
    }
    let without = Server::builder().user(&line).config("rename-command LTRIM \"\"").start().unwrap();
    assert_eq!(missing(&url(&without)).await, ["LTRIM"], "a command that is not there is as good as denied");
}

/// P11: what is not permitted is told as such, at once, and names the server without the user and his password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_channels_of_another_prefix_are_refused() {
    let server = server(&line());
    let config = RedisConfig::new(&url(&server)).unwrap().prefix("other").unwrap();
    let refused = Redis::connect(config).await.unwrap_err();
    let Error::NotPermitted { server: named, commands, .. } = &refused else { panic!("{refused:?}") };
    assert!(named.contains(&server.address()) && commands.is_empty(), "{refused:?}");
    assert!(!["booking", "PASSWORD"].iter().any(|secret| format!("{refused:?} {refused}").contains(secret)), "{refused:?}");

    let client = Client::open(url(&server)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for forbidden in [
        cmd("GET").arg("other:key"),
        cmd("EVAL").arg("return redis.call('GET', KEYS[1])").arg(1).arg("other:key"),
        cmd("EVAL").arg("return redis.call('GET', 'bms-:key')").arg(0),
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
    let server = server(&line());
    let (holds, show) = (RedisHolds::new(connecting(&url(&server)).await.unwrap()), sample::show("gala"));
    prime(&holds, &show, 4).await;
    holds.place(&wish(&show, 0, &[0])).await.unwrap();
    let bms_domain::store::OccupancyRead::Known(known) = holds.occupancy(&show).await.unwrap() else { panic!("it is primed") };
    let watching = holds.clone();
    let told = tokio::spawn(async move { watching.changes(&show, known.version).await });
    holds.place(&wish(&show, 1, &[1])).await.unwrap();
    assert!(matches!(told.await.unwrap().unwrap(), Changes::Since(changes) if changes.len() == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_needs_two_commands_more() {
    let more = of_a_cluster();
    assert_eq!(allowed(more).len(), 2);
    let cluster = Cluster::start_with(Server::builder().user(format!("{} {more}", line_for_cases()))).unwrap();
    let urls: Vec<String> = cluster.nodes().iter().map(url).collect();
    let urls = urls.join(",");
    run_suites(|| {
        let urls = urls.clone();
        async move { connect(&urls).await }
    })
    .await;
    for node in cluster.nodes() {
        assert!(refused(node).iter().all(|name| name == "config|get"), "{:?}", refused(node));
    }
}

/// Whoever may not do what is needed is refused; a node that is down, and cannot be asked, keeps nobody from starting:
/// the shows of the others are sold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_asked_for_its_rights_by_one_node_which_may_be_down() {
    let rules = format!("{} {}", line(), of_a_cluster());
    let cluster = Cluster::start_with(Server::builder().user(&rules).config("cluster-require-full-coverage no")).unwrap();
    let asked = cluster.owner_of(cluster.slot_of("bms:{check}:hash").unwrap()).unwrap();
    let witness = cluster.primaries().unwrap().into_iter().find(|node| node.port() != asked.port()).unwrap();
    let urls = url(witness);
    let cluster_url = urls.replacen("redis://", "redis+cluster://", 1);
    let set = |more: &str| cluster.nodes().iter().filter(|node| node.is_running()).for_each(|node| set_user(node, &rules, more));
    assert_eq!(missing(&cluster_url).await, [""; 0]);
    for command in ["hset", "ping", "asking", "cluster|slots"] {
        set(&format!("-{command}"));
        assert_eq!(missing(&cluster_url).await, [told_as(command)], "without {command}");
    }
    set("");

    // Its replica too, so that nobody takes over.
    for replica in cluster.replicas_of(asked).unwrap() {
        replica.kill();
    }
    asked.kill();
    let redis = connecting(&cluster_url).await.unwrap();
    let holds = RedisHolds::new(redis);
    let is_elsewhere = |show: &bms_domain::id::ShowId| {
        let slot = cluster.slot_of(&format!("{{{}}}", show.shard().number())).unwrap();
        cluster.owner_of(slot).unwrap().port() == witness.port()
    };
    let show = (0..).map(|n| sample::show(&format!("show-{n}"))).find(is_elsewhere).unwrap();
    support::until("the cluster goes on", || async { holds.occupancy(&show).await.is_ok() }).await;
    prime(&holds, &show, 4).await;
    assert!(matches!(holds.place(&wish(&show, 0, &[0])).await.unwrap(), Placed::Placed(_)));
}
