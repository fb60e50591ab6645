//! Calls that come at the same time go to the server together, and each keeps its own answer (promises P3, P4).
//!
//! These tests run on one thread, where all calls that are awaited together have come before the first statement is sent.

use std::time::Duration;

use bms_domain::payment::{PaymentReport, PaymentStatus, RefundReason};
use bms_domain::seat::SeatSet;
use bms_domain::store::{Creation, NewOrder, OrderStore as _, Settled, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_postgres::sqlx::Row as _;
use bms_postgres::sqlx::postgres::PgPoolOptions;
use bms_postgres::testing::{PgBouncer, Server};
use bms_postgres::{Postgres, PostgresConfig, PostgresOrders, sqlx};
use futures::future::join_all;

use crate::support;
use crate::support::shop::{assert_sound, id, orders, paid, price, report, show, wish, wish_for};

async fn create(store: &PostgresOrders, wishes: &[NewOrder]) -> Vec<Result<Creation, StoreError>> {
    join_all(wishes.iter().map(|wish| store.create(wish))).await
}

/// What came of each wish: `true` for an order that was made.
fn made(answers: &[Result<Creation, StoreError>]) -> Vec<bool> {
    answers.iter().map(|answer| matches!(answer, Ok(Creation::Created(_)))).collect()
}

#[tokio::test]
async fn an_order_that_is_refused_is_refused_alone() {
    let postgres = support::postgres(ManualClock::default()).await;
    let store = orders(&postgres);
    let Creation::Created(first) = store.create(&wish(1)).await.unwrap() else { panic!("not made") };
    let Creation::Created(second) = store.create(&wish(2)).await.unwrap() else { panic!("not made") };
    let answers = create(
        &store,
        &[
            wish(20),
            NewOrder { seats: wish_for(0, &[2, 30]).seats, ..wish(10) },
            wish(21),
            wish(1),
            NewOrder { hold: wish(2).hold, ..wish(11) },
            wish(22),
            NewOrder { layout: sample::layout_id("plan-2"), ..wish(12) },
            wish(23),
        ],
    )
    .await;
    assert_eq!(made(&answers), [true, false, true, false, false, true, false, true], "{answers:?}");
    let answers: Vec<Creation> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers[1], Creation::Taken(sample::seats(&[2])));
    assert_eq!(answers[3], Creation::Existing(first));
    assert_eq!(answers[4], Creation::Existing(second));
    assert_eq!(answers[6], Creation::LayoutChanged(sample::layout_id("plan-1")));
    for (place, n) in [(0, 20), (2, 21), (5, 22), (7, 23)] {
        let Creation::Created(made) = &answers[place] else { panic!("not made") };
        assert_eq!((made.id, Some(made)), (id(n), store.get(id(n)).await.unwrap().as_ref()));
    }
    assert_sound(&postgres).await;
}

/// Of those that want the same seat, hold or id the first has it, and the others are told what he has.
#[tokio::test]
async fn rivals_that_come_together_are_told_apart() {
    let postgres = support::postgres(ManualClock::default()).await;
    let store = orders(&postgres);
    // The plan of the show is decided: nothing is in the way of the first.
    store.create(&wish(9)).await.unwrap();
    let rivals = [
        wish_for(1, &[1, 2]),
        wish_for(2, &[2, 3]),
        wish_for(3, &[3, 4]),
        wish_for(1, &[1, 2]),
        NewOrder { hold: wish(3).hold, ..wish_for(4, &[9]) },
    ];
    let answers: Vec<Creation> = create(&store, &rivals).await.into_iter().map(Result::unwrap).collect();
    let order = async |n| store.get(id(n)).await.unwrap().unwrap();
    assert_eq!(answers[0], Creation::Created(order(1).await));
    assert_eq!(answers[1], Creation::Taken(sample::seats(&[2, 3])));
    assert_eq!(answers[2], Creation::Created(order(3).await));
    assert_eq!(answers[3], Creation::Existing(order(1).await));
    assert_eq!(answers[4], Creation::Existing(order(3).await));
    let crowd: Vec<NewOrder> = (100..300).map(|n| wish_for(n, &[50])).collect();
    let answers = create(&store, &crowd).await;
    assert_eq!(made(&answers).iter().filter(|made| **made).count(), 1);
    let taken: SeatSet = sample::seats(&[50]);
    let told = answers.iter().filter(|answer| matches!(answer, Ok(Creation::Taken(seats)) if *seats == taken)).count();
    assert_eq!(told, 199, "{answers:?}");
    assert_sound(&postgres).await;
}

/// Whatever the database has against an order, it is against that order alone.
#[tokio::test]
async fn an_order_that_breaks_a_constraint_fails_alone() {
    let case = support::case(&ManualClock::default()).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    case.sql("alter table bms.orders add constraint never check (amount <> 666)").await.unwrap();
    let answers = create(&store, &[wish(2), NewOrder { price: sample::euro(666), ..wish(3) }, wish(4)]).await;
    assert_eq!(made(&answers), [true, false, true], "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::Unavailable { .. })), "{answers:?}");
    // Of a kind that no caller expects.
    case.sql("create function bms.never() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$")
        .await
        .unwrap();
    case.sql(
        "create trigger never before insert on bms.orders for each row when (new.amount = 667) execute function bms.never()",
    )
    .await
    .unwrap();
    let answers = create(&store, &[wish(5), NewOrder { price: sample::euro(667), ..wish(6) }, wish(7)]).await;
    assert_eq!(made(&answers), [true, false, true], "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::Broken { .. })), "{answers:?}");
    assert_sound(&case.postgres).await;
}

/// What is written down of one order makes no sense. Its payment counts all the same, and its caller alone is told that he cannot
/// be answered; the others are told of theirs, and nothing is sent again.
#[tokio::test]
async fn an_order_that_cannot_be_read_spares_its_neighbours() {
    let case = support::case(&ManualClock::default()).await;
    let store = orders(&case.postgres);
    let wishes: Vec<NewOrder> = (1..=4).map(wish).collect();
    assert!(made(&create(&store, &wishes).await).into_iter().all(|made| made));
    let damaged = format!("update bms.orders set owner = repeat('x', 1000) where id = '{}'", id(2).uuid());
    case.sql(&damaged).await.unwrap();
    let pay = |n: u32| {
        let store = &store;
        async move { store.settle(&paid(n), &sample::ticket(n)).await.map(|settlement| settlement.settled) }
    };
    let answers = join_all((1..=4).map(pay)).await;
    assert!(matches!(answers[1], Err(StoreError::Broken { .. })), "{answers:?}");
    for n in [0, 2, 3] {
        assert!(matches!(answers[n], Ok(Settled::Confirmed)), "{answers:?}");
    }
    assert_eq!(case.postgres.audit().await.unwrap().confirmed, 4);
}

/// Each is told of the order that he asked for, also when another asks for the same one, or there is none.
#[tokio::test]
async fn orders_are_looked_at_together() {
    let case = support::case(&ManualClock::default()).await;
    let store = orders(&case.postgres);
    assert_eq!(made(&create(&store, &[wish(1), wish(2), wish(3)]).await), [true; 3]);
    let damaged = format!("update bms.orders set owner = repeat('x', 1000) where id = '{}'", id(3).uuid());
    case.sql(&damaged).await.unwrap();
    let looks = join_all([2, 1, 3, 4, 2, 2, 3].map(|n| store.get(id(n)))).await;
    for (place, n) in [(0, 2), (1, 1), (4, 2), (5, 2)] {
        let order = looks[place].as_ref().unwrap().as_ref().unwrap();
        assert_eq!((order.id, &order.seats), (id(n), &wish(n).seats), "{looks:?}");
    }
    assert!(matches!(looks[3], Ok(None)), "{looks:?}");
    for place in [2, 6] {
        assert!(matches!(looks[place], Err(StoreError::Broken { .. })), "{looks:?}");
    }
}

/// Somebody keeps a lock that one order needs: the others do not wait for it.
#[tokio::test]
async fn an_order_that_has_to_wait_waits_alone() {
    let case = support::case(&ManualClock::default()).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    let claim = "insert into bms.seat_claims (shard, show_id, seat_id, seat_index, order_id, expires_at)
        select shard, show_id, 'S40', 40, id, expires_at from bms.orders";
    let kept = case.schema.open(claim).await;
    let call = |n| {
        let store = store.clone();
        tokio::spawn(async move { store.create(&wish(n)).await })
    };
    let (stuck, neighbours) = (call(20), [call(21), call(22), call(23)]);
    for neighbour in neighbours {
        let answer = neighbour.await.unwrap();
        assert!(matches!(answer, Ok(Creation::Created(_))), "{answer:?}");
    }
    // Nor do those who come later.
    let later = store.create(&wish(24)).await;
    assert!(matches!(later, Ok(Creation::Created(_))), "{later:?}");
    assert!(!stuck.is_finished(), "the lock is still kept");
    kept.commit().await.unwrap();
    assert_eq!(stuck.await.unwrap().unwrap(), Creation::Taken(sample::seats(&[40])));
}

/// Orders that wait for locks one after the other, each alone, hold up nobody who comes later.
#[tokio::test]
async fn an_order_does_not_wait_behind_those_that_are_stuck() {
    let url = Server::shared().fresh_database().unwrap();
    let patient = |config: PostgresConfig| config.deadline(Duration::from_secs(30)).unwrap();
    let case = support::case_in(&url, &ManualClock::default(), patient).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    let claims = "insert into bms.seat_claims (shard, show_id, seat_id, seat_index, order_id, expires_at)
        select shard, show_id, 'S' || seat, seat, id, expires_at from bms.orders, unnest(array[40, 42]) as seat";
    let kept = case.schema.open(claims).await;
    let stuck = |n| {
        let store = store.clone();
        tokio::spawn(async move { store.create(&wish(n)).await })
    };
    let waits = async |number| {
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        let waits = async || sqlx::query_scalar::<_, i64>(waiting).fetch_one(case.postgres.pool()).await.unwrap() == number;
        support::until("a claim that waits", waits).await;
    };
    let first = stuck(20);
    waits(1).await;
    let calls = [first, stuck(21)];
    waits(2).await;
    let later = store.create(&wish(22)).await;
    assert!(matches!(later, Ok(Creation::Created(_))), "{later:?}");
    assert!(calls.iter().all(|call| !call.is_finished()), "the locks are still kept");
    kept.commit().await.unwrap();
    for (call, seat) in calls.into_iter().zip([40, 42]) {
        assert_eq!(call.await.unwrap().unwrap(), Creation::Taken(sample::seats(&[seat])));
    }
}

/// How long a statement waits for a lock is a matter of that statement: the host's next one on its connection waits as it did,
/// also where a pooler lends it to somebody else.
#[tokio::test]
async fn the_hosts_patience_with_locks_is_left_alone() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let config = PostgresConfig::new(&url).unwrap();
    Postgres::migrate(&config).await.unwrap();
    let bouncer = PgBouncer::start(server, &[("default_pool_size", "1")]).unwrap();
    let pooled = bouncer.url_in(url.rsplit('/').next().unwrap());
    for (url, config, n) in [(&url, config.clone(), 1), (&pooled, config.transaction_pooling(true), 10)] {
        let options = support::behind(url).statement_cache_capacity(0);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let patience = async || {
            let shown = sqlx::raw_sql("show lock_timeout").fetch_one(&pool).await.unwrap();
            shown.get::<String, _>(0)
        };
        let before = patience().await;
        let store = orders(&Postgres::with_pool(pool.clone(), &config).await.unwrap());
        let wishes = [wish(n), wish(n + 1), wish(n + 2)];
        assert_eq!(made(&create(&store, &wishes).await), [true; 3]);
        store.settle(&paid(n), &sample::ticket(n)).await.unwrap();
        assert_eq!(patience().await, before, "{url}");
    }
}

#[tokio::test]
async fn a_payment_that_does_not_count_spares_its_neighbours() {
    let postgres = support::postgres(ManualClock::default()).await;
    let store = orders(&postgres);
    let wishes: Vec<NewOrder> = (1..=9).map(wish).collect();
    assert!(made(&create(&store, &wishes).await).into_iter().all(|made| made));
    assert_eq!(store.settle(&paid(9), &sample::ticket(9)).await.unwrap().settled, Settled::Confirmed);
    let given = |n: u32, payment: &str, amount| report(n, payment, PaymentStatus::Succeeded, amount);
    let reports: Vec<(PaymentReport, u32, Settled)> = vec![
        (paid(1), 1, Settled::Confirmed),
        (given(2, "pay-2", sample::euro(1)), 2, Settled::RefundDue(RefundReason::WrongAmount)),
        (paid(4), 9, Settled::CodeTaken),
        (sample::notice("evt-5", paid(5)), 5, Settled::Confirmed),
        (sample::notice("evt-5", paid(5)), 55, Settled::Recorded),
        (given(5, "again-5", price()), 56, Settled::RefundDue(RefundReason::AlreadyPaid)),
        (paid(99), 99, Settled::RefundDue(RefundReason::UnknownOrder)),
        (paid(9), 9, Settled::Recorded),
        (paid(8), 8, Settled::Confirmed),
    ];
    let settle = async |reports: &[(PaymentReport, u32, Settled)]| {
        let tickets: Vec<_> = reports.iter().map(|(_, ticket, _)| sample::ticket(*ticket)).collect();
        let calls = reports.iter().zip(&tickets).map(|((report, ..), ticket)| store.settle(report, ticket));
        for (answer, (report, _, expected)) in join_all(calls).await.into_iter().zip(reports) {
            let settled = answer.unwrap();
            assert_eq!(settled.settled, *expected, "{report:?}");
            let order = store.get(report.order).await.unwrap();
            assert_eq!(settled.order.map(|order| order.id), order.as_ref().map(|order| order.id));
            let confirmed = matches!(expected, Settled::Confirmed);
            assert!(!confirmed || order.is_some_and(|order| order.state.is_confirmed()), "{report:?}");
        }
    };
    settle(&reports).await;
    // The whole statement breaks the constraint that a payment counts once.
    let more = [
        (paid(6), 6, Settled::Confirmed),
        (given(3, "pay-9", price()), 3, Settled::OtherOrders),
        (paid(7), 7, Settled::Confirmed),
    ];
    settle(&more).await;
    assert_eq!(store.sold(&show(), 20).await.unwrap().count(), 12, "six orders of two seats");
    assert_sound(&postgres).await;
}
