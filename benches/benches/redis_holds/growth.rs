//! Whether a hold costs more the more shows there are.

use std::sync::Arc;

use bms_domain::store::PlaceHold;
use bms_redis::RedisHolds;

use crate::bench::{Bench, Cost, head, median, medians, row};
use crate::{ours, tool};

pub(crate) fn print(few: &Bench, few_holds: &RedisHolds) {
    let scale = few.scale;
    let many = Bench::start(scale);
    let many_holds = ours::connect(&many);
    let shows: Vec<_> = (0..scale.many_shows).map(ours::show).collect();
    let empty = many.memory();
    ours::prime_all(&many, &many_holds, &shows, scale.seats);
    let primed = (many.memory() - empty) / shows.len() as f64;
    // Every show has a hold already: what is measured is not the first of its kind.
    let first: Arc<[_]> = ours::pairs(&shows, shows.len() as u64).into();
    ours::place(&many, &many_holds, &first, ours::granted);
    let held = (many.memory() - empty) / shows.len() as f64;

    let pairs = u64::from(scale.seats) / 2 - 1;
    tool::prepare_plain(&many, shows.len());
    let mut costs: [Vec<Cost>; 5] = [const { Vec::new() }; 5];
    for round in 0..scale.rounds {
        few.flush();
        ours::prime_all(few, few_holds, &shows[..1], scale.seats);
        let place = |bench: &Bench, holds: &RedisHolds, requests: Vec<PlaceHold>| {
            bench.cost(|| ours::place(bench, holds, &requests.into(), ours::granted))
        };
        costs[0].push(place(few, few_holds, ours::pairs(&shows[..1], pairs)));
        // A show that has only its first pair taken.
        let mut requests = ours::pairs(&shows[round..=round], pairs + 1);
        requests.remove(0);
        costs[1].push(place(&many, &many_holds, requests));
        costs[2].push(place(&many, &many_holds, spread(&shows, scale.rounds, round)));
        // What the memory of the machine alone does to a command.
        tool::prepare_plain(few, 1);
        costs[3].push(few.cost(|| tool::get_plain(few, 1)));
        costs[4].push(many.cost(|| tool::get_plain(&many, shows.len())));
    }

    println!("\nTwo-seat holds, and beside them plain keys as many as shows; medians of {} rounds.", scale.rounds);
    head(&["shows", "its script", "server CPU", "CPU, by one of its kind"]);
    let names = [
        "1".to_owned(),
        format!("{}, all holds on one of them", shows.len()),
        format!("{}, each hold on another of them", shows.len()),
        "1 plain key, `GET`".to_owned(),
        format!("{} plain keys, `GET` of any", shows.len()),
    ];
    let base = [0, 0, 0, 3, 3].map(|one| &costs[one]);
    for ((name, of), base) in names.into_iter().zip(&costs).zip(base) {
        let cost = medians(of);
        let ratio = median(of.iter().zip(base).map(|(many, one)| many.main_thread_us / one.main_thread_us));
        row(&[name, format!("{:.1} µs", cost.script_us), format!("{:.1} µs", cost.main_thread_us), format!("{ratio:.2}")]);
    }
    println!("\nMemory of a show that is primed: {primed:.0} bytes; with its first hold: {held:.0} bytes.");
}

/// The second hold of one part of the shows: those in the way of `pairs` are left out.
fn spread(shows: &[bms_domain::id::ShowId], parts: usize, part: usize) -> Vec<PlaceHold> {
    let some = shows.iter().enumerate().filter(|(number, _)| *number >= parts && number % parts == part);
    some.map(|(number, show)| ours::request(*show, ours::user(number as u64), [4, 5])).collect()
}
