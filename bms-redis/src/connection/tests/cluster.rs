use std::sync::atomic::{AtomicBool, Ordering};

use super::super::notices::Notice;
use super::*;
use crate::testing::{Cluster, MoveStep, Server};

const KEY: &str = "{show}k";

/// A primary that does not own a slot.
fn another<'a>(cluster: &'a Cluster, owner: &Server) -> &'a Server {
    cluster.primaries().unwrap().into_iter().find(|node| node.port() != owner.port()).unwrap()
}

#[tokio::test]
async fn calls_find_their_node_also_after_flushes_and_from_any_seed() {
    let cluster = Cluster::start().unwrap();
    for node in cluster.nodes() {
        connect(&format!("redis+cluster://{}", node.address())).await.ping().await.unwrap();
    }
    let redis = connect(&cluster.url()).await;
    let calls = || (0..300).map(|n| call(&format!("{{{n}}}"), "v")).collect::<Vec<_>>();
    for _ in 0..2 {
        assert_eq!(redis.run_all(&set(), calls(), Effect::Writes).await.unwrap().len(), 300);
        for node in cluster.primaries().unwrap() {
            node.command::<()>(&["SCRIPT", "FLUSH"]).unwrap();
        }
    }
    let sizes = cluster.primaries().unwrap().into_iter().map(|node| node.command::<usize>(&["DBSIZE"]).unwrap());
    assert_eq!(sizes.sum::<usize>(), 300);
}

#[tokio::test]
async fn a_silent_seed_holds_up_nobody() {
    let (cluster, silent) = (Cluster::start().unwrap(), silent());
    let seeds = format!("{},{}", silent.local_addr().unwrap(), cluster.nodes()[0].address());
    // Whoever waited for it would wait for so long.
    let deadline = DEADLINE * 10;
    let config = RedisConfig::new(&format!("redis+cluster://{seeds}")).unwrap().deadline(deadline).unwrap();
    let began = Instant::now();
    Redis::connect(config).await.unwrap().ping().await.unwrap();
    assert!(began.elapsed() < deadline, "{:?}", began.elapsed());
    listens(&format!("redis+cluster://{seeds}"), DEADLINE).await;
}

/// The map is out of date, and the next owner does not know the script: each answer still stands where its call does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_go_out_together_follow_a_slot_that_has_moved() {
    let cluster = Cluster::start().unwrap();
    let redis = connect(&cluster.url()).await;
    let script = Script::new("redis.call('INCR', KEYS[1]) return ARGV[1]");
    let calls: Vec<Call> = (0..100).map(|n| Call::new().key(format!("{{{}}}{n}", n % 7)).number(n)).collect();
    let slot = cluster.slot_of("{3}").unwrap();
    for round in 1..=3_u32 {
        let target = another(&cluster, cluster.owner_of(slot).unwrap());
        tokio::task::block_in_place(|| cluster.move_slot(slot, target)).unwrap();
        cluster.primaries().unwrap().iter().for_each(|node| node.command::<()>(&["SCRIPT", "FLUSH"]).unwrap());
        let answers = redis.run_all(&script, calls.clone(), Effect::Writes).await.unwrap();
        let answers: Vec<u32> = answers.into_iter().map(|answer| redis::from_redis_value(answer).unwrap()).collect();
        assert!(answers.into_iter().eq(0..100));
        for n in 0..100 {
            let key = format!("{{{}}}{n}", n % 7);
            let owner = cluster.owner_of(cluster.slot_of(&key).unwrap()).unwrap();
            assert_eq!(owner.command::<u32>(&["GET", &key]).unwrap(), round, "{key} was counted once a round");
        }
    }
}

/// For a while the two keys of a call are on two nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moves_under_load_without_a_lost_or_repeated_call() {
    let cluster = Cluster::start().unwrap();
    let redis = connect(&cluster.url()).await;
    let slot = cluster.slot_of(KEY).unwrap();
    let fill = (0..200).map(|n| call(&format!("{{show}}{n}"), "v")).collect();
    redis.run_all(&set(), fill, Effect::Writes).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let count = "redis.call('INCR', KEYS[2]) return redis.call('INCR', KEYS[1])";
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (redis, stop, script) = (redis.clone(), Arc::clone(&stop), Script::new(count));
            tokio::spawn(async move {
                let (mut counted, mut refused) = (0_u32, 0_u32);
                let (a, b) = (format!("{{show}}a{n}"), format!("{{show}}b{n}"));
                while !stop.load(Ordering::Relaxed) {
                    match redis.run(&script, Call::new().key(&a).key(&b), Effect::Writes).await {
                        Ok(answer) => {
                            counted += 1;
                            assert_eq!(redis::from_redis_value::<u32>(answer).unwrap(), counted);
                        }
                        Err(StoreError::Unavailable { .. }) => refused += 1,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                (counted, refused)
            })
        })
        .collect();
    let target = tokio::task::block_in_place(|| {
        for _ in 0..3 {
            let from = cluster.owner_of(slot).unwrap();
            cluster.move_slot(slot, another(&cluster, from)).unwrap();
        }
        cluster.owner_of(slot).unwrap()
    });
    set_eventually(&redis, KEY, "there").await;
    stop.store(true, Ordering::Relaxed);
    for (n, task) in tasks.into_iter().enumerate() {
        let (counted, refused) = task.await.unwrap();
        assert!(counted > refused, "{counted} {refused}");
        assert_eq!(target.command::<u32>(&["GET", &format!("{{show}}a{n}")]).unwrap(), counted);
    }
    assert_eq!(target.command::<String>(&["GET", KEY]).unwrap(), "there");
}

/// What a node answers while a slot leaves it: go there for this key, and come again for these two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_moving_slot_are_found_where_they_are() {
    let cluster = Cluster::start().unwrap();
    let config = RedisConfig::new(&cluster.url()).unwrap().deadline(PATIENCE).unwrap();
    let redis = Redis::connect(config).await.unwrap();
    let slot = cluster.slot_of(KEY).unwrap();
    let fill = (0..15).map(|n| call(&format!("{{show}}{n}"), "v")).collect();
    redis.run_all(&set(), fill, Effect::Writes).await.unwrap();
    let (from, runtime) = (cluster.owner_of(slot).unwrap(), tokio::runtime::Handle::current());
    let to = another(&cluster, from);
    let a_key =
        |node: &Server| node.command::<Vec<String>>(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "1"]).unwrap().remove(0);
    let mut split = None;
    tokio::task::block_in_place(|| {
        let watch = |step| match step {
            MoveStep::Marked => {
                runtime.block_on(redis.run(&set(), call(KEY, "v"), Effect::Writes)).unwrap();
                assert_eq!(a_key(to), KEY);
            }
            MoveStep::Moved(_) if split.is_none() => {
                let both = Call::new().key(a_key(from)).key(a_key(to));
                let redis = redis.clone();
                split = Some(runtime.spawn(async move {
                    redis.run(&Script::new("return redis.call('EXISTS', unpack(KEYS))"), both, Effect::Reads).await
                }));
                while from.info("errorstat_TRYAGAIN").is_err() {
                    std::thread::yield_now();
                }
            }
            _ => {}
        };
        cluster.move_slot_with(slot, to, watch).unwrap();
    });
    assert_eq!(split.unwrap().await.unwrap().unwrap(), Value::Int(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_follows_its_slot_to_the_next_primary() {
    let cluster = Cluster::start().unwrap();
    let redis = connect(&cluster.url()).await;
    redis.subscribe(KEY.as_bytes()).await.unwrap();
    let mut notices = redis.notices();
    let slot = cluster.slot_of(KEY).unwrap();
    let first = cluster.owner_of(slot).unwrap();
    first.pause().unwrap();
    loop {
        assert_eq!(tokio::time::timeout(PATIENCE, notices.next()).await.unwrap(), Some(Notice::Lost));
        if redis.subscribe(KEY.as_bytes()).await.is_ok() {
            break;
        }
    }
    let second = tokio::task::block_in_place(|| cluster.wait_for_owner_after(slot, first).unwrap());
    assert_eq!(second.command::<u32>(&["SPUBLISH", KEY, "p"]).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_primary_holds_up_its_own_slots_only_and_is_replaced() {
    let cluster = Cluster::start().unwrap();
    let redis = connect(&cluster.url()).await;
    let slot = cluster.slot_of(KEY).unwrap();
    let paused = cluster.owner_of(slot).unwrap();
    let is_elsewhere = |key: &String| cluster.owner_of(cluster.slot_of(key).unwrap()).unwrap().port() != paused.port();
    let elsewhere = (0..).map(|n| format!("{{{n}}}")).find(is_elsewhere).unwrap();
    paused.pause().unwrap();
    let first = redis.run(&set(), call(KEY, "v"), Effect::Writes).await.unwrap_err();
    assert!(matches!(first, StoreError::OutcomeUnknown { .. }), "{first:?}");
    let followed = redis.clone();
    let follow = tokio::spawn(async move { set_eventually(&followed, KEY, "w").await });
    while !follow.is_finished() {
        // The others refuse everything for a moment when the cluster has lost a primary.
        match redis.run(&set(), call(&elsewhere, "v"), Effect::Writes).await {
            Ok(_) => {}
            Err(error) => assert!(matches!(cause(&error), Error::Refused { code, .. } if code == "CLUSTERDOWN"), "{error:?}"),
        }
    }
    follow.await.unwrap();
    let next = tokio::task::block_in_place(|| cluster.wait_for_owner_after(slot, paused).unwrap());
    assert_eq!(next.command::<String>(&["GET", KEY]).unwrap(), "w");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_whose_slot_moves_is_told_and_can_be_made_again() {
    let cluster = Cluster::start().unwrap();
    let redis = connect(&cluster.url()).await;
    redis.subscribe(KEY.as_bytes()).await.unwrap();
    let mut notices = redis.notices();
    let slot = cluster.slot_of(KEY).unwrap();
    let target = tokio::task::block_in_place(|| {
        let target = another(&cluster, cluster.owner_of(slot).unwrap());
        cluster.move_slot(slot, target).unwrap();
        target
    });
    assert_eq!(tokio::time::timeout(PATIENCE, notices.next()).await.unwrap(), Some(Notice::Lost));
    redis.subscribe(KEY.as_bytes()).await.unwrap();
    assert_eq!(target.command::<u32>(&["SPUBLISH", KEY, "p"]).unwrap(), 1);
    loop {
        match tokio::time::timeout(PATIENCE, notices.next()).await.unwrap().unwrap() {
            Notice::Message { channel, .. } => break assert_eq!(channel.as_ref(), KEY.as_bytes()),
            Notice::Lost => {}
        }
    }
}
