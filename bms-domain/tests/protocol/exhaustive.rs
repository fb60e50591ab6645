//! Every state that the users can bring the seats into, within the bounds, keeps every promise.

use crate::checking::{explore, replay};
use crate::protocol::{Bounds, Protocol};

fn every_promise_is_kept(bounds: Bounds) {
    let world = Protocol { bounds, off: None };
    let line = replay(&world);
    let found = explore(world, 2);
    let broken: Vec<String> = found.broken.into_values().collect();
    assert!(broken.is_empty(), "{}\n{line}", broken.join("\n"));
    let missing = found.missing.join("; ");
    assert!(missing.is_empty(), "P1–P9 were kept where nothing happened. In no state: {missing}\n{line}");
    println!("{bounds:?}: {} states, {} steps deep, {:.1} s", found.states, found.depth, found.took.as_secs_f64());
}

/// Two users who want one seat: what happens to a seat needs no more, and the bounds can be wide.
const DUEL: Bounds = Bounds {
    users: 2,
    seats: 1,
    hold_ttl: 1,
    orders: 1,
    payments: 1,
    cancels: 0,
    losses: 0,
    failovers: 0,
    calls: 1,
    readers: false,
};

#[test]
fn three_users_and_two_seats() {
    every_promise_is_kept(Bounds { users: 3, seats: 2, ..DUEL });
}

#[test]
fn two_attempts_to_pay_and_a_cancellation() {
    every_promise_is_kept(Bounds { payments: 2, cancels: 1, ..DUEL });
}

#[test]
fn an_order_that_ends_before_its_hold_and_a_second_one() {
    every_promise_is_kept(Bounds { hold_ttl: 2, orders: 2, ..DUEL });
}

#[test]
fn a_hold_store_that_loses_everything() {
    every_promise_is_kept(Bounds { losses: 1, seats: 2, ..DUEL });
}

#[test]
fn a_slow_restore() {
    every_promise_is_kept(Bounds { readers: true, ..DUEL });
}

#[test]
fn a_hold_store_that_falls_back_to_an_older_state() {
    every_promise_is_kept(Bounds { failovers: 1, ..DUEL });
}
