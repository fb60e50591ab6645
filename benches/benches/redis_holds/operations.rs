//! What each operation costs the server, on one hot show: the arena with every pair of seats held.

use std::sync::Arc;
use std::time::Duration;

use bms_domain::id::{HoldId, OrderId};
use bms_domain::store::{Checkout, HoldChange, HoldStore as _, PlaceHold};
use bms_redis::RedisHolds;
use uuid::Uuid;

use crate::bench::{Bench, Cost, Run, head, medians, row};
use crate::ours;

const NAMES: [&str; 6] = ["place, granted", "place, refused", "get", "begin checkout", "end checkout", "release"];

pub(crate) fn print(bench: &Bench, holds: &RedisHolds) {
    let scale = bench.scale;
    let mut costs: [Vec<Cost>; 6] = [const { Vec::new() }; 6];
    for _ in 0..scale.rounds {
        bench.flush();
        ours::prime_all(bench, holds, &[ours::show(0)], scale.seats);
        let pairs = || -> Arc<[PlaceHold]> { ours::pairs(&[ours::show(0)], u64::from(scale.seats) / 2).into() };
        let (requests, late) = (pairs(), pairs());
        costs[0].push(bench.cost(|| ours::place(bench, holds, &requests, ours::granted)));
        costs[1].push(bench.cost(|| ours::place(bench, holds, &late, ours::refused)));
        costs[2].push(bench.cost(|| {
            each(bench, holds, &requests, |holds, request| async move { holds.get(&[request.id]).await.unwrap()[0].is_some() })
        }));
        costs[3].push(bench.cost(|| {
            each(bench, holds, &requests, |holds, request| async move {
                let cover = Duration::from_secs(300);
                let checkout = Checkout { order: order(request.id), cover, longest_life: 3 * ours::TTL };
                is_done(holds.begin_checkout(request.id, &ours::owner(&request), &checkout).await.unwrap())
            })
        }));
        costs[4].push(bench.cost(|| {
            each(bench, holds, &requests, |holds, request| async move {
                is_done(holds.end_checkout(request.id, order(request.id)).await.unwrap())
            })
        }));
        costs[5].push(bench.cost(|| {
            each(bench, holds, &requests, |holds, request| async move {
                is_done(holds.release(request.id, &ours::owner(&request)).await.unwrap())
            })
        }));
    }
    bench.flush();

    println!("\nOn one show, {} times each, 256 at a time, medians of {} rounds.", scale.seats / 2, scale.rounds);
    head(&["operation", "calls", "time of its scripts", "server CPU", "a second"]);
    for (name, costs) in NAMES.into_iter().zip(&costs) {
        let cost = medians(costs);
        let [scripts, script_us, cpu] = [cost.scripts, cost.script_us, cost.main_thread_us].map(|number| format!("{number:.1}"));
        row(&[name.to_owned(), scripts, format!("{script_us} µs"), format!("{cpu} µs"), format!("{:.0}", cost.rate)]);
    }
    let ratio = medians(&costs[1]).main_thread_us / medians(&costs[0]).main_thread_us;
    println!("\nServer CPU of a refused hold, by that of a granted one: {ratio:.2}; wanted: no more than 1.");
}

fn each<F>(
    bench: &Bench,
    holds: &RedisHolds,
    requests: &Arc<[PlaceHold]>,
    operation: impl Fn(RedisHolds, PlaceHold) -> F + Send + Sync + 'static,
) -> Run
where
    F: Future<Output = bool> + Send,
{
    let (holds, requests, operation) = (holds.clone(), Arc::clone(requests), Arc::new(operation));
    bench.run(requests.len() as u64, move |number| {
        let done = operation(holds.clone(), requests[usize::try_from(number).unwrap()].clone());
        async move { assert!(done.await) }
    })
}

fn is_done(change: HoldChange) -> bool {
    matches!(change, HoldChange::Done(_))
}

/// The order that a hold becomes here.
fn order(hold: HoldId) -> OrderId {
    OrderId::new(hold.shard(), Uuid::from_u128(hold.uuid().as_u128() ^ 1))
}
