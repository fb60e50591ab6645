//! How many bytes a held seat takes on the embedded store, and how many allocations a hold, as the allocator counts them.
//!
//! Fills the 20,000-seat arena with holds and counts what is asked for meanwhile, beside the fixed cost of a show: buckets and
//! slots that are allotted ahead count, and so do the names and tallies of users. Ends with an error above 64 bytes a held
//! seat where users have the seats that they may have by default; the other lines show what a user costs by himself.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark, not a library")]

use std::alloc::System;
use std::process::ExitCode;

use bms_benches::{Venue, user, venue};
use futures::executor::block_on;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SEATS: u32 = 20_000;
const BYTES_A_SEAT: usize = 64;

/// Primes the show, so that what follows is the cost of holds alone.
fn arena() -> (Venue, usize) {
    let venue = venue(1, SEATS).unwrap();
    let fixed = Region::new(ALLOCATOR);
    drop(block_on(venue.service.seat_map(&venue.shows[0])).unwrap());
    let cost = kept(&fixed);
    (venue, cost)
}

fn kept(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}

/// The fixed bytes of the show, and the bytes that holding every seat takes.
fn hold_everything(seats_a_hold: usize, holds_a_user: usize) -> (usize, usize) {
    let (venue, fixed) = arena();
    let holding = Region::new(ALLOCATOR);
    for (number, seats) in venue.seats.chunks(seats_a_hold).enumerate() {
        let caller = user(number / holds_a_user).unwrap();
        block_on(venue.service.place_hold(&caller, &venue.shows[0], seats, venue.service.new_seed())).unwrap();
    }
    (fixed, kept(&holding))
}

fn main() -> ExitCode {
    let mut within = true;
    println!("the 20,000-seat arena, every seat held          bytes a seat   fixed bytes a show");
    for (seats, holds, name) in [
        (2, 5, "two-seat holds, five a user (the default limit)"),
        (2, 1, "two-seat holds, each of another user           "),
        (10, 1, "ten-seat holds, each of another user           "),
        (1, 1, "one-seat holds, each of another user           "),
    ] {
        let (fixed, bytes) = hold_everything(seats, holds);
        let each = bytes.div_ceil(SEATS as usize);
        println!("{name} {each:>12}   {fixed:>18}");
        within &= each <= BYTES_A_SEAT || seats * holds < 10;
    }
    println!("allocations a two-seat hold (amortised): {:.1}", allocations());
    if within {
        ExitCode::SUCCESS
    } else {
        eprintln!("more than {BYTES_A_SEAT} bytes a held seat");
        ExitCode::FAILURE
    }
}

fn allocations() -> f64 {
    let (venue, _) = arena();
    let caller = user(0).unwrap();
    let region = Region::new(ALLOCATOR);
    let mut holds = 0;
    for seats in venue.seats.chunks(2) {
        block_on(venue.service.place_hold(&caller, &venue.shows[0], seats, venue.service.new_seed())).unwrap();
        holds += 1;
    }
    region.change().allocations as f64 / f64::from(holds)
}
