//! What only this store of idempotency keys can get wrong, on a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use bms_domain::store::{Begun, Fingerprint, IdempotencyKey, IdempotencyStore as _, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_postgres::{Postgres, PostgresIdempotency};
use futures::future::join_all;

use support::{Case, case, schema};

const LEASE: Duration = Duration::from_secs(30);
const KEEP: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const TICK: Duration = Duration::from_millis(1);
const REQUEST: Fingerprint = Fingerprint([1; 32]);
const ANOTHER: Fingerprint = Fingerprint([2; 32]);

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(sample::user("ann"), text).unwrap()
}

fn run(seed: u32) -> Begun {
    Begun::Run { seed: sample::uuid(seed) }
}

async fn begin(store: &PostgresIdempotency, text: &str, request: Fingerprint, seed: u32) -> Begun {
    store.begin(&key(text), request, sample::uuid(seed), LEASE).await.unwrap()
}

async fn a_store(clock: &ManualClock) -> (Case, PostgresIdempotency) {
    let case = case(clock).await;
    let store = PostgresIdempotency::new(case.postgres.clone());
    (case, store)
}

#[tokio::test]
async fn an_unfinished_key_keeps_its_seed_for_a_day_after_its_last_lease() {
    let clock = ManualClock::new();
    let (_case, store) = a_store(&clock).await;
    assert_eq!(begin(&store, "k", REQUEST, 1).await, run(1));
    clock.advance(LEASE + DAY - TICK);
    assert_eq!(begin(&store, "k", ANOTHER, 2).await, Begun::Reused);
    assert_eq!(store.sweep(10).await.unwrap(), 0);
    assert_eq!(begin(&store, "k", REQUEST, 2).await, run(1));
    store.abandon(&key("k")).await.unwrap();
    clock.advance(LEASE + DAY - TICK);
    assert_eq!(begin(&store, "k", REQUEST, 3).await, run(1));
    clock.advance(LEASE + DAY);
    assert_eq!(begin(&store, "k", ANOTHER, 4).await, run(4), "over: the key is new, though nobody has swept");
    clock.advance(LEASE + DAY);
    assert_eq!(store.sweep(10).await.unwrap(), 1);
}

#[tokio::test]
async fn what_was_not_begun_is_not_finished() {
    let (_case, store) = a_store(&ManualClock::new()).await;
    let refused = store.finish(&key("k"), b"answer".to_vec(), KEEP).await.unwrap_err();
    assert!(matches!(refused, StoreError::Broken { .. }), "{refused:?}");
    assert_eq!(begin(&store, "k", REQUEST, 1).await, run(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_answer_when_many_finish() {
    let (_case, store) = a_store(&ManualClock::new()).await;
    for round in 0..20 {
        let key = key(&format!("k{round}"));
        store.begin(&key, REQUEST, sample::uuid(1), LEASE).await.unwrap();
        let finish = |n: u8| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.finish(&key, vec![n], KEEP).await.unwrap() })
        };
        let answers: Vec<_> = join_all((0..8).map(finish)).await.into_iter().map(Result::unwrap).collect();
        let kept = store.begin(&key, REQUEST, sample::uuid(1), LEASE).await.unwrap();
        assert!(answers.iter().all(|answer| Begun::Finished(answer.clone()) == kept), "{answers:?} where {kept:?} is kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_runs_a_key_that_is_over_when_many_begin_it() {
    let clock = ManualClock::new();
    let (_case, store) = a_store(&clock).await;
    for round in 0..20_u32 {
        // Each round but the first finds an answer that is over.
        let begin = |seed: u32| {
            let store = store.clone();
            tokio::spawn(async move { store.begin(&key("k"), REQUEST, sample::uuid(seed), LEASE).await.unwrap() })
        };
        let begun: Vec<_> = join_all((0..8).map(|n| begin(round * 8 + n))).await.into_iter().map(Result::unwrap).collect();
        let winners: Vec<_> = begun.iter().filter(|begun| matches!(begun, Begun::Run { .. })).collect();
        assert_eq!(winners.len(), 1, "{begun:?}");
        assert_eq!(begun.iter().filter(|begun| **begun == Begun::InProgress).count(), 7, "{begun:?}");
        assert!((0..8).any(|n| *winners[0] == run(round * 8 + n)), "a seed of another round");
        store.finish(&key("k"), vec![], KEEP).await.unwrap();
        clock.advance(KEEP);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_sweep_at_once_and_each_key_is_swept_once() {
    let clock = ManualClock::new();
    let (_case, store) = a_store(&clock).await;
    for n in 0..50 {
        begin(&store, &format!("k{n}"), REQUEST, n).await;
    }
    clock.advance(LEASE + DAY);
    let sweep = || {
        let store = store.clone();
        tokio::spawn(async move {
            let mut swept = 0;
            while let now @ 1.. = store.sweep(7).await.unwrap() {
                assert!(now <= 7);
                swept += now;
            }
            swept
        })
    };
    let swept: usize = join_all((0..4).map(|_| sweep())).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(swept, 50);
    assert_eq!(begin(&store, "k0", ANOTHER, 99).await, run(99));
}

#[tokio::test]
async fn a_sweep_leaves_to_others_what_they_have() {
    let clock = ManualClock::new();
    let (case, store) = a_store(&clock).await;
    for n in 0..3 {
        begin(&store, &format!("k{n}"), REQUEST, n).await;
    }
    clock.advance(LEASE + DAY);
    let others = case.schema.open("select from bms.idempotency_keys where key = 'k1' for update").await;
    assert_eq!(store.sweep(10).await.unwrap(), 2);
    others.rollback().await.unwrap();
    assert_eq!(store.sweep(10).await.unwrap(), 1);
}

#[tokio::test]
async fn without_a_clock_the_servers_decides() {
    let store = PostgresIdempotency::new(Postgres::connect(&schema().await).await.unwrap());
    assert_eq!(begin(&store, "k", REQUEST, 1).await, run(1));
    assert_eq!(begin(&store, "k", REQUEST, 2).await, Begun::InProgress);
    assert_eq!(store.finish(&key("k"), b"answer".to_vec(), Duration::ZERO).await.unwrap(), b"answer");
    assert_eq!(begin(&store, "k", ANOTHER, 3).await, run(3), "kept for no time at all");
}

#[tokio::test]
async fn hand_written_sql_cannot_make_nonsense_of_a_key() {
    let (case, store) = a_store(&ManualClock::new()).await;
    begin(&store, "k", REQUEST, 1).await;
    let answered = case.sql("update bms.idempotency_keys set answer = 'x'").await;
    assert_eq!(answered.unwrap_err(), "idempotency_keys_run_or_answered");
    let short = case.sql("update bms.idempotency_keys set request = 'x'").await;
    assert_eq!(short.unwrap_err(), "idempotency_keys_request_check");
}
