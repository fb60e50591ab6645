//! The server stands still for longer than a call may take, and then goes on with what it was sent.

use std::time::{Duration, Instant};

use bms_domain::error::{Error, Subject};
use bms_domain::store::HoldStore as _;
use bms_redis::testing::Server;

use crate::support::rig::{PREFIX, Rig, caller, connect_within, hold_id, show};
use crate::support::{audit::audit, until};

/// Long, so that a busy machine does not make two of one.
const DEADLINE: Duration = Duration::from_secs(2);

/// P6, P11: the call that was under way says that it does not know, and of what; those after it fail at once; the hold that
/// was made late is found by asking for it, and by asking again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_a_stalled_server_ends_by_its_deadline_and_its_late_hold_is_found() {
    let server = Server::start().unwrap();
    let rig = Rig::on_real_time(connect_within(&server.url(), DEADLINE).await, 6).await;
    // Primes the show and makes the script known, so that the next call is the one that counts.
    rig.place("ann", &[1, 2], 9).await.unwrap();
    rig.service.release_hold(&caller("ann"), hold_id(9)).await.unwrap();
    server.pause().unwrap();

    let began = Instant::now();
    match rig.place("ann", &[1, 2], 1).await {
        Err(Error::OutcomeUnknown { dependency: "redis", subject: Subject::Hold(hold), .. }) => assert_eq!(hold, hold_id(1)),
        other => panic!("expected OutcomeUnknown with the hold's id, saw {other:?}"),
    }
    let took = began.elapsed();
    assert!((DEADLINE..DEADLINE * 2).contains(&took), "P11: the call took {took:?}");

    until("the stall is noticed", || async { rig.holds_are_down().await }).await;
    let began = Instant::now();
    for _ in 0..50 {
        let refused = rig.place("ann", &[1, 2], 1).await;
        assert!(matches!(refused, Err(Error::Unavailable { dependency: "redis", .. })), "{refused:?}");
        let unknown = rig.service.hold(&caller("ann"), hold_id(1)).await;
        assert!(matches!(unknown, Err(Error::Unavailable { .. })), "{unknown:?}");
    }
    // Not one of them has waited for its deadline.
    assert!(began.elapsed() < DEADLINE, "P11: a hundred calls took {:?}", began.elapsed());

    server.resume().unwrap();
    until("the late hold", || async {
        match rig.service.hold(&caller("ann"), hold_id(1)).await {
            Ok(booked) => booked.hold.state.is_live(),
            Err(Error::Unavailable { .. } | Error::NotFound("hold")) => false,
            Err(other) => panic!("{other:?}"),
        }
    })
    .await;
    let before = audit(&server, PREFIX, &show()).unwrap();
    assert!(before.live == 1 && before.held == [1, 2].into(), "{before:?}");
    let again = rig.place("ann", &[1, 2], 1).await.unwrap();
    assert_eq!(again, rig.service.hold(&caller("ann"), hold_id(1)).await.unwrap());
    assert_eq!(rig.check(&server, &[]).await, before, "P6: asking again makes no second hold");
}

/// P11: who only reads is told that there is no answer, not that something may have happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_from_a_stalled_server_fails_by_its_deadline_and_works_afterwards() {
    let server = Server::start().unwrap();
    let rig = Rig::on_real_time(connect_within(&server.url(), DEADLINE).await, 6).await;
    rig.place("ann", &[1], 1).await.unwrap();
    server.pause().unwrap();
    let began = Instant::now();
    let (ann, shows) = (caller("ann"), [show()]);
    let (map, held, counts, ping) = tokio::join!(
        rig.service.seat_map_fresh(&shows[0]),
        rig.service.hold(&ann, hold_id(1)),
        rig.holds.counts(&shows),
        rig.holds.ping(),
    );
    let took = began.elapsed();
    assert!(took < DEADLINE * 2, "P11: the calls took {took:?}");
    assert!(matches!(map, Err(Error::Unavailable { .. })), "{map:?}");
    assert!(matches!(held, Err(Error::Unavailable { .. })), "{held:?}");
    assert!(counts.is_err() && ping.is_err(), "{counts:?}, {ping:?}");
    server.resume().unwrap();
    until("the map", || async { rig.service.seat_map_fresh(&show()).await.is_ok() }).await;
    assert_eq!(rig.check(&server, &[]).await.held, [1].into());
}
