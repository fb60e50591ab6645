//! A node that stands still.

use std::time::{Duration, Instant};

use bms_domain::id::ShowId;
use bms_domain::store::{HoldStore as _, StoreError};
use bms_redis::testing::{Cluster, Server};

use crate::office::{DEADLINE, MARGIN, Office, PATIENCE, caller, hold_id};
use crate::{shows_here_and_elsewhere, slot_of, url};

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
    let office = Office::open(&url(&cluster), &[here, elsewhere]).await;
    for show in [here, elsewhere] {
        office.place(&show, "ann", &[0], 1).await.unwrap();
    }
    // Its replica too, so that nobody takes over and the stall lasts.
    replica.pause().unwrap();
    stalled.pause().unwrap();

    let began = Instant::now();
    let first = office.holds.release(hold_id(&here, 1), &caller("ann")).await.unwrap_err();
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
        late += u32::from(serve(&office, &elsewhere, rounds).await > DEADLINE / 2);
        let began = Instant::now();
        let error = office.holds.get(&[hold_id(&here, 1)]).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        late += u32::from(began.elapsed() > DEADLINE / 2);
    }
    // This machine may stand still itself, once in a while; a node that is waited for makes each call late.
    assert!(late * 4 < rounds, "P13: {late} of {rounds} calls waited");

    // A question about holds of all nodes ends by the deadline as well, and the others are not told in part.
    let began = Instant::now();
    let error = office.holds.get(&[hold_id(&elsewhere, 1), hold_id(&here, 1)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(began.elapsed() < DEADLINE + MARGIN);

    replica.resume().unwrap();
    stalled.resume().unwrap();
    let released = office.eventually(async |office| office.service.release_hold(&caller("ann"), hold_id(&here, 1)).await).await;
    assert!(!released.hold.state.is_live(), "the shows of the node are served again without a manual step");
}

/// A hold and its release; how long they took.
async fn serve(office: &Office, show: &ShowId, round: u32) -> Duration {
    let began = Instant::now();
    let seed = 100 + round;
    office.place(show, "bob", &[5, 6], seed).await.unwrap();
    office.service.release_hold(&caller("bob"), hold_id(show, seed)).await.unwrap();
    began.elapsed()
}
