//! The audit finds each thing that a promise forbids, and nothing on a database that only the library wrote to.

use bms_domain::order::Order;
use bms_domain::payment::PaymentStatus;
use bms_domain::store::{Creation, OrderStore as _};
use bms_domain::testing::sample;
use bms_postgres::sqlx::{self, AssertSqlSafe, Connection as _, PgConnection};
use bms_postgres::{Audit, Postgres, PostgresConfig};

use crate::support;
use crate::support::shop::{ann, id, orders, paid, price, report, wish};

/// A show in which something of every kind has happened: order 1 confirmed, 2 cancelled, 3 given up, 4 waiting, 5 declined,
/// money for no order, and a wrong amount.
async fn sale() -> (PostgresConfig, Postgres) {
    let config = support::schema().await;
    let postgres = Postgres::connect(&config).await.unwrap();
    let orders = orders(&postgres);
    for n in 1..=5 {
        assert!(matches!(orders.create(&wish(n)).await.unwrap(), Creation::Created(Order { .. })));
    }
    for (n, report) in [
        (1, sample::notice("evt-1", paid(1))),
        (2, paid(2)),
        (5, sample::notice("evt-5", report(5, "pay-5", PaymentStatus::Failed, price()))),
        (9, sample::notice("evt-9", paid(9))),
        (4, sample::notice("evt-4", report(4, "pay-4", PaymentStatus::Succeeded, sample::euro(1)))),
    ] {
        orders.settle(&report, &sample::ticket(n)).await.unwrap();
    }
    orders.cancel(id(2)).await.unwrap();
    orders.give_up(id(3), &ann()).await.unwrap();
    (config, postgres)
}

/// Does something to the tables by hand; `bms.` stands for the schema.
async fn by_hand(config: &PostgresConfig, sql: &str) -> Result<(), sqlx::Error> {
    let schema = format!("{config:?}").split("Schema(\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut connection = PgConnection::connect(support::database()).await?;
    let sql = sql.replace("bms.", &format!("{schema}."));
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

fn whats(audit: &Audit) -> Vec<&'static str> {
    audit.findings.iter().map(|finding| finding.what).collect()
}

#[tokio::test]
async fn nothing_is_found_where_only_the_library_wrote() {
    let (_, postgres) = sale().await;
    let audit = postgres.audit().await.unwrap();
    assert_eq!(audit.findings, []);
    assert_eq!((audit.orders, audit.confirmed, audit.seats_sold, audit.refunds_due), (5, 1, 2, 3));
    let [total] = &audit.totals[..] else { panic!("{:?}", audit.totals) };
    assert_eq!((total.currency.as_str(), total.sold, total.counted, total.refunds), ("EUR", 2_500, 2_500, 5_001));
}

/// A hand in the data, with the guard that would have stopped it taken away first, and what is then found.
#[tokio::test]
async fn each_broken_promise_is_found() {
    let cases = [
        (
            "alter table bms.orders drop constraint orders_payment, drop constraint orders_all_seats_sold;
             update bms.orders set state = 'CONFIRMED', state_at = now(), fail_reason = null, seat_ids = '{S2,S3}' where state = 'FAILED'",
            "a seat belongs to two confirmed orders",
        ),
        (
            "insert into bms.seat_claims select shard, show_id, 'B1', seat_index, order_id, null from bms.seat_claims where expires_at is null limit 1",
            "one place of a seat plan is claimed under two names",
        ),
        ("alter table bms.seat_claims disable trigger seat_claims_stay_sold; delete from bms.seat_claims where expires_at is null",
            "a confirmed order lacks the claim of one of its seats"),
        (
            "update bms.seat_claims set expires_at = null where expires_at is not null",
            "a claim does not fit its order",
        ),
        (
            "update bms.payments set amount = 1 where state = 'COUNTED'",
            "a confirmed order was not paid, or not with its price",
        ),
        (
            "update bms.payments set state = 'COUNTED', refund_reason = null where refund_reason = 'UNKNOWN_ORDER'",
            "a payment was counted for an order that is not confirmed",
        ),
        (
            "delete from bms.payments where refund_reason = 'ORDER_CANCELLED'",
            "a cancelled order's payment is not to be given back",
        ),
        (
            "insert into bms.payment_notices select 'evt-x', shard, order_id, 'pay-x', 'SUCCEEDED', amount, currency, now() from bms.payments limit 1",
            "a payment that was told of is neither counted nor to be given back",
        ),
        ("delete from bms.tickets", "a confirmed order has no ticket, or another has one"),
        ("update bms.orders set events = events + 1", "an order's history lacks a change"),
        (
            "alter table bms.order_changes disable trigger only_added_to;
             update bms.order_changes set state = 'EXPIRED' where kind = 'order.failed'",
            "an order is not in the last state of its history",
        ),
        (
            "alter table bms.order_changes disable trigger only_added_to;
             update bms.order_changes set state = 'CANCELLED' where kind = 'order.created'",
            "an order's history has a move that the table does not allow",
        ),
        (
            "insert into bms.outbox select shard, order_id, 99, at, at from bms.outbox limit 1",
            "an event waits that never happened",
        ),
        (
            "alter table bms.seat_claims drop constraint seat_claims_order; alter table bms.tickets drop constraint tickets_order;
             alter table bms.orders drop constraint orders_plan, drop constraint orders_shard;
             update bms.orders set shard = (shard + 1) % 4096",
            "an order lies where its id does not lead",
        ),
        (
            "update bms.orders set amount = 2501 where state = 'CONFIRMED'",
            "what was sold and what was paid differ",
        ),
    ];
    for (sql, what) in cases {
        let (config, postgres) = sale().await;
        by_hand(&config, sql).await.unwrap();
        let audit = postgres.audit().await.unwrap();
        assert!(whats(&audit).contains(&what), "{what}: found {:?}", whats(&audit));
        let finding = audit.findings.iter().find(|finding| finding.what == what).unwrap();
        assert!(finding.count >= 1 && !finding.examples.is_empty(), "{finding:?}");
    }
}

/// What hand-written SQL tries, and which constraint refuses it.
#[tokio::test]
async fn constraints_refuse_what_a_promise_forbids() {
    let cases = [
        ("insert into bms.seat_claims select * from bms.seat_claims limit 1", "seat_claims_pkey"),
        ("insert into bms.seat_claims values (0, 'show-1', 'Z9', 900, gen_random_uuid(), null)", "seat_claims_order"),
        (
            "update bms.orders set state = 'CONFIRMED', state_at = now(), payment_reference = 'p' where state = 'PAYMENT_PENDING'",
            "orders_all_seats_sold",
        ),
        ("update bms.orders set state = 'PAID', state_at = now() where state = 'PAYMENT_PENDING'", "orders_state_check"),
        ("update bms.orders set amount = -1", "orders_amount_check"),
        ("update bms.orders set id = gen_random_uuid()", "orders_shard"),
        ("update bms.orders set layout_id = 'another'", "orders_plan"),
        ("update bms.show_plans set layout_id = 'another'", "orders_plan"),
        (
            "insert into bms.orders (shard, id, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency,
                 customer_name, customer_email, created_at, expires_at, state)
             select shard, overlay(id::text placing 'ffffffffffff' from 25)::uuid, hold_id, show_id, layout_id, owner, seat_ids, seat_indices, amount, currency,
                 customer_name, customer_email, created_at, expires_at, state
             from bms.orders where state = 'PAYMENT_PENDING'",
            "orders_one_open_a_hold",
        ),
        ("delete from bms.seat_claims where expires_at is null", "seat_claims_stay_sold"),
        ("update bms.seat_claims set seat_id = 'Z9' where expires_at is null and seat_id = 'S2'", "seat_claims_stay_sold"),
        ("update bms.seat_claims set expires_at = now() where expires_at is null", "seat_claims_stay_sold"),
        ("update bms.tickets set code = 'BMS-000001'", "tickets_pkey"),
        ("insert into bms.payment_notices select * from bms.payment_notices limit 1", "payment_notices_pkey"),
        (
            "insert into bms.payments select shard, gen_random_uuid(), key, reference, state, refund_reason, amount, currency,
                 first_heard, changed_at from bms.payments where state = 'COUNTED'",
            "payments_once",
        ),
        (
            "insert into bms.payments select shard, order_id, 'other', 'other', state, refund_reason, amount, currency,
                 first_heard, changed_at from bms.payments where state = 'COUNTED'",
            "payments_one_an_order",
        ),
    ];
    let (config, _) = sale().await;
    for (sql, constraint) in cases {
        let refused = by_hand(&config, sql).await.expect_err(sql);
        let found = refused.as_database_error().and_then(|said| said.constraint()).map(str::to_owned);
        assert_eq!(found.as_deref(), Some(constraint), "{sql}: {refused}");
    }
    for sql in [
        "update bms.order_changes set at = now()",
        "delete from bms.order_changes",
        "truncate bms.order_changes",
        "truncate bms.seat_claims",
        "truncate bms.orders cascade",
    ] {
        let refused = by_hand(&config, sql).await.expect_err(sql);
        assert_eq!(refused.as_database_error().and_then(|said| said.code()).as_deref(), Some("23000"), "{sql}");
    }
}
