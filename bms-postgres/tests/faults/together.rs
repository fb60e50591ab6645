//! Calls that go to the server together: how often it is asked, and what each is told when there is no answer.
//!
//! These tests run on one thread, where all calls that are awaited together have come before the first statement is sent.

use std::time::Duration;

use bms_domain::order::Order;
use bms_domain::store::{Creation, NewOrder, OrderStore as _, Settled, StoreError};
use bms_domain::testing::sample;
use bms_postgres::testing::{Proxy, Server};
use bms_postgres::{Postgres, PostgresConfig, PostgresOrders, sqlx};
use futures::future::{join_all, poll_immediate};
use tokio::runtime::{Builder, Runtime};

use crate::network::behind_a_proxy;
use crate::support;
use crate::support::shop::{assert_sound, id, orders, paid, wish, wish_for};

async fn create(store: &PostgresOrders, ns: impl IntoIterator<Item = u32>) -> Vec<Result<Creation, StoreError>> {
    join_all(ns.into_iter().map(|n| async move { store.create(&wish(n)).await })).await
}

async fn settle(store: &PostgresOrders, ns: impl IntoIterator<Item = u32>) -> Vec<Result<Settled, StoreError>> {
    let settle = |n| async move { store.settle(&paid(n), &sample::ticket(n)).await.map(|settlement| settlement.settled) };
    join_all(ns.into_iter().map(settle)).await
}

/// How many statements a call sends.
async fn statements<T>(proxy: &Proxy, call: impl Future<Output = T>) -> (usize, T) {
    let before = proxy.statements();
    let answer = call.await;
    (proxy.statements() - before, answer)
}

/// Two orders, with which both connections are made and both statements prepared.
async fn begun(store: &PostgresOrders) {
    store.create(&wish(1)).await.unwrap();
    assert_eq!(settle(store, [1]).await.len(), 1);
}

#[tokio::test]
async fn many_callers_are_few_statements() {
    let (proxy, store, beside) = behind_a_proxy(Duration::from_secs(30)).await;
    begun(&store).await;
    let (sent, answers) = statements(&proxy, create(&store, 1_000..1_256)).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Creation::Created(_)))), "{answers:?}");
    assert_eq!(sent, 4, "256 orders, 64 a statement");
    let (sent, answers) = statements(&proxy, settle(&store, 1_000..1_256)).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Settled::Confirmed))), "{answers:?}");
    assert_eq!(sent, 4, "256 payments, 64 a statement");
    assert_eq!(beside.audit().await.unwrap().confirmed, 257);
    assert_sound(&beside).await;
}

/// P11: an order is looked at again when the answer is lost, for all who look.
#[tokio::test]
async fn many_looks_are_few_statements() {
    let (proxy, store, _) = behind_a_proxy(Duration::from_secs(30)).await;
    begun(&store).await;
    store.get(id(1)).await.unwrap();
    let looks = || join_all((1_u32..=256).map(|n| store.get(id(n % 2 + 1))));
    let (sent, answers) = statements(&proxy, looks()).await;
    let found = |answers: &[Result<Option<Order>, StoreError>]| {
        answers.iter().map(|answer| answer.as_ref().unwrap().is_some()).eq((1..=256).map(|n| n % 2 == 0))
    };
    assert!(found(&answers), "{answers:?}");
    assert_eq!(sent, 4, "256 looks, 64 a statement");
    proxy.drop_reply_of("asked as materialized (");
    let (sent, answers) = statements(&proxy, looks()).await;
    assert!(found(&answers), "{answers:?}");
    assert_eq!(sent, 5, "one of them again");
}

/// What is in somebody's way costs a look for him, and nothing for those beside him.
#[tokio::test]
async fn who_is_refused_costs_the_others_no_statement() {
    let (proxy, store, _) = behind_a_proxy(Duration::from_secs(30)).await;
    begun(&store).await;
    let taken = NewOrder { seats: wish_for(0, &[2, 3]).seats, ..wish(7) };
    let calls = async { tokio::join!(create(&store, 10..20), store.create(&taken)) };
    let (sent, (made, refused)) = statements(&proxy, calls).await;
    assert!(made.iter().all(|answer| matches!(answer, Ok(Creation::Created(_)))), "{made:?}");
    assert_eq!(refused.unwrap(), Creation::Taken(sample::seats(&[2, 3])));
    assert_eq!(sent, 2, "one for all, and a look");
}

/// An order that never can be made, by a rule of the host's: those beside him are sent once more, and he not much oftener.
#[tokio::test]
async fn who_breaks_a_constraint_costs_the_others_one_statement_each() {
    let (proxy, store, beside) = behind_a_proxy(Duration::from_secs(30)).await;
    begun(&store).await;
    let rule = "alter table bms.orders add constraint never check (amount <> 666)";
    sqlx::raw_sql(rule).execute(beside.pool()).await.unwrap();
    let never = NewOrder { price: sample::euro(666), ..wish(7) };
    let calls = async { tokio::join!(create(&store, 10..20), store.create(&never)) };
    let (sent, (made, refused)) = statements(&proxy, calls).await;
    assert!(made.iter().all(|answer| matches!(answer, Ok(Creation::Created(_)))), "{made:?}");
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert_eq!(sent, 1 + 11 + 3, "one for all, one for each, and for the one that fails: a look, another try, a look");
}

/// A server that has become read-only refuses whoever asks: once for all of them.
#[tokio::test]
async fn a_server_that_refuses_everybody_is_asked_once() {
    let server = Server::start().unwrap();
    let url = server.fresh_database().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    Postgres::migrate(&PostgresConfig::new(&url).unwrap()).await.unwrap();
    let config = PostgresConfig::new(&proxy.instead_of(&url)).unwrap().deadline(Duration::from_secs(30)).unwrap();
    let store = orders(&Postgres::connect(&config).await.unwrap());
    begun(&store).await;
    server.setting("default_transaction_read_only", "on").unwrap();
    let (sent, answers) = statements(&proxy, create(&store, 10..20)).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable { .. }))), "{answers:?}");
    assert_eq!(sent, 1);
}

/// Every caller has left before there was a connection: there is nothing to send.
#[tokio::test]
async fn for_nobody_nothing_is_sent() {
    let (proxy, store, _) = behind_a_proxy(Duration::from_secs(30)).await;
    begun(&store).await;
    // Both connections are made, and the look at holds is prepared on both.
    let holds = [wish(1).hold];
    join_all([1, 2].map(|_| store.by_holds(&holds))).await;
    let before = proxy.statements();
    let (sent, ()) = statements(&proxy, async {
        proxy.hold_replies();
        let reads = [1, 2].map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.by_holds(&[wish(n).hold]).await })
        });
        support::until("connections that wait", async || proxy.statements() == before + 2).await;
        let unwanted = wish(10);
        let mut leaves = store.create(&unwanted);
        assert!(poll_immediate(&mut leaves).await.is_none());
        tokio::task::yield_now().await;
        drop(leaves);
        proxy.release();
        for read in reads {
            read.await.unwrap().unwrap();
        }
        assert!(matches!(store.create(&wish(20)).await, Ok(Creation::Created(_))));
    })
    .await;
    assert_eq!(sent, 3, "two looks, and an order");
}

/// P6, P11: the answer is lost: unknown for each, with nothing sent again, and asking again finds out.
#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_for_all() {
    let (proxy, store, beside) = behind_a_proxy(Duration::from_secs(30)).await;
    begun(&store).await;
    proxy.drop_reply_of("made as (");
    let (sent, answers) = statements(&proxy, create(&store, 10..20)).await;
    assert!(
        answers.iter().all(|answer| matches!(answer, Err(StoreError::OutcomeUnknown { source: Some(_), .. }))),
        "{answers:?}"
    );
    assert_eq!(sent, 1);
    let again = create(&store, 10..20).await;
    assert!(again.iter().all(|answer| matches!(answer, Ok(Creation::Existing(_)))), "{again:?}");
    proxy.drop_reply_of("found as materialized (");
    let answers = settle(&store, 10..20).await;
    assert!(
        answers.iter().all(|answer| matches!(answer, Err(StoreError::OutcomeUnknown { source: Some(_), .. }))),
        "{answers:?}"
    );
    let again = settle(&store, 10..20).await;
    assert!(again.iter().all(|answer| matches!(answer, Ok(Settled::Recorded))), "{again:?}");
    assert_eq!(beside.audit().await.unwrap().confirmed, 11);
    assert_sound(&beside).await;
}

/// P11: every connection waits for an answer. What was sent is unknown by the deadline; what was not is definite, and stays undone.
#[tokio::test]
async fn who_was_not_sent_by_the_deadline_never_is() {
    let (proxy, store, beside) = behind_a_proxy(Duration::from_millis(500)).await;
    begun(&store).await;
    store.create(&wish(2)).await.unwrap();
    proxy.hold_replies();
    let answers = create(&store, 1_000..1_200).await;
    let unknown = |answer: &Result<Creation, _>| matches!(answer, Err(StoreError::OutcomeUnknown { .. }));
    let refused = |answer: &Result<Creation, _>| matches!(answer, Err(StoreError::Unavailable { .. }));
    assert!(answers.iter().all(|answer| unknown(answer) || refused(answer)), "{answers:?}");
    let definite: Vec<u32> = (1_000..).zip(&answers).filter(|(_, answer)| refused(answer)).map(|(n, _)| n).collect();
    assert!((1..200).contains(&definite.len()), "{} were not sent", definite.len());
    proxy.release();
    let again = async || store.create(&wish(3)).await.is_ok();
    support::until("an answer", again).await;
    for n in definite {
        assert_eq!(orders(&beside).get(id(n)).await.unwrap(), None, "order {n} was sent after all");
    }
    assert_sound(&beside).await;
}

/// The first calls of a store, begun in a runtime that is not driven afterwards.
#[expect(clippy::async_yields_async, reason = "calls that were begun, and are never awaited")]
fn begun_in(runtime: &Runtime, store: &PostgresOrders) -> Vec<impl Future + use<>> {
    let begin = |n| {
        let store = store.clone();
        runtime.block_on(async move {
            let mut create = Box::pin(async move { store.create(&wish(n)).await });
            assert!(poll_immediate(&mut create).await.is_none());
            create
        })
    };
    (1..=4).map(begin).collect()
}

/// Whose turn it is to send is left with a runtime that never comes to it: the calls of others go all the same.
#[test]
fn a_runtime_that_nobody_drives_holds_up_nobody() {
    let mine = Builder::new_current_thread().enable_all().build().unwrap();
    let postgres = mine.block_on(async { Postgres::connect(&support::schema().await).await.unwrap() });
    let store = orders(&postgres);
    let other = Builder::new_current_thread().enable_all().build().unwrap();
    let never_run = begun_in(&other, &store);
    for n in 10..12 {
        let answer = mine.block_on(store.create(&wish(n)));
        assert!(matches!(answer, Ok(Creation::Created(_))), "{answer:?}");
    }
    drop(never_run);
    drop(other);
    mine.block_on(async {
        assert!(matches!(store.create(&wish(12)).await, Ok(Creation::Created(_))));
        assert_sound(&postgres).await;
    });
}

/// A runtime ends with calls under way that another runtime's wait behind: these are put again.
#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    let mine = Builder::new_current_thread().enable_all().build().unwrap();
    let postgres = mine.block_on(async { Postgres::connect(&support::schema().await).await.unwrap() });
    let store = orders(&postgres);
    let other = Builder::new_current_thread().enable_all().build().unwrap();
    // Its calls are the first, so that it is their runtime's turn to send.
    let never_run = begun_in(&other, &store);
    mine.block_on(async {
        let waits = tokio::spawn({
            let store = store.clone();
            async move { store.create(&wish(10)).await }
        });
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(move || drop(other)).await.unwrap();
        let answer = waits.await.unwrap();
        assert!(matches!(answer, Ok(Creation::Created(_))), "{answer:?}");
    });
    drop(never_run);
    mine.block_on(async {
        assert!(matches!(store.create(&wish(11)).await, Ok(Creation::Created(_))));
        assert_sound(&postgres).await;
    });
}
