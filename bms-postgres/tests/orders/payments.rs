//! Payments in every order of events: whatever comes, and in whatever order, each success ends as a confirmed order or as a
//! refund due (promise P4), and the audit finds nothing.

use std::sync::Arc;

use bms_domain::memory::MemoryOrders;
use bms_domain::money::{Currency, Money};
use bms_domain::order::{Order, OrderState};
use bms_domain::payment::{PaymentStatus, RefundDue};
use bms_domain::store::{Creation, OrderStore};
use bms_domain::testing::{ManualClock, sample};

use crate::support;
use crate::support::shop::{TTL, assert_sound, id, orders, price, report, show, wish};

/// Something that happens to an order, or beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The order is made.
    Create,
    /// An attempt to pay fails.
    Fail,
    /// Another succeeds.
    Succeed,
    /// The provider tells of it again.
    Duplicate,
    /// An hour goes by.
    Late,
    /// Somebody else wants the seats.
    Rival,
}

const STEPS: [Step; 6] = [Step::Create, Step::Fail, Step::Succeed, Step::Duplicate, Step::Late, Step::Rival];

/// Every order in which the steps can come.
fn permutations(steps: &[Step]) -> Vec<Vec<Step>> {
    if steps.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (place, first) in steps.iter().enumerate() {
        let rest: Vec<Step> = steps.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, step)| *step).collect();
        all.extend(permutations(&rest).into_iter().map(|tail| [&[*first], &tail[..]].concat()));
    }
    all
}

/// What a history left behind: the order, and what is to be given back of it and of its rival.
type Left = (Option<Order>, Option<Order>, Vec<RefundDue>);

/// Plays a history with order `n` and its rival `n + 1`; the money that came in `amount`s ends where it has to.
async fn play(store: &dyn OrderStore, clock: &ManualClock, n: u32, history: &[Step], amount: Money) -> Left {
    let good = format!("good-{n}");
    let notice = |event: &str, payment: &str, status| sample::notice(&format!("{event}-{n}"), report(n, payment, status, amount));
    for step in history {
        match step {
            Step::Create => drop(store.create(&wish(n)).await.unwrap()),
            Step::Fail => {
                let failed = notice("failed", &format!("bad-{n}"), PaymentStatus::Failed);
                store.settle(&failed, &sample::ticket(n)).await.unwrap();
            }
            Step::Succeed | Step::Duplicate => {
                let succeeded = notice("succeeded", &good, PaymentStatus::Succeeded);
                store.settle(&succeeded, &sample::ticket(n)).await.unwrap();
            }
            Step::Late => clock.advance(TTL * 12),
            Step::Rival => {
                let rival = bms_domain::store::NewOrder { seats: wish(n).seats, ..wish(n + 1) };
                if let Creation::Created(_) = store.create(&rival).await.unwrap() {
                    let paid = report(n + 1, &format!("rival-{n}"), PaymentStatus::Succeeded, price());
                    store.settle(&paid, &sample::ticket(n + 1)).await.unwrap();
                }
            }
        }
    }
    let order = store.get(id(n)).await.unwrap();
    let before = (id(n - 1), sample::reference("~"));
    let owed = store.refunds_due(Some(&before), 10).await.unwrap();
    let owed: Vec<_> = owed.into_iter().filter(|refund| refund.order == id(n)).collect();
    let paid_for = order.as_ref().is_some_and(|order| match &order.state {
        OrderState::Confirmed { payment, .. } => {
            assert_eq!((payment.as_str(), amount), (good.as_str(), price()), "{history:?}");
            true
        }
        _ => false,
    });
    let owed_once = matches!(&owed[..], [refund] if refund.reference.as_str() == good && refund.amount == amount);
    assert!(paid_for != owed_once && owed.len() <= 1, "{history:?} of {amount}: paid for {paid_for}, owed {owed:?}");
    (order, store.get(id(n + 1)).await.unwrap(), owed)
}

/// The embedded store plays the same histories on the same clock, and is left with the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_is_accounted_for_in_whatever_order_it_is_told_of() {
    let (clock, embedded_clock) = (ManualClock::default(), ManualClock::default());
    let postgres = support::postgres(clock.clone()).await;
    let durable = orders(&postgres);
    let embedded = MemoryOrders::new(Arc::new(embedded_clock.clone()));
    let wrong = [sample::euro(2_499), sample::euro(0), Money::new(2_500, Currency::USD).unwrap()];
    let alone: Vec<Step> = STEPS.into_iter().filter(|step| *step != Step::Rival).collect();
    let right = permutations(&STEPS).into_iter().map(|history| (history, price()));
    let wrong = permutations(&alone).into_iter().flat_map(|history| wrong.map(|amount| (history.clone(), amount)));
    for (n, (history, amount)) in (1_u32..).zip(right.chain(wrong)) {
        let left = play(&durable, &clock, n * 2, &history, amount).await;
        assert_eq!(left, play(&embedded, &embedded_clock, n * 2, &history, amount).await, "{history:?} of {amount}");
    }
    assert_eq!(durable.claims(&show()).await.unwrap(), embedded.claims(&show()).await.unwrap());
    assert_sound(&postgres).await;
}
