//! What a call may cost: nothing grows with what others do.

use std::time::Duration;

use bms_domain::store::HoldStore as _;
use bms_domain::testing::sample;
use bms_redis::RedisHolds;
use bms_redis::testing::{Proxy, Server};

use crate::support::rig::{Rig, connect_within};
use crate::support::{prime, scripts_called, until, wish};

/// How many records were read one at a time.
fn reads(server: &Server) -> u64 {
    let stats = server.info("cmdstat_hget").unwrap();
    stats.split(',').find_map(|part| part.strip_prefix("calls=")).unwrap().parse().unwrap()
}

async fn reads_of_a_sale(server: &Server, rig: &Rig, seat: u32) -> u64 {
    let before = reads(server);
    rig.buy("buyer", &[seat], 1_000 + seat).await.unwrap();
    reads(server) - before
}

/// Each payment of a rush would hold up the server otherwise, for longer the more people choose seats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_reads_its_own_hold_however_many_there_are() {
    let server = Server::start().unwrap();
    let rig = Rig::new(&server.url(), 400).await;
    rig.place("first", &[0], 0).await.unwrap();
    let few = reads_of_a_sale(&server, &rig, 1).await;
    for seat in 10..310 {
        rig.place(&format!("user-{seat}"), &[seat], seat).await.unwrap();
    }
    assert_eq!(reads_of_a_sale(&server, &rig, 2).await, few);
}

/// All is asked before anything is answered: many holds of as many shows take one round trip.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_holds_are_asked_for_in_one_round_trip() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let holds = RedisHolds::new(connect_within(proxy.url(), Duration::from_secs(60)).await);
    let mut ids = Vec::new();
    for n in 0..100 {
        let show = sample::show(&format!("show-{n}"));
        prime(&holds, &show, 4).await;
        holds.place(&wish(&show, n, &[1])).await.unwrap();
        ids.push(sample::hold_id(&show, n));
    }
    let shards: std::collections::HashSet<_> = ids.iter().map(|id| id.shard()).collect();
    // The script is known.
    holds.get(&ids).await.unwrap();

    let before = scripts_called(&server);
    proxy.hold_replies();
    let asking = tokio::spawn(async move { holds.get(&ids).await });
    until("every question", || async { scripts_called(&server) == before + shards.len() as u64 }).await;
    assert!(!asking.is_finished(), "no answer was passed on");
    proxy.release();
    assert_eq!(asking.await.unwrap().unwrap().into_iter().flatten().count(), 100);
    assert_eq!(scripts_called(&server), before + shards.len() as u64, "and nothing was asked for after that");
}
