//! What an order costs while the tables grow.

use bms_domain::store::OrderStore as _;
use bms_postgres::PostgresOrders;

use crate::bench::{Bench, CONNECTIONS, head, median, row};
use crate::ours::{self, SHOWS, confirm, create, wish};

/// Orders that were confirmed long ago, `$from` to `$to`, with claims, payments, histories, and tickets as far as there are codes; without notices and events.
const FILL: &str = "
    set synchronous_commit = off;
    -- What is written agrees with itself, and is not looked up again row by row.
    set session_replication_role = replica;
    create temporary table old as
        select n, (n % 1000)::smallint as shard, 'old-' || n % 1000 as show_id, (n / 1000 * 2)::integer as seat,
            ('01800000-0000-7' || lpad(to_hex(n % 1000), 3, '0') || '-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id
        from generate_series($from::bigint, $to::bigint - 1) as n;
    insert into bms.show_plans (shard, show_id, layout_id) select n, 'old-' || n, 'plan-1' from generate_series(0, 999) as n
        on conflict do nothing;
    insert into bms.orders (shard, id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency, customer_name,
            customer_email, created_at, expires_at, state, state_at, payment_reference, seats_sold, version, events)
        select shard, id, id, show_id, 'plan-1', 'user-' || n % 1000000, array['S' || seat, 'S' || seat + 1], array[seat, seat + 1],
            2500, 'EUR', 'Ann Example', 'ann@example.org', '2026-01-01', '2026-01-02', 'CONFIRMED', '2026-01-01', 'old-' || n, 2, 2, 2
        from old;
    insert into bms.seat_claims select shard, show_id, 'S' || seat + s, seat + s, id, null from old, generate_series(0, 1) as s;
    insert into bms.payments select shard, id, 'old-' || n, 'old-' || n, 'COUNTED', null, 2500, 'EUR', '2026-01-01', '2026-01-01', null from old;
    insert into bms.tickets select 'BMS-Y' || lpad(upper(to_hex(n)), 5, '0'), lpad(n::text, 32, '0'), shard, id, '2026-01-01'
        from old where n < 1048576;
    insert into bms.order_changes
        select shard, id, s, case s when 1 then 'order.created' else 'order.confirmed' end, '2026-01-01',
            case s when 1 then 'PAYMENT_PENDING' else 'CONFIRMED' end, case s when 2 then '2026-01-01'::timestamptz end, null,
            case s when 2 then 'old-' || n end, false
        from old, generate_series(1, 2) as s;
    drop table old;
";

pub(crate) fn print(bench: &Bench) {
    let (database, postgres) = bench.database();
    let store = PostgresOrders::new(postgres);
    bench.runtime.block_on(async {
        for n in 0..SHOWS {
            store.pin_layout(&ours::show(n), ours::layout()).await.unwrap();
        }
    });
    println!("\nOrders of two seats, {CONNECTIONS} connections, medians of {} rounds", bench.scale.rounds);
    println!(
        "After a checkpoint Postgres logs each page whole that it changes for the first time: on and off shows what that costs."
    );
    head(&["orders in the table", "whole pages", "made /s", "log bytes each", "confirmed /s", "log bytes each", "read by id /s"]);
    let log =
        || -> f64 { bench.server.psql_in(&database, "select pg_current_wal_lsn() - '0/0'").unwrap().trim().parse().unwrap() };
    let (mut filled, mut sold) = (0, 0);
    for size in bench.scale.growth {
        while filled < *size {
            let to = (filled + 100_000).min(*size);
            let fill = FILL.replace("$from", &filled.to_string()).replace("$to", &to.to_string());
            bench.server.psql_in(&database, &fill).unwrap();
            filled = to;
        }
        bench.server.psql_in(&database, "vacuum analyze").unwrap();
        for whole_pages in ["on", "off"] {
            let set = format!("alter system set full_page_writes = {whole_pages}");
            for statement in [&set, "select pg_reload_conf()", "checkpoint"] {
                bench.server.psql_in(&database, statement).unwrap();
            }
            let count = bench.scale.orders / 4;
            let (mut made, mut paid, mut read) = (Vec::new(), Vec::new(), Vec::new());
            let (mut to_make, mut to_confirm) = (Vec::new(), Vec::new());
            for _ in 0..bench.scale.rounds {
                let before = sold;
                sold += count;
                let run = |what: fn(PostgresOrders, u64) -> futures::future::BoxFuture<'static, ()>| {
                    let store = store.clone();
                    bench.run(CONNECTIONS, count, move |n| what(store.clone(), before + n)).rate
                };
                let at_first = log();
                made.push(run(|store, n| Box::pin(async move { create(&store, &wish(n)).await })));
                let between = log();
                paid.push(run(|store, n| Box::pin(async move { confirm(&store, n, wish(n).id).await })));
                to_make.push((between - at_first) / count as f64);
                to_confirm.push((log() - between) / count as f64);
                read.push(run(|store, n| Box::pin(async move { assert!(store.get(wish(n).id).await.unwrap().is_some()) })));
            }
            let cells = [made, to_make, paid, to_confirm, read].map(|figures| format!("{:.0}", median(figures)));
            row(&[&[size.to_string(), whole_pages.to_owned()], &cells[..]].concat());
        }
    }
}
