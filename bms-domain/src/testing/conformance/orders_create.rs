//! Making orders and claiming seats.

use super::order_kit::{Ledger, TICK, TTL, done, failed, hold, id, succeeded, taken, the_show, wish, wish_of};
use crate::order::OrderState;
use crate::store::{Creation, LayoutPin, NewOrder};
use crate::testing::sample;

/// An order is kept as it was made: frozen price, customer, names of seats, times of the store's clock.
pub(crate) async fn an_order_is_kept_as_it_was_made(case: Ledger) {
    let mut asked = wish(1, "ann", &[3, 1]);
    asked.customer.name = "Zoë \"{:*}'\u{1F3AD}".to_owned();
    let order = case.made(&asked).await;
    assert_eq!((order.id, order.hold, order.show, order.layout), (asked.id, asked.hold, asked.show, asked.layout));
    assert_eq!((&order.owner, &order.seats, order.price), (&asked.owner, &asked.seats, asked.price));
    assert_eq!(order.customer, asked.customer);
    assert_eq!((order.created_at, order.expires_at), (case.now(), case.now().plus(TTL)));
    assert_eq!((&order.state, order.refund_due), (&OrderState::PaymentPending, false));
    assert_eq!(case.get(1).await, order);
    assert_eq!(case.store.get(id(2)).await.unwrap(), None);
}

/// P3: a refusal names every wanted seat that another order claims, and no other; nothing changes.
pub(crate) async fn a_refusal_names_every_seat_in_the_way(case: Ledger) {
    case.order(1, "ann", &[1, 9]).await;
    case.paid(2, "bob", &[3, 5]).await;
    assert_eq!(taken(case.create(&wish(3, "cid", &[0, 1, 2, 3, 4, 5])).await).as_slice(), [1, 3, 5]);
    assert_eq!(case.store.get(id(3)).await.unwrap(), None);
    assert_eq!(case.waiting().await, [(id(1), vec![1, 9])]);
    case.order(4, "cid", &[0, 2, 4]).await;
}

/// P6: the same request again is the same order.
pub(crate) async fn the_same_order_again_is_the_same_order(case: Ledger) {
    let order = case.order(1, "ann", &[1, 2]).await;
    case.advance(TICK);
    assert_eq!(case.create(&wish(1, "ann", &[1, 2])).await, Creation::Existing(order));
}

/// P6, P7: an id is an order's for good: when it has ended, it comes back as it is, and claims nothing.
pub(crate) async fn an_ended_order_of_the_same_id_comes_back_as_it_is(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    done(case.give_up(1, "ann").await);
    case.order(2, "bob", &[2]).await;
    let end = case.now().plus(TTL);
    case.advance(TTL);
    assert_eq!(case.create(&wish(1, "ann", &[1])).await, Creation::Existing(case.get(1).await));
    let Creation::Existing(expired) = case.create(&wish(2, "bob", &[2])).await else { panic!("expected Existing") };
    assert_eq!(expired.state, OrderState::Expired { at: end });
    assert_eq!(case.waiting().await, []);
}

/// A hold has one order that is pending or confirmed.
pub(crate) async fn a_hold_has_one_open_order(case: Ledger) {
    let first = case.order(1, "ann", &[1]).await;
    let second = NewOrder { hold: hold(1), ..wish(2, "ann", &[1]) };
    assert_eq!(case.create(&second).await, Creation::Existing(first));
    case.settle(&succeeded(1, "pay-1"), 1).await;
    assert_eq!(case.create(&second).await, Creation::Existing(case.get(1).await));
    assert_eq!(case.store.get(id(2)).await.unwrap(), None);
}

/// An order that failed or expired leaves its hold to another order.
pub(crate) async fn a_hold_may_be_ordered_again_after_a_failure(case: Ledger) {
    let of_hold = |n| NewOrder { hold: hold(1), ..wish(n, "ann", &[1, 2]) };
    case.made(&of_hold(1)).await;
    case.settle(&failed(1, "pay-1"), 1).await;
    case.made(&of_hold(2)).await;
    done(case.give_up(2, "ann").await);
    case.made(&of_hold(3)).await;
    case.advance(TTL);
    case.made(&of_hold(4)).await;
    assert_eq!(case.waiting().await, [(id(4), vec![1, 2])]);
}

/// P5: claims are another's at the instant their order ends, with no sweep, and not before.
pub(crate) async fn claims_are_taken_over_exactly_at_their_end(case: Ledger) {
    let end = case.order(1, "ann", &[1, 2]).await.expires_at;
    case.advance(TTL - TICK);
    assert_eq!(taken(case.create(&wish(2, "bob", &[2, 3])).await).as_slice(), [2]);
    assert_eq!(case.state(1).await, OrderState::PaymentPending);
    case.advance(TICK);
    assert_eq!(case.state(1).await, OrderState::Expired { at: end });
    assert_eq!(case.waiting().await, []);
    case.order(2, "bob", &[2, 3]).await;
    assert_eq!(case.state(1).await, OrderState::Expired { at: end });
    assert_eq!(case.waiting().await, [(id(2), vec![2, 3])]);
}

/// P3: an order that would take over some claims and is refused others takes over none.
pub(crate) async fn a_takeover_is_all_or_nothing(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.advance(TTL - TICK);
    case.order(2, "bob", &[2]).await;
    case.advance(TICK);
    assert_eq!(taken(case.create(&wish(3, "cid", &[1, 2, 3])).await).as_slice(), [2]);
    // The late payment of the first still finds its seat.
    case.settle(&succeeded(1, "pay-1"), 1).await;
    assert!(case.state(1).await.is_confirmed());
    assert_eq!(case.sold().await, [1]);
}

/// P1: sold seats never come to their end.
pub(crate) async fn sold_seats_are_never_taken_over(case: Ledger) {
    case.paid(1, "ann", &[1]).await;
    case.advance(TTL * 100);
    assert_eq!(taken(case.create(&wish(2, "bob", &[1, 2])).await).as_slice(), [1]);
    assert!(case.state(1).await.is_confirmed());
}

/// A seat of one show is not a seat of another, of the same shard either.
pub(crate) async fn shows_do_not_share_claims(case: Ledger) {
    let (one, other) = sample::shows_of_one_shard();
    case.made(&wish_of(&one, 1, sample::user("ann"), &[1, 2])).await;
    case.made(&wish_of(&other, 2, sample::user("ann"), &[1, 2])).await;
    let (_, pending) = case.store.claims(&other).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(case.store.sold(&one, 100).await.unwrap().count(), 0);
}

/// From a show's first order on its plan never changes.
pub(crate) async fn the_first_order_decides_the_plan(case: Ledger) {
    let (plan, other) = (sample::layout_id("plan-1"), sample::layout_id("plan-2"));
    case.order(1, "ann", &[1]).await;
    let changed = NewOrder { layout: other, ..wish(2, "bob", &[2]) };
    assert_eq!(case.create(&changed).await, Creation::LayoutChanged(plan));
    assert_eq!(case.store.get(id(2)).await.unwrap(), None);
    assert_eq!(case.store.pin_layout(&the_show(), other).await.unwrap(), LayoutPin::InUse(plan));
    assert_eq!(case.store.pin_layout(&the_show(), plan).await.unwrap(), LayoutPin::Pinned);
    // Also when none of its orders came to anything.
    done(case.give_up(1, "ann").await);
    assert_eq!(case.store.pin_layout(&the_show(), other).await.unwrap(), LayoutPin::InUse(plan));
    assert_eq!(case.create(&changed).await, Creation::LayoutChanged(plan));
}

/// Before the first order the plan may change, and an order of the old plan is refused.
pub(crate) async fn a_pinned_plan_refuses_another(case: Ledger) {
    let (plan, other) = (sample::layout_id("plan-1"), sample::layout_id("plan-2"));
    assert_eq!(case.store.pin_layout(&the_show(), plan).await.unwrap(), LayoutPin::Pinned);
    assert_eq!(case.store.pin_layout(&the_show(), other).await.unwrap(), LayoutPin::Pinned);
    assert_eq!(case.create(&wish(1, "ann", &[1])).await, Creation::LayoutChanged(other));
    case.made(&NewOrder { layout: other, ..wish(2, "bob", &[1]) }).await;
    assert_eq!(case.store.pin_layout(&the_show(), plan).await.unwrap(), LayoutPin::InUse(other));
}
