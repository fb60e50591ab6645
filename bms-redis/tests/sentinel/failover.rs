//! The primary dies, or is relieved, or stands still for a while.

use std::time::{Duration, Instant};

use bms_domain::error::Error as BookingError;
use bms_domain::service::BookedHold;
use bms_domain::store::{HoldStore as _, Placed, StoreError};
use bms_redis::testing::{Proxy, Replicated, Server, eventually};
use bms_redis::{Error, Redis, RedisConfig, RedisHolds};
use tokio::task::block_in_place;

use crate::gala;
use crate::support::crowd::Crowd;
use crate::support::rig::{Rig, SEATS};
use crate::support::{prime, wish};

/// How long after the sentinels have chosen the store may take to follow them.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(5);

/// P1, P10, P11: calls end in time, the store follows without a restart, and no seat is sold twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_follows_when_the_primary_is_killed() {
    let group = Replicated::start().unwrap();
    let rig = Rig::open(&group.url(), &[gala()]).await;
    let crowd = Crowd::send(&rig, &[gala()], 4);
    crowd.until_answered(200).await;
    let former = group.primary().unwrap();
    former.kill();
    block_in_place(|| group.wait_for_primary_after(former)).unwrap();
    follows(&rig, FOLLOWS_WITHIN).await;
    crowd.until_answered(200).await;
    former.restart().unwrap();
    block_in_place(|| group.wait_until_whole()).unwrap();
    serves_without(&rig, former).await;
    audit(&rig, crowd).await;
}

/// The old primary stays reachable, and for a while believes in itself: what it grants then is lost, and from when the
/// store has followed it is asked for nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_follows_when_the_primary_is_relieved() {
    let group = Replicated::start().unwrap();
    let rig = Rig::open(&group.url(), &[gala()]).await;
    let crowd = Crowd::send(&rig, &[gala()], 4);
    crowd.until_answered(200).await;
    let former = group.primary().unwrap();
    block_in_place(|| group.failover()).unwrap();
    follows(&rig, FOLLOWS_WITHIN).await;
    crowd.until_answered(200).await;
    serves_without(&rig, former).await;
    audit(&rig, crowd).await;
}

/// A primary that was stalled wakes up as one, until the sentinels have told it: nobody asks it for a hold then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_wakes_up_voted_out_is_not_written_to() {
    let group = Replicated::start().unwrap();
    let rig = Rig::open(&group.url(), &[gala()]).await;
    rig.place_in(&gala(), "ann", &[0], 1).await.unwrap();
    let former = group.primary().unwrap();
    former.pause().unwrap();
    block_in_place(|| group.wait_for_primary_after(former)).unwrap();
    follows(&rig, FOLLOWS_WITHIN).await;
    former.resume().unwrap();
    let mut ids = Vec::new();
    for seed in 10..60 {
        ids.push(rig.place_in(&gala(), &format!("user-{seed}"), &[seed], seed).await.unwrap().hold.id);
    }
    block_in_place(|| group.wait_until_whole()).unwrap();
    assert_eq!(rig.live(&ids).await.len(), 50, "what was granted is what the new primary knows");
}

/// Waits until the store serves again.
async fn follows(rig: &Rig, limit: Duration) {
    let began = Instant::now();
    rig.eventually(async |rig| rig.service.seat_map_fresh(&gala()).await).await;
    assert!(began.elapsed() < limit, "the store followed only after {:?}", began.elapsed());
}

/// Fails if the store calls a script on a server that is no primary any more, or does not serve. What replication brings is
/// no script.
async fn serves_without(rig: &Rig, former: &Server) {
    former.command::<()>(&["CONFIG", "RESETSTAT"]).unwrap();
    let user = &crate::support::rig::caller("late");
    for seed in 0..20 {
        // A crowd holds some of the seats.
        let seats = [(seed * 7) % SEATS];
        let seed = 90_000_000 + seed;
        let held = rig.eventually(async |rig| served(rig.place_in(&gala(), "late", &seats, seed).await)).await;
        if let Some(held) = held {
            rig.eventually(async |rig| rig.service.release_hold(user, held.hold.id).await).await;
        }
    }
    for command in ["cmdstat_evalsha", "cmdstat_eval"] {
        assert!(former.info(command).is_err(), "{command}: {:?}", former.info(command));
    }
}

/// A hold, or nothing where somebody else's is in the way; that is an answer too.
fn served(placed: Result<BookedHold, BookingError>) -> Result<Option<BookedHold>, BookingError> {
    match placed {
        Err(BookingError::SeatsUnavailable(_)) => Ok(None),
        placed => placed.map(Some),
    }
}

async fn audit(rig: &Rig, crowd: Crowd) {
    let seen = crowd.go_home().await;
    let (asked, confirmed) = (seen.asked.lock().clone(), seen.confirmed.lock().clone());
    assert!(!confirmed.is_empty());
    rig.audit_holds(&gala(), &asked).await;
    rig.audit_sales(&gala(), &confirmed).await;
}

/// P13: whoever begins while no sentinel names a primary goes on, is told so, and finds it when one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_primary_is_waited_for() {
    let group = Replicated::start().unwrap();
    let proxies: Vec<Proxy> = group.sentinels().iter().map(|sentinel| Proxy::start(sentinel).unwrap()).collect();
    let addresses: Vec<String> = proxies.iter().map(|proxy| proxy.address()).collect();
    proxies.iter().for_each(|proxy| proxy.refuse());
    let url = format!("redis+sentinel://{}/{}", addresses.join(","), group.service_name());
    let redis = Redis::connect_or_wait(RedisConfig::new(&url).unwrap()).await.unwrap();
    assert!(matches!(redis.ping().await, Err(StoreError::Unavailable { .. })));
    for proxy in &proxies {
        proxy.accept().unwrap();
    }
    eventually("a primary", async || redis.ping().await.is_ok()).await.unwrap();
}

/// Sentinels and primary are connected to over TLS and with the authority that was handed in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_placed_over_tls() {
    let group = Replicated::start_with(Server::builder().tls()).unwrap();
    let config = RedisConfig::new(&group.url()).unwrap();
    let stranger = Redis::connect(config.clone()).await.unwrap_err();
    assert!(matches!(stranger, Error::Tls { .. }), "{stranger:?}");
    let holds = RedisHolds::new(Redis::connect(config.ca_certificate(group.authority_pem().unwrap())).await.unwrap());
    prime(&holds, &gala(), 2).await;
    assert!(matches!(holds.place(&wish(&gala(), 1, &[0, 1])).await.unwrap(), Placed::Placed(_)));
}
