//! Races on the real server: one owner a seat, and no deadlock surfaces (promise P1).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::seat::SeatIndex;
use bms_domain::store::{Creation, OrderStore as _};
use bms_domain::testing::sample;
use bms_postgres::testing::Server;
use bms_postgres::{Postgres, PostgresOrders};
use tokio::task::JoinSet;

use crate::support;
use crate::support::shop::{assert_sound, id, orders, paid, show, wish_for};

/// Tasks that want seats at once.
async fn rush(orders: &PostgresOrders, wishes: impl IntoIterator<Item = (u32, Vec<SeatIndex>)>) -> Vec<(u32, Creation)> {
    let orders = Arc::new(orders.clone());
    let mut tasks = JoinSet::new();
    for (n, seats) in wishes {
        let orders = orders.clone();
        tasks.spawn(async move { (n, orders.create(&wish_for(n, &seats)).await.unwrap()) });
    }
    tasks.join_all().await
}

fn winners(answers: &[(u32, Creation)]) -> Vec<u32> {
    answers.iter().filter(|(_, creation)| matches!(creation, Creation::Created(_))).map(|(n, _)| *n).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tasks_want_one_seat() {
    let postgres = Postgres::connect(&support::schema().await).await.unwrap();
    let orders = orders(&postgres);
    for round in 0..10 {
        let answers = rush(&orders, (0..200).map(|task| (round * 200 + task, vec![round]))).await;
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
    let server = Server::start().unwrap();
    // Time enough to log in on a busy machine: 32 at once, each with a costly exchange of passwords.
    let config = support::schema_in(&server.fresh_database().unwrap()).await.connections(32).unwrap();
    let config = config.deadline(Duration::from_secs(30)).unwrap();
    let postgres = Postgres::connect(&config).await.unwrap();
    let orders = orders(&postgres);
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
        let answers = rush(&orders, wishes.clone()).await;
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
