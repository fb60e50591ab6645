//! What holds on one node holds on a cluster.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};

use bms_domain::id::ShowId;
use bms_domain::store::{HoldStore as _, OccupancyRead, PlaceHold, Placed, SeatLimits, ShowClaims};
use bms_domain::testing::{self, ManualClock, conformance, sample, sequences};
use bms_redis::RedisHolds;
use bms_redis::testing::Cluster;
use tokio::runtime::{Builder, Handle};

use crate::office::PATIENCE;
use crate::support::{Tokio, connect, fresh_holds};
use crate::{slot_of, url};

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
    let url = url(&cluster);
    let fresh = |clock: ManualClock| {
        let url = url.clone();
        async move { fresh_holds(&url, clock).await }
    };
    conformance::hold_store(testing::on(Tokio(Handle::current()), fresh)).await;
}

#[test]
fn random_sequences_on_a_cluster_agree_with_the_model() {
    let cluster = cluster();
    let url = url(&cluster);
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
    let holds = RedisHolds::new(connect(&url(&cluster)).await);
    let shows: Vec<ShowId> = (0..100).map(|n| sample::show(&format!("show-{n}"))).collect();
    let owners: HashSet<u16> = shows.iter().map(|show| cluster.owner_of(slot_of(&cluster, show)).unwrap().port()).collect();
    assert_eq!(owners.len(), 3, "the shows are on all nodes");
    let mut ids = Vec::new();
    for (show, n) in shows.iter().zip(0..) {
        prime(&holds, show).await;
        let placed = holds.place(&wish(show, n)).await.unwrap();
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

async fn prime(holds: &RedisHolds, show: &ShowId) {
    let OccupancyRead::NotPrimed(fence) = holds.occupancy(show).await.unwrap() else { panic!("{show} is primed") };
    let claims = ShowClaims {
        show: *show,
        layout: sample::layout_id("plan-1"),
        seats: 100,
        sold: Vec::new(),
        pending: Vec::new(),
        grace: std::time::Duration::from_secs(2),
    };
    holds.restore(&claims, fence).await.unwrap();
}

fn wish(show: &ShowId, n: u32) -> PlaceHold {
    PlaceHold {
        id: sample::hold_id(show, n),
        show: *show,
        layout: sample::layout_id("plan-1"),
        owner: sample::user("ann"),
        seats: sample::seats(&[n % 99, n % 99 + 1]),
        price: sample::euro(100),
        ttl: std::time::Duration::from_mins(10),
        limits: SeatLimits { per_hold: 10, per_user_and_show: 10 },
    }
}
