//! The slot of some shows moves to another node while they are sold.
//!
//! A script names six keys, and a show's are not all there: nobody's hold has ended, nobody has bought. While its slot
//! moves, a node that misses one of several keys answers `TRYAGAIN`, whether the others are at the other node or were never
//! anywhere. So a show's calls are put off from the first mark to the last, not only while its own keys are under way: they
//! ask again every 10 ms, and end as unavailable when the move takes longer than three quarters of their time. A slot of a
//! few shows moves in tens of milliseconds, which calls with a deadline of 500 ms ride out; the first call after the move
//! succeeds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bms_domain::error::Error;
use bms_domain::id::{HoldId, ShowId};
use bms_domain::store::HoldStore as _;
use bms_domain::testing::sample;
use bms_redis::testing::{Cluster, MoveStep, Server};
use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::support::crowd::Crowd;
use crate::support::rig::{DEADLINE, MARGIN, Rig, caller, hold_of};
use crate::support::until;
use crate::support::watcher::{LiveMap, Watcher};
use crate::{shows_here_and_elsewhere, slot_of};

/// P2, P3, P11: a move under load, back and forth, loses no hold that was acknowledged and leaves none in part; calls end
/// in time; live maps go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_slot_moves_under_load() {
    let cluster = Cluster::start().unwrap();
    let (first, second) = sample::shows_of_one_shard();
    let (slot, from) = (slot_of(&cluster, &first), cluster.owner_of(slot_of(&cluster, &first)).unwrap());
    let (_, elsewhere) = shows_here_and_elsewhere(&cluster, from);
    let shows = [first, second, elsewhere];
    let rig = Rig::open(&cluster.url(), &shows).await;
    let crowd = Crowd::send(&rig, &shows, 2);
    crowd.until_answered(100).await;
    let watchers = shows.map(|show| Watcher::of(&rig.holds, &show));
    for _ in 0..2 {
        let (from, to) = ends(&cluster, slot);
        // The load goes on at every step, for shows of this slot and others.
        block_in_place(|| {
            let watch = |_| Handle::current().block_on(crowd.until_answered(5));
            cluster.move_slot_with(slot, to, watch).unwrap();
        });
        assert_ne!(cluster.owner_of(slot).unwrap().port(), from.port());
        crowd.until_answered(100).await;
    }
    let seen = crowd.go_home().await;
    let (asked, confirmed) = (seen.asked.lock().clone(), seen.confirmed.lock().clone());
    let kept = seen.kept.lock().clone();
    assert!(!kept.is_empty() && !confirmed.is_empty());
    assert_eq!(rig.live(&kept).await.len(), kept.len(), "every hold that was acknowledged is there");
    assert!(seen.retryable.load(Ordering::Relaxed) < seen.answered.load(Ordering::Relaxed), "{:?}", seen.worst());
    for (show, watcher) in shows.iter().zip(watchers) {
        rig.audit_holds(show, &asked).await;
        let known = LiveMap::of(rig.occupancy(show).await);
        watcher.until(Duration::from_secs(5), |map| *map == known).await;
        assert_eq!(watcher.gaps.load(Ordering::Relaxed), 0, "the log of changes has moved with the show");
        watcher.stop().await;
        rig.audit_sales(show, &confirmed).await;
    }
}

/// The finding above, step by step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_put_off_while_a_slot_moves_and_succeed_right_after() {
    let cluster = Cluster::start().unwrap();
    let show = sample::show("show-1");
    let slot = slot_of(&cluster, &show);
    let (from, to) = ends(&cluster, slot);
    let (_, elsewhere) = shows_here_and_elsewhere(&cluster, from);
    let rig = Rig::open(&cluster.url(), &[show, elsewhere]).await;
    let kept = rig.place_in(&show, "ann", &[0, 1], 1).await.unwrap().hold.id;
    let watcher = Watcher::of(&rig.holds, &show);
    watcher.until(Duration::from_secs(5), |map| map.held.contains(0)).await;

    let (mut steps, mut seed) = (Vec::new(), 100_u32);
    let watch = |step| {
        if step == MoveStep::Assigned {
            return;
        }
        Handle::current().block_on(async {
            let began = Instant::now();
            let outcomes = join_all((1..=8).map(async |n| rig.place_in(&show, "bob", &[10 + n], seed + n).await)).await;
            steps.push((step, began.elapsed()));
            // Refused, and nothing was changed: a call that is put off is not sent so late that its answer is missed.
            let refused = |outcome: &Result<_, Error>| matches!(outcome, Err(Error::Unavailable { .. }));
            assert!(outcomes.iter().all(refused), "{outcomes:?}");
            seed += 10;
            // One key alone is found wherever it is.
            assert_eq!(rig.live(&[kept]).await.len(), 1);
            let began = Instant::now();
            rig.place_in(&elsewhere, &format!("user-{seed}"), &[seed], seed).await.unwrap();
            assert!(began.elapsed() < MARGIN, "other slots are not held up");
        });
    };
    block_in_place(|| cluster.move_slot_with(slot, to, watch).unwrap());
    assert!(steps.len() >= 2, "{steps:?}");
    assert!(steps.iter().all(|(_, took)| *took < DEADLINE + MARGIN), "P11: {steps:?}");
    // Each was put off until its time was nearly over, at every step: a move that is quicker than that is ridden out.
    assert!(steps.iter().all(|(_, took)| *took > DEADLINE / 2), "{steps:?}");
    let quickest = steps.iter().map(|(_, took)| *took).min().unwrap();
    assert!(quickest < DEADLINE * 9 / 10, "there was time left for an answer: {steps:?}");

    // At the first try, at the new owner; and who looks at the live map sees it, though the channel has moved as well.
    let placed = rig.place_in(&show, "bob", &[10], 99).await.unwrap().hold.id;
    watcher.until(Duration::from_secs(3), |map| map.held.contains(10)).await;
    assert_eq!(watcher.gaps.load(Ordering::Relaxed), 0);
    watcher.stop().await;
    assert_eq!(to.command::<usize>(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).unwrap(), 5);
    rig.audit_holds(&show, &[kept, placed]).await;
    rig.service.release_hold(&caller("ann"), hold_of(&show, 1)).await.unwrap();
    hears_of_changes(&rig, &show).await;
    told_of_a_missed_change(&rig, &cluster, slot, &[placed]).await;
}

/// The channel of a slot that moved was ended unasked. While nobody asks the log, it is what tells of new versions.
async fn hears_of_changes(rig: &Rig, show: &ShowId) {
    let (before, seeds) = (rig.occupancy(show).await.version, AtomicU32::new(1_000));
    until("a version that is told", || async {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        rig.place_in(show, "dan", &[30], seed).await.unwrap();
        rig.service.release_hold(&caller("dan"), hold_of(show, seed)).await.unwrap();
        rig.holds.newest(show).is_some_and(|version| version > before)
    })
    .await;
}

/// A change that is told on no channel is noticed by the log all the same, and within about a second.
async fn told_of_a_missed_change(rig: &Rig, cluster: &Cluster, slot: u16, holds: &[HoldId]) {
    let show = rig.live(holds).await[0].show;
    let before = rig.occupancy(&show).await.version;
    let waiting = tokio::spawn({
        let holds = rig.holds.clone();
        async move { holds.changes(&show, before).await }
    });
    // Whatever is subscribed at the owner of the slot is not any more.
    let owner = cluster.owner_of(slot).unwrap();
    owner.command::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
    rig.place_in(&show, "cid", &[20], 98).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(3), waiting).await.expect("told in time").unwrap().unwrap();
    let mut map = LiveMap::of(rig.occupancy(&show).await);
    map.version = before;
    assert!(map.take(told) && map.held.contains(20));
}

/// Who owns a slot, and another primary.
fn ends(cluster: &Cluster, slot: u16) -> (&Server, &Server) {
    let from = cluster.owner_of(slot).unwrap();
    let to = cluster.primaries().unwrap().into_iter().find(|node| node.port() != from.port()).unwrap();
    (from, to)
}
