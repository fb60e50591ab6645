//! The primary dies, or is relieved, or stands still for a while.

use std::time::{Duration, Instant};

use bms_redis::testing::{Replicated, Server};
use tokio::task::block_in_place;

use crate::crowd::Crowd;
use crate::office::{Office, SEATS};
use crate::{gala, url};

/// How long after the sentinels have chosen the store may take to follow them.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(5);

/// P1, P10, P11: calls end in time, the store follows without a restart, and no seat is sold twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_follows_when_the_primary_is_killed() {
    let group = Replicated::start().unwrap();
    let office = Office::open(&url(&group), &[gala()]).await;
    let crowd = Crowd::send(&office, &[gala()], 4);
    crowd.until_answered(200).await;
    let former = group.primary().unwrap();
    former.kill();
    block_in_place(|| group.wait_for_primary_after(former)).unwrap();
    follows(&office, FOLLOWS_WITHIN).await;
    crowd.until_answered(200).await;
    former.restart().unwrap();
    block_in_place(|| group.wait_until_whole()).unwrap();
    serves_without(&office, former).await;
    audit(&office, crowd).await;
}

/// The old primary stays reachable, and for a while believes in itself: what it grants then is lost, and from when the
/// store has followed it is asked for nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_follows_when_the_primary_is_relieved() {
    let group = Replicated::start().unwrap();
    let office = Office::open(&url(&group), &[gala()]).await;
    let crowd = Crowd::send(&office, &[gala()], 4);
    crowd.until_answered(200).await;
    let former = group.primary().unwrap();
    block_in_place(|| group.failover()).unwrap();
    follows(&office, FOLLOWS_WITHIN).await;
    crowd.until_answered(200).await;
    serves_without(&office, former).await;
    audit(&office, crowd).await;
}

/// A primary that was stalled wakes up as one, until the sentinels have told it: nobody asks it for a hold then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_wakes_up_voted_out_is_not_written_to() {
    let group = Replicated::start().unwrap();
    let office = Office::open(&url(&group), &[gala()]).await;
    office.place(&gala(), "ann", &[0], 1).await.unwrap();
    let former = group.primary().unwrap();
    former.pause().unwrap();
    block_in_place(|| group.wait_for_primary_after(former)).unwrap();
    follows(&office, FOLLOWS_WITHIN).await;
    former.resume().unwrap();
    let mut ids = Vec::new();
    for seed in 10..60 {
        ids.push(office.place(&gala(), &format!("user-{seed}"), &[seed], seed).await.unwrap().hold.id);
    }
    block_in_place(|| group.wait_until_whole()).unwrap();
    assert_eq!(office.live(&ids).await.len(), 50, "what was granted is what the new primary knows");
}

/// Waits until the store serves again.
async fn follows(office: &Office, limit: Duration) {
    let began = Instant::now();
    office.eventually(async |office| office.service.seat_map_fresh(&gala()).await).await;
    assert!(began.elapsed() < limit, "the store followed only after {:?}", began.elapsed());
}

/// Fails if the store calls a script on a server that is no primary any more. What replication brings is no script.
async fn serves_without(office: &Office, former: &Server) {
    former.command::<()>(&["CONFIG", "RESETSTAT"]).unwrap();
    for seed in 0..20 {
        let seats = [(seed * 7) % SEATS];
        let seed = 90_000_000 + seed;
        let placed = office.place(&gala(), "late", &seats, seed).await;
        if let Ok(held) = placed {
            office.service.release_hold(&crate::office::caller("late"), held.hold.id).await.unwrap();
        }
    }
    for command in ["cmdstat_evalsha", "cmdstat_eval"] {
        assert!(former.info(command).is_err(), "{command}: {:?}", former.info(command));
    }
}

async fn audit(office: &Office, crowd: Crowd) {
    let seen = crowd.go_home().await;
    let (asked, confirmed) = (seen.asked.lock().clone(), seen.confirmed.lock().clone());
    assert!(!confirmed.is_empty());
    office.audit_holds(&gala(), &asked).await;
    office.audit_sales(&gala(), &confirmed).await;
}
