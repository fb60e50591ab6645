//! Three shards.

use std::{collections::HashSet, path::Path};

use bms_redis::testing::{Cluster, Failure, MoveStep, Server};
use redis::cluster::ClusterClient;

/// A key's hash tag here, and its slot.
const TAG: &str = "{show}";

fn set(connection: &mut impl redis::ConnectionLike, key: &str) {
    redis::cmd("SET").arg(key).arg(1).query::<()>(connection).unwrap();
}

#[test]
fn a_cluster_serves_every_slot_and_is_gone_after_its_drop() {
    let cluster = Cluster::start().unwrap();
    let owners: HashSet<_> = [0, 5_460, 5_461, 10_922, 10_923, 16_383].map(|slot| cluster.owner_of(slot).unwrap().port()).into();
    let primaries: HashSet<_> = cluster.primaries().unwrap().iter().map(|node| node.port()).collect();
    assert_eq!(owners, primaries);
    assert_eq!(owners.len(), 3);
    for primary in cluster.primaries().unwrap() {
        let replicas = cluster.replicas_of(primary).unwrap();
        assert_eq!(replicas.len(), 1);
        assert_eq!(replicas[0].info("role").unwrap(), "slave");
    }
    let mut connection = ClusterClient::new(cluster.urls()).unwrap().get_connection().unwrap();
    for key in 0..100 {
        set(&mut connection, &key.to_string());
    }
    let sizes = cluster.primaries().unwrap().into_iter().map(|node| node.command::<usize>(&["DBSIZE"]).unwrap());
    assert_eq!(sizes.sum::<usize>(), 100);

    let pids: Vec<_> = cluster.nodes().iter().map(|server| server.pid().unwrap()).collect();
    assert_eq!(pids.len(), 6);
    drop(cluster);
    assert!(pids.iter().all(|pid| !Path::new("/proc").join(pid.to_string()).exists()));
}

#[test]
fn a_slot_moves_step_by_step_with_its_keys() {
    let cluster = Cluster::start().unwrap();
    let slot = cluster.slot_of(TAG).unwrap();
    let from = cluster.owner_of(slot).unwrap();
    let to = cluster.primaries().unwrap().into_iter().find(|node| node.port() != from.port()).unwrap();
    let mut connection = ClusterClient::new(cluster.urls()).unwrap().get_connection().unwrap();
    for key in 0..25 {
        set(&mut connection, &format!("{TAG}{key}"));
    }
    let keys = |node: &Server| node.command::<usize>(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).unwrap();
    let mut steps = Vec::new();
    cluster
        .move_slot_with(slot, to, |step| {
            // A client finds its way at every step.
            set(&mut connection, &format!("{TAG}0"));
            steps.push((step, keys(from), keys(to)));
        })
        .unwrap();
    let moved: usize = steps.iter().map(|(step, ..)| if let MoveStep::Moved(count) = step { *count } else { 0 }).sum();
    assert_eq!(moved, 25);
    assert_eq!(steps[0], (MoveStep::Marked, 25, 0));
    assert_eq!(steps[1], (MoveStep::Moved(10), 15, 10));
    assert_eq!(*steps.last().unwrap(), (MoveStep::Assigned, 0, 25));
    assert_eq!(cluster.owner_of(slot).unwrap().port(), to.port());
    cluster.move_slot_with(slot, to, |step| panic!("{step:?}")).unwrap();
    let replica = cluster.replicas_of(from).unwrap()[0];
    assert!(matches!(cluster.move_slot(slot, replica), Err(Failure::Command { .. })));
}

#[test]
fn a_replica_takes_over_when_its_primary_is_killed_and_back_on_order() {
    let cluster = Cluster::start_with(Server::builder().password("secret")).unwrap();
    let slot = cluster.slot_of(TAG).unwrap();
    let first = cluster.owner_of(slot).unwrap();
    first.command::<()>(&["SET", TAG, "1"]).unwrap();
    assert_eq!(first.command::<usize>(&["WAIT", "1", "10000"]).unwrap(), 1);
    first.kill();
    let second = cluster.wait_for_owner_after(slot, first).unwrap();
    assert_eq!(second.command::<u8>(&["GET", TAG]).unwrap(), 1);
    first.restart().unwrap();
    cluster.wait_until_whole().unwrap();
    assert_eq!(first.info("role").unwrap(), "slave");
    assert_eq!(cluster.failover(slot).unwrap().port(), first.port());
    assert_eq!(first.command::<u8>(&["GET", TAG]).unwrap(), 1);
}

#[test]
fn a_paused_primary_is_replaced_and_follows_when_it_comes_back() {
    let cluster = Cluster::start().unwrap();
    let first = cluster.owner_of(0).unwrap();
    first.pause().unwrap();
    let second = cluster.wait_for_owner_after(0, first).unwrap();
    first.resume().unwrap();
    cluster.wait_until_whole().unwrap();
    assert_eq!(cluster.owner_of(0).unwrap().port(), second.port());
    assert_eq!(first.info("role").unwrap(), "slave");
}

#[test]
fn clients_go_through_the_proxies() {
    let cluster = Cluster::start_behind_proxies(Server::builder()).unwrap();
    let owner = cluster.owner_of(cluster.slot_of(TAG).unwrap()).unwrap();
    let proxy = cluster.proxy_of(owner).unwrap();
    let client = ClusterClient::builder(cluster.urls()).retries(1).build().unwrap();
    let mut connection = client.get_connection().unwrap();
    proxy.drop_reply_of("INCR");
    let answer = redis::cmd("INCR").arg(TAG).query::<u8>(&mut connection);
    proxy.wait_until_dropped(1).unwrap();
    // Whether the client asks again is its own affair; either way it was the proxy that lost the first answer.
    let count: u8 = owner.command(&["GET", TAG]).unwrap();
    assert!(matches!((answer, count), (Ok(2), 2) | (Err(_), 1 | 2)));

    owner.kill();
    owner.restart().unwrap();
    cluster.wait_until_whole().unwrap();
    assert_eq!(cluster.urls().len(), 6);
    let announced: String =
        owner.command(&["CONFIG", "GET", "cluster-announce-port"]).map(|(_, port): (String, String)| port).unwrap();
    assert_eq!(announced, proxy.port().to_string());
}
