//! Marking seats sold and free.

use super::hold_kit::{Holds, SEATS, TICK, TTL, checkout, claims, done, hold, order, sold_to, taken, the_show, wish};
use crate::hold::{HoldRefusal, HoldState};
use crate::store::{HoldChange, Restored, SoldSeats};
use crate::testing::sample;

/// P2: a sold seat is sold and no longer held; the order's hold is CONSUMED.
pub(crate) async fn selling_consumes_the_hold(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1, 2]).await;
    done(case.begin(1, "ann", &checkout(1)).await);
    case.advance(TICK);
    case.sell(&sold_to(1, "ann", &[1, 2])).await;
    assert_eq!(case.state(1).await, HoldState::Consumed { order: order(1), at: case.now() });
    case.expect_seats(&[], &[1, 2]).await;
    case.advance(TTL + TTL);
    case.expect_seats(&[], &[1, 2]).await;
    assert_eq!(taken(case.place(&wish(2, "bob", &[1, 2, 3])).await).as_slice(), [1, 2]);
}

/// P6: telling it twice changes nothing twice.
pub(crate) async fn selling_twice_is_selling_once(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    case.sell(&sold_to(1, "ann", &[1])).await;
    let (before, told) = (case.occupancy().await, case.get(1).await);
    case.advance(TICK);
    case.sell(&sold_to(1, "ann", &[1])).await;
    assert_eq!((case.occupancy().await, case.get(1).await), (before, told));
}

/// P1 goes before P2: a hold on a seat that was sold to somebody else ends at once, and all its other seats are free.
pub(crate) async fn selling_cuts_other_holds_short(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[3, 4, 5]).await;
    done(case.begin(1, "ann", &checkout(1)).await);
    case.hold(2, "bob", &[6]).await;
    case.hold(3, "cid", &[7]).await;
    case.sell(&sold_to(9, "dan", &[3, 6])).await;
    for n in [1, 2] {
        assert_eq!(case.state(n).await, HoldState::Expired { at: case.now() });
    }
    case.expect_seats(&[7], &[3, 6]).await;
    case.hold(4, "eve", &[4, 5]).await;
    done(case.release(3, "cid").await);
}

/// P4: a late payment consumes a hold that had expired or was released.
pub(crate) async fn an_ended_hold_is_consumed_by_a_late_payment(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    case.hold(2, "bob", &[2]).await;
    done(case.release(1, "ann").await);
    case.advance(TTL);
    case.sell(&sold_to(1, "ann", &[1])).await;
    case.sell(&sold_to(2, "bob", &[2])).await;
    for n in [1, 2] {
        assert_eq!(case.state(n).await, HoldState::Consumed { order: order(n), at: case.now() });
    }
    case.expect_seats(&[], &[1, 2]).await;
}

/// P7: a consumed hold stays consumed, and says so.
pub(crate) async fn a_consumed_hold_refuses(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    case.sell(&sold_to(1, "ann", &[1])).await;
    let consumed = case.get(1).await.unwrap();
    let refused = HoldChange::Refused(consumed.clone(), HoldRefusal::NotActive(consumed.state));
    assert_eq!(case.release(1, "ann").await, refused);
    assert_eq!(case.begin(1, "ann", &checkout(2)).await, refused);
    assert_eq!(done(case.store.end_checkout(hold(1), order(1)).await.unwrap()), consumed);
    case.expect_seats(&[], &[1]).await;
}

/// P13: what was sold is taken in by a store that does not know the show, and is not lost by the restore that follows.
pub(crate) async fn a_show_that_is_not_primed_is_sold_all_the_same(case: Holds) {
    let early = case.not_primed(&the_show()).await;
    case.sell(&sold_to(1, "ann", &[1, 2])).await;
    case.sell(&sold_to(1, "ann", &[1, 2])).await;
    let fence = case.not_primed(&the_show()).await;
    // The claims were read before the sale: they do not know of it.
    match case.restore(&claims(&[], &[]), early).await {
        Restored::Done { freed: 0, .. } => {}
        Restored::Stale(_) => {
            assert!(matches!(case.restore(&claims(&[(1, "ann"), (2, "ann")], &[]), fence).await, Restored::Done { freed: 0, .. }))
        }
        other => panic!("expected nothing freed, saw {other:?}"),
    }
    case.expect_seats(&[], &[1, 2]).await;
    assert_eq!(case.occupancy().await.sold.seats(), SEATS);
    assert_eq!(taken(case.place(&wish(2, "bob", &[1, 3])).await).as_slice(), [1]);
}

/// Only seats that are sold to that owner are freed.
pub(crate) async fn only_the_owners_seats_are_freed(case: Holds) {
    case.prime().await;
    case.sell(&sold_to(1, "ann", &[1, 2])).await;
    case.sell(&sold_to(2, "bob", &[3])).await;
    case.hold(3, "cid", &[4]).await;
    let before = case.seen().await;
    case.store.mark_free(&sold_to(2, "bob", &[1, 2])).await.unwrap();
    assert_eq!(case.seen().await, before);
    case.store.mark_free(&sold_to(1, "ann", &[1, 2, 3, 4, 5])).await.unwrap();
    case.expect_seats(&[4], &[3]).await;
    case.hold(4, "dan", &[1, 2]).await;
}

/// P6: freeing again frees no hold that was placed since.
pub(crate) async fn freeing_twice_is_freeing_once(case: Holds) {
    case.prime().await;
    let sold = sold_to(1, "ann", &[1]);
    case.sell(&sold).await;
    case.store.mark_free(&sold).await.unwrap();
    case.hold(2, "ann", &[1]).await;
    let before = case.seen().await;
    case.store.mark_free(&sold).await.unwrap();
    assert_eq!(case.seen().await, before);
    let elsewhere = SoldSeats { show: sample::show("show-2"), ..sold };
    case.store.mark_free(&elsewhere).await.unwrap();
    assert_eq!(case.seen().await, before);
}

/// P5, P8: news of a sale that comes after the news of its cancellation changes nothing.
pub(crate) async fn old_news_of_a_sale_changes_nothing(case: Holds) {
    case.prime().await;
    let sale = sold_to(1, "ann", &[1]);
    case.store.mark_sold(&sale).await.unwrap();
    case.store.mark_free(&sale).await.unwrap();
    let bob = case.hold(2, "bob", &[1]).await;
    case.store.mark_sold(&sale).await.unwrap();
    assert_eq!(case.get(2).await, Some(bob));
    case.expect_seats(&[1], &[]).await;
}

/// P2: news of a cancellation frees no seat that was sold again since, not even to the same user.
pub(crate) async fn a_seat_that_was_sold_again_is_not_freed(case: Holds) {
    case.prime().await;
    let (first, second) = (sold_to(1, "ann", &[1]), sold_to(2, "ann", &[1]));
    case.store.mark_sold(&first).await.unwrap();
    case.store.mark_sold(&second).await.unwrap();
    case.store.mark_free(&first).await.unwrap();
    case.expect_seats(&[], &[1]).await;
    case.store.mark_free(&second).await.unwrap();
    case.expect_seats(&[], &[]).await;
    case.hold(3, "ann", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]).await;
}
