//! Many at once, and time that passes.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use crate::support::{Ask, cinema, order, place, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_who_want_the_same_seats_one_gets_them() {
    let cinema = cinema().await;
    let seats = ["A5", "A6", "A7"];
    let tasks = (0..200).map(|n| {
        let router = cinema.router.clone();
        tokio::spawn(async move { send(&router, &place(&format!("user {n}"), &seats)).await })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let won = answers.iter().filter(|answer| answer.status == 201).count();
    let lost = answers.iter().filter(|answer| answer.status == 409 && answer.code() == "seats-unavailable");
    assert_eq!((won, lost.clone().count()), (1, 199));
    assert!(lost.into_iter().all(|answer| answer.json()["seatIds"] == json!(seats)));
    assert_eq!(cinema.taken().await, (json!(["A20"]), json!(seats)));
}

/// P2: whoever hoards gets his ten seats of a show, however many requests he sends at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_requests_of_one_user_get_no_more_than_his_limit() {
    let cinema = cinema().await;
    let tasks = (0..10_000).map(|n| {
        let router = cinema.router.clone();
        tokio::spawn(async move { send(&router, &place("mallory", &[&format!("A{}", n % 19 + 1)])).await })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let granted = answers.iter().filter(|answer| answer.status == 201).count();
    let limited = answers.iter().filter(|answer| answer.status == 422 && answer.code() == "too-many-seats").count();
    let taken = answers.iter().filter(|answer| answer.status == 409 && answer.code() == "seats-unavailable").count();
    assert_eq!((granted, granted + limited + taken), (10, 10_000));
    assert!(limited > 0 && taken > 0);
    assert_eq!(cinema.taken().await.1.as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn an_order_left_alone_expires_and_its_seats_are_free_with_nobody_sweeping() {
    let cinema = cinema().await;
    let id = cinema.ordered("alice", &["A1", "A2"]).await;
    cinema.hold("bob", &["A1"]).await.is_problem(409, "seats-unavailable");
    cinema.clock.advance(Duration::from_mins(16));
    let order = cinema.ask(Ask::get(format!("/api/v1/orders/{id}")).by("alice")).await;
    assert_eq!(order.is(200).json()["status"], "EXPIRED");
    assert_eq!(cinema.taken().await, (json!(["A20"]), json!([])));
    let hold = cinema.held("bob", &["A1", "A2"]).await;
    cinema.ask(order_of(&hold)).await.is(201);
}

fn order_of(hold: &str) -> Ask {
    order("bob", hold)
}
