use super::*;
use crate::testing::{Proxy, Server};

#[tokio::test]
async fn a_script_is_found_again_after_a_flush() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    let script = set();
    for value in ["v", "w"] {
        redis.run(&script, call("k", value), Effect::Writes).await.unwrap();
        assert_eq!(server.command::<String>(&["GET", "k"]).unwrap(), value);
        server.command::<()>(&["SCRIPT", "FLUSH"]).unwrap();
    }
    let calls = ["a", "b", "c"].map(|key| call(key, key)).to_vec();
    assert_eq!(redis.run_all(&script, calls, Effect::Writes).await.unwrap(), [const { Value::Okay }; 3]);
    assert_eq!(server.command::<String>(&["GET", "c"]).unwrap(), "c");
}

#[tokio::test]
async fn answers_go_to_those_who_asked() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    let echo = Arc::new(Script::new("return ARGV[1]"));
    let number = |answer: Value| redis::from_redis_value::<u32>(answer).unwrap();
    let calls = (0..100).map(|n| Call::new().key("k").number(n)).collect();
    let answers = redis.run_all(&echo, calls, Effect::Reads).await.unwrap();
    assert!(answers.into_iter().map(number).eq(0..100));
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let (redis, echo) = (redis.clone(), echo.clone());
            tokio::spawn(async move { redis.run(&echo, Call::new().key("k").number(n), Effect::Reads).await.unwrap() })
        })
        .collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(number(task.await.unwrap()), n);
    }
}

#[tokio::test]
async fn a_paused_server_costs_one_deadline_and_is_found_again() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    let script = set();
    server.pause().unwrap();
    let began = Instant::now();
    let first = redis.run(&script, call("k", "v"), Effect::Writes).await.unwrap_err();
    assert!(matches!(first, StoreError::OutcomeUnknown { .. }) && matches!(cause(&first), Error::NoAnswer { .. }), "{first:?}");
    assert!((DEADLINE..DEADLINE * 5).contains(&began.elapsed()), "{:?}", began.elapsed());
    until_down(&redis).await;
    let began = Instant::now();
    for _ in 0..100 {
        let next = redis.run(&script, call("k", "v"), Effect::Writes).await.unwrap_err();
        assert!(matches!(next, StoreError::Unavailable { .. }) && matches!(cause(&next), Error::NoAnswer { .. }), "{next:?}");
    }
    assert!(began.elapsed() < DEADLINE * 5, "{:?}", began.elapsed());
    server.resume().unwrap();
    set_eventually(&redis, "k", "w").await;
}

#[tokio::test]
async fn a_server_that_answers_others_is_only_slow() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    let node = redis.inner.link.nodes()[0].clone();
    let before = node.generation();
    // What is sent on this connection afterwards waits for its end.
    let pop = |list: &str| {
        let (node, mut command) = (node.clone(), redis::cmd("BLPOP"));
        command.arg(list).arg(0);
        tokio::spawn(async move { node.send(command, Instant::now() + PATIENCE).await })
    };
    let first = pop("a");
    eventually("a client that waits", || async { server.info("blocked_clients").unwrap() == "1" }).await.unwrap();
    let second = pop("b");
    tokio::task::yield_now().await;
    let push = |list| server.command::<u32>(&["LPUSH", list, "v"]).unwrap();
    let (third, _) = tokio::join!(node.send(redis::cmd("PING"), Instant::now() + DEADLINE), async { push("a") });
    assert!(matches!(third, Err(Failure::Lost(Error::NoAnswer { .. }))), "{third:?}");
    first.await.unwrap().unwrap();
    push("b");
    second.await.unwrap().unwrap();
    node.send(redis::cmd("PING"), Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(node.generation(), before);
}

/// Keeps the server busy for so many microseconds of its own clock.
fn busy() -> Script {
    let clock = "local function now() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end ";
    Script::new(format!("{clock} local start = now() while now() < start + ARGV[1] do end return 1"))
}

/// The first half of the call was answered, though the second had not the whole time of a call.
#[tokio::test]
async fn a_connection_that_has_answered_a_part_of_the_call_is_kept() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    let node = redis.inner.link.nodes()[0].clone();
    let before = node.generation();
    // The script is unknown: that is told at once, and then it takes its time.
    let call = Call::new().key("k").number((DEADLINE * 2).as_micros());
    let late = redis.run(&busy(), call.clone(), Effect::Reads).await.unwrap_err();
    assert!(matches!(cause(&late), Error::NoAnswer { .. }), "{late:?}");
    node.send(redis::cmd("PING"), Instant::now() + PATIENCE).await.unwrap();
    server.command::<()>(&["SCRIPT", "FLUSH"]).unwrap();
    let late = redis.run_all(&busy(), vec![call], Effect::Reads).await.unwrap_err();
    assert!(matches!(cause(&late), Error::NoAnswer { .. }), "{late:?}");
    node.send(redis::cmd("PING"), Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(node.generation(), before);
}

/// It was sent on from elsewhere, and a moment is too short to tell anything of a server.
#[tokio::test]
async fn a_call_that_is_sent_with_little_time_left_condemns_no_connection() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let redis = connect(proxy.url()).await;
    let node = redis.inner.link.nodes()[0].clone();
    let before = node.generation();
    proxy.hold_replies();
    let hasty = node.send(redis::cmd("PING"), Instant::now() + DEADLINE / 10).await;
    assert!(matches!(hasty, Err(Failure::Lost(Error::NoAnswer { .. }))), "{hasty:?}");
    proxy.release();
    node.send(redis::cmd("PING"), Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(node.generation(), before);
}

/// Four pieces are under way, and none is answered: what has not been sent by its deadline never is.
#[tokio::test]
async fn a_call_that_still_waited_at_its_deadline_has_not_happened() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let redis = connect(proxy.url()).await;
    redis.run(&set(), call("first", "v"), Effect::Writes).await.unwrap();
    proxy.hold_replies();
    let mut under_way = Vec::new();
    for key in ["a", "b", "c", "d"] {
        let (redis, script) = (redis.clone(), set());
        under_way.push(tokio::spawn(async move {
            redis.run_by(&script, &call(key, "v"), Effect::Writes, Instant::now() + PATIENCE).await
        }));
        let is_there = || async { server.command::<Option<String>>(&["GET", key]).unwrap().is_some() };
        eventually("a piece of its own", is_there).await.unwrap();
    }
    let late = redis.run(&set(), call("late", "v"), Effect::Writes).await.unwrap_err();
    assert!(matches!(late, StoreError::Unavailable { .. }) && matches!(cause(&late), Error::NoAnswer { .. }), "{late:?}");
    proxy.release();
    for call in under_way {
        _ = call.await.unwrap();
    }
    set_eventually(&redis, "k", "w").await;
    assert_eq!(server.command::<Option<String>>(&["GET", "late"]).unwrap(), None);
}

#[tokio::test]
async fn a_killed_server_is_unavailable_at_once_and_found_again() {
    let server = Server::start().unwrap();
    let redis = connect(&server.url()).await;
    server.kill();
    let began = Instant::now();
    while redis.ping().await.is_ok() {}
    until_down(&redis).await;
    for _ in 0..100 {
        let error = redis.run(&set(), call("k", "v"), Effect::Writes).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    }
    assert!(began.elapsed() < DEADLINE * 5, "{:?}", began.elapsed());
    server.restart().unwrap();
    set_eventually(&redis, "k", "v").await;
}

#[tokio::test]
async fn a_lost_answer_leaves_the_outcome_unknown_and_is_not_asked_for_again() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let redis = connect(proxy.url()).await;
    let count = Script::new("return redis.call('INCR', KEYS[1])");
    redis.run(&count, call("n", ""), Effect::Writes).await.unwrap();
    proxy.drop_reply_of("EVALSHA");
    let error = redis.run(&count, call("n", ""), Effect::Writes).await.unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown { .. }) && matches!(cause(&error), Error::Lost { .. }), "{error:?}");
    set_eventually(&redis, "k", "v").await;
    assert_eq!(server.command::<u32>(&["GET", "n"]).unwrap(), 2);
    proxy.drop_reply_of("EVALSHA");
    let error = redis.run(&count, call("n", ""), Effect::Reads).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }) && matches!(cause(&error), Error::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn an_idle_connection_that_was_cut_is_replaced_before_anybody_calls() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let redis = connect(proxy.url()).await;
    let node = redis.inner.link.nodes()[0].clone();
    let before = node.generation();
    assert!(proxy.cut() > 0);
    eventually("another connection", || async { node.generation() > before }).await.unwrap();
    redis.run(&set(), call("k", "v"), Effect::Writes).await.unwrap();
}

#[tokio::test]
async fn refusals_change_nothing_and_bugs_are_bugs() {
    let server = Server::builder().max_memory(1).config("maxmemory-policy noeviction").start().unwrap();
    let redis = connect(&server.url()).await;
    let error = redis.run(&set(), call("k", "v"), Effect::Writes).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }) && matches!(cause(&error), Error::Full { .. }), "{error:?}");
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    redis.run(&set(), call("k", "v"), Effect::Writes).await.unwrap();

    server.command::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).unwrap();
    let error = redis.run(&set(), call("k", "v"), Effect::Writes).await.unwrap_err();
    assert!(matches!(cause(&error), Error::Refused { code, .. } if code == "NOREPLICAS"), "{error:?}");
    server.command::<()>(&["CONFIG", "SET", "min-replicas-to-write", "0"]).unwrap();

    for bug in ["return nil + 1", "return redis.call('LPUSH', KEYS[1], 1)", "return redis.call('GET')", "nonsense"] {
        let error = redis.run(&Script::new(bug), call("k", "v"), Effect::Writes).await.unwrap_err();
        assert!(matches!(error, StoreError::Broken { .. }), "{bug}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_becomes_a_replica_is_left_until_it_is_a_primary_again() {
    let (server, other) = (Server::start().unwrap(), Server::start().unwrap());
    let redis = connect(&server.url()).await;
    server.command::<()>(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).unwrap();
    let error = redis.run(&set(), call("k", "v"), Effect::Writes).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    until_down(&redis).await;
    server.command::<()>(&["REPLICAOF", "NO", "ONE"]).unwrap();
    set_eventually(&redis, "k", "v").await;
}

/// A call that is sent on to a node which is gone ends at once, not with its time.
#[tokio::test]
async fn nobody_waits_for_a_node_that_could_not_be_connected_to() {
    let server = Server::start().unwrap();
    server.kill();
    let client = redis::Client::open(server.url()).unwrap();
    let endpoint = dial::Endpoint::new(client.get_connection_info(), &RedisConfig::from_client(&client));
    let node = Node::start(endpoint, Listener::log(), Error::not_connected("redis".into()));
    for _ in 0..2 {
        tokio::time::timeout(PATIENCE / 2, node.ready(Instant::now() + PATIENCE)).await.expect("it is known to be gone");
    }
    server.restart().unwrap();
    eventually("a connection", || async { node.is_up() }).await.unwrap();
}

#[tokio::test]
async fn no_task_outlives_the_last_handle() {
    let server = Server::start().unwrap();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let redis = connect(&server.url()).await;
    redis.subscribe(b"c").await.unwrap();
    let other = redis.clone();
    assert!(tasks() > before);
    drop(redis);
    other.ping().await.unwrap();
    server.pause().unwrap();
    other.ping().await.unwrap_err();
    drop(other);
    eventually("the end of all tasks", || async { tasks() <= before }).await.unwrap();
}
