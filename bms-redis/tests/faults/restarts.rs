//! The server is killed, and comes back with what it had written, or with nothing.

use std::time::{Duration, Instant};

use bms_domain::error::Error;
use bms_domain::service::Payment;
use bms_redis::testing::{Server, ServerBuilder};

use crate::support::rig::{PREFIX, Rig, caller, connect_within, hold_id, names, show};
use crate::support::{audit::audit, until};

const SEATS: u32 = 6;
const DEADLINE: Duration = Duration::from_secs(2);

/// Ann holds seats 0 and 1, Bob has ordered 2, Cid has bought 3; then the server is killed.
async fn killed(builder: ServerBuilder) -> (Server, Rig, Vec<String>) {
    let server = builder.start().unwrap();
    let rig = Rig::on_real_time(connect_within(&server.url(), DEADLINE).await, SEATS).await;
    rig.place("ann", &[0, 1], 1).await.unwrap();
    rig.place("bob", &[2], 2).await.unwrap();
    rig.order("bob", 2).await.unwrap();
    rig.buy("cid", &[3], 3).await.unwrap();
    rig.check(&server, &["pay_ok-3".to_owned()]).await;
    server.kill();
    (server, rig, vec!["pay_ok-3".to_owned()])
}

/// Starts it again, and waits until the connection is back.
async fn back(server: &Server, rig: &Rig) {
    server.restart().unwrap();
    until("a connection", || async { rig.service.hold(&caller("ann"), hold_id(1)).await.map_or_else(is_answer, |_| true) }).await;
}

fn is_answer(error: Error) -> bool {
    !matches!(error, Error::Unavailable { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_survive_a_kill_when_every_change_is_written() {
    let (server, rig, mut payments) = killed(Server::builder().append_only()).await;
    back(&server, &rig).await;
    assert!(rig.service.hold(&caller("ann"), hold_id(1)).await.unwrap().hold.state.is_live());
    let kept = audit(&server, PREFIX, &show()).unwrap();
    assert!(kept.primed && kept.held == [0, 1, 2].into() && kept.sold == [3].into(), "{kept:?}");
    let refused = rig.place("cid", &[0, 1, 2, 3, 4], 4).await;
    assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[0, 1, 2, 3])), "{refused:?}");
    // The sale goes on where it was.
    let order = rig.order("ann", 1).await.unwrap();
    rig.pay("ann", order.id, "pay_ok-1").await.unwrap();
    payments.push("pay_ok-1".to_owned());
    rig.check(&server, &payments).await;
}

/// P1, P8, P10: a server that wrote nothing knows nothing; orders and sales come back with the next call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_holds_without_an_order_are_gone_when_nothing_was_written() {
    let (server, rig, mut payments) = killed(Server::builder()).await;
    back(&server, &rig).await;
    let lost = rig.service.hold(&caller("ann"), hold_id(1)).await;
    assert!(matches!(lost, Err(Error::NotFound("hold"))), "{lost:?}");
    let refused = rig.place("cid", &[0, 1, 2, 3, 4], 4).await;
    assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[2, 3])), "{refused:?}");
    let kept = rig.check(&server, &payments).await;
    assert!(kept.held == [2].into() && kept.sold == [3].into(), "{kept:?}");
    // Ann's request, repeated, is granted anew; Bob's order is paid.
    rig.place("ann", &[0, 1], 1).await.unwrap();
    let order = rig.order("bob", 2).await.unwrap();
    rig.pay("bob", order.id, "pay_ok-2").await.unwrap();
    payments.push("pay_ok-2".to_owned());
    let kept = rig.check(&server, &payments).await;
    assert!(kept.held == [0, 1].into() && kept.sold == [2, 3].into(), "{kept:?}");
}

/// P13: without Redis nobody is granted a hold, which is said at once; who has ordered is sold his seats. P10: afterwards
/// Redis is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_are_confirmed_while_the_server_is_gone() {
    for builder in [Server::builder(), Server::builder().append_only()] {
        let (server, rig, mut payments) = killed(builder).await;
        // The loss is noticed by itself: no call has to wait for it.
        until("the loss is noticed", || async { rig.holds_are_refused().await }).await;
        let began = Instant::now();
        for seed in 10..20 {
            let refused = rig.place("ann", &[4], seed).await;
            assert!(matches!(refused, Err(Error::Unavailable { dependency: "redis", .. })), "{refused:?}");
        }
        assert!(began.elapsed() < DEADLINE, "P13: ten calls took {:?}", began.elapsed());

        let order = rig.all_orders().await.into_iter().find(|order| order.hold == hold_id(2)).unwrap();
        let paid = rig.pay("bob", order.id, "pay_ok-2").await;
        assert!(matches!(paid, Ok(Payment::Confirmed(_))), "P13: {paid:?}");
        payments.push("pay_ok-2".to_owned());

        back(&server, &rig).await;
        // Sold, by the durable store. The sweeper, the next conflict or a restore tells Redis.
        let map = rig.check_map(&server, &payments).await;
        assert_eq!(map.unavailable.iter().collect::<Vec<_>>(), [2, 3]);
        rig.service.sweep(100).await.unwrap();
        let kept = rig.check(&server, &payments).await;
        assert_eq!(kept.sold, [2, 3].into());
    }
}
