//! Holds on the embedded store, through the service: place and release a pair of seats; read the arena's map.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark, not a library")]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use bms_benches::{Venue, user, venue};
use bms_domain::id::{Caller, SeatId, ShowId};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::FutureExt as _;
use futures::executor::block_on;

fn pair(venue: &Venue, caller: &Caller, show: &ShowId, seats: &[SeatId]) {
    let seed = venue.service.new_seed();
    // The embedded stores answer at once: what is measured is the library, not an executor.
    let held = venue.service.place_hold(caller, show, seats, seed).now_or_never().unwrap().unwrap();
    black_box(venue.service.release_hold(caller, held.hold.id).now_or_never().unwrap().unwrap());
}

/// `threads` threads on as many shows, each doing `pairs` pairs: how long until the last is done.
fn together(venue: &Venue, threads: usize, pairs: u64) -> Duration {
    let start = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let start = &start;
            scope.spawn(move || {
                let caller = user(thread).unwrap();
                start.wait();
                for _ in 0..pairs {
                    pair(venue, &caller, &venue.shows[thread], &venue.seats[..2]);
                }
            });
        }
        start.wait();
        Instant::now()
    })
    .elapsed()
}

fn hold_and_release(c: &mut Criterion) {
    let mut group = c.benchmark_group("two-seat hold and release");
    for threads in [1_usize, 2] {
        let venue = venue(threads, 1_000).unwrap();
        group.throughput(Throughput::Elements(threads as u64));
        group.bench_with_input(BenchmarkId::new("threads on shows of their own", threads), &threads, |b, threads| {
            b.iter_custom(|pairs| together(&venue, *threads, pairs));
        });
    }
    group.finish();
}

fn growth(c: &mut Criterion) {
    let mut group = c.benchmark_group("two-seat hold and release, by number of shows");
    for shows in [1_usize, 1_000, 100_000] {
        let venue = venue(shows, 100).unwrap();
        let caller = user(0).unwrap();
        group.bench_with_input(BenchmarkId::from_parameter(shows), &shows, |b, shows| {
            b.iter(|| pair(&venue, &caller, &venue.shows[shows - 1], &venue.seats[..2]));
        });
    }
    group.finish();
}

fn arena_map(c: &mut Criterion) {
    let mut group = c.benchmark_group("map of the 20,000-seat arena");
    for held in [0_usize, 10_000, 20_000] {
        let venue = venue(1, 20_000).unwrap();
        let show = venue.shows[0];
        for (number, seats) in venue.seats[..held].chunks(2).enumerate() {
            let caller = user(number).unwrap();
            block_on(venue.service.place_hold(&caller, &show, seats, venue.service.new_seed())).unwrap();
        }
        group.bench_with_input(BenchmarkId::new("read, seats held", held), &held, |b, _| {
            b.iter(|| black_box(block_on(venue.service.seat_map_fresh(&show)).unwrap()));
        });
        group.bench_with_input(BenchmarkId::new("kept, seats held", held), &held, |b, _| {
            b.iter(|| black_box(block_on(venue.service.seat_map(&show)).unwrap()));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1)).sample_size(20);
    targets = hold_and_release, growth, arena_map
}
criterion_main!(benches);
