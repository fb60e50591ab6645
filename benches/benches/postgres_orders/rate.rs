//! How many orders of two seats are made and confirmed a second, by turns: by the library, for as many callers as it has
//! connections and for a crowd of them, and by `pgbench -M prepared` with the same statements, an order each, and as many connections.

use bms_domain::store::OrderStore as _;
use bms_postgres::PostgresOrders;

use crate::bench::{Bench, CONNECTIONS, CROWD, Run, head, median, p99_ms, row};
use crate::ours::{self, SHOWS, confirm, create, wish};
use crate::pgbench;

/// Makes orders, beginning with that of a number, and confirms them.
fn ours(bench: &Bench, store: &PostgresOrders, callers: u32, before: u64) -> (Run, Run) {
    let count = bench.scale.orders;
    let creating = store.clone();
    let made = bench.run(callers, count, move |n| {
        let store = creating.clone();
        async move { create(&store, &wish(before + n)).await }
    });
    let confirming = store.clone();
    let paid = bench.run(callers, count, move |n| {
        let store = confirming.clone();
        async move { confirm(&store, before + n, wish(before + n).id).await }
    });
    (made, paid)
}

pub(crate) fn print(bench: &Bench) {
    let (database, postgres) = bench.database();
    let store = PostgresOrders::new(postgres.clone());
    bench.runtime.block_on(async {
        for n in 0..SHOWS {
            store.pin_layout(&ours::show(n), ours::layout()).await.unwrap();
        }
    });
    pgbench::prepare(bench, &database);
    let count = bench.scale.orders;
    let all = bench.scale.rounds as u64 * count;
    let (mut created, mut confirmed) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..bench.scale.rounds as u64 {
        let before = round * count;
        // By turns, and who begins by turns too.
        let theirs = || {
            let made = pgbench::run(bench, &database, &pgbench::create_script(), before, count);
            (made, pgbench::run(bench, &database, &pgbench::confirm_script(), before, count))
        };
        let both = || [(CONNECTIONS, 0), (CROWD, all)].map(|(callers, others)| ours(bench, &store, callers, others + before));
        let (both, (their_made, their_paid)) = if round % 2 == 0 {
            let both = both();
            (both, theirs())
        } else {
            let theirs = theirs();
            (both(), theirs)
        };
        for (callers, (made, paid)) in both.into_iter().enumerate() {
            created[callers].push((made.rate, their_made, p99_ms(&made)));
            confirmed[callers].push((paid.rate, their_paid, p99_ms(&paid)));
        }
        bench.server.psql_in(&database, "vacuum analyze").unwrap();
    }
    println!("\n{CONNECTIONS} connections, {count} orders of two seats a round, {} rounds, medians", bench.scale.rounds);
    head(&["", "callers", "library /s", "p99 ms", "pgbench /s", "ratio (each round)"]);
    for (what, rounds) in [("an order is made", created), ("an order is confirmed", confirmed)] {
        for (callers, rounds) in [CONNECTIONS, CROWD].into_iter().zip(rounds) {
            let ratios: Vec<f64> = rounds.iter().map(|(ours, theirs, _)| ours / theirs).collect();
            let each = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" ");
            row(&[
                what.to_owned(),
                callers.to_string(),
                format!("{:.0}", median(rounds.iter().map(|round| round.0))),
                format!("{:.1}", median(rounds.iter().map(|round| round.2))),
                format!("{:.0}", median(rounds.iter().map(|round| round.1))),
                format!("{:.2} ({each})", median(ratios)),
            ]);
        }
    }
    let audit = bench.runtime.block_on(postgres.audit()).unwrap();
    assert!(audit.findings.is_empty(), "{:?}", audit.findings);
}
