//! Redis forgets everything, its scripts, or both, between any two steps of a sale: whichever call of whichever port comes
//! next.

use std::sync::Arc;

use bms_domain::error::Error;
use bms_domain::hold::HoldState;
use bms_domain::testing::{Fault, Hook};
use bms_redis::testing::Server;

use crate::support::rig::{Rig, admin, caller, connect_within, hold_id, names};

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Everything,
    Scripts,
    Both,
}

impl Loss {
    fn strike(self, server: &Server) {
        if self != Self::Scripts {
            server.command::<()>(&["FLUSHALL"]).unwrap();
        }
        if self != Self::Everything {
            server.command::<()>(&["SCRIPT", "FLUSH"]).unwrap();
        }
    }
}

/// What Ann has of her seats, as she is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Nothing,
    Hold,
    Order,
    Seats,
}

/// One sale, step by step: Ann holds, orders, pays, and her order is cancelled. After the step of this number Bob tries to
/// buy the same seats. Says what Ann got, in each step, and what Bob got.
struct Sale {
    rig: Rig,
    bob_after: usize,
    /// Before which call the loss comes.
    loss_at: Option<usize>,
    payments: Vec<String>,
    told: Vec<&'static str>,
}

const SEATS: [u32; 2] = [1, 2];

impl Sale {
    async fn run(&mut self) {
        for step in 0..4 {
            if self.bob_after == step {
                self.bob_tries().await;
            }
            let outcome = self.ann_does(step).await;
            self.told.push(match outcome {
                Ok(()) => "done",
                Err(Error::NotFound("hold") | Error::HoldExpired(_)) => "lost",
                Err(Error::SeatsUnavailable(seats)) => {
                    assert_eq!(seats, names(&SEATS), "P3: every seat in the way is named");
                    "taken"
                }
                Err(other) => panic!("step {step}: {other:?}"),
            });
        }
        if self.bob_after == 4 {
            self.bob_tries().await;
        }
    }

    async fn ann_does(&mut self, step: usize) -> Result<(), Error> {
        let order = self.ann_has().await.1;
        match (step, order) {
            (0, _) => self.rig.place("ann", &SEATS, 1).await.map(drop),
            (1, _) => self.rig.order("ann", 1).await.map(drop),
            (2, Some(order)) => {
                self.payments.push("pay_ok-1".to_owned());
                self.rig.pay("ann", order, "pay_ok-1").await.map(drop)
            }
            (3, Some(order)) => self.rig.service.cancel_order(&admin(), order).await.map(drop),
            // Without an order there is nothing to pay or to cancel; a hold is given back.
            _ => self.rig.service.release_hold(&caller("ann"), hold_id(1)).await.map(drop),
        }
    }

    /// By the durable store, and by what the service tells her of her hold.
    async fn ann_has(&self) -> (Has, Option<bms_domain::id::OrderId>) {
        let order = self.rig.all_orders().await.into_iter().find(|order| order.hold == hold_id(1));
        match order {
            Some(order) if order.state.is_confirmed() => (Has::Seats, Some(order.id)),
            Some(order) if order.state.is_pending() => (Has::Order, Some(order.id)),
            Some(order) => (Has::Nothing, Some(order.id)),
            None => match self.rig.service.hold(&caller("ann"), hold_id(1)).await {
                Ok(booked) if matches!(booked.hold.state, HoldState::Held { .. }) => (Has::Hold, None),
                Ok(_) | Err(Error::NotFound("hold")) => (Has::Nothing, None),
                Err(other) => panic!("P11: {other:?}"),
            },
        }
    }

    async fn bob_tries(&mut self) {
        let asked_at = self.rig.faults.calls().len();
        let before = self.ann_has().await.0;
        let bought = match self.rig.place("bob", &SEATS, 2).await {
            Ok(_) if matches!(before, Has::Order | Has::Seats) => panic!("P8, P10: Bob was granted what Ann has as {before:?}"),
            Ok(_) => self.rig.buy("bob", &SEATS, 2).await,
            Err(refusal) => Err(refusal),
        };
        let bob = match bought {
            Ok(_) => {
                self.payments.push("pay_ok-2".to_owned());
                "bought"
            }
            Err(Error::SeatsUnavailable(seats)) => {
                assert_eq!(seats, names(&SEATS), "P3: every seat in the way is named");
                "refused"
            }
            // His own hold may be lost as well.
            Err(Error::NotFound("hold") | Error::HoldExpired(_)) => "lost",
            Err(other) => panic!("Bob: {other:?}"),
        };
        match before {
            // P1, P8, P10: what the durable store knows is restored before anybody is granted a hold.
            Has::Order | Has::Seats => assert_eq!(bob, "refused", "Ann has {before:?}"),
            Has::Nothing => assert_ne!(bob, "refused", "P5: the seats are free"),
            // P2: what she was told is true, unless it was lost since.
            Has::Hold => {
                let meanwhile = asked_at..self.rig.faults.calls().len();
                assert!(bob == "refused" || self.loss_at.is_some_and(|call| meanwhile.contains(&call)), "Ann has a hold: {bob}");
            }
        }
        self.told.push(bob);
    }
}

/// Runs the sale with a loss before the call of this number (of all calls of ports that it makes); says what everybody was
/// told, and how many calls there were.
async fn sale(
    server: &Arc<Server>,
    redis: &bms_redis::Redis,
    bob_after: usize,
    loss: Option<(usize, Loss)>,
) -> (Vec<&'static str>, usize) {
    Loss::Both.strike(server);
    let rig = Rig::on(redis.clone(), 6).await;
    let loss_at = loss.map(|(call, _)| call);
    let mut sale = Sale { rig, bob_after, loss_at, payments: Vec::new(), told: Vec::new() };
    if let Some((call, loss)) = loss {
        let server = Arc::clone(server);
        sale.rig.faults.at_call(call, Fault::After(Hook::new(move || loss.strike(&server))));
    }
    sale.run().await;
    let calls = sale.rig.faults.calls().len();
    sale.rig.check(server, &sale.payments).await;
    // P10: nothing is left to mend by hand; a step on the same show ends as on any other.
    sale.rig.place("cid", &[5], 9).await.unwrap();
    sale.rig.check(server, &sale.payments).await;
    (sale.told, calls)
}

/// Says how many sales went another way than usual.
async fn every_sale(loss: Loss, is_legal: impl Fn(&[&str], &[&str]) -> bool) -> usize {
    let server = Arc::new(Server::start().unwrap());
    let redis = connect_within(&server.url(), std::time::Duration::from_secs(5)).await;
    let mut others = 0;
    for bob_after in 0..=4 {
        let (usual, calls) = sale(&server, &redis, bob_after, None).await;
        assert!(calls > 20, "a sale calls its ports {calls} times");
        for call in 0..calls {
            let (told, _) = sale(&server, &redis, bob_after, Some((call, loss))).await;
            assert!(
                is_legal(&usual, &told),
                "{loss:?} before call {call}, Bob after step {bob_after}: {told:?} instead of {usual:?}"
            );
            others += usize::from(usual != told);
        }
    }
    others
}

/// P1, P8, P10, P12: only a hold without an order is lost, and its owner is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_everything_between_any_two_steps_loses_no_order_and_sells_no_seat_twice() {
    assert!(every_sale(Loss::Everything, is_honest).await > 0, "no hold was ever lost");
}

/// Nobody notices that scripts were lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_the_scripts_between_any_two_steps_changes_nothing() {
    assert_eq!(every_sale(Loss::Scripts, |usual, told| usual == told).await, 0);
}

/// P1, P8, P10, P12, with both at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_everything_and_the_scripts_between_any_two_steps_is_no_worse() {
    assert!(every_sale(Loss::Both, is_honest).await > 0, "no hold was ever lost");
}

/// The first answer that differs says that a hold was lost, or that somebody got what another had lost.
fn is_honest(usual: &[&str], told: &[&str]) -> bool {
    match usual.iter().zip(told).find(|(usual, told)| usual != told) {
        None => true,
        Some((_, told)) => matches!(*told, "lost" | "bought"),
    }
}
