//! What a call costs does not grow with what was sold: each reads the rows that it is about, by an index, and no others.

use std::sync::Arc;
use std::time::Duration;

use bms_domain::event::EventKey;
use bms_domain::payment::PaymentStatus;
use bms_domain::store::{OrderStore as _, Outbox as _, Replay};
use bms_domain::testing::{ManualClock, sample};
use bms_postgres::testing::Server;
use bms_postgres::{Postgres, PostgresConfig, PostgresOrders};
use futures::future::{BoxFuture, join_all};

use crate::support::shop::{TTL, ann, id, orders, paid, price, report, show, wish};
use crate::support::until;

/// How many orders of one show were sold before.
const CROWD: u32 = 20_000;
/// How often a call is made on one connection: a plan for any argument is made at the sixth.
const TIMES: u32 = 8;
/// How many rows and entries of indices a call may read: far fewer than there are.
const ROWS: u64 = 200;

/// A call for the `n`-th order.
type Call = for<'a> fn(&'a PostgresOrders, u32) -> BoxFuture<'a, ()>;

const CALLS: [(&str, Call); 25] = [
    ("create", |store, n| Box::pin(async move { drop(store.create(&wish(n + 1_000)).await.unwrap()) })),
    ("create where seats are taken", |store, n| {
        Box::pin(async move {
            let taken = wish(n).seats;
            store.create(&bms_domain::store::NewOrder { seats: taken, ..wish(n + 2_000) }).await.unwrap();
        })
    }),
    ("settle", |store, n| Box::pin(async move { drop(store.settle(&paid(n), &sample::ticket(n)).await.unwrap()) })),
    ("create together", |store, n| Box::pin(create_together(store, n))),
    ("settle together", |store, n| {
        Box::pin(async move {
            create_together(store, n).await;
            let settle = |n| async move { drop(store.settle(&paid(n), &sample::ticket(n)).await.unwrap()) };
            join_all(few(n).map(settle)).await;
        })
    }),
    ("settle a failure", |store, n| {
        Box::pin(async move {
            let failed = sample::notice(&format!("evt-{n}"), report(n, "bad", PaymentStatus::Failed, price()));
            store.settle(&failed, &sample::ticket(n)).await.unwrap();
        })
    }),
    ("settle what is under way", |store, n| {
        Box::pin(async move {
            store.settle(&report(n, "slow", PaymentStatus::Pending, price()), &sample::ticket(n)).await.unwrap();
        })
    }),
    ("settle what is for nobody", |store, n| {
        Box::pin(async move { drop(store.settle(&paid(n + 3_000), &sample::ticket(n)).await.unwrap()) })
    }),
    ("give_up", |store, n| Box::pin(async move { drop(store.give_up(id(n), &ann()).await.unwrap()) })),
    ("cancel", |store, n| {
        Box::pin(async move {
            store.settle(&paid(n), &sample::ticket(n)).await.unwrap();
            store.cancel(id(n)).await.unwrap();
        })
    }),
    ("get", |store, n| Box::pin(async move { drop(store.get(id(n)).await.unwrap()) })),
    ("get together", |store, n| Box::pin(async move { drop(join_all((0..4).map(|other| store.get(id(n + other % 2)))).await) })),
    ("by_holds", |store, n| Box::pin(async move { drop(store.by_holds(&[wish(n).hold]).await.unwrap()) })),
    ("by_ticket", |store, n| Box::pin(async move { drop(store.by_ticket(&sample::ticket(n).code).await.unwrap()) })),
    ("list", |store, n| Box::pin(async move { drop(store.list(&sample::user("ann"), Some(id(n)), 10).await.unwrap()) })),
    ("refunds_due", |store, n| {
        Box::pin(async move { drop(store.refunds_due(Some(&(id(n), sample::reference("pay"))), 10).await.unwrap()) })
    }),
    ("sales_within", |store, _| Box::pin(async move { drop(store.sales_within(TTL, None, 10).await.unwrap()) })),
    ("pin_layout", |store, _| {
        Box::pin(async move {
            store.pin_layout(&show(), sample::layout_id("plan-1")).await.unwrap();
        })
    }),
    ("claim events", |store, _| Box::pin(async move { drop(store.claim(10, TTL).await.unwrap()) })),
    ("postpone events", |store, n| Box::pin(async move { store.postpone(&keys(n), Duration::ZERO).await.unwrap() })),
    ("bury events", |store, n| Box::pin(async move { store.bury(&keys(n)).await.unwrap() })),
    ("published events", |store, n| Box::pin(async move { store.published(&keys(n)).await.unwrap() })),
    ("dead", |store, _| Box::pin(async move { drop(store.dead(None, 10).await.unwrap()) })),
    ("replay an order", |store, n| {
        Box::pin(async move {
            store.replay(&Replay::Order(id(n))).await.unwrap();
        })
    }),
    ("replay the dead", |store, _| {
        Box::pin(async move {
            store.replay(&Replay::Dead).await.unwrap();
        })
    }),
];

/// Calls for when the orders are past their end.
const LATE_CALLS: [(&str, Call); 3] = [
    ("expire_overdue", |store, _| Box::pin(async move { drop(store.expire_overdue(10).await.unwrap()) })),
    ("claim_attempts", |store, _| Box::pin(async move { drop(store.claim_attempts(10, TTL).await.unwrap()) })),
    ("prune", |store, _| {
        Box::pin(async move {
            store.prune(Duration::from_secs(30), 10).await.unwrap();
        })
    }),
];

/// A few orders of the `n`-th call alone.
fn few(n: u32) -> impl Iterator<Item = u32> {
    (0..4).map(move |other| 10_000 + 4 * n + other)
}

async fn create_together(store: &PostgresOrders, n: u32) {
    join_all(few(n).map(|n| async move { drop(store.create(&wish(n)).await.unwrap()) })).await;
}

/// The events of an order that was made.
fn keys(n: u32) -> [EventKey; 1] {
    [EventKey { order: id(n), sequence: 1 }]
}

/// Writes a crowd of confirmed orders down, as they would have become one by one.
fn sell(server: &Server, database: &str) {
    let sql = "
        create temporary table crowd as
            select n, encode(overlay(uuid_send(o.id) placing int8send((-9223372036854775808) + 100000 + n) from 9 for 8), 'hex')::uuid as id,
                '{S' || 100000 + n || '}' as seats, array[100000 + n] as indices, o.created_at - interval '1 hour' as at, o.shard, o.show_id
            from bms.orders o, generate_series(1, $CROWD) as n;
        insert into bms.orders (shard, id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency, customer_name,
                customer_email, created_at, expires_at, state, state_at, payment_reference, seats_sold, version, events)
            select c.shard, c.id, c.id, c.show_id, o.layout_id, 'user-' || c.n, c.seats::text[], c.indices, 2500, 'EUR', 'n', 'e',
                c.at, c.at, 'CONFIRMED', c.at, 'crowd-' || c.n, 1, 2, 2
            from crowd c, bms.orders o;
        insert into bms.seat_claims select shard, show_id, 'S' || 100000 + n, 100000 + n, id, null from crowd;
        insert into bms.payments select shard, id, 'crowd-' || n, 'crowd-' || n, 'COUNTED', null, 2500, 'EUR', at, at from crowd;
        insert into bms.payment_notices select 'crowd-' || n, shard, id, 'crowd-' || n, 'SUCCEEDED', 2500, 'EUR', at from crowd;
        insert into bms.tickets select 'BMS-' || lpad(upper(to_hex(n)), 6, '0'), repeat('0', 32), shard, id, at from crowd;
        insert into bms.order_changes select shard, id, s, 'order.confirmed', at, 'CONFIRMED', at, null, 'crowd-' || n, false
            from crowd, generate_series(1, 2) as s;
        insert into bms.outbox (shard, order_id, sequence, at, available_at, published_at)
            select shard, id, s, at, at, at + interval '59 minutes' from crowd, generate_series(1, 2) as s;
    ";
    let sql = sql.replace("$CROWD", &CROWD.to_string());
    server.psql_in(database, &sql).unwrap();
    server.psql_in(database, "vacuum analyze").unwrap();
}

/// How many rows and entries of indices were read in a schema so far.
async fn read(server: &Server, database: &str) -> u64 {
    // A connection counts what it read when it ends.
    let others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend'";
    until("the end of the connections", async || server.psql_in(database, others).unwrap() == "0").await;
    let sql = "select (select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) from pg_stat_all_tables where schemaname = 'bms')
            + (select sum(coalesce(idx_tup_read, 0)) from pg_stat_all_indexes where schemaname = 'bms')";
    server.psql_in(database, sql).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_reads_more_than_it_is_about() {
    let server = Server::shared();
    let clock = ManualClock::default();
    let url = server.fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap();
    let one = PostgresConfig::new(&url).unwrap().connections(1).unwrap();
    Postgres::migrate(&one).await.unwrap();
    let connect = async || Postgres::connect(&one).await.unwrap().with_clock(Arc::new(clock.clone()));

    let setup = connect().await;
    orders(&setup).create(&wish(0)).await.unwrap();
    setup.close().await;
    sell(server, database);
    let mut n = 0;
    for (late, (name, call)) in CALLS.map(|call| (false, call)).into_iter().chain(LATE_CALLS.map(|call| (true, call))) {
        let setup = connect().await;
        for made in n..n + TIMES {
            orders(&setup).create(&wish(made + 1)).await.unwrap();
        }
        setup.close().await;
        if late {
            clock.advance(TTL);
        }
        let before = read(server, database).await;
        let caller = connect().await;
        for _ in 0..TIMES {
            n += 1;
            call(&orders(&caller), n).await;
        }
        caller.close().await;
        let rows = (read(server, database).await - before) / u64::from(TIMES);
        assert!(rows > 0, "{name} does nothing here");
        assert!(rows <= ROWS, "{name} reads {rows} rows and entries");
    }
}
