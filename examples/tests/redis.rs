//! `bms-server` with its holds in Redis: what processes share, what an outage does, and what it refuses to start with.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot speak to its server has failed"
)]

mod support;

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bms_redis::testing::{Cluster, NotRedis, Replicated, Server as Redis, eventually};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use support::Server;
use support::office::{BoxOffice, PATIENCE, body};

#[tokio::test]
async fn two_servers_share_their_holds_and_their_answers() {
    let redis = Redis::start().unwrap();
    let (one, two) = (BoxOffice::on_redis(&redis.url()), BoxOffice::on_redis(&redis.url()));
    one.held("alice", &["A1", "A2"]).await;
    assert_eq!(two.map().await, (json!(["A1", "A2"]), json!([])));
    two.is_refused("bob", &["A2", "A3"], &["A2"]).await;

    let wanted = json!({"showId": "tonight", "seatIds": ["A7"]});
    let mut answers = Vec::new();
    for office in [&one, &two] {
        let request = office.post("carol", "/api/v1/holds", wanted.clone()).await.header("idempotency-key", "k");
        let answer = request.send().await.unwrap();
        answers.push((answer.headers().contains_key("idempotency-replayed"), body(answer, StatusCode::CREATED).await));
    }
    assert_eq!((answers[0].0, answers[1].0), (false, true));
    assert_eq!(answers[0].1, answers[1].1);

    // Another name space is another box office.
    let other = BoxOffice::open_with(&["--redis-url", &redis.url(), "--redis-prefix", "other", "--volatile-orders"]);
    assert_eq!(other.map().await, (json!([]), json!([])));
}

#[tokio::test]
async fn what_redis_forgot_is_restored_by_the_next_call() {
    let redis = Redis::start().unwrap();
    let office = BoxOffice::on_redis(&redis.url());
    let order = office.ordered("alice", &["A1"]).await;
    office.paid("alice", &order).await;
    office.ordered("alice", &["A2"]).await;
    office.held("alice", &["A3"]).await;
    for flush in [&["FLUSHALL"][..], &["SCRIPT", "FLUSH"]] {
        redis.command::<()>(flush).unwrap();
        // The hold alone is gone; what was sold and what was ordered is not.
        office.is_refused("bob", &["A1", "A2", "A4"], &["A1", "A2"]).await;
    }
    assert_eq!(office.map().await, (json!(["A2"]), json!(["A1"])));
    office.held("bob", &["A3"]).await;
}

#[tokio::test]
async fn without_redis_nothing_is_held_and_payments_are_confirmed_until_it_is_back() {
    let redis = Redis::start().unwrap();
    let office = BoxOffice::on_redis(&redis.url());
    let order = office.ordered("alice", &["A1"]).await;
    redis.kill();

    let asked = Instant::now();
    let refused = office.hold("bob", &["A2"]).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(body(refused, StatusCode::SERVICE_UNAVAILABLE).await["type"], "urn:bms:problem:unavailable");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    body(office.get("/healthz").await, StatusCode::OK).await;
    let unready = body(office.get("/readyz").await, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(unready["dependencies"], json!(["the hold store (redis)", "the idempotency store (redis)"]));
    office.paid("alice", &order).await;

    redis.restart().unwrap();
    eventually("a server that sees Redis", || async { office.get("/readyz").await.status() == StatusCode::OK }).await.unwrap();
    office.is_refused("bob", &["A1", "A2"], &["A1"]).await;
    office.held("bob", &["A2"]).await;
}

#[tokio::test]
async fn a_live_map_shows_what_another_server_does() {
    let redis = Redis::start().unwrap();
    let (one, two) = (BoxOffice::on_redis(&redis.url()), BoxOffice::on_redis(&redis.url()));
    let mut live = LiveMap::open(&two, None).await;
    assert_eq!(live.next().await.name, "snapshot");
    for (user, seat) in [("alice", "A5"), ("bob", "A6")] {
        one.held(user, &[seat]).await;
        live.next().await.is_change("held", &[seat]);
    }
}

/// Whichever server he comes back to: the changes are in Redis, in their order, and none is told twice.
#[tokio::test]
async fn a_live_map_goes_on_at_another_server_after_what_was_seen() {
    let redis = Redis::start().unwrap();
    let (one, two) = (BoxOffice::on_redis(&redis.url()), BoxOffice::on_redis(&redis.url()));
    let mut live = LiveMap::open(&one, None).await;
    assert_eq!(live.next().await.name, "snapshot");
    one.held("alice", &["A1"]).await;
    let seen = live.next().await;
    seen.is_change("held", &["A1"]);
    drop(live);

    // Missed: a hold of either server, and a sale.
    two.held("bob", &["A2"]).await;
    let order = one.ordered("carol", &["A3", "A4"]).await;
    one.paid("carol", &order).await;
    let mut back = Vec::new();
    for office in [&two, &one] {
        let mut live = LiveMap::open(office, Some(&seen.id)).await;
        live.next().await.is_change("held", &["A2"]);
        live.next().await.is_change("held", &["A3", "A4"]);
        live.next().await.is_change("sold", &["A3", "A4"]);
        back.push(live);
    }
    // And on from there, live.
    one.held("dan", &["A5"]).await;
    for live in &mut back {
        live.next().await.is_change("held", &["A5"]);
    }

    // What Redis knows nothing of any more is a gap: maps begin anew, with what is so now.
    redis.command::<()>(&["FLUSHALL"]).unwrap();
    back.push(LiveMap::open(&two, Some("1")).await);
    for live in &mut back {
        let anew = live.next().await;
        assert_eq!((anew.name.as_str(), &anew.data["heldSeatIds"]), ("snapshot", &json!([])));
        assert!(anew.id.parse::<u64>().unwrap() > seen.id.parse().unwrap(), "versions go on growing");
    }
}

/// What a live seat map tells.
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Event {
    /// Fails unless nothing but this has happened to seats.
    fn is_change(&self, what: &str, seats: &[&str]) {
        assert_eq!(self.name, "change", "{}", self.data);
        assert_eq!(self.id, self.data["version"].to_string());
        for kind in ["held", "sold", "freed"] {
            let expected = if kind == what { json!(seats) } else { json!([]) };
            assert_eq!(self.data[kind], expected, "{kind}: {}", self.data);
        }
    }
}

/// A live seat map, and what of it has arrived and was not looked at.
struct LiveMap {
    answer: Response,
    text: String,
}

impl LiveMap {
    /// Opens it; `last` is the id of the last event that was seen.
    async fn open(office: &BoxOffice, last: Option<&str>) -> Self {
        let mut request = office.client.get(office.url("/api/v1/shows/tonight/seatmap/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Self { answer, text: String::new() }
    }

    /// The next event; comments are left out.
    async fn next(&mut self) -> Event {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let Some(data) = field("data:") {
                    let field = |name| field(name).unwrap().to_owned();
                    return Event { name: field("event:"), id: field("id:"), data: serde_json::from_str(data).unwrap() };
                }
            }
            let bytes = self.answer.chunk().await.unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

#[tokio::test]
async fn a_cluster_is_given_as_its_servers_with_commas() {
    let cluster = Cluster::start().unwrap();
    let (one, two) = (BoxOffice::on_redis(&cluster.url()), BoxOffice::on_redis(&cluster.url()));
    one.held("alice", &["A1"]).await;
    two.is_refused("bob", &["A1"], &["A1"]).await;
    body(two.get("/readyz").await, StatusCode::OK).await;
}

#[tokio::test]
async fn sentinels_are_given_with_the_name_of_their_service() {
    let group = Replicated::start().unwrap();
    let office = BoxOffice::on_redis(&group.url());
    office.held("alice", &["A1"]).await;
    office.is_refused("bob", &["A1"], &["A1"]).await;
}

#[tokio::test]
async fn tls_is_spoken_with_the_authority_that_is_given() {
    let redis = Redis::builder().tls().start().unwrap();
    let authority = NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), redis.authority_pem().unwrap()).unwrap();
    let office = BoxOffice::open_with(&[
        "--redis-url",
        &redis.url(),
        "--redis-ca",
        authority.path().to_str().unwrap(),
        "--volatile-orders",
    ]);
    office.held("alice", &["A1"]).await;
    refuses(&["--redis-url", &redis.url(), "--volatile-orders"], "TLS");
    refuses(&["--redis-url", &redis.url(), "--volatile-orders", "--redis-ca", "/nowhere/ca.pem"], "/nowhere/ca.pem");
}

/// Whatever happens, and however much is logged.
#[tokio::test]
async fn no_output_shows_the_password() {
    let redis = Redis::builder().password("canary@1/2").start().unwrap();
    let log = NamedTempFile::new().unwrap();
    let mut office = BoxOffice::start(&["--redis-url", &redis.url(), "--volatile-orders"], |options| {
        Server::start_logging(options, log.reopen().unwrap())
    });
    office.held("alice", &["A1"]).await;
    redis.kill();
    body(office.hold("bob", &["A2"]).await, StatusCode::SERVICE_UNAVAILABLE).await;
    body(office.get("/readyz").await, StatusCode::SERVICE_UNAVAILABLE).await;
    office.server.process().kill().unwrap();
    office.server.process().wait().unwrap();
    let said = std::fs::read_to_string(log.path()).unwrap();
    assert!(said.contains("VOLATILE ORDERS") && said.contains(&redis.address()), "{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn a_url_that_makes_no_sense_is_refused() {
    for url in ["canary", "http://:canary@127.0.0.1", "redis://:canary@127.0.0.1:port", "redis+sentinel://:canary@127.0.0.1"] {
        refuses(&["--redis-url", url, "--volatile-orders"], "the configuration of Redis is wrong");
    }
    refuses(&["--redis-url", "redis://127.0.0.1:1", "--redis-prefix", "{a}", "--volatile-orders"], "prefix");
}

#[test]
fn a_redis_that_cannot_be_used_is_refused_by_its_address() {
    let refuses = |url: &str, address: &str, why: &str| {
        let said = refuses(&["--redis-url", url, "--volatile-orders"], why);
        assert!(said.contains(address), "{address} is not named: {said}");
    };
    refuses("redis://:canary@127.0.0.1:1", "redis://127.0.0.1:1", "cannot be reached");
    let redis = Redis::builder().password("secret").start().unwrap();
    refuses(&redis.url_of("", "canary"), &redis.address(), "user and password");
    refuses(&format!("redis://{}", redis.address()), &redis.address(), "user and password");
    redis.pause().unwrap();
    refuses(&redis.url(), &redis.address(), "did not answer");
    let replica = Redis::builder().config("replicaof 127.0.0.1 1").start().unwrap();
    refuses(&replica.url(), &replica.address(), "replica");
    let other = NotRedis::start().unwrap();
    refuses(&other.url().replace("//", "//:canary@"), &format!("127.0.0.1:{}", other.port()), "as Redis does");
    let tls = Redis::builder().tls().start().unwrap();
    refuses(&tls.url().replace("rediss://", "redis://:canary@"), &tls.address(), "TLS (rediss://)");
}

#[tokio::test]
async fn a_redis_that_evicts_holds_is_warned_of_and_under_strict_refused() {
    let redis = Redis::builder().max_memory(50_000_000).config("maxmemory-policy allkeys-lru").start().unwrap();
    let log = NamedTempFile::new().unwrap();
    let office = BoxOffice::start(&["--redis-url", &redis.url(), "--volatile-orders"], |options| {
        Server::start_logging(options, log.reopen().unwrap())
    });
    office.held("alice", &["A1"]).await;
    assert!(std::fs::read_to_string(log.path()).unwrap().contains("maxmemory-policy"));
    refuses(&["--redis-url", &redis.url(), "--volatile-orders", "--strict"], "maxmemory-policy");
}

/// It was right when the program started: whoever is strict hears of it, though the program goes on.
#[tokio::test]
async fn a_redis_that_evicts_holds_since_is_warned_of_when_it_is_connected_to_again() {
    let redis = Redis::start().unwrap();
    let log = NamedTempFile::new().unwrap();
    let options = ["--redis-url", &redis.url(), "--volatile-orders", "--strict"];
    let office = BoxOffice::start(&options, |options| Server::start_logging(options, log.reopen().unwrap()));
    office.held("alice", &["A1"]).await;
    let is_warned = || std::fs::read_to_string(log.path()).unwrap().contains("maxmemory-policy");
    assert!(!is_warned());
    redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    redis.command::<()>(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    eventually("a warning", || async { is_warned() }).await.unwrap();
    eventually("the return", || async { office.get("/readyz").await.status() == StatusCode::OK }).await.unwrap();
    office.held("alice", &["A2"]).await;
}

#[test]
fn sentinels_have_a_login_of_their_own() {
    let redis = Redis::start().unwrap();
    let guard = format!("sentinel monitor bms 127.0.0.1 {} 1", redis.port());
    let sentinel = Redis::builder().sentinel().config(guard).start().unwrap();
    sentinel.command::<()>(&["ACL", "SETUSER", "default", "resetpass", ">guard-canary"]).unwrap();
    let url = format!("redis+sentinel://{}/bms", sentinel.address());
    BoxOffice::open_with(&["--redis-url", &url, "--redis-sentinel-password", "guard-canary", "--volatile-orders"]);
    let all = ["--redis-url", &url, "--volatile-orders"];
    refuses(&all, "password");
    refuses(&[&all[..], &["--redis-sentinel-password", "canary"]].concat(), "password");
    refuses(&[&all[..], &["--redis-sentinel-user", "ann"]].concat(), "--redis-sentinel-password");
    let not_sentinels = ["--redis-url", &redis.url(), "--volatile-orders", "--redis-sentinel-password", "canary"];
    refuses(&not_sentinels, "redis+sentinel");
}

/// Whoever asks for something of Redis, and names none, believes that his holds are there. What is set to nothing is not set.
#[test]
fn options_of_redis_without_redis_are_refused() {
    const OPTIONS: [(&str, &str); 4] = [
        ("--redis-prefix", "BMS_REDIS_PREFIX"),
        ("--redis-ca", "BMS_REDIS_CA"),
        ("--redis-sentinel-user", "BMS_REDIS_SENTINEL_USER"),
        ("--redis-sentinel-password", "BMS_REDIS_SENTINEL_PASSWORD"),
    ];
    const FLAGS: [(&str, &str); 2] = [("--volatile-orders", "BMS_VOLATILE_ORDERS"), ("--strict", "BMS_STRICT")];
    for (option, variable) in OPTIONS {
        refuses(&[option, "canary"], option);
        refuses_with(&[], &[(variable, "canary")], variable);
    }
    for (flag, variable) in FLAGS {
        refuses(&[flag], flag);
        refuses_with(&[], &[(variable, "1")], variable);
    }
    let nothing: Vec<(&str, &str)> = OPTIONS.iter().chain(&FLAGS).map(|(_, variable)| (*variable, "")).collect();
    // It gets past them, to what is wrong.
    refuses_with(&["--jwt-secret", "short"], &nothing, "32 bytes");
}

/// A process has one connection for calls and one on which it listens; that Redis is gone is said once.
#[tokio::test]
async fn an_outage_is_logged_once() {
    let redis = Redis::start().unwrap();
    let log = NamedTempFile::new().unwrap();
    let office = BoxOffice::start(&["--redis-url", &redis.url(), "--volatile-orders"], |options| {
        Server::start_logging(options, log.reopen().unwrap())
    });
    let mut live = LiveMap::open(&office, None).await;
    assert_eq!(live.next().await.name, "snapshot");
    office.held("alice", &["A1"]).await;
    live.next().await.is_change("held", &["A1"]);
    eventually("a subscription", || async { redis.info("pubsubshard_channels").unwrap() == "1" }).await.unwrap();
    let warned = || {
        let said = std::fs::read_to_string(log.path()).unwrap();
        said.lines().filter(|line| line.contains(" WARN ") && line.contains("bms_redis::connection::")).count()
    };
    let before = warned();
    redis.kill();
    eventually("the loss", || async { office.get("/readyz").await.status() != StatusCode::OK }).await.unwrap();
    redis.restart().unwrap();
    eventually("the return", || async { office.get("/readyz").await.status() == StatusCode::OK }).await.unwrap();
    office.held("alice", &["A2"]).await;
    assert_eq!(warned(), before + 1);
}

/// The server ends by itself, soon, with exit code 1 and a reason, and shows no password. Gives all that it said.
fn refuses(options: &[&str], why: &str) -> String {
    refuses_with(options, &[], why)
}

fn refuses_with(options: &[&str], variables: &[(&str, &str)], why: &str) -> String {
    let output = NamedTempFile::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bms-server"));
    let command = command.args(["--listen", "127.0.0.1:0"]).args(options).stdout(append(&output)).stderr(append(&output));
    let mut server = command.env_remove("DATABASE_URL").env("RUST_LOG", "trace").envs(variables.iter().copied()).spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = server.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            server.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = std::fs::read_to_string(output.path()).unwrap();
    assert_eq!(status.code(), Some(1), "{options:?}: {said}");
    assert!(said.contains(why), "{options:?}: {said}");
    assert!(!said.contains("panicked") && !said.contains("canary"), "{options:?}: {said}");
    said
}

/// The end of a file, so that two streams can share it.
fn append(file: &NamedTempFile) -> Stdio {
    File::options().append(true).open(file.path()).unwrap().into()
}
