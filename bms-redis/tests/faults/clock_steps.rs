//! The server's clock jumps, while the order store's and this program's go on.
//!
//! What bends: holds end early when the server's clock is set forward, and late when it is set back. What does not: no seat
//! is in two confirmed orders (P1), nothing is done by halves (P3), no payment is lost (P4), no state moves where it may not
//! (P7); and once the clock is right again, so is everything.

use std::time::Duration;

use bms_domain::error::Error;
use bms_domain::hold::HoldState;
use bms_domain::service::Payment;
use bms_domain::store::{Changes, HoldStore as _};
use bms_redis::testing::Server;

use crate::support::audit::audit;
use crate::support::rig::{PREFIX, Rig, caller, connect_within, hold_id, names, show};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// Ann holds 0 and 1, Bob has ordered 2, Cid has bought 3.
async fn before() -> (Server, Rig, Vec<String>) {
    let server = Server::builder().movable_clock().start().unwrap();
    let rig = Rig::on_real_time(connect_within(&server.url(), Duration::from_secs(5)).await, 8).await;
    rig.place("ann", &[0, 1], 1).await.unwrap();
    rig.place("bob", &[2], 2).await.unwrap();
    rig.order("bob", 2).await.unwrap();
    rig.buy("cid", &[3], 3).await.unwrap();
    rig.check(&server, &["pay_ok-3".to_owned()]).await;
    (server, rig, vec!["pay_ok-3".to_owned()])
}

impl Rig {
    async fn hold_state(&self, user: &str, seed: u32) -> HoldState {
        self.service.hold(&caller(user), hold_id(seed)).await.unwrap().hold.state
    }
}

/// Eleven minutes forward: live holds end early, also that of a pending order, whose seats are then guarded by the order store
/// alone. Another may be granted a hold on them (P2 and P8 bend), which comes to nothing when he orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_set_forward_ends_holds_early_and_sells_nothing_twice() {
    let (server, rig, mut payments) = before().await;
    server.set_clock_offset(11 * MINUTE).unwrap();
    assert!(matches!(rig.hold_state("ann", 1).await, HoldState::Expired { .. }));
    let late = rig.order("ann", 1).await;
    assert!(matches!(late, Err(Error::HoldExpired(_))), "P7: {late:?}");

    let order = rig.all_orders().await.into_iter().find(|order| order.hold == hold_id(2)).unwrap();
    assert!(order.state.is_pending(), "the order store's clock goes on");
    let granted = rig.place("cid", &[0, 2], 4).await.unwrap();
    assert!(granted.hold.state.is_live(), "a hold may be granted on what is only ordered");
    let refused = rig.order("cid", 4).await;
    assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[2])), "P1, P3: {refused:?}");
    // The conflict gave the hold back, and brought that of the order: from here on the seat cannot be held.
    let refused = rig.place("cid", &[0, 2, 3], 5).await;
    assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[2, 3])), "P2, P10: {refused:?}");
    let paid = rig.pay("bob", order.id, "pay_ok-2").await;
    assert!(matches!(paid, Ok(Payment::Confirmed(_))), "P4: {paid:?}");
    payments.push("pay_ok-2".to_owned());
    let kept = rig.check(&server, &payments).await;
    assert!(kept.held.is_empty() && kept.sold == [2, 3].into(), "P3: {kept:?}");
    sells_as_usual_when_it_is_right(&server, &rig, payments).await;
}

/// Forward, and back before anybody asked for anything: nothing was retired, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_wrong_while_nobody_asked_has_no_effect() {
    let (server, rig, payments) = before().await;
    let kept = audit(&server, PREFIX, &show());
    server.set_clock_offset(11 * MINUTE).unwrap();
    // Who only looks at his hold is told by the clock as it is now, and changes nothing.
    assert!(!rig.hold_state("ann", 1).await.is_live());
    server.set_clock_offset(0).unwrap();
    assert!(rig.hold_state("ann", 1).await.is_live());
    assert_eq!(Some(rig.check(&server, &payments).await), kept);
    sells_as_usual_when_it_is_right(&server, &rig, payments).await;
}

/// Eleven minutes, and two hours, back: holds live longer than their time by as much (P5 bends), and no call fails. Versions
/// go on growing, because a show counts on from where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_set_back_keeps_holds_longer_and_fails_no_call() {
    for back in [-11 * MINUTE, -2 * HOUR] {
        let (server, rig, mut payments) = before().await;
        let version = rig.map().await.version;
        server.set_clock_offset(back).unwrap();

        let refused = rig.place("cid", &[0, 1, 2, 3, 4], 4).await;
        assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[0, 1, 2, 3])), "P2: {refused:?}");
        assert!(rig.hold_state("ann", 1).await.is_live());
        rig.place("cid", &[4], 5).await.unwrap();
        let changes = rig.holds.changes(&show(), version).await.unwrap();
        let Changes::Since(changes) = changes else { panic!("the log goes on: {changes:?}") };
        assert_eq!(changes.iter().map(|change| change.version).collect::<Vec<_>>(), [version + 1]);
        // A hold that was placed before is covered by what is left of it, and one that is placed now as usual.
        let order = rig.order("ann", 1).await.unwrap();
        assert!(matches!(rig.pay("ann", order.id, "pay_ok-1").await, Ok(Payment::Confirmed(_))));
        rig.service.release_hold(&caller("cid"), hold_id(5)).await.unwrap();
        payments.push("pay_ok-1".to_owned());
        rig.service.sweep(100).await.unwrap();
        let kept = rig.check(&server, &payments).await;
        assert!(kept.version > version && kept.held == [2].into() && kept.sold == [0, 1, 3].into(), "{kept:?}");

        // Placed while the clock was behind: over when it is right again.
        rig.place("cid", &[4, 5], 6).await.unwrap();
        sells_as_usual_when_it_is_right(&server, &rig, payments).await;
    }
}

/// Set back, and then everything is lost: the show begins at a version before those that were told. A follower from before is
/// told that there is a gap, never that there is nothing new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_begin_anew_on_a_clock_set_back_are_a_gap() {
    let (server, rig, payments) = before().await;
    let version = rig.map().await.version;
    server.set_clock_offset(-2 * HOUR).unwrap();
    server.command::<()>(&["FLUSHALL"]).unwrap();
    let kept = rig.check(&server, &payments).await;
    assert!(kept.version < version && kept.held == [2].into() && kept.sold == [3].into(), "P1, P8, P10: {kept:?}");
    let changes = tokio::time::timeout(Duration::from_secs(20), rig.holds.changes(&show(), version)).await;
    assert_eq!(changes.expect("an answer").unwrap(), Changes::Gap);
    sells_as_usual_when_it_is_right(&server, &rig, payments).await;
}

/// The clock is set right. To whatever was held on one that was behind, that is a step forward: it may end early, but for the
/// holds of orders, which the sweeper brings back.
async fn sells_as_usual_when_it_is_right(server: &Server, rig: &Rig, mut payments: Vec<String>) {
    server.set_clock_offset(0).unwrap();
    rig.service.sweep(100).await.unwrap();
    rig.check(server, &payments).await;
    rig.buy("ann", &[6, 7], 20).await.unwrap();
    payments.push("pay_ok-20".to_owned());
    let kept = rig.check(server, &payments).await;
    let refused = rig.place("bob", &kept.sold.iter().copied().collect::<Vec<_>>(), 21).await;
    assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if seats.len() == kept.sold.len()), "P1: {refused:?}");
    // Nobody's seats are stuck: what is still held can be given back.
    for (user, seed) in [("ann", 1), ("cid", 6)] {
        let given_back = rig.service.release_hold(&caller(user), hold_id(seed)).await;
        let is_over =
            matches!(given_back, Ok(_) | Err(Error::HoldExpired(_) | Error::HoldNotActive { .. } | Error::NotFound("hold")));
        assert!(is_over, "P7: {given_back:?}");
    }
    let kept = rig.check(server, &payments).await;
    let waiting = rig.all_orders().await.iter().filter(|order| order.state.is_pending()).count();
    assert_eq!(kept.live, waiting, "only orders that wait for payment are left");
}
