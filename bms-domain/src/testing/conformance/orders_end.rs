//! Giving up, cancelling, expiring.

use super::order_kit::{Ledger, TICK, TTL, admin, done, failed, id, succeeded, under_way};
use crate::id::OrderId;
use crate::order::{FailReason, OrderRefusal, OrderState};
use crate::payment::RefundReason;
use crate::store::{Attempt, OrderChange};
use crate::testing::sample;

/// P9: to anybody else the order is not there; an administrator may give it up.
pub(crate) async fn only_the_owner_and_an_administrator_give_up(case: Ledger) {
    let order = case.order(1, "ann", &[1]).await;
    case.order(2, "ann", &[2]).await;
    assert_eq!(case.give_up(1, "bob").await, OrderChange::NotFound);
    assert_eq!(case.get(1).await, order);
    assert_eq!(case.give_up(3, "ann").await, OrderChange::NotFound);
    assert!(done(case.give_up(1, "ann").await).1);
    assert_eq!(case.give_up(1, "bob").await, OrderChange::NotFound);
    assert!(done(case.store.give_up(id(2), &admin()).await.unwrap()).1);
}

/// P5, P6: an order that was given up claims nothing, and stays as it was when it is given up again.
pub(crate) async fn giving_up_frees_the_seats_and_is_done_once(case: Ledger) {
    case.order(1, "ann", &[1, 2]).await;
    let (order, changed) = done(case.give_up(1, "ann").await);
    assert_eq!((&order.state, changed), (&OrderState::Failed { reason: FailReason::GivenUp, at: case.now() }, true));
    case.order(2, "bob", &[1, 2]).await;
    case.advance(TICK);
    assert_eq!(done(case.give_up(1, "ann").await), (order, false));
    assert_eq!(case.waiting().await, [(id(2), vec![1, 2])]);
    // Declined is over as well: giving up leaves the reason as it is.
    case.settle(&failed(2, "pay-2"), 1).await;
    let declined = case.get(2).await;
    assert_eq!(done(case.give_up(2, "bob").await), (declined, false));
}

/// P7: an order that expired, was paid or was cancelled is not given up, and the refusal shows its state.
pub(crate) async fn an_order_that_is_over_is_not_given_up(case: Ledger) {
    case.paid(1, "ann", &[1]).await;
    case.paid(2, "ann", &[2]).await;
    done(case.cancel(2).await);
    case.order(3, "ann", &[3]).await;
    case.advance(TTL);
    let why = [OrderRefusal::NotPending, OrderRefusal::NotPending, OrderRefusal::Expired];
    for (n, why) in (1_u32..).zip(why) {
        let order = case.get(n).await;
        assert_eq!(case.give_up(n, "ann").await, OrderChange::Refused(order.clone(), why));
        assert_eq!(case.get(n).await, order);
    }
    assert_eq!(case.sold().await, [1]);
}

/// P4: a cancelled order owns nothing, and its payment is to be given back, once.
pub(crate) async fn cancelling_frees_the_seats_and_gives_the_money_back(case: Ledger) {
    let paid = case.paid(1, "ann", &[1, 2]).await;
    let OrderState::Confirmed { ticket, payment, .. } = paid.state else { panic!("expected CONFIRMED") };
    case.advance(TICK);
    let (order, changed) = done(case.cancel(1).await);
    assert_eq!((&order.state, changed), (&OrderState::Cancelled { ticket, payment, at: case.now() }, true));
    assert!(order.refund_due);
    assert_eq!(case.sold().await, [0; 0]);
    case.paid(2, "bob", &[1, 2]).await;
    case.advance(TICK);
    assert_eq!(done(case.cancel(1).await), (order, false));
    assert_eq!(case.sold().await, [1, 2]);
    assert_eq!(case.refund_reasons().await, [(id(1), "pay-1".to_owned(), RefundReason::OrderCancelled)]);
}

/// P7: only a confirmed order is cancelled; any other says what it is.
pub(crate) async fn only_a_confirmed_order_is_cancelled(case: Ledger) {
    assert_eq!(case.cancel(9).await, OrderChange::NotFound);
    case.order(1, "ann", &[1]).await;
    case.order(2, "bob", &[2]).await;
    done(case.give_up(2, "bob").await);
    assert_eq!(case.cancel(1).await, OrderChange::Refused(case.get(1).await, OrderRefusal::Pending));
    assert_eq!(case.cancel(2).await, OrderChange::Refused(case.get(2).await, OrderRefusal::NotPending));
    case.advance(TTL);
    assert_eq!(case.cancel(1).await, OrderChange::Refused(case.get(1).await, OrderRefusal::Expired));
    assert_eq!(case.refunds().await, []);
}

/// P5: expiry is persisted at the end and not before, once, with the end as its instant.
pub(crate) async fn an_order_expires_exactly_at_its_end(case: Ledger) {
    let end = case.order(1, "ann", &[1]).await.expires_at;
    case.advance(TTL - TICK);
    assert_eq!(case.expire(1).await, OrderChange::Refused(case.get(1).await, OrderRefusal::NotDue));
    case.advance(TICK);
    case.advance(TICK);
    let (order, changed) = done(case.expire(1).await);
    assert_eq!((&order.state, changed), (&OrderState::Expired { at: end }, true));
    assert_eq!(done(case.expire(1).await), (order, false));
    assert_eq!(case.expire(9).await, OrderChange::NotFound);
    case.paid(2, "bob", &[1]).await;
    case.advance(TTL);
    assert_eq!(case.expire(2).await, OrderChange::Refused(case.get(2).await, OrderRefusal::NotPending));
    case.order(3, "cid", &[3]).await;
    done(case.give_up(3, "cid").await);
    assert!(matches!(case.expire(3).await, OrderChange::Refused(_, OrderRefusal::NotPending)));
}

/// Orders that are past their end and not persisted so come oldest end first, in their state of now.
pub(crate) async fn overdue_orders_come_oldest_end_first(case: Ledger) {
    for n in [3, 1, 2] {
        case.order(n, "ann", &[n]).await;
        case.advance(TICK);
    }
    case.paid(4, "bob", &[4]).await;
    case.order(5, "bob", &[5]).await;
    done(case.give_up(5, "bob").await);
    assert_eq!(case.store.overdue(10).await.unwrap(), []);
    case.advance(TTL - TICK - TICK - TICK);
    let ids = |orders: Vec<crate::order::Order>| orders.into_iter().map(|order| order.id).collect::<Vec<OrderId>>();
    assert_eq!(ids(case.store.overdue(10).await.unwrap()), [id(3)]);
    case.advance(TTL);
    let overdue = case.store.overdue(10).await.unwrap();
    assert!(overdue.iter().all(|order| matches!(order.state, OrderState::Expired { .. })), "{overdue:?}");
    assert_eq!(ids(overdue), [id(3), id(1), id(2)]);
    assert_eq!(ids(case.store.overdue(2).await.unwrap()), [id(3), id(1)]);
    done(case.expire(3).await);
    assert_eq!(ids(case.store.overdue(10).await.unwrap()), [id(1), id(2)]);
    // Taken over is not persisted as expired twice.
    case.order(6, "cid", &[1, 2]).await;
    for order in ids(case.store.overdue(10).await.unwrap()) {
        assert!(done(case.store.expire(order).await.unwrap()).1);
    }
    assert_eq!(case.store.overdue(10).await.unwrap(), []);
    assert_eq!(case.waiting().await, [(id(6), vec![1, 2])]);
}

/// P4: an attempt that is under way past the order's end is given to one who asks after it, and again to the next when his
/// lease is over, until it is known how it ended.
pub(crate) async fn attempts_under_way_are_given_out_after_the_orders_end(case: Ledger) {
    let claimed = async |limit| {
        let open = case.store.claim_attempts(limit, TICK).await.unwrap();
        open.into_iter().map(|attempt| attempt.reference.as_str().to_owned()).collect::<Vec<_>>()
    };
    case.order(1, "ann", &[1]).await;
    case.settle(&under_way(1, "pay-1"), 1).await;
    case.settle(&under_way(1, "pay-2"), 1).await;
    case.order(2, "bob", &[2]).await;
    assert_eq!(claimed(10).await, Vec::<String>::new());
    case.advance(TTL);
    let mut open = case.store.claim_attempts(10, TICK).await.unwrap();
    open.sort_by(|a, b| a.reference.cmp(&b.reference));
    let order = case.get(1).await;
    let attempt = |payment| Attempt { order: order.clone(), reference: sample::reference(payment) };
    assert_eq!(open, [attempt("pay-1"), attempt("pay-2")]);
    assert_eq!(claimed(10).await, Vec::<String>::new(), "they are at somebody else's");
    case.advance(TICK);
    assert_eq!(claimed(1).await.len(), 1);
    done(case.expire(1).await);
    case.settle(&failed(1, "pay-1"), 1).await;
    case.advance(TICK);
    assert_eq!(claimed(10).await, ["pay-2"]);
    case.settle(&succeeded(1, "pay-2"), 1).await;
    case.advance(TICK);
    assert_eq!(claimed(10).await, Vec::<String>::new());
    assert!(case.state(1).await.is_confirmed());
}

/// P4: attempts that never end keep none of the others from being asked after.
pub(crate) async fn every_attempt_has_its_turn(case: Ledger) {
    for n in 1..=6 {
        case.order(n, "ann", &[n]).await;
        case.settle(&under_way(n, &format!("pay-{n}")), n).await;
    }
    case.advance(TTL);
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let claimed = case.store.claim_attempts(2, TICK).await.unwrap();
        asked.extend(claimed.into_iter().map(|attempt| attempt.reference));
        case.advance(TICK);
    }
    assert_eq!(asked.len(), 6, "{asked:?}");
}

/// P10: the shows that were sold or cancelled lately are named, latest first, so that a hold store can be mended.
pub(crate) async fn shows_sold_lately_are_named(case: Ledger) {
    let lately = async |limit| case.store.sales_within(TTL, limit).await.unwrap();
    case.order(1, "ann", &[1]).await;
    assert_eq!(lately(10).await, [], "an order that waits sells nothing");
    let paid = case.paid(2, "ann", &[2]).await;
    assert_eq!(lately(10).await, [paid.show]);
    assert_eq!(lately(0).await, []);
    case.advance(TTL + TICK);
    assert_eq!(lately(10).await, []);
    done(case.cancel(2).await);
    assert_eq!(lately(10).await, [paid.show]);
}
