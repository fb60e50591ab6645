//! What must hold when everything comes at once.

use std::collections::{BTreeMap, BTreeSet};

use super::order_kit::{Ledger, TICK, TTL, by, id, succeeded, wish, wish_of};
use crate::event::OrderEventKind;
use crate::id::OrderId;
use crate::payment::{PaymentReport, RefundReason};
use crate::seat::SeatIndex;
use crate::store::{Creation, OrderChange, Settled};
use crate::testing::ids::draw;
use crate::testing::sample;

/// P1: two hundred orders for one seat: one is made.
pub(crate) async fn two_hundred_want_one_seat(case: Ledger) {
    for round in 0..2_u32 {
        let tasks = (0..200_u32).map(|n| {
            let (store, wish) = (case.store.clone(), wish(round * 200 + n, &format!("user-{n}"), &[round]));
            async move { store.create(&wish).await.unwrap() }
        });
        let created = case.race(tasks).await;
        let winners = created.iter().filter(|creation| matches!(creation, Creation::Created(_))).count();
        let losers = created.iter().filter(|creation| **creation == Creation::Taken(sample::seats(&[round]))).count();
        assert_eq!((winners, losers), (1, 199));
    }
}

/// P1, P3: 64 orders for 6 of 40 seats, unsorted and overlapping, paid at once; some give up. Round after round every
/// seat has one owner, and the store's own account of it agrees.
pub(crate) async fn overlapping_orders_never_share_a_seat(case: Ledger) {
    let mut random = 11;
    let mut owners: BTreeMap<SeatIndex, OrderId> = BTreeMap::new();
    for round in 0..12_u32 {
        let tasks: Vec<_> = (0..64_u32)
            .map(|task| {
                let n = round * 64 + task;
                let mut seats: Vec<_> = (0..6).map(|_| SeatIndex::try_from(draw(&mut random) % 40).unwrap()).collect();
                if round > 3 {
                    seats.truncate(1 + task as usize % 2);
                }
                let (store, wish) = (case.store.clone(), wish(n, &format!("user-{n}"), &seats));
                async move {
                    match store.create(&wish).await.unwrap() {
                        Creation::Created(order) if task % 3 == 0 => {
                            store.give_up(order.id, &by(order.owner.as_str())).await.unwrap();
                            None
                        }
                        Creation::Created(order) => {
                            let paid = store.settle(&succeeded(n, &format!("pay-{n}")), &sample::ticket(n)).await.unwrap();
                            assert_eq!(paid.settled, Settled::Confirmed, "a payment in time");
                            Some((order.id, order.seats.indices()))
                        }
                        Creation::Taken(seats) => {
                            let wanted = wish.seats.indices();
                            assert!(!seats.is_empty() && seats.iter().all(|seat| wanted.contains(seat)));
                            None
                        }
                        other => panic!("expected Created or Taken, saw {other:?}"),
                    }
                }
            })
            .collect();
        for (order, seats) in case.race(tasks).await.into_iter().flatten() {
            for seat in seats.iter() {
                assert_eq!(owners.insert(seat, order), None, "seat {seat} was sold twice");
            }
        }
        assert_eq!(case.sold().await, owners.keys().copied().collect::<Vec<_>>());
        assert_eq!(case.waiting().await, []);
    }
    assert!(owners.len() > 20, "the rounds sold {} seats only", owners.len());
}

/// P6: one request sent many times at once is one order.
pub(crate) async fn one_order_when_a_request_is_sent_many_times(case: Ledger) {
    let tasks = (0..32).map(|_| {
        let (store, wish) = (case.store.clone(), wish(1, "ann", &[1, 2]));
        async move { store.create(&wish).await.unwrap() }
    });
    let mut created = 0;
    let mut orders = Vec::new();
    for creation in case.race(tasks).await {
        match creation {
            Creation::Created(order) => {
                created += 1;
                orders.push(order);
            }
            Creation::Existing(order) => orders.push(order),
            other => panic!("expected Created or Existing, saw {other:?}"),
        }
    }
    orders.dedup();
    assert_eq!((created, orders.len()), (1, 1));
    assert_eq!(case.kinds(1).await, [OrderEventKind::Created]);
}

/// P4, P6: one payment told many times at once confirms once: one ticket, one event, no refund.
pub(crate) async fn one_ticket_when_a_payment_is_told_many_times(case: Ledger) {
    for n in 1..=8_u32 {
        case.order(n, "ann", &[n]).await;
        let tasks = (0..16_u32).map(|task| {
            let report = succeeded(n, &format!("pay-{n}"));
            let report = if task % 2 == 0 { sample::notice(&format!("evt-{n}-{}", task / 4), report) } else { report };
            let store = case.store.clone();
            async move { store.settle(&report, &sample::ticket(n * 100 + task)).await.unwrap().settled }
        });
        let settled = case.race(tasks).await;
        let confirmed = settled.iter().filter(|settled| **settled == Settled::Confirmed).count();
        let recorded = settled.iter().filter(|settled| **settled == Settled::Recorded).count();
        assert_eq!((confirmed, recorded), (1, 15), "{settled:?}");
    }
    assert_eq!(case.refunds().await, []);
    assert_eq!(case.kinds(5).await, [OrderEventKind::Created, OrderEventKind::Confirmed]);
}

/// P4: of many payments of one order one counts, and every other is given back.
pub(crate) async fn one_payment_counts_when_many_come(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    let tasks = (0..24_u32).map(|task| {
        let store = case.store.clone();
        async move { store.settle(&succeeded(1, &format!("pay-{task}")), &sample::ticket(task)).await.unwrap().settled }
    });
    let settled = case.race(tasks).await;
    let confirmed = settled.iter().filter(|settled| **settled == Settled::Confirmed).count();
    let refunded = settled.iter().filter(|settled| **settled == Settled::RefundDue(RefundReason::AlreadyPaid)).count();
    assert_eq!((confirmed, refunded), (1, 23));
    let due: BTreeSet<_> = case.refunds().await.into_iter().map(|refund| refund.reference.to_string()).collect();
    assert_eq!(due.len(), 23);
}

/// P4: one payment named for orders of different shows at once pays for one of them.
pub(crate) async fn a_payment_counts_for_one_order_of_many_shows(case: Ledger) {
    for round in 0..20_u32 {
        let shows: Vec<_> = (0..4).map(|n| sample::show(&format!("show-{round}-{n}"))).collect();
        for show in &shows {
            case.made(&wish_of(show, 1, sample::user("ann"), &[1])).await;
        }
        let tasks = (0_u32..).zip(shows).map(|(task, show)| {
            let report = PaymentReport { order: sample::order_id(&show, 1), ..succeeded(1, &format!("pay-{round}")) };
            let store = case.store.clone();
            async move { store.settle(&report, &sample::ticket(round * 10 + task)).await.unwrap().settled }
        });
        let settled = case.race(tasks).await;
        let confirmed = settled.iter().filter(|settled| **settled == Settled::Confirmed).count();
        let others = settled.iter().filter(|settled| **settled == Settled::OtherOrders).count();
        assert_eq!((confirmed, others), (1, 3), "{settled:?}");
    }
}

/// P1, P4: a late payment and a new order want the same seat at the same instant: one has it, and the money is accounted for.
pub(crate) async fn a_late_payment_and_a_new_order_never_both_win(case: Ledger) {
    for round in 0..20_u32 {
        let (old, new) = (round * 2 + 1, round * 2 + 2);
        case.order(old, "ann", &[round, round + 100]).await;
        case.advance(TTL);
        let tasks = (0..2_u32).map(|task| {
            let store = case.store.clone();
            async move {
                if task == 0 {
                    let paid = store.settle(&succeeded(old, &format!("pay-{old}")), &sample::ticket(old)).await.unwrap();
                    paid.settled == Settled::Confirmed
                } else {
                    matches!(store.create(&wish(new, "bob", &[round + 100, round])).await.unwrap(), Creation::Created(_))
                }
            }
        });
        let won = case.race(tasks).await;
        assert!(won[0] != won[1], "round {round}: paid {}, made {}", won[0], won[1]);
        assert_eq!(case.state(old).await.is_confirmed(), won[0]);
        assert_eq!(case.sold().await.contains(&round), won[0]);
        let due = case.refunds().await.iter().filter(|refund| refund.order == id(old)).count();
        assert_eq!(due, usize::from(won[1]));
    }
}

/// P4, P7: giving up and paying at once: whichever came first, a payment that found its seats is an order's.
pub(crate) async fn giving_up_and_paying_never_both_win(case: Ledger) {
    for n in 1..=20_u32 {
        case.order(n, "ann", &[n]).await;
        let tasks = (0..2_u32).map(|task| {
            let store = case.store.clone();
            async move {
                if task == 0 {
                    let paid = store.settle(&succeeded(n, &format!("pay-{n}")), &sample::ticket(n)).await.unwrap();
                    assert_eq!(paid.settled, Settled::Confirmed, "nobody else wants the seat");
                } else {
                    let change = store.give_up(id(n), &by("ann")).await.unwrap();
                    assert!(matches!(change, OrderChange::Done { changed: true, .. } | OrderChange::Refused(..)), "{change:?}");
                }
            }
        });
        case.race(tasks).await;
        assert!(case.state(n).await.is_confirmed());
        assert!(case.sold().await.contains(&n));
    }
    case.advance(TICK);
    assert_eq!((case.refunds().await, case.waiting().await), (vec![], vec![]));
}

/// Orders that draw the same ticket code at once: one has it.
pub(crate) async fn a_code_is_given_once_in_a_race(case: Ledger) {
    for n in 0..16_u32 {
        case.order(n, "ann", &[n]).await;
    }
    let tasks = (0..16_u32).map(|n| {
        let store = case.store.clone();
        async move { store.settle(&succeeded(n, &format!("pay-{n}")), &sample::ticket(7)).await.unwrap().settled }
    });
    let settled = case.race(tasks).await;
    let confirmed = settled.iter().filter(|settled| **settled == Settled::Confirmed).count();
    let taken = settled.iter().filter(|settled| **settled == Settled::CodeTaken).count();
    assert_eq!((confirmed, taken), (1, 15));
    assert_eq!(case.sold().await.len(), 1);
}
