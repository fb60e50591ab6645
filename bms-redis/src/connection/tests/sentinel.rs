use super::*;
use crate::testing::{Replicated, Server};

#[tokio::test]
async fn a_killed_primary_is_followed_by_the_next() {
    let group = Replicated::start().unwrap();
    let redis = connect(&group.url()).await;
    redis.run(&set(), call("k", "v"), Effect::Writes).await.unwrap();
    let first = group.primary().unwrap();
    assert_eq!(first.command::<String>(&["GET", "k"]).unwrap(), "v");
    first.kill();
    set_eventually(&redis, "k", "w").await;
    let second = group.wait_for_primary_after(first).unwrap();
    assert_eq!(second.command::<String>(&["GET", "k"]).unwrap(), "w");
}

/// It may believe in itself, and what it granted would be lost.
#[tokio::test]
async fn a_primary_that_was_voted_out_is_left_though_its_connection_stands() {
    let group = Replicated::start().unwrap();
    let redis = connect(&group.url()).await;
    let node = redis.inner.link.nodes()[0].clone();
    let first = group.primary().unwrap();
    first.pause().unwrap();
    let second = group.wait_for_primary_after(first).unwrap();
    // Nobody calls, so that no call finds out.
    let is_there = || async { node.server().is_some_and(|server| server.ends_with(&format!(":{}", second.port()))) };
    eventually("the next primary", is_there).await.unwrap();
    redis.run(&set(), call("k", "v"), Effect::Writes).await.unwrap();
    assert_eq!(second.command::<String>(&["GET", "k"]).unwrap(), "v");
}

#[tokio::test]
async fn one_sentinel_is_enough_and_an_unknown_service_is_named() {
    let group = Replicated::start().unwrap();
    let [first, second, third] = group.sentinels() else { panic!("three sentinels") };
    first.pause().unwrap();
    second.kill();
    connect(&group.url()).await.ping().await.unwrap();
    first.resume().unwrap();
    let wrong = format!("redis+sentinel://{}/other", third.address());
    let error = Redis::connect(RedisConfig::new(&wrong).unwrap()).await.unwrap_err();
    assert!(matches!(&error, Error::NoPrimary { service, .. } if service.as_ref() == "other"), "{error:?}");
}

/// It takes the whole time of a call to find out that it does not answer.
#[tokio::test]
async fn a_silent_sentinel_keeps_nobody_from_connecting_and_listening() {
    let (server, silent) = (Server::start().unwrap(), silent());
    let sentinel = Server::builder().sentinel().config(format!("sentinel monitor bms 127.0.0.1 {} 1", server.port()));
    let sentinel = sentinel.start().unwrap();
    let url = format!("redis+sentinel://{},{}/bms", silent.local_addr().unwrap(), sentinel.address());
    listens(&url, Duration::from_millis(300)).await;
}
