//! What a call may cost: nothing grows with what others do.

use std::sync::Arc;
use std::time::Duration;

use bms_domain::id::ShowId;
use bms_domain::store::{Fence, HoldStore as _, OccupancyRead, PlaceHold, Restored, ShowClaims, SoldSeats};
use bms_domain::testing::{ManualClock, sample};
use bms_redis::RedisHolds;
use bms_redis::testing::{Proxy, Server};

use crate::support::rig::{Rig, connect_within};
use crate::support::{calls, commands, prime, scripts_called, until, wish};

async fn reads_of_a_sale(server: &Server, rig: &Rig, seat: u32) -> u64 {
    let before = calls(server, "hget");
    rig.buy("buyer", &[seat], 1_000 + seat).await.unwrap();
    calls(server, "hget") - before
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

/// What an order bought that is nobody's here: its hold was never placed.
fn sale(show: &ShowId, n: u32, seats: &[u32]) -> SoldSeats {
    let (order, hold) = (sample::order_id(show, n), sample::hold_id(show, n));
    SoldSeats { show: *show, order, hold, owner: sample::user(&format!("buyer-{n}")), seats: sample::seats(seats) }
}

/// How many records were read, alone and some at a time, for a sale on a seat of somebody else's hold.
async fn reads_of_a_conflict(server: &Server, holds: &RedisHolds, n: u32, seat: u32) -> (u64, u64) {
    let before = (calls(server, "hget"), calls(server, "hmget"));
    holds.mark_sold(&sale(&sample::show("gala"), n, &[seat])).await.unwrap();
    (calls(server, "hget") - before.0, calls(server, "hmget") - before.1)
}

/// A payment that comes late ends the hold that somebody else has on its seats: he is looked for, and nobody else is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_reads_the_hold_in_its_way_however_many_there_are() {
    let (server, clock, show) = (Server::start().unwrap(), ManualClock::new(), sample::show("gala"));
    let redis = connect_within(&server.url(), Duration::from_secs(10)).await;
    let holds = RedisHolds::new(redis).with_clock(Arc::new(clock.clone()));
    prime(&holds, &show, 1_000).await;
    for n in [0, 1] {
        holds.place(&wish(&show, n, &[n])).await.unwrap();
        clock.advance(Duration::from_millis(1));
    }
    let few = reads_of_a_conflict(&server, &holds, 5_000, 0).await;
    for n in 2..600 {
        holds.place(&wish(&show, n, &[n])).await.unwrap();
    }
    clock.advance(Duration::from_millis(1));
    holds.place(&wish(&show, 600, &[600])).await.unwrap();
    // The search begins with who ends first, and it ends there.
    assert_eq!(reads_of_a_conflict(&server, &holds, 5_001, 1).await, few);
    // The last one is found by a look at the seats of some hundreds at a time.
    let (alone, together) = reads_of_a_conflict(&server, &holds, 5_002, 600).await;
    assert_eq!(alone, few.0);
    assert_eq!(together, few.1 + 2);
    let ended = holds.get(&[0, 1, 600].map(|n| sample::hold_id(&show, n))).await.unwrap();
    assert!(ended.into_iter().all(|hold| !hold.unwrap().state.is_live()));
    assert!(holds.get(&[sample::hold_id(&show, 300)]).await.unwrap()[0].as_ref().unwrap().state.is_live());
}

async fn fence(holds: &RedisHolds, show: &ShowId) -> Fence {
    match holds.occupancy(show).await.unwrap() {
        OccupancyRead::Known(known) => known.fence,
        OccupancyRead::NotPrimed(fence) => fence,
    }
}

fn claims(show: &ShowId, plan: &str, sold: Vec<SoldSeats>) -> ShowClaims {
    let layout = sample::layout_id(plan);
    ShowClaims { show: *show, layout, seats: 1_000, sold, pending: Vec::new(), grace: Duration::from_secs(2) }
}

/// Whether one of the commands reads a whole hash, and one of them all that a shard has.
fn looks_through(commands: &[String]) -> (bool, bool) {
    let whole =
        |command: &&String| ["HKEYS", "HVALS", "HGETALL", "HSCAN"].iter().any(|name| command.starts_with(&format!("\"{name}\"")));
    let mut through = commands.iter().filter(whole).peekable();
    (through.peek().is_some(), through.any(|command| command.contains(":records\"")))
}

/// The records are those of a shard, which may have thousands of shows: one that is forgotten, or is given another plan, looks
/// through its own sales alone, and nothing of it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_show_is_forgotten_without_a_look_at_the_others_of_its_shard() {
    const SHOWS: usize = 30;
    let (server, clock, gala) = (Server::start().unwrap(), ManualClock::new(), sample::show("gala"));
    let redis = connect_within(&server.url(), Duration::from_secs(10)).await;
    let holds = RedisHolds::new(redis).with_clock(Arc::new(clock.clone()));
    let shows = (0..).map(|n| sample::show(&format!("show-{n}"))).filter(|show| show.shard() == gala.shard());
    for show in shows.take(SHOWS).chain([gala]) {
        let sold = vec![sale(&show, 1, &[1, 2]), sale(&show, 2, &[3])];
        holds.restore(&claims(&show, "old", sold), fence(&holds, &show).await).await.unwrap();
    }
    holds.place(&PlaceHold { layout: sample::layout_id("old"), ..wish(&gala, 3, &[4]) }).await.unwrap();

    let (read, told) = (fence(&holds, &gala).await, claims(&gala, "new", vec![sale(&gala, 4, &[5])]));
    let done = commands(&server, async { holds.restore(&told, read).await.unwrap() }).await;
    assert_eq!(looks_through(&done), (true, false), "another plan: {done:?}");

    clock.advance(Duration::from_hours(24 * 7));
    let done = commands(&server, async { holds.sweep(1_000).await.unwrap() }).await;
    assert_eq!(looks_through(&done), (true, false), "forgotten: {done:?}");
    assert_eq!(server.command::<Vec<String>>(&["KEYS", "*"]).unwrap(), [""; 0], "what is left");
}

/// After a loss every process finds the shows gone, and all of them restore what they have read: the first one's work is done
/// once. The same goes for the sweeper, who tells again what was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_was_told_is_read_and_not_marked_again() {
    const MORE: [&str; 6] = ["bitfield_ro", "bitfield", "hincrby", "rpush", "spublish", "zadd"];
    let (server, show) = (Server::start().unwrap(), sample::show("gala"));
    let holds = RedisHolds::new(connect_within(&server.url(), Duration::from_secs(10)).await);
    let told = claims(&show, "plan", (0..150).map(|n| sale(&show, n, &[2 * n, 2 * n + 1])).collect());
    let first = fence(&holds, &show).await;
    assert_eq!(holds.restore(&told, first).await.unwrap(), Restored::Done { added: 300, freed: 0 });
    let primed = fence(&holds, &show).await;
    assert!(primed.version - first.version < 10, "its followers are told of many sales at once");

    for fence in [first, primed] {
        let more = || MORE.map(|command| calls(&server, command));
        let (before, read) = (more(), calls(&server, "hget"));
        assert_eq!(holds.restore(&told, fence).await.unwrap(), Restored::Done { added: 0, freed: 0 });
        assert_eq!(more(), before);
        assert!(calls(&server, "hget") - read < 2 * 150 + 10, "each sale is looked at, and its hold");
    }
}
