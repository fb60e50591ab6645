//! Random sequences of what three users do with six seats, with losses in between; and many users at once while everything
//! is lost again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bms_domain::error::Error;
use bms_domain::service::Payment;
use bms_domain::testing::{Fault, Hook, sequences};
use bms_redis::testing::Server;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Builder;

use crate::support::rig::{Rig, USERS, admin, caller, connect_within, hold_id, show};

const SEATS: u32 = 6;

/// One step. A user's holds, orders and payments are those of the seed that he used last.
#[derive(Clone, Debug)]
enum Step {
    Place(usize, Vec<u32>),
    PlaceAgain(usize),
    Release(usize),
    Order(usize),
    Pay(usize),
    Decline(usize),
    GiveUp(usize),
    Cancel(usize),
    Sweep,
    Pass(Duration),
    FlushAll,
    ScriptFlush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let user = 0..USERS.len();
    let seats = btree_set(0..SEATS, 1..=3).prop_map(|seats| seats.into_iter().collect::<Vec<u32>>());
    let spans = prop::sample::select(vec![1, 299_999, 300_000, 302_000, 600_000]).prop_map(Duration::from_millis);
    let step = prop_oneof![
        8 => (user.clone(), seats).prop_map(|(user, seats)| Step::Place(user, seats)),
        2 => user.clone().prop_map(Step::PlaceAgain),
        2 => user.clone().prop_map(Step::Release),
        6 => user.clone().prop_map(Step::Order),
        5 => user.clone().prop_map(Step::Pay),
        1 => user.clone().prop_map(Step::Decline),
        1 => user.clone().prop_map(Step::GiveUp),
        2 => user.prop_map(Step::Cancel),
        1 => Just(Step::Sweep),
        3 => spans.prop_map(Step::Pass),
        4 => Just(Step::FlushAll),
        2 => Just(Step::ScriptFlush),
    ];
    vec(step, 1..40)
}

struct World<'a> {
    server: &'a Server,
    rig: Rig,
    seeds: u32,
    /// The seed of each user's last hold, and its seats.
    last: [Option<(u32, Vec<u32>)>; USERS.len()],
    payments: Vec<String>,
}

impl World<'_> {
    async fn take(&mut self, step: &Step) {
        match step {
            Step::Place(user, seats) => {
                self.seeds += 1;
                self.last[*user] = Some((self.seeds, seats.clone()));
                self.place(*user).await;
            }
            Step::PlaceAgain(user) => self.place(*user).await,
            Step::Release(user) => {
                if let Some((seed, _)) = self.last[*user] {
                    expected(self.rig.service.release_hold(&caller(USERS[*user]), hold_id(seed)).await);
                }
            }
            Step::Order(user) => {
                if let Some((seed, _)) = self.last[*user] {
                    expected(self.rig.order(USERS[*user], seed).await);
                }
            }
            Step::Pay(user) => self.pay(*user, "ok").await,
            Step::Decline(user) => self.pay(*user, "declined").await,
            Step::GiveUp(user) => {
                if let Some(order) = self.order_of(*user).await {
                    expected(self.rig.service.give_up_order(&caller(USERS[*user]), order).await);
                }
            }
            Step::Cancel(user) => {
                if let Some(order) = self.order_of(*user).await {
                    expected(self.rig.service.cancel_order(&admin(), order).await);
                }
            }
            Step::Sweep => drop(self.rig.service.sweep(100).await.unwrap()),
            Step::Pass(span) => self.rig.clock.advance(*span),
            Step::FlushAll => self.server.command(&["FLUSHALL"]).unwrap(),
            Step::ScriptFlush => self.server.command(&["SCRIPT", "FLUSH"]).unwrap(),
        }
    }

    /// P2: whoever is granted a hold, nobody's live hold or order has a seat of it.
    async fn place(&mut self, user: usize) {
        let Some((seed, seats)) = self.last[user].clone() else { return };
        let Some(booked) = expected(self.rig.place(USERS[user], &seats, seed).await) else { return };
        if !booked.hold.state.is_live() {
            return;
        }
        for order in self.rig.all_orders().await {
            let in_the_way = (order.state.is_pending() || order.state.is_confirmed()) && order.hold != booked.hold.id;
            let shares = order.seats.indices().iter().any(|seat| seats.contains(&seat));
            assert!(!(in_the_way && shares), "P2: {seats:?} were granted, of which order {} has some", order.id);
        }
    }

    async fn pay(&mut self, user: usize, how: &str) {
        let Some((seed, _)) = self.last[user] else { return };
        let Some(order) = self.order_of(user).await else { return };
        let payment = format!("pay_{how}-{seed}");
        let outcome = self.rig.pay(USERS[user], order, &payment).await;
        assert!(!matches!(outcome, Ok(Payment::Pending(_))));
        if how == "ok" && !self.payments.contains(&payment) {
            self.payments.push(payment);
        }
        expected(outcome);
    }

    async fn order_of(&self, user: usize) -> Option<bms_domain::id::OrderId> {
        let (seed, _) = self.last[user].as_ref()?;
        self.rig.all_orders().await.into_iter().rev().find(|order| order.hold == hold_id(*seed)).map(|order| order.id)
    }
}

/// P7, P10, P11: no step fails but by a refusal that the user can do something with.
fn expected<T>(outcome: Result<T, Error>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(
            Error::SeatsUnavailable(_)
            | Error::NotFound("hold")
            | Error::HoldExpired(_)
            | Error::HoldNotActive { .. }
            | Error::OrderPending(_)
            | Error::OrderExpired(_)
            | Error::OrderNotPending(_)
            | Error::PaymentDeclined(_),
        ) => None,
        Err(other) => panic!("{other:?}"),
    }
}

/// P1, P4, P5, P8, P10, P12 after every step: what each user was sold, owes or waits for is where it should be.
#[test]
fn random_losses_cost_nobody_a_seat_that_he_ordered() {
    let server = Server::start().unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let redis = runtime.block_on(connect_within(&server.url(), Duration::from_secs(5)));
    let outcome = TestRunner::new(sequences::config(80, file!())).run(&steps(), |steps| {
        runtime.block_on(async {
            server.command::<()>(&["FLUSHALL"]).unwrap();
            let rig = Rig::on(redis.clone(), SEATS).await;
            let mut world = World { server: &server, rig, seeds: 0, last: [const { None }; USERS.len()], payments: Vec::new() };
            for step in &steps {
                world.take(step).await;
                world.rig.check(&server, &world.payments).await;
            }
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// P1, P4, P10: the same in a rush, while everything is lost again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rush_sells_every_seat_once_while_everything_is_lost_again_and_again() {
    let server = Arc::new(Server::start().unwrap());
    let rig = Arc::new(Rig::new(&server.url(), SEATS).await);
    let (calls, losing) = (Arc::new(AtomicU32::new(0)), Arc::clone(&server));
    let counted = Arc::clone(&calls);
    let now_and_then = Hook::new(move || {
        if counted.fetch_add(1, Ordering::Relaxed) % 13 == 12 {
            losing.command::<()>(&["FLUSHALL"]).unwrap();
            losing.command::<()>(&["SCRIPT", "FLUSH"]).unwrap();
        }
    });
    rig.faults.at_every("holds.", Fault::After(now_and_then));
    let buyers: Vec<_> = (0..6_u32)
        .map(|buyer| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move {
                let mut payments = Vec::new();
                for attempt in 0..15 {
                    let seed = 1 + buyer * 15 + attempt;
                    let seats = [seed % SEATS, (seed + 1 + seed / SEATS % 4) % SEATS];
                    match rig.buy(USERS[buyer as usize % 3], &seats, seed).await {
                        // The store may lose the show faster than it is told of it.
                        Err(Error::Unavailable { .. }) => {}
                        outcome => payments.extend(expected(outcome).map(|_| format!("pay_ok-{seed}"))),
                    }
                }
                payments
            })
        })
        .collect();
    let mut payments = Vec::new();
    for buyer in buyers {
        payments.extend(buyer.await.unwrap());
    }
    rig.faults.heal();
    let losses = calls.load(Ordering::Relaxed) / 13;
    assert!(losses > 5 && !payments.is_empty(), "{losses} losses, {} payments", payments.len());
    let kept = rig.check(&server, &payments).await;
    // Whoever wants what is left gets it, as soon as holds that nobody pays for have ended (P5).
    rig.clock.advance(Duration::from_hours(1));
    let left: Vec<u32> = (0..SEATS).filter(|seat| !kept.sold.contains(seat)).collect();
    if !left.is_empty() {
        rig.buy("ann", &left, 1_000).await.unwrap();
        payments.push("pay_ok-1000".to_owned());
    }
    rig.check(&server, &payments).await;
    assert_eq!(rig.service.seat_map_fresh(&show()).await.unwrap().unavailable.count(), SEATS);
}
