//! Payments in every order of events: whatever comes, and in whatever order, each success ends as a confirmed order or as a
//! refund due (promise P4), and the audit finds nothing.

use bms_domain::money::{Currency, Money};
use bms_domain::order::OrderState;
use bms_domain::payment::PaymentStatus;
use bms_domain::store::{Creation, OrderStore};
use bms_domain::testing::{ManualClock, sample};

use crate::support;
use crate::support::shop::{TTL, assert_sound, id, orders, price, report, wish};

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

/// Plays a history with order `n` and its rival `n + 1`; the money that came in `amount`s ends where it has to.
async fn play(store: &dyn OrderStore, clock: &ManualClock, n: u32, history: &[Step], amount: Money) {
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
    let owed = store.refunds_due(None, 1_000_000).await.unwrap();
    let owed: Vec<_> = owed.iter().filter(|refund| refund.order == id(n)).collect();
    let paid_for = order.is_some_and(|order| match order.state {
        OrderState::Confirmed { payment, .. } => {
            assert_eq!((payment.as_str(), amount), (good.as_str(), price()), "{history:?}");
            true
        }
        _ => false,
    });
    let owed_once = matches!(&owed[..], [refund] if refund.reference.as_str() == good && refund.amount == amount);
    assert!(paid_for != owed_once && owed.len() <= 1, "{history:?} of {amount}: paid for {paid_for}, owed {owed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_is_accounted_for_in_whatever_order_it_is_told_of() {
    let clock = ManualClock::default();
    let postgres = support::postgres(clock.clone()).await;
    let orders = orders(&postgres);
    let mut n = 0;
    for history in permutations(&STEPS) {
        n += 2;
        play(&orders, &clock, n, &history, price()).await;
    }
    let wrong = [sample::euro(2_499), sample::euro(0), Money::new(2_500, Currency::USD).unwrap()];
    let alone: Vec<Step> = STEPS.into_iter().filter(|step| *step != Step::Rival).collect();
    for (history, amount) in permutations(&alone).iter().flat_map(|history| wrong.map(|amount| (history.clone(), amount))) {
        n += 2;
        play(&orders, &clock, n, &history, amount).await;
    }
    assert_sound(&postgres).await;
}
