//! A node dies, and its replica takes over.

use bms_domain::error::Error;
use bms_domain::id::{HoldId, ShowId};
use bms_domain::store::{HoldStore as _, StoreError};
use bms_redis::testing::{Cluster, Server, eventually};
use bms_redis::{Redis, RedisConfig};
use tokio::task::block_in_place;

use crate::support::crowd::Crowd;
use crate::support::rig::{Rig, hold_of, names, seats_in_the_way};
use crate::support::until;
use crate::{shows_here_and_elsewhere, slot_of};

/// P1, P10, P11: whatever the failover took with it, each seat is sold once, every call ends in time and cleanly, and
/// afterwards everything works without a manual step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_under_load_sells_nothing_twice() {
    let cluster = Cluster::start().unwrap();
    let killed = &cluster.nodes()[0];
    let (here, elsewhere) = shows_here_and_elsewhere(&cluster, killed);
    let rig = Rig::open(&cluster.url(), &[here, elsewhere]).await;
    let crowd = Crowd::send(&rig, &[here, elsewhere], 4);
    crowd.until_answered(400).await;
    killed.kill();
    block_in_place(|| cluster.wait_for_owner_after(slot_of(&cluster, &here), killed)).unwrap();
    // The store finds the new owner by itself.
    rig.eventually(async |rig| rig.service.seat_map_fresh(&here).await).await;
    crowd.until_answered(400).await;
    killed.restart().unwrap();
    block_in_place(|| cluster.wait_until_whole()).unwrap();
    let seen = crowd.go_home().await;
    assert!(!seen.confirmed.lock().is_empty());
    let (asked, confirmed) = (seen.asked.lock().clone(), seen.confirmed.lock().clone());
    for show in [here, elsewhere] {
        rig.audit_holds(&show, &ids_of(&asked, &show)).await;
        rig.audit_sales(&show, &confirmed).await;
    }
    // Holds of the other nodes are untouched.
    let kept = ids_of(&seen.kept.lock(), &elsewhere);
    assert_eq!(rig.live(&kept).await.len(), kept.len());
}

/// P2 is broken for a moment, as the documentation says; P1 is not: whose hold was lost is found out at the order step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_was_acknowledged_and_lost_is_not_honoured_twice() {
    let cluster = Cluster::start().unwrap();
    let killed = &cluster.nodes()[0];
    let (show, _) = shows_here_and_elsewhere(&cluster, killed);
    let rig = Rig::open(&cluster.url(), &[show]).await;
    rig.place_in(&show, "early", &[0], 1).await.unwrap();
    assert_eq!(killed.command::<usize>(&["WAIT", "1", "10000"]).unwrap(), 1);
    cut_off(cluster.replicas_of(killed).unwrap()[0]).await;
    // Ann has an order, Cid only a hold, when the node dies with what it has not passed on.
    let ann = rig.place_in(&show, "ann", &[1, 2], 2).await.unwrap().hold.id;
    let anns = rig.order_of("ann", ann).await.unwrap();
    let cid = rig.place_in(&show, "cid", &[5], 3).await.unwrap().hold.id;
    killed.kill();
    block_in_place(|| cluster.wait_for_owner_after(slot_of(&cluster, &show), killed)).unwrap();

    let bob = rig.eventually(async |rig| rig.place_in(&show, "bob", &[2, 3], 4).await).await.hold.id;
    let dan = rig.place_in(&show, "dan", &[5], 5).await.unwrap().hold.id;
    assert_eq!(rig.live(&[hold_of(&show, 1), ann, cid]).await.len(), 1, "what had been passed on is there, and no more");
    let refused = rig.order_of("bob", bob).await.unwrap_err();
    assert_eq!(seats_in_the_way(refused), names(&[2]), "P3: every seat in the way is named");
    let dans = rig.order_of("dan", dan).await.unwrap();
    assert!(matches!(rig.order_of("cid", cid).await, Err(Error::NotFound(_))));
    let confirmed = [rig.paid("dan", &dans, "pay_ok_dan").await.unwrap(), rig.paid("ann", &anns, "pay_ok_ann").await.unwrap()];
    rig.audit_sales(&show, &confirmed).await;
    assert!(!rig.live(&[bob]).await.iter().any(|hold| hold.id == bob), "the refused hold was given back");
    rig.place_in(&show, "bob", &[3], 6).await.unwrap();
}

/// Lets a replica take nothing in any more, though the cluster goes on seeing it.
async fn cut_off(replica: &Server) {
    replica.command::<()>(&["CONFIG", "SET", "masterauth", "wrong"]).unwrap();
    replica.command::<()>(&["CLIENT", "KILL", "TYPE", "master"]).unwrap();
    until("a replica without its primary", || async { replica.info("master_link_status").unwrap() == "down" }).await;
}

/// The holds of a show that is alone in its shard.
fn ids_of(ids: &[HoldId], show: &ShowId) -> Vec<HoldId> {
    ids.iter().filter(|id| id.shard() == show.shard()).copied().collect()
}

/// P11, P13: a node that comes back without its cluster knows no slots. It is not believed: the shows of the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_forgot_its_cluster_takes_nobody_with_it() {
    let cluster = Cluster::start_with(Server::builder().config("cluster-require-full-coverage no")).unwrap();
    let lost = &cluster.nodes()[0];
    let (here, elsewhere) = shows_here_and_elsewhere(&cluster, lost);
    let rig = Rig::open(&cluster.url(), &[here, elsewhere]).await;
    for show in [here, elsewhere] {
        rig.place_in(&show, "ann", &[0], 1).await.unwrap();
    }
    let _: String = lost.command(&["FLUSHALL"]).unwrap();
    let _: String = lost.command(&["CLUSTER", "RESET", "HARD"]).unwrap();
    for _ in 0..1_000 {
        // What it answers has the map read again.
        let _ = rig.holds.get(&[hold_of(&here, 1)]).await;
        assert_eq!(rig.live(&[hold_of(&elsewhere, 1)]).await.len(), 1);
    }
}

/// P13: whoever begins while no node is there goes on, is told so, and finds the cluster when it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_cluster_is_waited_for() {
    let cluster = Cluster::start_behind_proxies(Server::builder()).unwrap();
    let proxies: Vec<_> = cluster.nodes().iter().map(|node| cluster.proxy_of(node).unwrap()).collect();
    proxies.iter().for_each(|proxy| proxy.refuse());
    let redis = Redis::connect_or_wait(RedisConfig::new(&cluster.url()).unwrap()).await.unwrap();
    assert!(matches!(redis.ping().await, Err(StoreError::Unavailable { .. })));
    for proxy in proxies {
        proxy.accept().unwrap();
    }
    eventually("the cluster", async || redis.ping().await.is_ok()).await.unwrap();
}
