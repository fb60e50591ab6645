//! The truth of a seat map: the confirmed seats of the arena, read fresh.

use bms_domain::id::ShowId;
use bms_domain::store::OrderStore as _;
use bms_postgres::PostgresOrders;

use crate::bench::{Bench, head, p99_ms, row};
use crate::ours::{self, confirm, create, wish_of};

pub(crate) fn print(bench: &Bench) {
    let (database, postgres) = bench.database();
    let store = PostgresOrders::new(postgres);
    let show = ShowId::parse("arena").unwrap();
    let seats = bench.scale.seats;
    bench.runtime.block_on(store.pin_layout(&show, ours::layout())).unwrap();
    println!("\nA show of {seats} seats, orders of ten, one caller");
    // A burst of sales leaves a version of each claim behind, until autovacuum comes by within a minute.
    head(&["seats sold", "p50 ms", "p99 ms", "vacuumed, p50 ms", "p99 ms"]);
    for share in [0, 50, 100] {
        let sold = seats / 100 * share;
        let before = if share == 100 { seats / 2 } else { 0 };
        let selling = store.clone();
        bench.run(16, u64::from((sold - before.min(sold)) / 10), move |n| {
            let store = selling.clone();
            async move {
                let first = before + u32::try_from(n).unwrap() * 10;
                let number = u64::from(first);
                let wish = wish_of(show, number, first..first + 10);
                create(&store, &wish).await;
                confirm(&store, number, wish.id).await;
            }
        });
        let read = || {
            let reading = store.clone();
            let run = bench.run(1, bench.scale.reads, move |_| {
                let store = reading.clone();
                async move { assert_eq!(store.sold(&show, seats).await.unwrap().count(), sold) }
            });
            [format!("{:.2}", run.each.value_at_quantile(0.5) as f64 / 1_000.0), format!("{:.2}", p99_ms(&run))]
        };
        let fresh = read();
        bench.server.psql_in(&database, "vacuum analyze bms.seat_claims").unwrap();
        row(&[&[sold.to_string()], &fresh[..], &read()[..]].concat());
    }
}
