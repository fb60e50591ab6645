//! A dependency is down, or slow.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bms_domain::error::{Error, Subject};
use bms_domain::payment::{NoticeId, PaymentStatus};
use bms_domain::service::{Notice, Payment};
use bms_domain::testing::{Fault, Gate, ManualClock, sample};
use futures::executor::block_on;

use crate::rig::{Rig, names, user_of};

const DEADLINE: Duration = Duration::from_secs(2);

/// P13: without the hold store no seats are held, at once; payments are confirmed, and the map is mended afterwards.
#[test]
fn without_the_hold_store_payments_are_still_confirmed() {
    block_on(async {
        for fault in [Fault::Unavailable, Fault::LoseReply] {
            let rig = Rig::new().await;
            let order = rig.ordered("ann", &[1, 2], 1).await;
            rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
            rig.faults.at_every("holds.", fault.clone());
            let refused = rig.place("bob", &[5], 2).await;
            assert!(matches!(refused, Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. })), "{refused:?}");
            assert!(matches!(rig.confirm("ann", order.id, "pay-1").await, Ok(Payment::Confirmed(_))), "{fault:?}");
            assert_eq!(rig.sold().await, [1, 2]);
            rig.faults.heal();
            rig.forget_now();
            let refused = rig.place("bob", &[1, 2, 3], 3).await;
            assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[1, 2])), "{refused:?}");
            rig.check(&["pay-1"]).await;
        }
    });
}

/// P13, P4: without the durable store nothing is confirmed, and a notice is refused so that it comes again.
#[test]
fn without_the_durable_store_nothing_is_confirmed() {
    block_on(async {
        let rig = Rig::new().await;
        let order = rig.ordered("ann", &[1], 1).await;
        rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
        let notice = Notice {
            id: NoticeId::parse("evt-1").unwrap(),
            order: order.id,
            reference: sample::reference("pay-1"),
            status: PaymentStatus::Succeeded,
            amount: order.price,
        };
        rig.faults.at_every("orders.", Fault::Unavailable);
        assert!(matches!(rig.confirm("ann", order.id, "pay-1").await, Err(Error::Unavailable { .. })));
        assert!(matches!(rig.service.take_notice(notice.clone()).await, Err(Error::Unavailable { .. })));
        rig.faults.heal();
        assert!(rig.order_of(1).await.unwrap().state.is_pending());
        assert_eq!(rig.sold().await, [0; 0]);
        rig.service.take_notice(notice).await.unwrap();
        assert_eq!(rig.sold().await, [1]);
        rig.check(&["pay-1"]).await;
    });
}

/// P11: a provider that does not answer leaves the order as it is.
#[test]
fn without_the_provider_the_order_waits() {
    block_on(async {
        let rig = Rig::new().await;
        let order = rig.ordered("ann", &[1], 1).await;
        rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
        rig.faults.at_every("gateway.verify", Fault::Unavailable);
        assert!(matches!(rig.confirm("ann", order.id, "pay-1").await, Err(Error::Unavailable { .. })));
        assert_eq!(rig.faults.count("orders.settle"), 0);
        rig.faults.heal();
        assert!(matches!(rig.confirm("ann", order.id, "pay-1").await, Ok(Payment::Confirmed(_))));
    });
}

async fn with_deadline() -> Rig {
    let clock = ManualClock::new();
    let timer = Arc::new(clock.timer());
    let rig = Rig::on(clock, |builder| builder.deadline(DEADLINE, timer)).await;
    // Primes the show, so that the first place is the one that counts.
    rig.map().await;
    rig
}

/// Polls a call that hangs, lets the deadline come, and gives its answer.
async fn past_the_deadline<T>(rig: &Rig, call: impl Future<Output = T>) -> T {
    let mut call = std::pin::pin!(call);
    assert!(futures::poll!(call.as_mut()).is_pending(), "the call hangs");
    rig.clock.advance(DEADLINE - Duration::from_millis(1));
    assert!(futures::poll!(call.as_mut()).is_pending(), "the deadline has not come yet");
    rig.clock.advance(Duration::from_millis(1));
    match futures::poll!(call.as_mut()) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("P11: the call goes on past its deadline"),
    }
}

/// P11: a call that hangs ends at its deadline, and names what to ask for. The request repeated completes it.
#[test]
fn a_call_that_hangs_ends_at_its_deadline() {
    block_on(async {
        let rig = with_deadline().await;
        rig.faults.at_every("holds.place", Fault::WaitAfter(Gate::new()));
        match past_the_deadline(&rig, rig.place("ann", &[1], 1)).await {
            Err(Error::OutcomeUnknown { subject: Subject::Hold(hold), .. }) => assert_eq!(hold, Rig::hold_id(1)),
            other => panic!("expected OutcomeUnknown, saw {other:?}"),
        }
        rig.faults.heal();
        let held = rig.service.hold(&user_of("ann"), Rig::hold_id(1)).await.unwrap();
        assert_eq!(rig.place("ann", &[1], 1).await.unwrap(), held);

        rig.faults.at_every("orders.create", Fault::WaitAfter(Gate::new()));
        let subject = match past_the_deadline(&rig, rig.order("ann", 1)).await {
            Err(Error::OutcomeUnknown { subject: Subject::Order(order), .. }) => order,
            other => panic!("expected OutcomeUnknown, saw {other:?}"),
        };
        rig.faults.heal();
        let order = rig.service.order(&user_of("ann"), subject).await.unwrap();
        assert_eq!(rig.order("ann", 1).await.unwrap(), order);

        rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
        rig.faults.at_every("orders.settle", Fault::WaitAfter(Gate::new()));
        match past_the_deadline(&rig, rig.confirm("ann", order.id, "pay-1")).await {
            Err(Error::OutcomeUnknown { subject: Subject::Order(order), .. }) => assert_eq!(order, subject),
            other => panic!("expected OutcomeUnknown, saw {other:?}"),
        }
        rig.faults.heal();
        assert!(matches!(rig.confirm("ann", order.id, "pay-1").await, Ok(Payment::Confirmed(_))));
        assert_eq!(rig.clock.sleepers(), 0);
        rig.check(&["pay-1"]).await;
    });
}

/// P8: an order whose making has an unknown outcome may be there: its seats stay covered until it would have ended.
#[test]
fn an_order_of_unknown_outcome_is_covered() {
    block_on(async {
        let rig = Rig::new().await;
        rig.place("ann", &[1], 1).await.unwrap();
        rig.clock.advance(rig.service.policy().hold_ttl - Duration::from_millis(1));
        rig.faults.at_every("orders.create", Fault::LoseReply);
        assert!(matches!(rig.order("ann", 1).await, Err(Error::OutcomeUnknown { .. })));
        rig.faults.heal();
        rig.clock.advance(rig.service.policy().order_ttl - Duration::from_millis(1));
        assert!(rig.order_of(1).await.unwrap().state.is_pending());
        assert!(matches!(rig.place("bob", &[1], 2).await, Err(Error::SeatsUnavailable(_))));
    });
}

/// P11: a slow call that is answered before its deadline is no error.
#[test]
fn a_slow_call_is_waited_for() {
    block_on(async {
        let rig = with_deadline().await;
        let gate = Gate::new();
        rig.faults.at_every("holds.place", Fault::WaitBefore(gate.clone()));
        let mut call = std::pin::pin!(rig.place("ann", &[1], 1));
        assert!(futures::poll!(call.as_mut()).is_pending());
        rig.clock.advance(DEADLINE / 2);
        gate.open();
        call.await.unwrap();
    });
}
