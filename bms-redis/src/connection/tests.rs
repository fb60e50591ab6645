//! The connection against real servers, below the stores.

mod channels;
mod cluster;
mod sentinel;
mod single;

use std::net::TcpListener;
use std::time::Duration;

use super::*;
use crate::testing::eventually;

const DEADLINE: Duration = Duration::from_secs(1);
/// How long a real server may take for what takes it a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(url: &str) -> Redis {
    let config = RedisConfig::new(url).unwrap().deadline(DEADLINE).unwrap();
    Redis::connect(config).await.unwrap()
}

fn set() -> Script {
    Script::new("return redis.call('SET', KEYS[1], ARGV[1])")
}

fn call(key: &str, value: &str) -> Call {
    Call::new().key(key).arg(value)
}

/// Sets a key until it succeeds.
async fn set_eventually(redis: &Redis, key: &str, value: &str) {
    let script = set();
    let is_set = || async {
        let outcome = redis.run(&script, call(key, value), Effect::Writes).await;
        assert!(!matches!(outcome, Err(StoreError::Broken { .. })), "{outcome:?}");
        outcome.is_ok()
    };
    eventually("a key that is set", is_set).await.unwrap();
}

/// Takes connections, and never answers. Its address is good for as long as it is kept.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Connects, and subscribes to a channel, though one of those who are asked for the way is silent.
async fn listens(url: &str, deadline: Duration) {
    let config = RedisConfig::new(url).unwrap().deadline(deadline).unwrap();
    let connected = tokio::sync::OnceCell::new();
    // A busy machine may need more than one try in a short time.
    let connects = || async { Redis::connect(config.clone()).await.is_ok_and(|redis| connected.set(redis).is_ok()) };
    eventually("a connection", connects).await.unwrap();
    let redis = connected.get().unwrap();
    eventually("a subscription", || async { redis.subscribe(b"a").await.is_ok() }).await.unwrap();
}

/// What stands behind an error of a store.
fn cause(error: &StoreError) -> &Error {
    std::error::Error::source(error).and_then(|source| source.downcast_ref()).expect("an error of this crate")
}

/// The connection is given up by another task, a moment after a call has found out.
async fn until_down(redis: &Redis) {
    eventually("a loss that is noticed", || async { !redis.inner.link.nodes().iter().any(Node::is_up) }).await.unwrap();
}
