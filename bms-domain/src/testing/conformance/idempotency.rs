//! Idempotency keys.

use std::time::Duration;

use uuid::Uuid;

use super::Case;
use crate::store::{Begun, Fingerprint, IdempotencyKey, IdempotencyStore};
use crate::testing::sample;

type Keys = Case<dyn IdempotencyStore>;

const LEASE: Duration = Duration::from_secs(30);
const KEEP: Duration = Duration::from_hours(24);
const TICK: Duration = Duration::from_millis(1);
const REQUEST: Fingerprint = Fingerprint([1; 32]);

fn key(user: &str, text: &str) -> IdempotencyKey {
    IdempotencyKey::new(sample::user(user), text).unwrap()
}

fn seed(n: u32) -> Uuid {
    sample::uuid(n)
}

impl Keys {
    async fn begin(&self, key: &IdempotencyKey, seed: u32) -> Begun {
        self.store.begin(key, REQUEST, sample::uuid(seed), LEASE).await.unwrap()
    }

    async fn finish(&self, key: &IdempotencyKey, answer: &[u8]) -> Vec<u8> {
        self.store.finish(key, answer.to_vec(), KEEP).await.unwrap()
    }
}

/// P6: exactly one of many callers runs the request.
pub(crate) async fn one_of_many_runs(case: Keys) {
    for round in 0..5_u32 {
        let tasks = (0..32_u32).map(|n| {
            let (store, key) = (case.store.clone(), key("ann", &format!("key-{round}")));
            async move { store.begin(&key, REQUEST, seed(n), LEASE).await.unwrap() }
        });
        let begun = case.race(tasks).await;
        let run = begun.iter().filter(|begun| matches!(begun, Begun::Run { .. })).count();
        let waiting = begun.iter().filter(|begun| **begun == Begun::InProgress).count();
        assert_eq!((run, waiting), (1, 31), "{begun:?}");
    }
}

/// P6: a request whose process died is run again when its lease is over, with the seed of the first try.
pub(crate) async fn a_request_is_run_again_when_its_lease_is_over(case: Keys) {
    let key = key("ann", "k");
    assert_eq!(case.begin(&key, 1).await, Begun::Run { seed: seed(1) });
    case.advance(LEASE - TICK);
    assert_eq!(case.begin(&key, 2).await, Begun::InProgress);
    case.advance(TICK);
    assert_eq!(case.begin(&key, 3).await, Begun::Run { seed: seed(1) });
    case.advance(LEASE - TICK);
    assert_eq!(case.begin(&key, 4).await, Begun::InProgress, "the second try has a lease of its own");
}

/// P6: the first answer is every caller's.
pub(crate) async fn the_first_answer_is_kept(case: Keys) {
    let key = key("ann", "k");
    case.begin(&key, 1).await;
    case.advance(LEASE);
    case.begin(&key, 2).await;
    assert_eq!(case.finish(&key, b"first").await, b"first");
    assert_eq!(case.finish(&key, b"second").await, b"first");
    assert_eq!(case.begin(&key, 3).await, Begun::Finished(b"first".to_vec()));
}

/// An answer comes back byte for byte.
pub(crate) async fn an_answer_keeps_its_bytes(case: Keys) {
    // What a library for JSON would read and write again in another way.
    let json = br#"{"seatIds":[],"version":9007199254740993,"price":12.50}"#.to_vec();
    let answers: [Vec<u8>; 5] = [vec![], vec![0], (0..=255).collect(), vec![0xff; 70_000], json];
    for (n, answer) in (0_u32..).zip(answers) {
        let key = key("ann", &format!("k{n}"));
        case.begin(&key, n).await;
        assert_eq!(case.finish(&key, &answer).await, answer);
        assert_eq!(case.begin(&key, n).await, Begun::Finished(answer));
    }
}

/// A key that is used for another request is refused, while it runs and after.
pub(crate) async fn a_key_is_for_one_request(case: Keys) {
    let key = key("ann", "k");
    let other = Fingerprint([2; 32]);
    case.begin(&key, 1).await;
    assert_eq!(case.store.begin(&key, other, seed(2), LEASE).await.unwrap(), Begun::Reused);
    case.finish(&key, b"answer").await;
    assert_eq!(case.store.begin(&key, other, seed(2), LEASE).await.unwrap(), Begun::Reused);
    assert_eq!(case.begin(&key, 3).await, Begun::Finished(b"answer".to_vec()));
}

/// P6: a request that ended without a definite answer is run again at once, with the seed of the first try.
pub(crate) async fn an_abandoned_request_keeps_its_seed(case: Keys) {
    let key = key("ann", "k");
    case.begin(&key, 1).await;
    case.store.abandon(&key).await.unwrap();
    assert_eq!(case.begin(&key, 2).await, Begun::Run { seed: seed(1) });
    assert_eq!(case.begin(&key, 3).await, Begun::InProgress);
    case.store.abandon(&key).await.unwrap();
    let other = case.store.begin(&key, Fingerprint([2; 32]), seed(4), LEASE).await.unwrap();
    assert_eq!(other, Begun::Reused, "an abandoned key is still one request's");
    case.store.abandon(&self::key("ann", "unknown")).await.unwrap();
}

/// P6: abandoning does not undo an answer.
pub(crate) async fn an_abandoned_answer_stays(case: Keys) {
    let key = key("ann", "k");
    case.begin(&key, 1).await;
    case.finish(&key, b"answer").await;
    case.store.abandon(&key).await.unwrap();
    assert_eq!(case.begin(&key, 2).await, Begun::Finished(b"answer".to_vec()));
}

/// An answer is there until its time is over, and not at its end; then the key is new.
pub(crate) async fn an_answer_is_forgotten_exactly_when_its_time_is_over(case: Keys) {
    let key = key("ann", "k");
    case.begin(&key, 1).await;
    case.finish(&key, b"answer").await;
    case.advance(KEEP - TICK);
    assert_eq!(case.begin(&key, 2).await, Begun::Finished(b"answer".to_vec()));
    case.advance(TICK);
    let begun = case.store.begin(&key, Fingerprint([2; 32]), seed(3), LEASE).await.unwrap();
    assert_eq!(begun, Begun::Run { seed: seed(3) });
}

/// P9: the same text of two users is two keys, whatever characters their ids hold.
pub(crate) async fn the_key_of_another_user_is_another_key(case: Keys) {
    let users = sample::hostile_users();
    for (n, user) in (0_u32..).zip(&users) {
        let key = IdempotencyKey::new(user.clone(), "k:b").unwrap();
        assert_eq!(case.begin(&key, n).await, Begun::Run { seed: seed(n) }, "{user:?}");
        case.finish(&key, format!("{n}").as_bytes()).await;
    }
    for (n, user) in (0_u32..).zip(&users) {
        let key = IdempotencyKey::new(user.clone(), "k:b").unwrap();
        assert_eq!(case.begin(&key, 99).await, Begun::Finished(format!("{n}").into_bytes()), "{user:?}");
    }
    assert_eq!(case.begin(&key("a", "b:k:b"), 1).await, Begun::Run { seed: seed(1) });
}

/// A sweep forgets at most its limit of answers whose time is over, and no other. A store that forgets by itself has nothing
/// to sweep, and says so each time; its old keys are new all the same.
pub(crate) async fn a_sweep_forgets_what_is_over_and_no_more(case: Keys) {
    for n in 0..5 {
        let key = key("ann", &format!("old-{n}"));
        case.begin(&key, n).await;
        case.finish(&key, b"old").await;
    }
    assert_eq!(case.store.sweep(100).await.unwrap(), 0);
    case.advance(TICK);
    case.begin(&key("ann", "new"), 7).await;
    case.finish(&key("ann", "new"), b"new").await;
    case.begin(&key("ann", "running"), 8).await;
    case.advance(KEEP - TICK);
    let mut swept = Vec::new();
    for _ in 0..4 {
        swept.push(case.store.sweep(2).await.unwrap());
    }
    let forgets_by_itself = swept.iter().all(|count| *count == 0);
    assert!(swept.iter().all(|count| *count <= 2), "{swept:?}");
    assert!(forgets_by_itself || swept.iter().sum::<usize>() == 5, "{swept:?}");
    assert_eq!(case.begin(&key("ann", "new"), 9).await, Begun::Finished(b"new".to_vec()));
    assert_eq!(case.begin(&key("ann", "running"), 9).await, Begun::Run { seed: seed(8) });
    for n in 0..5 {
        let begun = case.store.begin(&key("ann", &format!("old-{n}")), Fingerprint([2; 32]), seed(20 + n), LEASE).await.unwrap();
        assert_eq!(begun, Begun::Run { seed: seed(20 + n) });
    }
}

/// The store answers.
pub(crate) async fn the_store_answers(case: Keys) {
    case.store.ping().await.unwrap();
}
