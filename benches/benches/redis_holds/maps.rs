//! What a fresh map of the arena costs, however much of it is sold.

use bms_domain::id::OrderId;
use bms_domain::store::{HoldStore as _, OccupancyRead, SoldSeats};
use bms_redis::RedisHolds;
use uuid::Uuid;

use crate::bench::{Bench, head, median, medians, row};
use crate::{naive, ours};

/// The most bytes that a map of the arena may take on the wire.
const BYTES: f64 = 20_000.0;

/// Says whether every map is small enough.
pub(crate) fn print(bench: &Bench, holds: &RedisHolds) -> bool {
    let scale = bench.scale;
    let plain = naive::connect(bench);
    let mut small = true;
    println!("\nA fresh map of {} seats, medians of {} rounds of {}.", scale.seats, scale.rounds, scale.maps);
    head(&["sold", "its script", "server CPU", "bytes received", "naive (`MGET`): server CPU", "naive: bytes received"]);
    for percent in [0, 50, 100] {
        bench.flush();
        let sold = scale.seats / 100 * percent;
        bench.runtime.block_on(ours::prime(holds, ours::show(0), scale.seats, sales(sold)));
        let entry =
            |seat: u32| [naive::seat_key(ours::show(0).as_str(), &seat.to_string()), ours::hold_id(&ours::show(0)).to_string()];
        let entries: Vec<String> = ["MSET".to_owned()].into_iter().chain((0..sold).flat_map(entry)).collect();
        if sold > 0 {
            bench.server.command::<()>(&entries).unwrap();
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            let holds = holds.clone();
            ours.push(bench.cost(|| {
                bench.run_with(4, scale.maps, move |_| {
                    let holds = holds.clone();
                    async move {
                        let OccupancyRead::Known(map) = holds.occupancy(&ours::show(0)).await.unwrap() else {
                            panic!("the show is not primed")
                        };
                        assert_eq!(map.sold.count(), sold);
                    }
                })
            }));
            let maps = scale.maps.div_ceil(20);
            theirs.push(bench.cost(|| naive::maps(bench, &plain, ours::show(0).as_str(), scale.seats, maps)));
        }
        let cost = medians(&ours);
        small &= cost.bytes_out < BYTES;
        row(&[
            format!("{percent} %"),
            format!("{:.1} µs", cost.script_us),
            format!("{:.1} µs", cost.main_thread_us),
            format!("{:.0}", cost.bytes_out),
            format!("{:.0} µs", median(theirs.iter().map(|cost| cost.main_thread_us))),
            format!("{:.0}", median(theirs.iter().map(|cost| cost.bytes_out))),
        ]);
    }
    bench.flush();
    println!("\nWanted: under 1,000 µs, and under {BYTES} bytes.");
    small
}

/// The first seats, sold in pairs to as many users.
fn sales(seats: u32) -> Vec<SoldSeats> {
    let show = ours::show(0);
    let sale = |first: u32| SoldSeats {
        show,
        order: OrderId::new(show.shard(), Uuid::now_v7()),
        hold: ours::hold_id(&show),
        owner: ours::user(first.into()),
        seats: [first, first + 1].into_iter().collect(),
    };
    (0..seats).step_by(2).map(sale).collect()
}
