//! Many tasks want the same seats at once, through several connections.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bms_domain::id::Caller;
use bms_domain::id::UserId;
use bms_domain::seat::SeatSet;
use bms_domain::store::{
    Checkout, Fence, HoldChange, HoldStore as _, OccupancyRead, PlaceHold, Placed, SeatLimits, ShowClaims, SoldSeats,
};
use bms_domain::testing::{ManualClock, sample};
use bms_redis::RedisHolds;
use bms_redis::testing::Server;
use tokio::sync::Barrier;

use crate::support::audit::{Kept, audit};
use crate::support::rig::{PREFIX, connect_within, hold_id, show};

const SEATS: u32 = 48;
const TTL: Duration = Duration::from_mins(10);

/// Four processes that share a show, which is primed.
async fn stores(server: &Server, clock: &ManualClock) -> Vec<RedisHolds> {
    let mut stores = Vec::new();
    for _ in 0..4 {
        let redis = connect_within(&server.url(), Duration::from_secs(20)).await;
        stores.push(RedisHolds::new(redis).with_clock(Arc::new(clock.clone())));
    }
    let fence = fence(&stores[0]).await;
    let (layout, grace) = (sample::layout_id("plan"), Duration::from_secs(2));
    let claims = ShowClaims { show: show(), layout, seats: SEATS, sold: Vec::new(), pending: Vec::new(), grace };
    stores[0].restore(&claims, fence).await.unwrap();
    stores
}

async fn fence(store: &RedisHolds) -> Fence {
    match store.occupancy(&show()).await.unwrap() {
        OccupancyRead::Known(known) => known.fence,
        OccupancyRead::NotPrimed(fence) => fence,
    }
}

fn wish(seed: u32, owner: &UserId, seats: &SeatSet) -> PlaceHold {
    PlaceHold {
        id: hold_id(seed),
        show: show(),
        layout: sample::layout_id("plan"),
        owner: owner.clone(),
        seats: seats.clone(),
        price: sample::euro(1_250),
        ttl: TTL,
        limits: SeatLimits { per_hold: 10, per_user_and_show: 10 },
    }
}

/// Sets off a task for each wish at one signal, spread over the connections. Gives those that were granted.
async fn race(stores: &[RedisHolds], wishes: Vec<PlaceHold>) -> Vec<PlaceHold> {
    let start = Arc::new(Barrier::new(wishes.len()));
    let tasks: Vec<_> = wishes
        .into_iter()
        .enumerate()
        .map(|(number, wish)| {
            let (store, start) = (stores[number % stores.len()].clone(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                match store.place(&wish).await.unwrap() {
                    Placed::Placed(_) => Some(wish),
                    Placed::Taken(seats) => {
                        assert!(!seats.is_empty() && seats.iter().all(|seat| wish.seats.contains(seat)), "P3: {seats:?}");
                        None
                    }
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    let mut granted = Vec::new();
    for task in tasks {
        granted.extend(task.await.unwrap());
    }
    granted
}

fn kept(server: &Server) -> Kept {
    audit(server, PREFIX, &show()).unwrap()
}

/// P2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_256_gets_a_seat() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::new());
    let stores = stores(&server, &clock).await;
    for round in 0..4 {
        let seat = sample::seats(&[round]);
        let wishes = (0..256).map(|n| wish(1_000 * round + n, &sample::user(&format!("user-{n}")), &seat)).collect();
        assert_eq!(race(&stores, wishes).await.len(), 1);
        assert_eq!(kept(&server).held, (0..=round).collect());
    }
}

/// P2, P3: every seat that is held is in one hold that was granted, and whoever was refused has nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wishes_that_overlap_are_granted_whole_and_apart() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::new());
    let stores = stores(&server, &clock).await;
    let wishes = (0..256).map(|n| {
        let seats = (0..1 + n % 4).map(|k| (n * 7 + k * 11) % SEATS).collect();
        wish(n, &sample::user(&format!("user-{n}")), &seats)
    });
    let granted = race(&stores, wishes.collect()).await;
    let mut seats = BTreeSet::new();
    assert!(granted.iter().flat_map(|wish| wish.seats.iter()).all(|seat| seats.insert(seat)), "P2: a seat was granted twice");
    let kept = kept(&server);
    assert_eq!((kept.live, kept.held), (granted.len(), seats));
}

/// P6: the same request, sent over every connection at once, is one hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_sent_many_times_at_once_is_one_hold() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::new());
    let stores = stores(&server, &clock).await;
    let wish = wish(1, &sample::user("ann"), &sample::seats(&[1, 2]));
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let (store, wish) = (stores[number % 4].clone(), wish.clone());
            tokio::spawn(async move {
                match store.place(&wish).await.unwrap() {
                    Placed::Placed(_) => true,
                    Placed::Existing(hold) => {
                        assert!(hold.state.is_live());
                        false
                    }
                    other => panic!("P6: {other:?}"),
                }
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += usize::from(task.await.unwrap());
    }
    assert_eq!((new, kept(&server).live, kept(&server).held), (1, 1, [1, 2].into()));
}

/// Everything at once, for a few thousand steps, while the clock moves: what Redis keeps agrees with itself all the time, and
/// nothing is left when everybody's time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_count_of_in_thousands_of_steps() {
    const TASKS: u32 = 64;
    const STEPS: u32 = 60;
    let (server, clock) = (Arc::new(Server::start().unwrap()), ManualClock::new());
    let stores = stores(&server, &clock).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, clock) = (stores[task as usize % 4].clone(), clock.clone());
            tokio::spawn(async move { wander(&store, &clock, task, STEPS).await })
        })
        .collect();
    let watching = {
        let (server, is_over) = (Arc::clone(&server), Arc::clone(&is_over));
        tokio::task::spawn_blocking(move || {
            let mut versions = vec![kept(&server).version];
            while !is_over.load(Ordering::Relaxed) {
                versions.push(kept(&server).version);
            }
            versions
        })
    };
    let mut granted = 0;
    for task in tasks {
        granted += task.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    let versions = watching.await.unwrap();
    assert!(versions.is_sorted() && versions.first() < versions.last(), "nothing happened meanwhile: {}", versions.len());
    assert!(granted > TASKS, "only {granted} holds were granted");

    let last = kept(&server);
    let OccupancyRead::Known(known) = stores[0].occupancy(&show()).await.unwrap() else { panic!("the show is primed") };
    assert!(known.version >= last.version && known.sold.iter().eq(last.sold.iter().copied()));
    clock.advance(Duration::from_hours(2));
    while stores[1].sweep(100).await.unwrap() > 0 {}
    let over = kept(&server);
    assert!(over.live == 0 && over.held.is_empty() && over.sold == last.sold, "P5: {over:?}");
}

/// One user's steps, as a small generator of random numbers says. Says how many holds he was granted.
async fn wander(store: &RedisHolds, clock: &ManualClock, task: u32, steps: u32) -> u32 {
    let owner = sample::user(&format!("user-{}", task % 40));
    let by = Caller::user(owner.clone());
    let mut random = u64::from(task) + 1;
    let mut draw = |below: u32| {
        // Numerical Recipes' generator; its high bits are good enough to choose by.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u32 % below
    };
    let (mut granted, mut seed) = (0, 0);
    let mut seats = SeatSet::new();
    for step in 0..steps {
        let order = sample::order_id(&show(), seed);
        match draw(12) {
            0..=4 => {
                seed = task * steps + step + 1;
                seats = (0..=draw(3)).map(|_| draw(SEATS)).collect();
                let placed = store.place(&wish(seed, &owner, &seats)).await.unwrap();
                granted += u32::from(matches!(placed, Placed::Placed(_)));
            }
            5..=6 => drop(store.release(hold_id(seed), &by).await.unwrap()),
            7 => {
                let checkout = Checkout { order, cover: Duration::from_mins(5), longest_life: Duration::from_mins(30) };
                let begun = store.begin_checkout(hold_id(seed), &by, &checkout).await.unwrap();
                // Who is covered pays, now and then; what is not cancelled stays sold.
                if matches!(begun, HoldChange::Done(_)) && draw(3) > 0 {
                    let sold = SoldSeats { show: show(), order, hold: hold_id(seed), owner: owner.clone(), seats: seats.clone() };
                    store.mark_sold(&sold).await.unwrap();
                    if draw(8) > 0 {
                        store.mark_free(&sold).await.unwrap();
                    }
                }
            }
            8 => drop(store.end_checkout(hold_id(seed), order).await.unwrap()),
            9 => drop(store.occupancy(&show()).await.unwrap()),
            // Looks at every shard there may be, which takes as long as all else.
            10 if task < 4 => drop(store.sweep(20).await.unwrap()),
            10 => drop(store.counts(&[show()]).await.unwrap()),
            _ => clock.advance(Duration::from_secs(u64::from(draw(60)))),
        }
    }
    granted
}
