//! What holds on one node holds on a cluster.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, Weak};

use bms_domain::id::{Shard, ShowId};
use bms_domain::store::{HoldStore as _, Placed};
use bms_domain::testing::{self, ManualClock, conformance, sample, sequences};
use bms_redis::testing::{Cluster, Server};
use bms_redis::{Error, Redis, RedisConfig, RedisHolds};
use tokio::runtime::{Builder, Handle};

use crate::slot_of;
use crate::support::rig::PATIENCE;
use crate::support::{Tokio, connect, fresh_holds, prime, scripts_called, until, wish};

/// One cluster for the tests here, which leave it as it is; gone with the last of them.
fn cluster() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(Cluster::start().unwrap());
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_every_rule_of_a_hold_store() {
    let cluster = cluster();
    let url = cluster.url();
    let fresh = |clock: ManualClock| {
        let url = url.clone();
        async move { fresh_holds(&url, clock).await }
    };
    conformance::hold_store(testing::on(Tokio(Handle::current()), fresh)).await;
}

#[test]
fn random_sequences_on_a_cluster_agree_with_the_model() {
    let cluster = cluster();
    let url = cluster.url();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fresh = |clock: ManualClock| {
        let url = url.clone();
        async move { fresh_holds(&url, clock).await }
    };
    sequences::hold_store(sequences::config(20, file!()), testing::on(Tokio(runtime.handle().clone()), fresh));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_holds_of_all_nodes_come_in_the_order_asked() {
    let cluster = cluster();
    let holds = RedisHolds::new(connect(&cluster.url()).await);
    let shows: Vec<ShowId> = (0..100).map(|n| sample::show(&format!("show-{n}"))).collect();
    let owners: HashSet<u16> = shows.iter().map(|show| cluster.owner_of(slot_of(&cluster, show)).unwrap().port()).collect();
    assert_eq!(owners.len(), 3, "the shows are on all nodes");
    let mut ids = Vec::new();
    for (show, n) in shows.iter().zip(0..) {
        prime(&holds, show, 100).await;
        let placed = holds.place(&wish(show, n, &[n % 99, n % 99 + 1])).await.unwrap();
        assert!(matches!(placed, Placed::Placed(_)), "{placed:?}");
        ids.push(sample::hold_id(show, n));
    }
    ids.reverse();
    // A hold that is not there is told as such, in its place.
    ids[50] = sample::hold_id(&shows[0], 999);
    let found = tokio::time::timeout(PATIENCE, holds.get(&ids)).await.unwrap().unwrap();
    assert_eq!(found.len(), 100);
    for (place, (id, hold)) in ids.iter().zip(&found).enumerate() {
        assert_eq!(hold.as_ref().map(|hold| hold.id), (place != 50).then_some(*id));
    }
    assert!(holds.counts(&shows).await.unwrap().iter().all(|counts| counts.unwrap().held == 2));
}

/// All is asked before anything is answered, by whichever node: one round trip a node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_holds_are_asked_for_in_one_round_trip_a_node() {
    let cluster = Cluster::start_behind_proxies(Server::builder()).unwrap();
    let config = RedisConfig::new(&cluster.url()).unwrap().deadline(PATIENCE).unwrap();
    let holds = RedisHolds::new(Redis::connect(config).await.unwrap());
    let (mut ids, mut shards) = (Vec::new(), HashMap::<u16, HashSet<Shard>>::new());
    for n in 0..100 {
        let show = sample::show(&format!("show-{n}"));
        prime(&holds, &show, 100).await;
        holds.place(&wish(&show, n, &[n % 99, n % 99 + 1])).await.unwrap();
        ids.push(sample::hold_id(&show, n));
        shards.entry(cluster.owner_of(slot_of(&cluster, &show)).unwrap().port()).or_default().insert(show.shard());
    }
    // The script is known.
    holds.get(&ids).await.unwrap();

    let primaries = cluster.primaries().unwrap();
    let expected: Vec<u64> = primaries.iter().map(|node| scripts_called(node) + shards[&node.port()].len() as u64).collect();
    let called = || primaries.iter().map(|node| scripts_called(node)).collect::<Vec<_>>();
    for node in &primaries {
        cluster.proxy_of(node).unwrap().hold_replies();
    }
    let asking = tokio::spawn(async move { holds.get(&ids).await });
    until("every question", || async { called() == expected }).await;
    assert!(!asking.is_finished(), "no answer was passed on");
    for node in &primaries {
        cluster.proxy_of(node).unwrap().release();
    }
    assert_eq!(asking.await.unwrap().unwrap().into_iter().flatten().count(), 100);
    assert_eq!(called(), expected, "and nothing was asked for after that");
}

/// The nodes are found, and every one of them is connected to, over TLS and with the authority that was handed in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_are_placed_on_every_node_over_tls() {
    let cluster = Cluster::start_with(Server::builder().tls()).unwrap();
    // One node is named; the others are on its map.
    let url = cluster.nodes()[0].url().replace("rediss", "rediss+cluster");
    let stranger = Redis::connect(RedisConfig::new(&url).unwrap()).await.unwrap_err();
    assert!(matches!(stranger, Error::Tls { .. }), "{stranger:?}");
    let config = RedisConfig::new(&url).unwrap().ca_certificate(cluster.authority_pem().unwrap());
    let holds = RedisHolds::new(Redis::connect(config).await.unwrap());
    let mut owners = HashSet::new();
    for n in 0..20 {
        let show = sample::show(&format!("show-{n}"));
        prime(&holds, &show, 2).await;
        assert!(matches!(holds.place(&wish(&show, n, &[0, 1])).await.unwrap(), Placed::Placed(_)));
        owners.insert(cluster.owner_of(slot_of(&cluster, &show)).unwrap().port());
    }
    assert_eq!(owners.len(), 3, "the shows are on all nodes");
}
