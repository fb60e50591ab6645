//! What connecting says about servers and set-ups that are wrong, and that it tells no secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bms_domain::store::StoreError;
use bms_redis::testing::{NotRedis, Proxy, Server, eventually};
use bms_redis::{Error, Redis, RedisConfig, Warning};
use tempfile::NamedTempFile;

/// Long, so that a busy machine does not make two of one.
const DEADLINE: Duration = Duration::from_secs(3);
const SECRET: &str = "s3cr3t/üß";
const ENCODED: &str = "s3cr3t%2F%C3%BC%C3%9F";

fn config(url: &str) -> RedisConfig {
    RedisConfig::new(url).unwrap().deadline(DEADLINE).unwrap()
}

/// Everything that an error says, and what stands behind it.
fn all_of(error: &dyn std::error::Error) -> String {
    let source = error.source().map(all_of).unwrap_or_default();
    format!("{error} {error:?} {error:#?} {source}")
}

async fn refused(config: RedisConfig) -> Error {
    let began = Instant::now();
    let error = Redis::connect(config).await.expect_err("it is refused");
    assert!(began.elapsed() < DEADLINE * 2, "{:?}", began.elapsed());
    let text = all_of(&error);
    assert!(!text.contains(SECRET) && !text.contains(ENCODED), "{text}");
    error
}

#[tokio::test]
async fn a_wrong_or_missing_login_is_named() {
    let server = Server::builder().password(SECRET).user("ann on >pass ~bms:* &bms:* +@all").start().unwrap();
    let address = server.address();
    Redis::connect(config(&server.url())).await.unwrap().ping().await.unwrap();
    Redis::connect(config(&format!("redis://ann:pass@{address}"))).await.unwrap().ping().await.unwrap();
    for url in [
        format!("redis://{address}"),
        format!("redis://:wrong@{address}"),
        format!("redis://bob:{ENCODED}@{address}"),
        format!("redis://ann:{ENCODED}@{address}"),
    ] {
        let error = refused(config(&url)).await;
        assert!(matches!(&error, Error::Unauthenticated { server, .. } if server.ends_with(&address)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn who_waits_for_an_absent_server_is_refused_calls_until_it_is_there() {
    let server = Server::builder().password(SECRET).start().unwrap();
    server.kill();
    let redis = Redis::connect_or_wait(config(&server.url())).await.unwrap();
    assert!(matches!(redis.ping().await, Err(StoreError::Unavailable { .. })));
    server.restart().unwrap();
    eventually("a connection", async || redis.ping().await.is_ok()).await.unwrap();
    // What will not pass is told at once.
    let wrong = Redis::connect_or_wait(config(&format!("redis://:wrong@{}", server.address()))).await;
    assert!(matches!(wrong, Err(Error::Unauthenticated { .. })));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named() {
    let server = Server::start().unwrap();
    server.kill();
    let address = server.address();
    for url in [format!("redis://:{ENCODED}@{address}"), format!("redis+cluster://:{ENCODED}@{address}")] {
        let error = refused(config(&url)).await;
        assert!(matches!(&error, Error::Unreachable { server, .. } if server.ends_with(&address)), "{url}: {error:?}");
    }
    let error = refused(config(&format!("redis+sentinel://:{ENCODED}@{address}/bms"))).await;
    assert!(matches!(&error, Error::NoPrimary { server, .. } if server.contains(&address)), "{error:?}");
    let error = refused(config(&format!("redis://:{ENCODED}@host.invalid"))).await;
    assert!(matches!(error, Error::Unreachable { .. } | Error::NoAnswer { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_silent_costs_one_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://:{ENCODED}@{}", silent.local_addr().unwrap());
    let error = refused(config(&url)).await;
    assert!(matches!(error, Error::NoAnswer { within: DEADLINE, .. }), "{error:?}");
}

/// A load balancer does so while nobody is behind it. That may pass, and is waited for (P13).
#[tokio::test]
async fn who_closes_the_connection_without_an_answer_is_absent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It reads what it is told in every other case, so that its end is a reset or none.
    std::thread::spawn(move || {
        for (client, reads) in listener.incoming().zip([true, false].into_iter().cycle()) {
            let _ = client.map(|mut client| reads && client.read(&mut [0; 4096]).is_ok());
        }
    });
    for scheme in ["redis", "rediss", "redis+cluster", "rediss+cluster"] {
        for _ in 0..2 {
            let error = refused(config(&format!("{scheme}://:{ENCODED}@{address}"))).await;
            assert!(matches!(error, Error::Closed { .. }), "{scheme}: {error:?}");
        }
        let waiting = Redis::connect_or_wait(config(&format!("{scheme}://{address}"))).await.unwrap();
        assert!(matches!(waiting.ping().await, Err(StoreError::Unavailable { .. })));
    }
    for scheme in ["redis+sentinel", "rediss+sentinel"] {
        let error = refused(config(&format!("{scheme}://{address}/bms"))).await;
        assert!(matches!(error, Error::NoPrimary { .. }), "{scheme}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_redis_is_named() {
    let other = NotRedis::start().unwrap();
    let error = refused(config(&other.url().replace("redis://", &format!("redis://:{ENCODED}@")))).await;
    assert!(matches!(error, Error::NotRedis { .. }), "{error:?}");
}

#[tokio::test]
async fn a_replica_is_refused_also_if_nobody_is_strict() {
    let primary = Server::start().unwrap();
    let replica = Server::builder().config(format!("replicaof 127.0.0.1 {}", primary.port())).start().unwrap();
    let error = refused(config(&replica.url())).await;
    assert!(matches!(error, Error::Replica { .. }), "{error:?}");
}

#[tokio::test]
async fn servers_of_another_kind_are_named() {
    let node = Server::builder().config("cluster-enabled yes").start().unwrap();
    let error = refused(config(&node.url())).await;
    assert!(matches!(error, Error::Cluster { .. }), "{error:?}");

    let single = Server::start().unwrap();
    let address = single.address();
    for url in [format!("redis+cluster://{address}"), format!("redis://{address},redis://{address}")] {
        let error = refused(config(&url)).await;
        assert!(matches!(error, Error::NotCluster { .. }), "{error:?}");
    }
    let error = refused(config(&format!("redis+sentinel://{address}/bms"))).await;
    assert!(matches!(error, Error::NoPrimary { .. }), "{error:?}");

    let sentinel = Server::builder().sentinel().config(format!("sentinel monitor bms 127.0.0.1 {} 1", single.port()));
    let sentinel = sentinel.start().unwrap();
    let error = refused(config(&sentinel.url())).await;
    assert!(matches!(error, Error::Sentinel { .. }), "{error:?}");
    Redis::connect(config(&format!("redis+sentinel://{}/bms", sentinel.address()))).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn tls_works_with_the_authority_and_fails_by_name_without() {
    let server = Server::builder().tls().password(SECRET).start().unwrap();
    let authority = server.authority_pem().unwrap().to_owned();
    let redis = Redis::connect(config(&server.url()).ca_certificate(authority.clone())).await.unwrap();
    redis.ping().await.unwrap();

    let error = refused(config(&server.url())).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    let error = refused(config(&server.url()).ca_certificate("not a certificate")).await;
    assert!(matches!(error, Error::Tls { .. } | Error::Config { .. }), "{error:?}");
    let error = refused(config(&server.url().replace("rediss", "redis")).ca_certificate(authority.clone())).await;
    assert!(matches!(error, Error::Closed { .. } | Error::NotRedis { .. }) && error.to_string().contains("TLS"), "{error:?}");

    let plain = Server::start().unwrap();
    let error = refused(config(&plain.url().replace("redis", "rediss")).ca_certificate(authority)).await;
    assert!(matches!(error, Error::Tls { .. } | Error::NoAnswer { .. }), "{error:?}");
}

/// A server of one's own words.
fn pretend(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://:{ENCODED}@{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let Ok((mut client, _)) = listener.accept() else { return };
        let mut request = [0; 4096];
        while let Ok(length @ 1..) = client.read(&mut request) {
            // Each command of a request is answered by itself.
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            for command in request.split('*').skip(1) {
                let _ = client.write_all(answer(command).as_bytes());
            }
        }
    });
    url
}

/// A server of this version, which answers everything else with some words.
fn pretend_version(version: &str, answer: &'static str) -> String {
    let info = format!("redis_version:{version}\r\nrole:master\r\n");
    pretend(move |command| match command {
        command if command.contains("HELLO") => "%1\r\n+server\r\n+redis\r\n".to_owned(),
        command if command.contains("INFO") && !command.contains("SETINFO") => format!("${}\r\n{info}\r\n", info.len()),
        _ => answer.to_owned(),
    })
}

#[tokio::test]
async fn a_version_that_is_too_old_is_named_and_its_echo_of_the_password_is_not_repeated() {
    let before_6 = pretend(|command| {
        let words: Vec<&str> = command.split("\r\n").skip(2).step_by(2).collect();
        format!("-ERR unknown command '{}', with args beginning with: {}\r\n", words[0], words[1..].join(" "))
    });
    let error = refused(config(&before_6)).await;
    assert!(matches!(error, Error::TooOld { .. }), "{error:?}");

    let error = refused(config(&pretend_version("6.2.14", "+OK\r\n"))).await;
    assert!(matches!(&error, Error::TooOld { version, .. } if version == "6.2.14"), "{error:?}");
}

/// Nobody knows then whether the user may do what is needed: that is no permission.
#[tokio::test]
async fn a_look_at_the_rights_without_an_answer_is_an_absence_and_with_a_strange_one_an_error() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    proxy.drop_reply_of("{check}");
    let error = refused(config(proxy.url())).await;
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    proxy.drop_reply_of("{check}");
    let redis = Redis::connect_or_wait(config(proxy.url())).await.unwrap();
    eventually("a connection", async || redis.ping().await.is_ok()).await.unwrap();
    proxy.wait_until_dropped(2).unwrap();

    for answer in [":1\r\n", "-ERR no scripts here\r\n"] {
        let strange = pretend_version("7.0.15", answer);
        let error = refused(config(&strange)).await;
        assert!(matches!(error, Error::NotRedis { source: Some(_), .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_unsafe_is_warned_of_and_refused_under_strict() {
    let safe = Server::builder().append_only().start().unwrap();
    let redis = Redis::connect(config(&safe.url()).strict(true)).await.unwrap();
    assert_eq!(redis.warnings(), []);

    let server = Server::builder().max_memory(100_000_000).config("maxmemory-policy volatile-ttl").start().unwrap();
    let redis = Redis::connect(config(&server.url())).await.unwrap();
    let [Warning::Evicting { policy, maxmemory, .. }, Warning::NotPersistent { .. }] = redis.warnings() else {
        panic!("{:?}", redis.warnings());
    };
    assert_eq!((policy.as_str(), *maxmemory), ("volatile-ttl", 100_000_000));
    let error = refused(config(&server.url()).strict(true)).await;
    assert!(matches!(error, Error::Evicting { .. }), "{error:?}");

    // It keeps nothing on disk; that is a choice, not a danger.
    let volatile = Server::start().unwrap();
    let redis = Redis::connect(config(&volatile.url()).strict(true)).await.unwrap();
    assert!(matches!(redis.warnings(), [Warning::NotPersistent { .. }]));
}

/// Nobody looks at a server that was away when the program began: it is told of when it is there.
#[tokio::test]
async fn an_unsafe_server_that_comes_late_is_told_of() {
    let log = NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::new(log.reopen().unwrap())).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::builder().config("maxmemory-policy allkeys-lru").start().unwrap();
    server.kill();
    let redis = Redis::connect_or_wait(config(&server.url()).strict(true)).await.unwrap();
    assert_eq!(redis.warnings(), []);
    server.restart().unwrap();
    eventually("a connection", async || redis.ping().await.is_ok()).await.unwrap();
    let said = std::fs::read_to_string(log.path()).unwrap();
    assert!(said.contains("maxmemory-policy allkeys-lru"), "{said}");
}

#[tokio::test]
async fn a_host_hands_in_its_clients() {
    let server = Server::builder().password(SECRET).start().unwrap();
    let client = bms_redis::redis::Client::open(server.url()).unwrap();
    Redis::connect(RedisConfig::from_client(&client)).await.unwrap().ping().await.unwrap();

    let sentinel = Server::builder().sentinel().config(format!("sentinel monitor bms 127.0.0.1 {} 1", server.port()));
    let sentinel = sentinel.start().unwrap();
    let sentinels = [bms_redis::redis::Client::open(sentinel.url()).unwrap()];
    let login = client.get_connection_info().redis_settings().clone();
    Redis::connect(RedisConfig::from_sentinels(&sentinels, "bms", login)).await.unwrap().ping().await.unwrap();

    let error = refused(RedisConfig::from_cluster(&[client])).await;
    assert!(matches!(error, Error::NotCluster { .. }), "{error:?}");
    assert!(matches!(refused(RedisConfig::from_cluster(&[])).await, Error::Config { .. }));
}

#[tokio::test]
async fn a_deadline_ends_a_call_whose_answer_does_not_come() {
    let server = Server::builder().password(SECRET).start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let redis = Redis::connect(config(proxy.url())).await.unwrap();
    proxy.hold_replies();
    let began = Instant::now();
    let error = redis.ping().await.unwrap_err();
    assert!((DEADLINE..DEADLINE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(!all_of(&error).contains(SECRET) && !format!("{redis:?}").contains(SECRET));
    proxy.release();
    eventually("a connection", || async { redis.ping().await.is_ok() }).await.unwrap();
}
