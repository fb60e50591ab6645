//! Races on the real server: one owner a seat, and no deadlock surfaces (promise P1).

use std::collections::HashSet;
use std::time::Duration;

use bms_domain::seat::SeatIndex;
use bms_domain::store::{Creation, OrderStore as _};
use bms_domain::testing::sample;
use bms_postgres::testing::Server;
use bms_postgres::{Postgres, PostgresOrders};
use futures::future::join_all;
use tokio::task::JoinSet;

use crate::support;
use crate::support::shop::{assert_sound, id, orders as own, paid, show, wish_for};

/// Tasks that want seats at once, each with the next of these handles. Those of one handle go to the server together; those of
/// several meet there.
async fn rush(handles: &[PostgresOrders], wishes: impl IntoIterator<Item = (u32, Vec<SeatIndex>)>) -> Vec<(u32, Creation)> {
    let mut tasks = JoinSet::new();
    for ((n, seats), orders) in wishes.into_iter().zip(handles.iter().cycle().cloned()) {
        tasks.spawn(async move { (n, orders.create(&wish_for(n, &seats)).await.unwrap()) });
    }
    tasks.join_all().await
}

/// A server that looks for deadlocks before a statement of several stops waiting for a lock.
fn hasty() -> Server {
    Server::builder().setting("deadlock_timeout", "10ms").start().unwrap()
}

fn winners(answers: &[(u32, Creation)]) -> Vec<u32> {
    answers.iter().filter(|(_, creation)| matches!(creation, Creation::Created(_))).map(|(n, _)| *n).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tasks_want_one_seat() {
    let postgres = Postgres::connect(&support::schema().await).await.unwrap();
    let orders = own(&postgres);
    for round in 0..10 {
        // All by one handle, or each by his own.
        let handles: Vec<_> = if round % 2 == 0 { vec![orders.clone()] } else { (0..200).map(|_| own(&postgres)).collect() };
        let answers = rush(&handles, (0..200).map(|task| (round * 200 + task, vec![round]))).await;
        let [winner] = winners(&answers)[..] else { panic!("{answers:?}") };
        for (n, answer) in answers.iter().filter(|(n, _)| *n != winner) {
            assert!(matches!(answer, Creation::Taken(seats) if seats.as_slice() == [round]), "order {n}: {answer:?}");
        }
        orders.settle(&paid(winner), &sample::ticket(winner)).await.unwrap();
    }
    assert_eq!(orders.sold(&show(), 10).await.unwrap().count(), 10);
    assert_sound(&postgres).await;
}

/// 64 tasks for overlapping sets of 6 out of 40 seats, in every order of wishing for them, 10,000 orders in all. Whoever wins
/// pays or gives up, so that seats come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_orders_never_share_a_seat_and_never_deadlock() {
    const ROUNDS: u32 = 160;
    const TASKS: u32 = 64;
    let server = hasty();
    // Time enough to log in on a busy machine: 32 at once, each with a costly exchange of passwords.
    let config = support::schema_in(&server.fresh_database().unwrap()).await.connections(32).unwrap();
    let config = config.deadline(Duration::from_secs(30)).unwrap();
    let postgres = Postgres::connect(&config).await.unwrap();
    let orders = own(&postgres);
    let mut seed = 0x9e37_79b9_u32;
    let mut draw = |below: u32| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed % below
    };
    for round in 0..ROUNDS {
        let wishes: Vec<(u32, Vec<SeatIndex>)> = (0..TASKS)
            .map(|task| {
                let mut seats = HashSet::new();
                while seats.len() < 6 {
                    seats.insert(draw(40));
                }
                (round * TASKS + task, seats.into_iter().collect())
            })
            .collect();
        // All by one handle, each by his own, and few by one.
        let handles = match round % 3 {
            0 => vec![orders.clone()],
            1 => (0..TASKS).map(|_| own(&postgres)).collect(),
            _ => (0..8).map(|_| own(&postgres)).collect(),
        };
        let answers = rush(&handles, wishes.clone()).await;
        let won = winners(&answers);
        assert!(!won.is_empty(), "round {round}: nobody got anything");
        let mut owned = HashSet::new();
        for (n, seats) in wishes.iter().filter(|(n, _)| won.contains(n)) {
            assert!(seats.iter().all(|seat| owned.insert(*seat)), "round {round}: order {n} shares a seat");
        }
        for n in won {
            if draw(2) == 0 {
                orders.settle(&paid(n), &sample::ticket(n)).await.unwrap();
                orders.cancel(id(n)).await.unwrap();
            } else {
                orders.give_up(id(n), &support::shop::ann()).await.unwrap();
            }
        }
    }
    assert_sound(&postgres).await;
    let audit = postgres.audit().await.unwrap();
    assert_eq!((audit.confirmed, audit.seats_sold), (0, 0));
    // Not even one that was repeated: seats are locked in one order.
    assert!(!server.log().contains("deadlock detected"), "{}", server.log());
}

/// Statements of many orders, in opposite order of their seats and of their holds, for the same seats or the same holds. Whichever
/// comes second waits for the first, and never each for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_cross_never_deadlock() {
    const ORDERS: u32 = 32;
    let server = hasty();
    let config = support::schema_in(&server.fresh_database().unwrap()).await.deadline(Duration::from_secs(30)).unwrap();
    let postgres = Postgres::connect(&config).await.unwrap();
    let handles = [own(&postgres), own(&postgres)];
    // The plan of the show is decided, and both connections are made.
    rush(&handles, [(0, vec![10_000]), (1, vec![10_001])]).await;
    for round in 1..=40 {
        let first = round * 1_000;
        let made = handles.iter().zip([first, first + 500]).map(|(orders, first)| {
            let orders = orders.clone();
            tokio::spawn(async move {
                // In the one the order of holds is the order of seats; in the other it is not.
                let wishes: Vec<_> = (0..ORDERS)
                    .map(|place| {
                        let seat = if first % 1_000 == 0 { place } else { ORDERS - 1 - place };
                        wish_for(first + place, &[round * ORDERS + seat])
                    })
                    .collect();
                join_all(wishes.iter().map(|wish| orders.create(wish))).await
            })
        });
        let made: Vec<_> = join_all(made).await.into_iter().flat_map(Result::unwrap).map(Result::unwrap).collect();
        let won = made.iter().filter(|creation| matches!(creation, Creation::Created(_))).count();
        assert_eq!(won, usize::try_from(ORDERS).unwrap(), "round {round}");
        // The same orders, asked for by both in opposite order.
        let again = |backwards: bool, orders: &PostgresOrders| {
            let orders = orders.clone();
            tokio::spawn(async move {
                let mut wishes: Vec<_> =
                    (0..ORDERS).map(|place| wish_for(first + 200 + place, &[100_000 + round * ORDERS + place])).collect();
                if backwards {
                    wishes.reverse();
                }
                join_all(wishes.iter().map(|wish| orders.create(wish))).await
            })
        };
        let (one, other) = tokio::join!(again(false, &handles[0]), again(true, &handles[1]));
        for answer in one.unwrap().into_iter().chain(other.unwrap()) {
            assert!(matches!(answer, Ok(Creation::Created(_) | Creation::Existing(_))), "{answer:?}");
        }
    }
    assert_sound(&postgres).await;
    assert!(!server.log().contains("deadlock detected"), "{}", server.log());
}
