//! A node that stands still.

use std::time::{Duration, Instant};

use bms_domain::id::ShowId;
use bms_domain::store::{HoldStore as _, StoreError};
use bms_redis::testing::{Cluster, Server};

use crate::support::rig::{DEADLINE, MARGIN, PATIENCE, Rig, caller, hold_of};
use crate::{shows_here_and_elsewhere, slot_of};

/// P11, P13: the shows of a stalled node are unavailable, and nobody else waits for it. The servers are told to go on
/// serving while slots are missing (`cluster-require-full-coverage no`); without that the whole cluster refuses, at once,
/// from when the node is called down until its replica has taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_node_holds_up_its_own_shows_only() {
    let cluster = Cluster::start_with(Server::builder().config("cluster-require-full-coverage no")).unwrap();
    let stalled = &cluster.nodes()[0];
    let (here, elsewhere) = shows_here_and_elsewhere(&cluster, stalled);
    let replica = cluster.replicas_of(stalled).unwrap()[0];
    let witness = cluster.owner_of(slot_of(&cluster, &elsewhere)).unwrap();
    let rig = Rig::open(&cluster.url(), &[here, elsewhere]).await;
    for show in [here, elsewhere] {
        rig.place_in(&show, "ann", &[0], 1).await.unwrap();
    }
    // Its replica too, so that nobody takes over and the stall lasts.
    replica.pause().unwrap();
    stalled.pause().unwrap();

    let began = Instant::now();
    let first = rig.holds.release(hold_of(&here, 1), &caller("ann")).await.unwrap_err();
    assert!(matches!(first, StoreError::OutcomeUnknown { .. }), "{first:?}");
    assert!(began.elapsed() < DEADLINE + MARGIN, "P11: by the deadline, not after {:?}", began.elapsed());

    // Until the others have called the node down, and some rounds more.
    let called_down = || {
        let view: String = witness.command(&["CLUSTER", "NODES"]).unwrap();
        view.lines().any(|line| line.contains(&format!(":{}@", stalled.port())) && line.contains("fail "))
    };
    let (mut rounds, mut late, end) = (0_u32, 0_u32, Instant::now() + PATIENCE);
    while rounds < 200 || !called_down() {
        assert!(Instant::now() < end);
        rounds += 1;
        late += u32::from(serve(&rig, &elsewhere, rounds).await > DEADLINE / 2);
        let began = Instant::now();
        let error = rig.holds.get(&[hold_of(&here, 1)]).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        late += u32::from(began.elapsed() > DEADLINE / 2);
    }
    // This machine may stand still itself, once in a while; a node that is waited for makes each call late.
    assert!(late * 4 < rounds, "P13: {late} of {rounds} calls waited");

    // A question about holds of all nodes ends by the deadline as well, and the others are not told in part.
    let began = Instant::now();
    let error = rig.holds.get(&[hold_of(&elsewhere, 1), hold_of(&here, 1)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(began.elapsed() < DEADLINE + MARGIN);

    replica.resume().unwrap();
    stalled.resume().unwrap();
    let released = rig.eventually(async |rig| rig.service.release_hold(&caller("ann"), hold_of(&here, 1)).await).await;
    assert!(!released.hold.state.is_live(), "the shows of the node are served again without a manual step");
}

/// A hold and its release; how long they took.
async fn serve(rig: &Rig, show: &ShowId, round: u32) -> Duration {
    let began = Instant::now();
    let seed = 100 + round;
    rig.place_in(show, "bob", &[5, 6], seed).await.unwrap();
    rig.service.release_hold(&caller("bob"), hold_of(show, seed)).await.unwrap();
    began.elapsed()
}
