use super::super::notices::{Notice, Notices};
use super::*;
use crate::testing::{Proxy, Server};

async fn next(notices: &mut Notices) -> Notice {
    tokio::time::timeout(PATIENCE, notices.next()).await.expect("a notice").expect("a connection")
}

fn message(channel: &str, payload: &str) -> Notice {
    Notice::Message { channel: channel.as_bytes().into(), payload: payload.as_bytes().into() }
}

#[tokio::test]
async fn messages_of_subscribed_channels_arrive_in_order() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    let mut notices = redis.notices();
    redis.subscribe(b"a").await.unwrap();
    redis.subscribe(b"b").await.unwrap();
    redis.subscribe(b"b").await.unwrap();
    redis.unsubscribe(b"a").await;
    let publish = Script::new("return redis.call('SPUBLISH', KEYS[1], ARGV[1])");
    for n in 0..100 {
        redis.run(&publish, call("a", "gone"), Effect::Writes).await.unwrap();
        redis.run(&publish, call("b", &n.to_string()), Effect::Writes).await.unwrap();
    }
    assert_eq!(next(&mut notices).await, Notice::Lost, "there is a connection");
    for n in 0..100 {
        assert_eq!(next(&mut notices).await, message("b", &n.to_string()));
    }
}

/// Connecting takes longer than a call may, but it goes on: a listener is told when it is over.
#[tokio::test]
async fn who_subscribes_too_early_is_told_when_it_is_time() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let redis = connect(proxy.url()).await;
    let mut notices = redis.notices();
    proxy.hold_replies();
    redis.subscribe(b"a").await.unwrap_err();
    proxy.release();
    while redis.subscribe(b"a").await.is_err() {
        assert_eq!(next(&mut notices).await, Notice::Lost);
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_and_subscriptions_can_be_made_again() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    redis.subscribe(b"a").await.unwrap();
    let mut notices = redis.notices();
    server.kill();
    assert_eq!(next(&mut notices).await, Notice::Lost);
    server.restart().unwrap();
    while redis.subscribe(b"a").await.is_err() {
        assert_eq!(next(&mut notices).await, Notice::Lost);
    }
    server.command::<u32>(&["SPUBLISH", "a", "again"]).unwrap();
    let mut notice = next(&mut notices).await;
    while notice == Notice::Lost {
        notice = next(&mut notices).await;
    }
    assert_eq!(notice, message("a", "again"));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_by_those_who_only_listen() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    redis.subscribe(b"a").await.unwrap();
    let mut notices = redis.notices();
    server.pause().unwrap();
    assert_eq!(next(&mut notices).await, Notice::Lost);
}

#[tokio::test]
async fn a_slow_listener_is_told_that_it_missed_something() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    redis.subscribe(b"a").await.unwrap();
    let (mut slow, mut quick) = (redis.notices(), redis.notices());
    // The quick one is kept quick: it has read each part before the next is published.
    let publish = Script::new("for n = 1, 1000 do redis.call('SPUBLISH', KEYS[1], ARGV[1]) end");
    for part in ["1", "2", "3", "4", "5", "6"] {
        redis.run(&publish, call("a", part), Effect::Writes).await.unwrap();
        for _ in 0..1000 {
            assert_eq!(next(&mut quick).await, message("a", part));
        }
    }
    assert_eq!(next(&mut slow).await, Notice::Lost);
}
