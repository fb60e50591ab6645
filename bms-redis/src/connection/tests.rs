use std::time::Duration;

use super::*;
use crate::testserver::TestServer;

async fn connect(url: &str) -> Redis {
    let config = RedisConfig::new(url).unwrap().deadline(Duration::from_millis(300)).unwrap();
    Redis::connect(config).await.unwrap()
}

fn set() -> Script {
    Script::new("return redis.call('SET', KEYS[1], ARGV[1])")
}

/// Tries until it succeeds.
async fn eventually(redis: &Redis) {
    let end = Instant::now() + Duration::from_secs(20);
    while let Err(error) = redis.ping().await {
        assert!(Instant::now() < end, "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_script_is_found_again_after_a_flush() {
    let server = TestServer::start(&[]);
    let redis = connect(&server.url()).await;
    let script = set();
    for _ in 0..2 {
        redis.run(&script, Call::of(["k"], ["v"]), Effect::Writes).await.unwrap();
        assert_eq!(server.cli(&["GET", "k"]), "v");
        server.cli(&["SCRIPT", "FLUSH"]);
    }
    let calls = ["a", "b", "c"].map(|key| Call::of([key], [key])).to_vec();
    assert_eq!(redis.run_all(&script, calls, Effect::Writes).await.unwrap().len(), 3);
    assert_eq!(server.cli(&["GET", "c"]), "c");
}

#[tokio::test]
async fn answers_of_many_calls_stand_in_their_order() {
    let server = TestServer::start(&[]);
    let redis = connect(&server.url()).await;
    let echo = Script::new("return ARGV[1]");
    let calls = (0..100).map(|n| Call::new().key("k").number(n)).collect();
    let answers = redis.run_all(&echo, calls, Effect::Reads).await.unwrap();
    let numbers: Vec<u32> = answers.into_iter().map(|answer| redis::from_redis_value(answer).unwrap()).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stopped_server_is_an_unknown_outcome_once_and_then_unavailable_at_once() {
    let server = TestServer::start(&[]);
    let redis = connect(&server.url()).await;
    let script = set();
    server.signal("-STOP");
    let began = Instant::now();
    let first = redis.run(&script, Call::of(["k"], ["v"]), Effect::Writes).await;
    assert!(matches!(first, Err(StoreError::OutcomeUnknown { .. })), "{first:?}");
    assert!(began.elapsed() < Duration::from_millis(600));
    while !matches!(redis.ping().await, Err(StoreError::Unavailable { .. })) {}
    let began = Instant::now();
    for _ in 0..100 {
        let next = redis.run(&script, Call::of(["k"], ["v"]), Effect::Writes).await;
        assert!(matches!(next, Err(StoreError::Unavailable { source: Some(_), .. })), "{next:?}");
    }
    assert!(began.elapsed() < Duration::from_millis(100));
    server.signal("-CONT");
    eventually(&redis).await;
    redis.run(&script, Call::of(["k"], ["w"]), Effect::Writes).await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_found_again() {
    let mut server = TestServer::start(&[]);
    let redis = connect(&server.url()).await;
    server.kill();
    let began = Instant::now();
    while redis.ping().await.is_ok() {}
    assert!(began.elapsed() < Duration::from_millis(300));
    server.restart();
    eventually(&redis).await;
}
