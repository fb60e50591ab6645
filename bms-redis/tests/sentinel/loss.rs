//! A failover that takes acknowledged holds with it.

use std::time::Duration;

use bms_domain::error::Error;
use bms_domain::store::{Changes, HoldStore as _, OrderStore as _};
use bms_redis::testing::Replicated;
use tokio::task::block_in_place;

use crate::gala;
use crate::support::rig::{Rig, caller, hold_of, names, seats_in_the_way};
use crate::support::watcher::{LiveMap, Watcher};

/// P2 is broken for a moment, as the documentation says. P1 and P4 are not: one of two who hold a seat gets it, the other is
/// refused when he orders, with the seats named, and money that was taken is to be given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_hold_sells_nothing_twice_and_loses_no_money() {
    let group = Replicated::start().unwrap();
    let rig = Rig::open(&group.url(), &[gala()]).await;
    rig.place_in(&gala(), "early", &[0], 1).await.unwrap();
    let former = group.primary().unwrap();
    assert_eq!(former.command::<usize>(&["WAIT", "2", "10000"]).unwrap(), 2);
    block_in_place(|| group.stop_replication()).unwrap();
    // Ann and Eve have ordered, Cid has a hold only.
    let ann = rig.place_in(&gala(), "ann", &[1, 2], 2).await.unwrap().hold.id;
    let anns = rig.order_of("ann", ann).await.unwrap();
    let cid = rig.place_in(&gala(), "cid", &[5], 3).await.unwrap().hold.id;
    let eve = rig.place_in(&gala(), "eve", &[7, 8], 4).await.unwrap().hold.id;
    let eves = rig.order_of("eve", eve).await.unwrap();
    former.kill();
    block_in_place(|| group.wait_for_primary_after(former)).unwrap();

    // The same seats are granted again.
    let bob = rig.eventually(async |rig| rig.place_in(&gala(), "bob", &[1, 2, 3], 5).await).await.hold.id;
    let dan = rig.place_in(&gala(), "dan", &[5], 6).await.unwrap().hold.id;
    assert_eq!(rig.live(&[hold_of(&gala(), 1), ann, cid, eve]).await.len(), 1, "what was passed on is there, and no more");

    assert_eq!(seats_in_the_way(rig.order_of("bob", bob).await.unwrap_err()), names(&[1, 2]));
    assert!(rig.live(&[bob]).await.is_empty(), "the hold that was refused is given back");
    let dans = rig.order_of("dan", dan).await.unwrap();
    assert!(matches!(rig.order_of("cid", cid).await, Err(Error::NotFound(_))));
    let mut confirmed =
        vec![rig.paid("dan", &dans, "pay_ok_dan").await.unwrap(), rig.paid("ann", &anns, "pay_ok_ann").await.unwrap()];

    // Eve pays after her order's end, when somebody else has one of her seats.
    rig.clock.advance(Duration::from_mins(6));
    let fred = rig.place_in(&gala(), "fred", &[8], 7).await.unwrap().hold.id;
    let freds = rig.order_of("fred", fred).await.unwrap();
    confirmed.push(rig.paid("fred", &freds, "pay_ok_fred").await.unwrap());
    assert!(matches!(rig.paid("eve", &eves, "pay_ok_eve").await, Err(Error::OrderExpired(order)) if order.refund_due));
    let due = rig.orders.refunds_due(None, 100).await.unwrap();
    assert_eq!(due.iter().map(|refund| refund.order).collect::<Vec<_>>(), [eves.id], "P4");
    rig.audit_sales(&gala(), &confirmed).await;
}

/// Who looks at a live map while the primary is replaced is told of what was lost, and goes on with the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_map_is_right_again_after_a_failover() {
    let group = Replicated::start().unwrap();
    let rig = Rig::open(&group.url(), &[gala()]).await;
    rig.place_in(&gala(), "early", &[0], 1).await.unwrap();
    let watcher = Watcher::of(&rig.holds, &gala());
    watcher.until(Duration::from_secs(5), |map| map.held.contains(0)).await;
    let former = group.primary().unwrap();
    assert_eq!(former.command::<usize>(&["WAIT", "2", "10000"]).unwrap(), 2);
    block_in_place(|| group.stop_replication()).unwrap();
    rig.place_in(&gala(), "ann", &[1], 2).await.unwrap();
    watcher.until(Duration::from_secs(5), |map| map.held.contains(1)).await;
    former.kill();
    block_in_place(|| group.wait_for_primary_after(former)).unwrap();
    watcher.until(Duration::from_secs(10), |map| map.held.contains(0) && !map.held.contains(1)).await;
    rig.eventually(async |rig| rig.place_in(&gala(), "bob", &[2], 3).await).await;
    watcher.until(Duration::from_secs(5), |map| map.held.contains(2) && !map.held.contains(1)).await;
    watcher.stop().await;
}

/// Versions that were lost are given anew, to other changes. Who has seen the lost ones must not take the new ones for those
/// that follow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_after_a_loss_are_not_taken_for_the_lost_ones() {
    let group = Replicated::start().unwrap();
    let rig = Rig::open(&group.url(), &[gala()]).await;
    rig.place_in(&gala(), "early", &[0], 1).await.unwrap();
    let former = group.primary().unwrap();
    assert_eq!(former.command::<usize>(&["WAIT", "2", "10000"]).unwrap(), 2);
    let before = rig.occupancy(&gala()).await.version;
    block_in_place(|| group.stop_replication()).unwrap();
    rig.place_in(&gala(), "ann", &[1], 2).await.unwrap();
    let mut map = LiveMap::of(rig.occupancy(&gala()).await);
    assert!(matches!(rig.holds.changes(&gala(), before).await.unwrap(), Changes::Since(_)));
    former.kill();
    block_in_place(|| group.wait_for_primary_after(former)).unwrap();

    // Others are quicker than he who looks at the map.
    rig.eventually(async |rig| rig.place_in(&gala(), "bob", &[2], 3).await).await;
    rig.place_in(&gala(), "cid", &[3], 4).await.unwrap();
    let lost = map.version;
    assert!(rig.occupancy(&gala()).await.version > lost, "the version he has seen is another change's by now");
    assert_eq!(changes(&rig, lost).await, Changes::Gap);
    map = LiveMap::of(rig.occupancy(&gala()).await);
    assert_eq!(map.held.iter().collect::<Vec<_>>(), [0, 2, 3]);
    // Once is enough, and it holds for all who have seen what was lost, or what came before it.
    rig.service.release_hold(&caller("cid"), hold_of(&gala(), 4)).await.unwrap();
    assert!(map.take(changes(&rig, map.version).await));
    assert_eq!(map, LiveMap::of(rig.occupancy(&gala()).await));
    for version in [before, lost] {
        assert_eq!(changes(&rig, version).await, Changes::Gap);
    }
}

async fn changes(rig: &Rig, after: u64) -> Changes {
    let changes = tokio::time::timeout(Duration::from_secs(5), rig.holds.changes(&gala(), after)).await;
    changes.expect("told in time").unwrap()
}
