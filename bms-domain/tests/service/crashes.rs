//! Every call of every use case fails, loses its reply, is dropped, or finds that the hold store lost everything. Then the
//! request is repeated, and the promises hold.

use bms_domain::error::Error;
use bms_domain::order::OrderState;
use bms_domain::payment::{NoticeId, PaymentStatus};
use bms_domain::service::Notice;
use bms_domain::testing::{Fault, Gate, sample};
use futures::FutureExt as _;
use futures::executor::block_on;

use crate::rig::{HOUR, Rig, admin, names, user_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UseCase {
    Place,
    Release,
    Order,
    Confirm,
    ConfirmLate,
    Notice,
    Decline,
    GiveUp,
    Cancel,
}

const ALL: [UseCase; 9] = [
    UseCase::Place,
    UseCase::Release,
    UseCase::Order,
    UseCase::Confirm,
    UseCase::ConfirmLate,
    UseCase::Notice,
    UseCase::Decline,
    UseCase::GiveUp,
    UseCase::Cancel,
];

const PAYMENT: &str = "pay-1";

impl UseCase {
    /// Brings the rig to where this use case begins.
    async fn prepare(self, rig: &Rig) {
        match self {
            Self::Place => {}
            Self::Release | Self::Order => drop(rig.place("ann", &[1, 2], 1).await.unwrap()),
            Self::Confirm | Self::ConfirmLate | Self::Notice | Self::Decline | Self::GiveUp => {
                let order = rig.ordered("ann", &[1, 2], 1).await;
                let status = if self == Self::Decline { PaymentStatus::Failed } else { PaymentStatus::Succeeded };
                rig.bank.pays(PAYMENT, &order, status);
                if self == Self::ConfirmLate {
                    rig.clock.advance(HOUR);
                }
            }
            Self::Cancel => drop(rig.bought("ann", &[1, 2], 1).await),
        }
    }

    async fn run(self, rig: &Rig) -> Result<(), Error> {
        let order = rig.orders_of_first().await;
        match self {
            Self::Place => rig.place("ann", &[1, 2], 1).await.map(drop),
            Self::Release => rig.service.release_hold(&user_of("ann"), Rig::hold_id(1)).await.map(drop),
            Self::Order => rig.order("ann", 1).await.map(drop),
            Self::Confirm | Self::ConfirmLate => rig.confirm("ann", order.unwrap().id, PAYMENT).await.map(drop),
            Self::Decline => match rig.confirm("ann", order.unwrap().id, PAYMENT).await {
                Err(Error::PaymentDeclined(_)) => Ok(()),
                other => other.map(drop),
            },
            Self::Notice => {
                let order = order.unwrap();
                let (reference, amount) = (sample::reference(PAYMENT), order.price);
                let id = NoticeId::parse("evt-1").unwrap();
                let notice = Notice { id, order: order.id, reference, status: PaymentStatus::Succeeded, amount };
                rig.service.take_notice(notice).await.map(drop)
            }
            Self::GiveUp => rig.service.give_up_order(&user_of("ann"), order.unwrap().id).await.map(drop),
            Self::Cancel => rig.service.cancel_order(&admin(), order.unwrap().id).await.map(drop),
        }
    }

    /// Payments that are to be accounted for once it has succeeded.
    fn payments(self) -> &'static [&'static str] {
        match self {
            Self::Confirm | Self::ConfirmLate | Self::Notice | Self::Cancel => &[PAYMENT],
            Self::Place | Self::Release | Self::Order | Self::Decline | Self::GiveUp => &[],
        }
    }

    /// Whether an answer to the repeated request is as good as success. A hold is gone when its store lost everything, unless
    /// an order knows of it.
    fn is_legal_end(self, outcome: &Result<(), Error>, forgot: bool) -> bool {
        match outcome {
            Ok(()) => true,
            Err(Error::NotFound("hold") | Error::HoldExpired(_)) => forgot && matches!(self, Self::Release | Self::Order),
            Err(_) => false,
        }
    }

    async fn check_success(self, rig: &Rig) {
        let state = rig.orders_of_first().await.map(|order| order.state);
        match self {
            Self::Place => assert_eq!(rig.map().await.held.iter().collect::<Vec<_>>(), [1, 2]),
            Self::Release => assert_eq!(rig.map().await.held.count(), 0),
            Self::Order => {
                assert_eq!(state, Some(OrderState::PaymentPending));
                assert_eq!(rig.map().await.held.iter().collect::<Vec<_>>(), [1, 2], "P8: an order's seats are held");
            }
            Self::Confirm | Self::ConfirmLate | Self::Notice => {
                assert!(state.is_some_and(|state| state.is_confirmed()));
                assert_eq!(rig.sold().await, [1, 2]);
            }
            Self::Decline | Self::GiveUp => assert!(matches!(state, Some(OrderState::Failed { .. })), "{state:?}"),
            Self::Cancel => assert!(matches!(state, Some(OrderState::Cancelled { .. })), "{state:?}"),
        }
    }

    fn sells(self) -> bool {
        matches!(self, Self::Confirm | Self::ConfirmLate | Self::Notice)
    }
}

impl Rig {
    async fn orders_of_first(&self) -> Option<bms_domain::order::Order> {
        self.order_of(1).await
    }
}

/// How many calls of ports a use case makes when nothing fails.
fn calls_of(case: UseCase) -> usize {
    block_on(async {
        let rig = Rig::new().await;
        case.prepare(&rig).await;
        rig.faults.heal();
        case.run(&rig).await.unwrap();
        case.check_success(&rig).await;
        rig.check(case.payments()).await;
        rig.faults.calls().len()
    })
}

/// Runs a use case with a fault at one of its calls, then repeats it, then lets time pass.
fn crash(case: UseCase, what: &str, call: usize, fault: impl Fn(&Rig) -> Fault) {
    block_on(async {
        let rig = Rig::new().await;
        case.prepare(&rig).await;
        rig.faults.heal();
        rig.faults.at_call(call, fault(&rig));
        let first = case.run(&rig).now_or_never();
        let calls = rig.faults.calls();
        rig.faults.heal();
        let context = format!("{case:?}, {what} at call {call} of {calls:?}, first {first:?}");
        match &first {
            // Dropped at an await point, as a host does with a request whose client has gone.
            None | Some(Ok(())) => {}
            Some(Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. })) => {}
            Some(Err(Error::NotFound("hold"))) => assert_eq!(what, "forget", "{context}"),
            Some(Err(other)) => panic!("P11: expected a retryable error, saw {other:?}: {context}"),
        }
        rig.check(&[]).await;

        let again = case.run(&rig).await;
        assert!(case.is_legal_end(&again, what == "forget"), "P6: the repeated request: {again:?}: {context}");
        if again.is_ok() {
            case.check_success(&rig).await;
        }
        rig.check(case.payments()).await;

        // P5: what is not sold is anybody's once its time is over.
        rig.clock.advance(HOUR);
        let other = rig.place("bob", &[1, 2], 2).await;
        if case.sells() {
            let other = if let Ok(held) = other {
                // The hold store was not told of the sale. The order finds it out (the fence), and repairs it.
                assert_eq!(held.hold.id, Rig::hold_id(2));
                let refused = rig.order("bob", 2).await;
                assert!(matches!(refused, Err(Error::SeatsUnavailable(_))), "P1: {refused:?}: {context}");
                rig.place("bob", &[1, 2], 3).await
            } else {
                other
            };
            assert!(matches!(&other, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[1, 2])), "{other:?}: {context}");
        } else {
            assert!(other.is_ok(), "P5: {other:?}: {context}");
            rig.order("bob", 2).await.unwrap();
        }
        rig.check(case.payments()).await;
    });
}

fn crash_everywhere(what: &str, fault: impl Fn(&Rig) -> Fault + Copy) {
    for case in ALL {
        let calls = calls_of(case);
        assert!(calls > 0, "{case:?} calls nothing");
        for call in 0..calls {
            crash(case, what, call, fault);
        }
    }
}

/// P3, P6, P11: a call that fails changes nothing that repeating the request does not complete.
#[test]
fn a_call_that_fails_is_mended_by_a_retry() {
    crash_everywhere("fail before", |_| Fault::Unavailable);
}

/// P6, P11: a call whose reply is lost took effect, and takes no effect again.
#[test]
fn a_lost_reply_is_mended_by_a_retry() {
    crash_everywhere("lose reply", |_| Fault::LoseReply);
}

/// P6: a request may be dropped before any of its calls takes effect.
#[test]
fn a_request_dropped_before_a_call_is_mended_by_a_retry() {
    crash_everywhere("drop before", |_| Fault::WaitBefore(Gate::new()));
}

/// P6: a request may be dropped after any of its calls took effect.
#[test]
fn a_request_dropped_after_a_call_is_mended_by_a_retry() {
    crash_everywhere("drop after", |_| Fault::WaitAfter(Gate::new()));
}

/// P1, P4, P10: the hold store may lose everything between any two calls.
#[test]
fn a_hold_store_that_forgets_is_restored_by_the_next_call() {
    crash_everywhere("forget", |rig| Fault::After(rig.forget()));
}
