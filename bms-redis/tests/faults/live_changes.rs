//! Two processes follow one show: each on connections of its own, on a network that loses what one tells the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bms_domain::store::{Changes, HoldStore as _, OccupancyRead};
use bms_redis::RedisHolds;
use bms_redis::testing::{Proxy, Server};
use tokio::time::timeout;

use crate::support::audit::{Kept, audit};
use crate::support::rig::{PREFIX, Rig, caller, connect_within, hold_id, show};
use crate::support::until;

/// How long a change may take to be told when notices are lost: a second, and the time that a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Follows a show from a version on, as a live map does.
struct Follower {
    store: RedisHolds,
    version: u64,
    held: BTreeSet<u32>,
    sold: BTreeSet<u32>,
    gaps: usize,
}

impl Follower {
    async fn new(store: RedisHolds) -> Self {
        let mut follower = Self { store, version: 0, held: BTreeSet::new(), sold: BTreeSet::new(), gaps: 0 };
        follower.begin().await;
        follower
    }

    async fn begin(&mut self) {
        let OccupancyRead::Known(known) = self.store.occupancy(&show()).await.unwrap() else { panic!("the show is primed") };
        (self.version, self.held, self.sold) = (known.version, known.held.iter().collect(), known.sold.iter().collect());
    }

    /// Goes on until what it knows is what is kept.
    async fn catch_up(&mut self, kept: &Kept) {
        while self.version < kept.version {
            let changes = timeout(PATIENCE, self.store.changes(&show(), self.version)).await;
            let told = match changes.unwrap_or_else(|_| panic!("nothing was told after {}, of {}", self.version, kept.version)) {
                Ok(Changes::Since(told)) => told,
                Ok(Changes::Gap) => {
                    self.gaps += 1;
                    self.begin().await;
                    continue;
                }
                // The connection is being made anew.
                Err(_) => {
                    until("a connection", || async { self.store.ping().await.is_ok() }).await;
                    continue;
                }
            };
            for change in told {
                assert_eq!(change.version, self.version + 1, "a change is missing");
                self.version = change.version;
                for seat in change.held.iter().chain(change.sold.iter()).chain(change.freed.iter()) {
                    self.held.remove(&seat);
                    self.sold.remove(&seat);
                }
                self.held.extend(change.held.iter());
                self.sold.extend(change.sold.iter());
            }
        }
        assert_eq!((self.version, &self.held, &self.sold), (kept.version, &kept.held, &kept.sold));
    }
}

fn kept(server: &Server) -> Kept {
    audit(server, PREFIX, &show()).unwrap()
}

async fn follower(url: &str) -> Follower {
    Follower::new(RedisHolds::new(connect_within(url, Duration::from_secs(5)).await)).await
}

/// A hold, a sale and a release, of seats of their own: four changes.
async fn trade(rig: &Rig, round: u32) {
    rig.place("ann", &[3 * round], 10 * round + 1).await.unwrap();
    rig.buy("bob", &[3 * round + 1], 10 * round + 2).await.unwrap();
    rig.service.release_hold(&caller("ann"), hold_id(10 * round + 1)).await.unwrap();
}

async fn rig(server: &Server) -> Rig {
    let rig = Rig::on_real_time(connect_within(&server.url(), Duration::from_secs(5)).await, 30).await;
    rig.map().await;
    rig
}

fn is_subscribed(server: &Server) -> bool {
    server.info("pubsubshard_channels").unwrap() == "1"
}

/// Changes the show until a process has heard of the present version without asking.
async fn hears_of(store: &RedisHolds, rig: &Rig, server: &Server) {
    static SEEDS: AtomicU32 = AtomicU32::new(1_000);
    until("any version", || async {
        let seed = SEEDS.fetch_add(1, Ordering::Relaxed);
        rig.place("cid", &[29], seed).await.unwrap();
        rig.service.release_hold(&caller("cid"), hold_id(seed)).await.unwrap();
        store.newest(&show()).is_some()
    })
    .await;
    let version = kept(server).version;
    until("the newest version", || async { store.newest(&show()) == Some(version) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_does_the_other_is_told() {
    let server = Server::start().unwrap();
    let rig = rig(&server).await;
    let mut other = follower(&server.url()).await;
    for round in 0..3 {
        trade(&rig, round).await;
        other.catch_up(&kept(&server)).await;
        hears_of(&other.store, &rig, &server).await;
    }
    assert_eq!(other.gaps, 0);
}

/// The subscription alone is gone, again and again; nobody is told, and nothing is missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_go_on_after_the_subscription_was_killed() {
    let server = Server::start().unwrap();
    let rig = rig(&server).await;
    let mut other = follower(&server.url()).await;
    for round in 0..3 {
        trade(&rig, 2 * round).await;
        other.catch_up(&kept(&server)).await;
        hears_of(&other.store, &rig, &server).await;
        until("a subscription to kill", || async {
            server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).is_ok_and(|n: u32| n == 1)
        })
        .await;
        trade(&rig, 2 * round + 1).await;
        other.catch_up(&kept(&server)).await;
    }
    // Subscribed again: the next change is heard of without asking.
    until("a subscription", || async { is_subscribed(&server) }).await;
    trade(&rig, 8).await;
    hears_of(&other.store, &rig, &server).await;
    assert_eq!(other.gaps, 0, "the log has all that was missed");
}

/// The server stands still when a show is first watched: its channel is subscribed later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_could_not_be_subscribed_is_tried_again() {
    let server = Server::start().unwrap();
    let rig = rig(&server).await;
    let store = RedisHolds::new(connect_within(&server.url(), Duration::from_millis(100)).await);
    let patient = connect_within(&server.url(), Duration::from_millis(500)).await;
    server.pause().unwrap();
    assert_eq!(store.newest(&show()), None);
    // Whoever waits longer is told that there is no answer: then the subscription was told so too.
    patient.ping().await.unwrap_err();
    server.resume().unwrap();
    until("a connection", || async { store.ping().await.is_ok() }).await;
    hears_of(&store, &rig, &server).await;
}

/// All connections of a process are cut, and for a while refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_go_on_after_all_connections_were_cut() {
    let server = Server::start().unwrap();
    let rig = rig(&server).await;
    let proxy = Proxy::start(&server).unwrap();
    let mut other = follower(proxy.url()).await;
    for round in 0..3 {
        trade(&rig, 2 * round).await;
        other.catch_up(&kept(&server)).await;
        hears_of(&other.store, &rig, &server).await;
        if round == 1 {
            proxy.refuse();
            trade(&rig, 2 * round + 1).await;
            // What may have been missed is not known any more, and not said to be the newest.
            until("the loss is noticed", || async { other.store.newest(&show()).is_none() }).await;
            proxy.accept().unwrap();
        } else {
            until("calls and the subscription", || async { is_subscribed(&server) }).await;
            assert_eq!(proxy.cut(), 2);
            trade(&rig, 2 * round + 1).await;
        }
        other.catch_up(&kept(&server)).await;
    }
    until("a subscription", || async { is_subscribed(&server) }).await;
    trade(&rig, 8).await;
    hears_of(&other.store, &rig, &server).await;
    assert_eq!(other.gaps, 0, "the log has all that was missed");
}

/// A process that may not publish changes seats without telling anybody. The next change that is told shows by its version that
/// some are missing, and who waits gets all of them, in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_were_lost_are_noticed_by_their_versions() {
    let silent = format!("silent on >secret ~{PREFIX}:* resetchannels +@all");
    let server = Server::builder().user(silent).start().unwrap();
    let rig = rig(&server).await;
    let mute = connect_within(&server.url_of("silent", "secret"), Duration::from_secs(5)).await;
    let mute = Rig::on_real_time(mute, 30).await;
    let mut other = follower(&server.url()).await;
    trade(&rig, 0).await;
    other.catch_up(&kept(&server)).await;
    hears_of(&other.store, &rig, &server).await;
    let heard = other.store.newest(&show());

    trade(&mute, 1).await;
    let version = other.version;
    assert!(kept(&server).version > version && other.store.newest(&show()) == heard, "nobody was told");
    rig.place("ann", &[28], 99).await.unwrap();
    let version = kept(&server).version;
    until("the newest version", || async { other.store.newest(&show()) == Some(version) }).await;
    other.catch_up(&kept(&server)).await;
    // Nor is what nobody tells missed for long.
    trade(&mute, 2).await;
    other.catch_up(&kept(&server)).await;
    assert_eq!(other.gaps, 0, "the log has all that was missed");
}

/// The show begins anew: who follows it is told that there is a gap, whoever has brought it back, and goes on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_a_show_that_was_lost_begins_anew() {
    let server = Arc::new(Server::start().unwrap());
    let rig = rig(&server).await;
    let mut other = follower(&server.url()).await;
    for round in 0..3 {
        trade(&rig, 2 * round).await;
        other.catch_up(&kept(&server)).await;
        hears_of(&other.store, &rig, &server).await;
        other.catch_up(&kept(&server)).await;
        let before = other.version;
        assert_eq!(other.store.newest(&show()), Some(before));
        server.command::<()>(&["FLUSHALL"]).unwrap();
        trade(&rig, 2 * round + 1).await;
        let now = kept(&server);
        assert!(now.version > before, "versions go on growing");
        other.catch_up(&now).await;
        assert_eq!(other.gaps as u32, round + 1);
        hears_of(&other.store, &rig, &server).await;
    }
}
