//! Giving up, cancelling, expiring.

use std::time::Duration;

use super::order_kit::{Ledger, TICK, TTL, admin, done, failed, id, succeeded, under_way};
use crate::event::OrderEventKind;
use crate::id::OrderId;
use crate::order::{FailReason, OrderRefusal, OrderState};
use crate::payment::RefundReason;
use crate::store::{Attempt, LONGEST_ASKING, OrderChange, Settled};
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
    assert_eq!(case.expire().await, []);
    assert!(case.state(1).await.is_pending());
    case.advance(TICK);
    case.advance(TICK);
    let expired = case.store.expire_overdue(10).await.unwrap();
    assert_eq!(expired, [case.get(1).await]);
    assert_eq!(expired[0].state, OrderState::Expired { at: end });
    assert_eq!(case.expire().await, []);
    case.paid(2, "bob", &[1]).await;
    case.order(3, "cid", &[3]).await;
    done(case.give_up(3, "cid").await);
    case.paid(4, "dan", &[4]).await;
    done(case.cancel(4).await);
    let before = [case.get(2).await, case.get(3).await, case.get(4).await];
    case.advance(TTL);
    assert_eq!(case.expire().await, [], "only what waits for payment expires");
    assert_eq!([case.get(2).await, case.get(3).await, case.get(4).await], before);
}

/// The oldest end is persisted first, and no more than were asked for.
pub(crate) async fn orders_expire_oldest_end_first(case: Ledger) {
    let mut ends = Vec::new();
    for n in [3, 1, 2] {
        ends.push(case.order(n, "ann", &[n]).await.expires_at);
        case.advance(TICK);
    }
    case.advance(TTL - TICK - TICK - TICK);
    assert_eq!(case.expire().await, [id(3)], "the others have a moment left");
    case.order(4, "bob", &[4]).await;
    case.advance(TTL);
    assert_eq!(case.store.expire_overdue(0).await.unwrap(), []);
    let expired = case.store.expire_overdue(2).await.unwrap();
    let seen: Vec<_> = expired.iter().map(|order| (order.id, order.state.clone())).collect();
    assert_eq!(seen, [(id(1), OrderState::Expired { at: ends[1] }), (id(2), OrderState::Expired { at: ends[2] })]);
    // One whose seats were taken over has expired all the same, once, and takes nothing from its successor.
    case.order(5, "cid", &[1, 4]).await;
    case.expire().await;
    assert_eq!(case.expire().await, []);
    assert_eq!(case.kinds(4).await, [OrderEventKind::Created, OrderEventKind::Expired]);
    assert_eq!(case.waiting().await, [(id(5), vec![1, 4])]);
}

/// Many may sweep at once: each order comes back to one of them, and tells once that it has expired.
pub(crate) async fn an_order_expires_for_one_caller(case: Ledger) {
    for n in 0..40 {
        case.order(n, "ann", &[n]).await;
    }
    case.advance(TTL);
    let tasks = (0..8).map(|_| {
        let store = case.store.clone();
        async move {
            let mut mine = Vec::new();
            // A store may leave to the next call what another caller has in hand.
            for _ in 0..8 {
                mine.extend(store.expire_overdue(7).await.unwrap().into_iter().map(|order| order.id));
            }
            mine
        }
    });
    let mut expired: Vec<OrderId> = case.race(tasks).await.into_iter().flatten().collect();
    expired.extend(case.expire().await);
    expired.sort();
    assert_eq!(expired, (0..40).map(id).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    let told = case.events().await.into_iter().filter(|event| event.kind == OrderEventKind::Expired).count();
    assert_eq!(told, 40);
}

/// P4: while nobody has asked the provider after a payment in flight, its order is not given up; the others are.
pub(crate) async fn a_payment_in_flight_is_asked_after_before_its_order_expires(case: Ledger) {
    for n in 1..=3 {
        case.order(n, "ann", &[n]).await;
        case.advance(TICK);
    }
    case.settle(&under_way(1, "pay-1"), 1).await;
    case.settle(&under_way(1, "pay-1b"), 1).await;
    case.settle(&under_way(2, "pay-2"), 1).await;
    case.settle(&failed(3, "bad-3"), 1).await;
    case.order(4, "bob", &[4]).await;
    case.advance(TTL);
    assert_eq!(case.store.expire_overdue(1).await.unwrap().iter().map(|order| order.id).collect::<Vec<_>>(), [id(4)]);
    assert_eq!(case.expire().await, []);
    // It has expired to whoever looks, and claims nothing, but that is not written down.
    assert!(matches!(case.state(1).await, OrderState::Expired { .. }));
    assert_eq!(case.waiting().await, []);
    // Of the two payments of the first order one is asked after, which is not enough.
    for _ in 0..2 {
        let asked = case.store.claim_attempts(1, TTL).await.unwrap();
        if asked.iter().any(|attempt| attempt.order.id == id(1)) {
            break;
        }
    }
    assert_eq!(case.expire().await, []);
    case.store.claim_attempts(10, TTL).await.unwrap();
    assert_eq!(case.expire().await, [], "the provider is being asked");
    case.advance(TTL);
    assert_eq!(case.expire().await, [id(1), id(2)], "and has not answered in time");
    // Late payment recovery is as for any other.
    assert_eq!(case.settle(&succeeded(1, "pay-1"), 1).await.settled, Settled::Confirmed);
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
    assert_eq!(case.expire().await, [id(2)], "the provider is being asked after the first");
    case.advance(TICK);
    assert_eq!(case.expire().await, [id(1)]);
    case.settle(&failed(1, "pay-1"), 1).await;
    assert_eq!(claimed(10).await, ["pay-2"]);
    case.settle(&succeeded(1, "pay-2"), 1).await;
    case.advance(TICK);
    assert_eq!(claimed(10).await, Vec::<String>::new());
    assert!(case.state(1).await.is_confirmed());
}

/// P4: a provider that never answers keeps no order for ever, however often it is asked.
pub(crate) async fn the_provider_is_waited_for_so_long_at_most(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.settle(&under_way(1, "pay-1"), 1).await;
    case.advance(TTL);
    let leases = u32::try_from(LONGEST_ASKING.as_secs() / 60).unwrap();
    for _ in 0..leases {
        assert_eq!(case.store.claim_attempts(10, LONGEST_ASKING / leases).await.unwrap().len(), 1);
        assert_eq!(case.expire().await, []);
        case.advance(LONGEST_ASKING / leases);
    }
    assert_eq!(case.store.claim_attempts(10, LONGEST_ASKING).await.unwrap().len(), 1);
    assert_eq!(case.expire().await, [id(1)]);
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
    let lately_after = async |after, limit| case.store.sales_within(TTL, after, limit).await.unwrap();
    let lately = async |limit| lately_after(None, limit).await.into_iter().map(|(_, show)| show).collect::<Vec<_>>();
    case.order(1, "ann", &[1]).await;
    assert_eq!(lately(10).await, [], "an order that waits sells nothing");
    let paid = case.paid(2, "ann", &[2]).await;
    assert_eq!(lately(10).await, [paid.show]);
    assert_eq!(lately(0).await, []);
    // To within a second.
    case.advance(TTL + Duration::from_secs(2));
    assert_eq!(lately(10).await, []);
    done(case.cancel(2).await);
    assert_eq!(lately(10).await, [paid.show]);
    let [sale] = &lately_after(None, 1).await[..] else { panic!("one show was sold") };
    assert!(sale.0.since(case.now()) < TTL && lately_after(Some(sale), 10).await.is_empty(), "{sale:?}");
}
