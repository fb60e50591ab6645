//! Idempotency keys on a real server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use bms_domain::id::UserId;
use bms_domain::store::{Begun, Fingerprint, IdempotencyKey, IdempotencyStore as _, StoreError};
use bms_domain::testing::{self, Fresh, ManualClock, conformance, sample};
use bms_redis::testing::{Proxy, Server, eventually};
use bms_redis::{Redis, RedisConfig, RedisIdempotency};
use tokio::runtime::Handle;
use uuid::Uuid;

use support::{Tokio, connect};

const REQUEST: Fingerprint = Fingerprint([1; 32]);
const LEASE: Duration = Duration::from_secs(30);
const KEEP: Duration = Duration::from_hours(24);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn key(user: &str, text: &str) -> IdempotencyKey {
    IdempotencyKey::new(UserId::parse(user).unwrap(), text).unwrap()
}

fn seed(n: u32) -> Uuid {
    sample::uuid(n)
}

async fn store(server: &Server) -> RedisIdempotency {
    RedisIdempotency::new(Redis::connect(RedisConfig::new(&server.url()).unwrap()).await.unwrap())
}

/// The milliseconds that Redis itself gives the only key there is.
fn life(server: &Server) -> i64 {
    let keys: Vec<String> = server.command(&["KEYS", "*"]).unwrap();
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    server.command(&["PTTL", key]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_keeps_every_rule_of_a_store_of_keys() {
    let server = Server::start().unwrap();
    let url = server.url();
    let fresh = |clock: ManualClock| {
        let url = url.clone();
        async move { Fresh::new(RedisIdempotency::new(connect(&url).await).with_clock(std::sync::Arc::new(clock))) }
    };
    conformance::idempotency_store(testing::on(Tokio(Handle::current()), fresh)).await;
}

/// Whatever a user is called and whatever he sends, names of keys are a digest, without anything that Redis understands.
#[tokio::test]
async fn no_name_of_a_key_shows_a_user_or_his_key() {
    let server = Server::start().unwrap();
    let store = store(&server).await;
    let users = sample::hostile_users();
    let texts = ["k", "{0}", "*", "bms:{1}:holds", "..", "\"'\\"];
    for user in &users {
        for text in texts {
            let key = IdempotencyKey::new(user.clone(), text).unwrap();
            store.begin(&key, REQUEST, seed(1), LEASE).await.unwrap();
            store.finish(&key, b"answer".to_vec(), KEEP).await.unwrap();
        }
    }
    let names: Vec<Vec<u8>> = server.command(&["KEYS", "*"]).unwrap();
    assert_eq!(names.len(), users.len() * texts.len());
    for name in names {
        let name = String::from_utf8(name).unwrap();
        let digest = name.strip_prefix("bms:request:").unwrap();
        assert!(digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{name}");
    }
}

#[tokio::test]
async fn an_answer_of_several_megabytes_comes_back_byte_for_byte() {
    let server = Server::start().unwrap();
    let (store, key) = (store(&server).await, key("ann", "k"));
    let answer: Vec<u8> = (0..4_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    store.begin(&key, REQUEST, seed(1), LEASE).await.unwrap();
    assert!(store.finish(&key, answer.clone(), KEEP).await.unwrap() == answer);
    assert!(store.finish(&key, b"another".to_vec(), KEEP).await.unwrap() == answer);
    assert!(store.begin(&key, REQUEST, seed(2), LEASE).await.unwrap() == Begun::Finished(answer));
}

/// A call whose answer was lost on the way, and that arrives again, is one caller's.
#[tokio::test]
async fn each_call_may_arrive_twice() {
    let server = Server::start().unwrap();
    let (store, key) = (store(&server).await, key("ann", "k"));
    for _ in 0..2 {
        assert_eq!(store.begin(&key, REQUEST, seed(1), LEASE).await.unwrap(), Begun::Run { seed: seed(1) });
    }
    assert_eq!(store.begin(&key, REQUEST, seed(2), LEASE).await.unwrap(), Begun::InProgress);
    for _ in 0..2 {
        store.abandon(&key).await.unwrap();
    }
    // The second try has the first seed, and its runner is known by his own.
    for _ in 0..2 {
        assert_eq!(store.begin(&key, REQUEST, seed(3), LEASE).await.unwrap(), Begun::Run { seed: seed(1) });
    }
    assert_eq!(store.begin(&key, REQUEST, seed(1), LEASE).await.unwrap(), Begun::InProgress);
    for _ in 0..2 {
        assert_eq!(store.finish(&key, b"answer".to_vec(), KEEP).await.unwrap(), b"answer");
    }
}

/// P6: who is not answered is told that nobody knows; what he did is there, and the same call again is answered.
#[tokio::test]
async fn a_lost_answer_is_unknown_and_comes_when_it_is_asked_for_again() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let near = store(&server).await;
    let far = RedisIdempotency::new(Redis::connect(RedisConfig::new(proxy.url()).unwrap()).await.unwrap());
    let reconnected = || async { eventually("a connection", async || far.ping().await.is_ok()).await.unwrap() };
    let is_unknown = |error| matches!(error, StoreError::OutcomeUnknown { store: "redis", .. });
    // Every script is known: what is lost is the answer of one that ran.
    let (known, key, other) = (key("cid", "k"), key("ann", "k"), key("ann", "other"));
    far.begin(&known, REQUEST, seed(9), LEASE).await.unwrap();
    far.abandon(&known).await.unwrap();
    far.finish(&known, Vec::new(), KEEP).await.unwrap();

    proxy.drop_reply_of("EVALSHA");
    assert!(is_unknown(far.begin(&key, REQUEST, seed(1), LEASE).await.unwrap_err()));
    assert_eq!(near.begin(&key, REQUEST, seed(2), LEASE).await.unwrap(), Begun::InProgress);
    reconnected().await;
    assert_eq!(far.begin(&key, REQUEST, seed(1), LEASE).await.unwrap(), Begun::Run { seed: seed(1) });

    proxy.drop_reply_of("EVALSHA");
    assert!(is_unknown(far.finish(&key, b"answer".to_vec(), KEEP).await.unwrap_err()));
    assert_eq!(near.begin(&key, REQUEST, seed(2), LEASE).await.unwrap(), Begun::Finished(b"answer".to_vec()));
    reconnected().await;
    assert_eq!(far.finish(&key, b"another".to_vec(), KEEP).await.unwrap(), b"answer");

    far.begin(&other, REQUEST, seed(3), LEASE).await.unwrap();
    proxy.drop_reply_of("EVALSHA");
    assert!(is_unknown(far.abandon(&other).await.unwrap_err()));
    reconnected().await;
    far.abandon(&other).await.unwrap();
    assert_eq!(far.begin(&other, REQUEST, seed(4), LEASE).await.unwrap(), Begun::Run { seed: seed(3) });
    proxy.wait_until_dropped(3).unwrap();
}

#[tokio::test]
async fn a_server_that_forgets_everything_refuses_no_answer() {
    let server = Server::start().unwrap();
    let (store, key) = (store(&server).await, key("ann", "k"));
    store.begin(&key, REQUEST, seed(1), LEASE).await.unwrap();
    server.command::<()>(&["FLUSHALL"]).unwrap();
    server.command::<()>(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(store.finish(&key, b"answer".to_vec(), KEEP).await.unwrap(), b"answer");
    // It was not kept: whose request it was is not known any more.
    let other = Fingerprint([2; 32]);
    assert_eq!(store.begin(&key, other, seed(2), LEASE).await.unwrap(), Begun::Run { seed: seed(2) });
    server.command::<()>(&["FLUSHALL"]).unwrap();
    store.abandon(&key).await.unwrap();
    assert_eq!(server.command::<u32>(&["DBSIZE"]).unwrap(), 0);
}

/// Leases and answers end by the server's clock, whatever the time is here.
#[tokio::test]
async fn the_time_is_the_servers() {
    let server = Server::builder().movable_clock().start().unwrap();
    let (store, key) = (store(&server).await, key("ann", "k"));
    store.begin(&key, REQUEST, seed(1), LEASE).await.unwrap();
    assert_eq!(store.begin(&key, REQUEST, seed(2), LEASE).await.unwrap(), Begun::InProgress);
    server.set_clock_offset(31).unwrap();
    assert_eq!(store.begin(&key, REQUEST, seed(3), LEASE).await.unwrap(), Begun::Run { seed: seed(1) });
    store.finish(&key, b"answer".to_vec(), Duration::from_hours(1)).await.unwrap();
    assert_eq!(store.begin(&key, REQUEST, seed(4), LEASE).await.unwrap(), Begun::Finished(b"answer".to_vec()));
    server.set_clock_offset(31 + 3_700).unwrap();
    assert_eq!(store.begin(&key, REQUEST, seed(5), LEASE).await.unwrap(), Begun::Run { seed: seed(5) });
}

/// Nothing stays for ever, and nothing goes before its time: Redis removes each key about a day after it is over.
#[tokio::test]
async fn redis_forgets_by_itself_a_day_after_the_end() {
    let server = Server::start().unwrap();
    let (store, key) = (store(&server).await, key("ann", "k"));
    // A test that is held up for long still passes.
    let about = |end: i64| end - 600_000..=end;
    store.begin(&key, REQUEST, seed(1), LEASE).await.unwrap();
    assert!(about(DAY_MS + 30_000).contains(&life(&server)), "{}", life(&server));
    store.abandon(&key).await.unwrap();
    assert!(about(DAY_MS + 30_000).contains(&life(&server)), "{}", life(&server));
    store.begin(&key, REQUEST, seed(2), 2 * KEEP).await.unwrap();
    assert!(about(3 * DAY_MS).contains(&life(&server)), "{}", life(&server));
    store.finish(&key, b"answer".to_vec(), KEEP).await.unwrap();
    assert!(about(2 * DAY_MS).contains(&life(&server)), "{}", life(&server));
}
