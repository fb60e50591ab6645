//! How many two-seat holds on free seats a second, by turns: through the library, the same script by `redis-benchmark`, and the
//! naive layout by both.

use std::sync::Arc;

use bms_redis::RedisHolds;

use crate::bench::{Bench, Cost, head, median, medians, row};
use crate::tool::Callers;
use crate::{naive, ours, tool};

pub(crate) fn print(bench: &Bench, holds: &RedisHolds) {
    let (plain, sha) = (naive::connect(bench), naive::load(bench));
    let scale = bench.scale;
    let arenas = usize::try_from(2 * scale.holds / u64::from(scale.seats)).unwrap();
    let shows: Vec<_> = (0..arenas).map(ours::show).collect();
    let mut costs: [Vec<Cost>; 5] = [const { Vec::new() }; 5];
    for _ in 0..scale.rounds {
        bench.flush();
        ours::prime_all(bench, holds, &shows, scale.seats);
        let requests: Arc<[_]> = ours::pairs(&shows, scale.holds).into();
        costs[0].push(bench.cost(|| ours::place(bench, holds, &requests, ours::granted)));
        bench.flush();
        let script = tool::prepare(bench, holds);
        costs[1].push(bench.cost(|| tool::place(bench, Callers::Fifty, holds, &script)));
        bench.flush();
        let script = tool::prepare(bench, holds);
        costs[2].push(bench.cost(|| tool::place(bench, Callers::Sixteen, holds, &script)));
        bench.flush();
        costs[3].push(bench.cost(|| naive::place(bench, &plain, &sha, &requests)));
        bench.flush();
        costs[4].push(bench.cost(|| tool::place_naive(bench, &sha)));
    }
    bench.flush();

    println!("\nTwo-seat holds on free seats: {} a round, medians of {} rounds.", scale.holds, scale.rounds);
    head(&[
        "layout and client",
        "holds a second",
        "p50",
        "p99",
        "client CPU a hold",
        "server CPU a hold",
        "its script",
        "bytes sent a hold",
    ]);
    let names = [
        "this, through `RedisHolds`: 256 tasks, one connection",
        "this, `redis-benchmark -P 16 -c 50`",
        "this, `redis-benchmark -P 16 -c 16`",
        "naive, through redis-rs: 256 tasks, one connection",
        "naive, `redis-benchmark -P 16 -c 50`",
    ];
    for (name, costs) in names.into_iter().zip(&costs) {
        let cost = medians(costs);
        row(&[
            name.to_owned(),
            format!("{:.0}", cost.rate),
            format!("{:.1} ms", 1e3 * cost.p50.as_secs_f64()),
            format!("{:.1} ms", 1e3 * cost.p99.as_secs_f64()),
            format!("{:.1} µs", cost.client_us),
            format!("{:.1} µs", cost.main_thread_us),
            format!("{:.1} µs", cost.script_us),
            format!("{:.0}", cost.bytes_in),
        ]);
    }
    let ratios: Vec<f64> = costs[0].iter().zip(&costs[1]).map(|(ours, tool)| ours.rate / tool.rate).collect();
    let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    let p99 = |costs: &[Cost]| medians(costs).p99.as_secs_f64() * 1e3;
    println!(
        "\nThe library's rate, by that of `redis-benchmark`: {:.2} (rounds: {}); wanted: 1.0.",
        median(ratios),
        all.join(", ")
    );
    println!(
        "p99 of the library's calls: {:.1} ms, of as many calls under way by `redis-benchmark`: {:.1} ms; wanted: under 10 ms.",
        p99(&costs[0]),
        p99(&costs[2])
    );
}
