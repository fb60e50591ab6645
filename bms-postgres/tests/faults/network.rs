//! Answers that are lost on the way, a pooler in between, and what goes over the wire.

use std::time::Duration;

use bms_domain::event::EventKey;
use bms_domain::order::OrderState;
use bms_domain::payment::PaymentStatus;
use bms_domain::store::{Creation, OrderChange, OrderStore as _, Outbox as _, Settled, StoreError};
use bms_domain::testing::sample;
use bms_postgres::testing::{PgBouncer, Proxy, Server};
use bms_postgres::{Postgres, PostgresConfig, PostgresOrders};
use tokio::task::JoinSet;

use crate::support;
use crate::support::shop::{ann, assert_sound, id, orders, paid, price, report, wish};

/// A store behind a proxy, and one beside it.
pub(crate) async fn behind_a_proxy(deadline: Duration) -> (Proxy, PostgresOrders, Postgres) {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let proxy = Proxy::start(server).unwrap();
    let config = PostgresConfig::new(&url).unwrap();
    Postgres::migrate(&config).await.unwrap();
    let through = PostgresConfig::new(&proxy.instead_of(&url)).unwrap().deadline(deadline).unwrap().connections(2).unwrap();
    let store = orders(&Postgres::connect(&through).await.unwrap());
    (proxy, store, Postgres::connect(&config).await.unwrap())
}

/// P6, P11: the statement took effect and its answer is cut off: unknown, with nothing sent again, and asking again finds out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_unknown_and_asking_again_finds_out() {
    let (proxy, store, beside) = behind_a_proxy(Duration::from_secs(3)).await;
    let direct = orders(&beside);
    store.create(&wish(1)).await.unwrap();
    store.create(&wish(2)).await.unwrap();

    proxy.drop_reply_of("made as (");
    assert!(matches!(store.create(&wish(3)).await.unwrap_err(), StoreError::OutcomeUnknown { .. }));
    let made = direct.get(id(3)).await.unwrap().expect("the order was made");
    assert_eq!(store.create(&wish(3)).await.unwrap(), Creation::Existing(made));

    proxy.drop_reply_of("found as materialized (");
    assert!(matches!(store.settle(&paid(1), &sample::ticket(1)).await.unwrap_err(), StoreError::OutcomeUnknown { .. }));
    assert!(direct.get(id(1)).await.unwrap().unwrap().state.is_confirmed());
    let again = store.settle(&paid(1), &sample::ticket(1)).await.unwrap();
    assert_eq!(again.settled, Settled::Recorded);
    assert!(again.order.unwrap().state.is_confirmed());

    proxy.drop_reply_of("with changed as");
    assert!(matches!(store.give_up(id(2), &ann()).await.unwrap_err(), StoreError::OutcomeUnknown { .. }));
    assert!(matches!(store.give_up(id(2), &ann()).await.unwrap(), OrderChange::Done { changed: false, .. }));

    proxy.drop_reply_of("with changed as");
    assert!(matches!(store.cancel(id(1)).await.unwrap_err(), StoreError::OutcomeUnknown { .. }));
    assert!(matches!(store.cancel(id(1)).await.unwrap(), OrderChange::Done { changed: false, .. }));

    // A look that is lost is asked again by itself.
    proxy.drop_reply_of("order_records r where");
    assert!(store.get(id(3)).await.unwrap().is_some());
    assert_eq!(proxy.dropped(), 5);
    assert_sound(&beside).await;
}

/// P7: an order was sold when this cancellation looked at it, and another has ended it before this one looks for its payment: it is
/// cancelled, once, and not taken for a broken order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_cancelled_between_two_looks_is_cancelled() {
    let (proxy, store, beside) = behind_a_proxy(Duration::from_secs(30)).await;
    let direct = orders(&beside);
    store.create(&wish(1)).await.unwrap();
    store.settle(&paid(1), &sample::ticket(1)).await.unwrap();
    // Prepares the statement, so that the reply to be held has the order.
    assert!(store.get(id(1)).await.unwrap().unwrap().state.is_confirmed());
    proxy.hold_replies();
    let second = tokio::spawn(async move { store.cancel(id(1)).await });
    proxy.wait_until_held().unwrap();
    assert!(matches!(direct.cancel(id(1)).await.unwrap(), OrderChange::Done { changed: true, .. }));
    proxy.release();
    let OrderChange::Done { changed: false, order } = second.await.unwrap().unwrap() else { panic!("it is done already") };
    assert!(matches!(order.state, OrderState::Cancelled { .. }) && order.refund_due, "{order:?}");
    assert_eq!(direct.refunds_due(None, 10).await.unwrap().len(), 1);
    assert_sound(&beside).await;
}

/// P11: no answer at all: unknown by the deadline, and the connection is not used again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_comes_ends_by_the_deadline() {
    let (proxy, store, beside) = behind_a_proxy(Duration::from_millis(300)).await;
    store.create(&wish(1)).await.unwrap();
    proxy.hold_replies();
    assert!(matches!(store.create(&wish(2)).await.unwrap_err(), StoreError::OutcomeUnknown { .. }));
    proxy.release();
    support::until("an answer", async || store.create(&wish(2)).await.is_ok()).await;
    proxy.cut();
    support::until("a new connection", async || store.create(&wish(3)).await.is_ok()).await;
    proxy.refuse();
    proxy.cut();
    support::until("a refusal", async || matches!(store.create(&wish(4)).await, Err(StoreError::Unavailable { .. }))).await;
    assert_eq!(orders(&beside).get(id(4)).await.unwrap(), None);
    proxy.accept().unwrap();
    support::until("a new connection", async || store.create(&wish(4)).await.is_ok()).await;
    assert_sound(&beside).await;
}

/// The common ways of an order are one round trip each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordering_and_confirming_are_one_round_trip_each() {
    let (proxy, store, _) = behind_a_proxy(Duration::from_secs(3)).await;
    for n in 1..=3 {
        // Prepares the statements.
        store.create(&wish(n)).await.unwrap();
        store.settle(&paid(n), &sample::ticket(n)).await.unwrap();
        store.get(id(n)).await.unwrap();
    }
    let before = proxy.round_trips();
    store.create(&wish(4)).await.unwrap();
    assert_eq!(proxy.round_trips() - before, 1, "an order is made");
    let before = proxy.round_trips();
    store.settle(&sample::notice("evt-4", paid(4)), &sample::ticket(4)).await.unwrap();
    assert_eq!(proxy.round_trips() - before, 1, "an order is confirmed");
    let before = proxy.round_trips();
    store.get(id(4)).await.unwrap();
    assert_eq!(proxy.round_trips() - before, 1, "an order is read");
}

/// Everything through PgBouncer in transaction mode, many at once, each statement on any of its connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_is_no_hindrance() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap();
    let direct = PostgresConfig::new(&url).unwrap();
    Postgres::migrate(&direct).await.unwrap();
    let bouncer = PgBouncer::start(server, &[("default_pool_size", "3")]).unwrap();
    let config = PostgresConfig::new(&bouncer.url_in(database)).unwrap().transaction_pooling(true);
    // On a machine that is busy with other tests, to log in takes its time.
    let config = config.deadline(Duration::from_secs(30)).unwrap();
    let store = orders(&Postgres::connect(&config).await.unwrap());
    let mut buyers = JoinSet::new();
    for buyer in 0..16_u32 {
        let store = store.clone();
        buyers.spawn(async move {
            for round in 0..25 {
                let n = round * 16 + buyer + 1;
                assert!(matches!(store.create(&wish(n)).await.unwrap(), Creation::Created(_)));
                match n % 3 {
                    0 => assert_eq!(store.settle(&paid(n), &sample::ticket(n)).await.unwrap().settled, Settled::Confirmed),
                    1 => assert!(matches!(store.give_up(id(n), &ann()).await.unwrap(), OrderChange::Done { changed: true, .. })),
                    _ => {
                        let failed = report(n, &format!("bad-{n}"), PaymentStatus::Failed, price());
                        assert_eq!(store.settle(&failed, &sample::ticket(n)).await.unwrap().settled, Settled::Failed);
                    }
                }
                assert!(store.get(id(n)).await.unwrap().is_some());
            }
        });
    }
    buyers.join_all().await;
    let events = store.claim(10, Duration::from_secs(60)).await.unwrap();
    let keys: Vec<EventKey> = events.iter().map(|delivery| delivery.event.key).collect();
    store.published(&keys).await.unwrap();
    assert_eq!(keys.len(), 10);
    let audit = Postgres::connect(&direct).await.unwrap().audit().await.unwrap();
    assert_eq!((audit.findings, audit.orders, audit.confirmed), (vec![], 400, 133));
}
