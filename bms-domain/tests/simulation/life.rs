//! From the first user to the last: the world with its mishaps, and its ending, when all faults have stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bms_domain::BookingService;
use bms_domain::error::Error;
use bms_domain::event::EventSink;
use bms_domain::id::Caller;
use bms_domain::service::{Relayed, Swept};
use bms_domain::store::Replay;
use bms_domain::testing::sample;
use futures::future::join_all;

use crate::auditor::Promise;
use crate::clients::User;
use crate::dice::Mishap;
use crate::meter::{LEASE_MS, SWEPT};
use crate::random::{once_in, stream};
use crate::sim::Group;
use crate::sometimes::Sometimes;
use crate::wire::Wire;
use crate::world::{World, show};

const MINUTE_MS: u64 = 60_000;

/// Longer than a hold may live.
const PAST_ALL_HOLDS_MS: u64 = 31 * MINUTE_MS;

/// How many rounds of upkeep it takes at most until nothing is left to do: an event is tried three times in each.
const ROUNDS: usize = 30;

/// Longer than an event is postponed, or anything is leased.
const ROUND_MS: u64 = 6 * MINUTE_MS;

fn admin() -> Caller {
    Caller::admin(sample::user("root"))
}

/// All that happens.
pub(crate) async fn play(world: Arc<World>) {
    let users = (0..world.plan.users).map(|number| {
        let user = User::new(world.clone(), number);
        world.sim.begin(user.live())
    });
    let users: Vec<_> = users.collect();
    world.sim.spawn(Group::World, mishaps(world.clone()));
    world.sim.spawn(Group::World, sweeps(world.clone()));
    world.sim.spawn(Group::World, relays(world.clone()));
    world.sim.spawn(Group::World, administrator(world.clone()));
    join_all(users).await;
    // What is under way comes to its end, late as it is.
    for _ in 0..40 {
        if world.bank.is_idle() {
            break;
        }
        world.sim.pause(5 * MINUTE_MS).await;
    }
    world.dice.rest();
    world.is_closing.store(true, Ordering::Relaxed);
    world.note(format_args!("the faults stop"));
    world.start_all();
    world.sim.pause(PAST_ALL_HOLDS_MS).await;
    while !world.bank.is_idle() {
        world.sim.pause(MINUTE_MS).await;
    }
    come_to_rest(&world).await;
    sell_what_is_left(&world).await;
    come_to_rest(&world).await;
    world.check_the_end();
}

fn is_closing(world: &World) -> bool {
    world.is_closing.load(Ordering::Relaxed)
}

/// What happens by itself, every few minutes.
async fn mishaps(world: Arc<World>) {
    let mut random = stream(world.plan.seed, "mishaps", 0);
    loop {
        world.sim.pause(random.u64(1_000..5 * MINUTE_MS)).await;
        // What is down is so for a moment at least, as any server that starts.
        let down_ms = random.i64(2..3_000);
        if is_closing(&world) {
            return;
        }
        let Some(mishap) = world.dice.mishap() else { continue };
        world.note(format_args!("{mishap:?}"));
        match mishap {
            Mishap::Forget => {
                world.holds.forget(down_ms);
                world.audit(|auditor| auditor.holds_forgotten());
            }
            Mishap::FallBack { thousandths } => world.holds_fall_back(thousandths, down_ms),
            Mishap::Step { clock, ms } => world.set_clock(clock, ms),
            Mishap::Stop { process } => {
                world.count(Sometimes::ProcessStopped);
                world.crash(process);
            }
        }
    }
}

async fn sweeps(world: Arc<World>) {
    let mut random = stream(world.plan.seed, "sweeps", 0);
    while !is_closing(&world) {
        world.sim.pause(random.u64(MINUTE_MS..30 * MINUTE_MS)).await;
        let process = random.usize(..world.processes.len());
        sweep(&world, process).await;
    }
}

async fn sweep(world: &Arc<World>, process: usize) -> Option<Result<Swept, Error>> {
    world.ask(process, "sweep", 5 * MINUTE_MS, |service| async move { service.sweep(SWEPT as usize).await }).await
}

async fn relays(world: Arc<World>) {
    let mut random = stream(world.plan.seed, "relays", 0);
    while !is_closing(&world) {
        world.sim.pause(random.u64(1_000..6 * MINUTE_MS)).await;
        let process = random.usize(..world.processes.len());
        relay(&world, process).await;
    }
}

async fn relay(world: &Arc<World>, process: usize) -> Option<Result<Relayed, Error>> {
    let sink = Wire::new(world.clone(), process);
    let relay = |service: BookingService| async move {
        let sink: &dyn EventSink = &sink;
        service.relay(sink, 16, Duration::from_millis(LEASE_MS)).await
    };
    let relayed = world.ask(process, "relay", MINUTE_MS, relay).await;
    if let Some(Ok(Relayed { buried: 1.., .. })) = relayed {
        world.count(Sometimes::DeadLetter);
    }
    relayed
}

/// Cancels a sold order now and then.
async fn administrator(world: Arc<World>) {
    let mut random = stream(world.plan.seed, "administrator", 0);
    for _ in 0..random.u32(..=3) {
        world.sim.pause(random.u64(1_000..15 * MINUTE_MS)).await;
        if is_closing(&world) {
            return;
        }
        let pick = random.usize(..100);
        let Some(order) = world.audit(|auditor| auditor.a_confirmed_order(pick)) else { continue };
        for _ in 0..4 {
            let process = random.usize(..world.processes.len());
            let cancel = |service: BookingService| async move { service.cancel_order(&admin(), order).await };
            let told = world.ask(process, "cancel", 30_000, cancel).await;
            match &told {
                Some(Ok(order)) => world.told_of_refund(order),
                Some(Err(error)) => world.told_of_refund_by(error),
                None => {}
            }
            // Now and then he does it twice.
            if !matches!(told, None | Some(Err(_))) && !once_in(&mut random, 4) {
                break;
            }
            world.sim.pause(random.u64(..MINUTE_MS)).await;
        }
    }
}

/// Sweeps and relays until nothing is left to do.
async fn come_to_rest(world: &Arc<World>) {
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        let swept = sweep(world, 0).await;
        let relayed = relay(world, 0).await;
        let replay = |service: BookingService| async move { service.replay(&admin(), &Replay::Dead).await };
        let replayed = world.ask(0, "replay", MINUTE_MS, replay).await;
        let rests = matches!(swept, Some(Ok(swept)) if Swept { answers: 0, ..swept } == Swept::default())
            && matches!(relayed, Some(Ok(relayed)) if relayed == Relayed::default())
            && matches!(replayed, Some(Ok(0)));
        quiet = if rests { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
        world.sim.pause(ROUND_MS).await;
    }
    world.audit(|auditor| auditor.breaks(Promise::NoLeak, "there is always something left to do".to_owned()));
}

/// A newcomer looks at the map and buys every seat that is not sold, ticket and all.
async fn sell_what_is_left(world: &Arc<World>) {
    let read = |service: BookingService| async move { service.seat_map_fresh(&show()).await };
    let map = match world.ask(0, "read the map", MINUTE_MS, read).await {
        Some(Ok(map)) => map,
        other => return world.audit(|auditor| auditor.breaks(Promise::BoundedWaits, format!("no map: {other:?}"))),
    };
    let free: Vec<u32> = (0..world.plan.seats).filter(|seat| !map.unavailable.contains(*seat)).collect();
    world.audit(|auditor| {
        auditor.expect(map.held.count() == 0, Promise::NoLeak, || format!("{:?} are still held", map.held));
        let unsold = (0..world.plan.seats).filter(|seat| auditor.owner_of(*seat).is_none());
        let same = unsold.eq(free.iter().copied());
        auditor.expect(same, Promise::NoLeak, || format!("{free:?} are shown free at the end"));
    });
    if free.is_empty() {
        return world.count(Sometimes::SoldOut);
    }
    match User::new(world.clone(), world.plan.users + 500).buy(free).await {
        Ok(_) => world.count(Sometimes::NewcomerBought),
        Err(seen) => world.audit(|auditor| auditor.breaks(Promise::NoLeak, seen)),
    }
}
