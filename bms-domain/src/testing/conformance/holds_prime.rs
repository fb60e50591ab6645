//! Restoring what the durable store knows.

use std::time::Duration;

use super::hold_kit::{
    GRACE, Holds, SEATS, TICK, TTL, checkout, claims, done, held, hold, order, pending, sold_to, taken, the_show, wish,
};
use crate::hold::HoldState;
use crate::store::{Fence, OccupancyRead, Placed, Restored, ShowClaims};
use crate::testing::sample;

const REMAINING: Duration = Duration::from_secs(90);

/// P10: a store that does not know what is sold grants nothing and shows nothing.
pub(crate) async fn nothing_is_granted_before_the_first_restore(case: Holds) {
    let show = the_show();
    assert!(matches!(case.place(&wish(1, "ann", &[1])).await, Placed::NotPrimed(_)));
    assert!(matches!(case.store.occupancy(&show).await.unwrap(), OccupancyRead::NotPrimed(_)));
    assert_eq!(case.store.counts(&[show]).await.unwrap(), [None]);
    assert_eq!(case.get(1).await, None);
    let Placed::NotPrimed(fence) = case.place(&wish(1, "ann", &[1])).await else { panic!("it is not primed") };
    assert_eq!(case.restore(&claims(&[], &[]), fence).await, Restored::Done { added: 0, freed: 0 });
    case.hold(1, "ann", &[1]).await;
}

/// P10, P12: what the durable store sold is sold, counts for its owner, and can be freed for him.
pub(crate) async fn a_restore_marks_sold_what_is_sold(case: Holds) {
    let fence = case.not_primed(&the_show()).await;
    let sold: Vec<(u32, &str)> = (0..9).map(|seat| (seat, "ann")).chain([(20, "bob")]).collect();
    assert_eq!(case.restore(&claims(&sold, &[]), fence).await, Restored::Done { added: 10, freed: 0 });
    case.expect_seats(&[], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 20]).await;
    assert_eq!(case.occupancy().await.layout, sample::layout_id("plan-1"));
    assert_eq!(taken(case.place(&wish(1, "cid", &[8, 9, 20])).await).as_slice(), [8, 20]);
    assert_eq!(case.place(&wish(2, "ann", &[30, 31])).await, Placed::TooMany { limit: 10 });
    case.store.mark_free(&sold_to(808, "ann", &[8, 20])).await.unwrap();
    case.expect_seats(&[], &[0, 1, 2, 3, 4, 5, 6, 7, 20]).await;
    case.hold(3, "ann", &[30, 31]).await;
}

/// P10: what was sold while nobody told this store ends as it would have: hold CONSUMED, seats sold and counted once.
pub(crate) async fn a_restore_consumes_the_holds_of_what_is_sold(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1, 2]).await;
    done(case.begin(1, "ann", &checkout(1)).await);
    let fence = case.occupancy().await.fence;
    let read = ShowClaims { sold: vec![sold_to(1, "ann", &[1, 2])], ..claims(&[], &[]) };
    assert_eq!(case.restore(&read, fence).await, Restored::Done { added: 2, freed: 0 });
    assert_eq!(case.state(1).await, HoldState::Consumed { order: order(1), at: case.now() });
    case.expect_seats(&[], &[1, 2]).await;
    case.hold(2, "ann", &[10, 11, 12, 13, 14, 15, 16, 17]).await;
    assert_eq!(case.place(&wish(3, "ann", &[20])).await, Placed::TooMany { limit: 10 });
}

/// P8, P10: an order that waits for payment has its hold again, until its own end and a grace.
pub(crate) async fn a_restore_brings_pending_holds_back(case: Holds) {
    let fence = case.not_primed(&the_show()).await;
    let read = claims(&[(9, "bob")], &[pending(1, "ann", &[1, 2], REMAINING)]);
    assert_eq!(case.restore(&read, fence).await, Restored::Done { added: 1, freed: 0 });
    case.expect_seats(&[1, 2], &[9]).await;
    let hold = case.get(1).await.expect("the hold of a pending order");
    let until = case.now().plus(REMAINING).plus(GRACE);
    assert_eq!(hold.state, HoldState::Held { until, order: Some(order(1)) });
    assert_eq!((hold.owner, hold.seats, hold.price), (sample::user("ann"), sample::seats(&[1, 2]), sample::euro(1_250)));
    case.advance(REMAINING + GRACE - TICK);
    assert_eq!(taken(case.place(&wish(2, "bob", &[1])).await).as_slice(), [1]);
    case.advance(TICK);
    case.hold(2, "bob", &[1]).await;
    assert_eq!(case.state(1).await, HoldState::Expired { at: until });
}

/// P6, P10: a restored hold is a hold like any other: its owner's, counted, found again by the request that made it.
pub(crate) async fn a_restored_hold_is_its_owners_to_use(case: Holds) {
    let fence = case.not_primed(&the_show()).await;
    let seats: Vec<u32> = (0..9).collect();
    case.restore(&claims(&[], &[pending(1, "ann", &seats, REMAINING)]), fence).await;
    let restored = case.get(1).await.unwrap();
    assert_eq!(case.place(&wish(1, "ann", &seats)).await, Placed::Existing(restored.clone()));
    assert_eq!(case.place(&wish(1, "bob", &seats)).await, Placed::IdTaken);
    assert_eq!(case.place(&wish(2, "ann", &[20, 21])).await, Placed::TooMany { limit: 10 });
    assert_eq!(held(&done(case.begin(1, "ann", &checkout(7)).await)).1, Some(order(1)));
    case.sell(&sold_to(1, "ann", &seats)).await;
    assert_eq!(case.state(1).await, HoldState::Consumed { order: order(1), at: case.now() });
    assert_eq!(case.place(&wish(2, "ann", &[20, 21])).await, Placed::TooMany { limit: 10 });
}

/// P2: after a restore no seat has two live holds: the order's claim wins over a hold that has none.
pub(crate) async fn a_pending_order_wins_over_a_hold_without_one(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1, 2]).await;
    case.hold(2, "bob", &[5]).await;
    let fence = case.occupancy().await.fence;
    case.restore(&claims(&[(5, "cid")], &[pending(3, "dan", &[2, 3], REMAINING)]), fence).await;
    assert!(!case.state(1).await.is_live(), "the hold that shares a seat with a claim");
    assert!(!case.state(2).await.is_live(), "the hold that shares a seat with a sale");
    assert!(case.state(3).await.is_live(), "the hold of the claim");
    case.expect_seats(&[2, 3], &[5]).await;
}

/// P8: a claim that was read ends no hold that has an order, for since it was read that order may have been made. Either the
/// claim's order is over, or the other is refused: then the next restore brings its hold back.
pub(crate) async fn a_restore_ends_no_hold_that_has_an_order(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1, 2]).await;
    let linked = done(case.begin(1, "ann", &checkout(1)).await);
    let read = claims(&[], &[pending(2, "bob", &[2, 3], REMAINING), pending(3, "cid", &[4], REMAINING)]);
    let fence = case.occupancy().await.fence;
    assert_eq!(case.restore(&read, fence).await, Restored::Done { added: 0, freed: 0 });
    assert_eq!(case.get(1).await, Some(linked));
    assert_eq!(case.get(2).await, None);
    assert!(case.state(3).await.is_live(), "the hold of a claim that nothing stands against");
    case.expect_seats(&[1, 2, 4], &[]).await;
    done(case.store.end_checkout(hold(1), order(1)).await.unwrap());
    let fence = case.occupancy().await.fence;
    case.restore(&read, fence).await;
    assert!(!case.state(1).await.is_live(), "a hold that shares a seat with a claim");
    assert_eq!(held(&case.get(2).await.unwrap()).1, Some(order(2)));
    case.expect_seats(&[2, 3, 4], &[]).await;
}

/// P6: the same restore again adds nothing, counts nothing twice and ends nothing.
pub(crate) async fn restoring_twice_is_restoring_once(case: Holds) {
    let fence = case.not_primed(&the_show()).await;
    let read = claims(&[(9, "ann"), (8, "ann")], &[pending(1, "ann", &[1, 2], REMAINING)]);
    assert_eq!(case.restore(&read, fence).await, Restored::Done { added: 2, freed: 0 });
    case.hold(2, "bob", &[3]).await;
    let before = case.occupancy().await;
    for fence in [fence, before.fence] {
        assert_eq!(case.restore(&read, fence).await, Restored::Done { added: 0, freed: 0 });
        let now = case.occupancy().await;
        assert_eq!((now.version, now.held, now.sold), (before.version, before.held.clone(), before.sold.clone()));
    }
    case.hold(3, "ann", &[20, 21, 22, 23, 24, 25]).await;
    assert_eq!(case.place(&wish(4, "ann", &[30])).await, Placed::TooMany { limit: 10 });
}

/// P1, P12: claims that were read before a seat was freed may tell it sold: they are refused, and the next fence works.
pub(crate) async fn a_restore_read_before_a_free_is_stale(case: Holds) {
    case.prime().await;
    case.sell(&sold_to(1, "ann", &[1])).await;
    let fence = case.occupancy().await.fence;
    case.store.mark_free(&sold_to(1, "ann", &[1])).await.unwrap();
    let Restored::Stale(newer) = case.restore(&claims(&[(1, "ann")], &[]), fence).await else {
        panic!("expected Stale: seat 1 was freed since the fence")
    };
    case.expect_seats(&[], &[]).await;
    assert_eq!(case.restore(&claims(&[(2, "bob")], &[]), newer).await, Restored::Done { added: 1, freed: 0 });
    case.expect_seats(&[], &[2]).await;
    // The mark of the sale may have been lost: then only the free tells that the claims are out of date.
    let fence = case.occupancy().await.fence;
    case.store.mark_free(&sold_to(3, "cid", &[3])).await.unwrap();
    assert!(matches!(case.restore(&claims(&[(2, "bob"), (3, "cid")], &[]), fence).await, Restored::Stale(_)));
}

/// P1, P12: the same for a show that is not primed.
pub(crate) async fn a_first_restore_read_before_a_free_is_stale(case: Holds) {
    let fence = case.not_primed(&the_show()).await;
    case.store.mark_free(&sold_to(1, "ann", &[1])).await.unwrap();
    let Restored::Stale(newer) = case.restore(&claims(&[(1, "ann")], &[]), fence).await else {
        panic!("expected Stale: seat 1 was freed since the fence")
    };
    assert!(matches!(case.restore(&claims(&[], &[]), newer).await, Restored::Done { .. }));
    case.expect_seats(&[], &[]).await;
}

/// P5: a seat that is marked sold and is not sold (the mark of its cancellation was lost) is freed.
pub(crate) async fn a_stray_sold_seat_is_freed_when_nothing_changed(case: Holds) {
    case.prime().await;
    case.sell(&sold_to(1, "ann", &[1, 2])).await;
    let before = case.occupancy().await;
    assert_eq!(case.restore(&claims(&[(2, "ann")], &[]), before.fence).await, Restored::Done { added: 0, freed: 1 });
    case.expect_seats(&[], &[2]).await;
    assert!(case.occupancy().await.version > before.version);
    case.hold(2, "bob", &[1]).await;
    let nine: Vec<u32> = (10..19).collect();
    case.hold(3, "ann", &nine).await;
    // A freed seat is a free: claims that were read before it are out of date.
    assert!(matches!(case.restore(&claims(&[(1, "ann"), (2, "ann")], &[]), before.fence).await, Restored::Stale(_)));
}

/// P2: a sale on seats that are still marked as sold to a cancelled order is no new version: claims that were read before it
/// do not take its marks away.
pub(crate) async fn a_restore_read_before_a_seat_was_sold_again_is_stale(case: Holds) {
    case.prime().await;
    case.sell(&sold_to(1, "ann", &[1, 2])).await;
    let fence = case.occupancy().await.fence;
    let read = claims(&[], &[]);
    case.sell(&sold_to(2, "bob", &[2])).await;
    let Restored::Stale(newer) = case.restore(&read, fence).await else {
        panic!("expected Stale: seat 2 was sold since the fence")
    };
    case.expect_seats(&[], &[1, 2]).await;
    let read = ShowClaims { sold: vec![sold_to(2, "bob", &[2])], ..read };
    assert_eq!(case.restore(&read, newer).await, Restored::Done { added: 0, freed: 1 });
    case.expect_seats(&[], &[2]).await;
    // The same sale told again, by a restore or not, outdates nothing.
    let fence = case.occupancy().await.fence;
    case.sell(&sold_to(2, "bob", &[2])).await;
    assert_eq!(case.restore(&read, fence).await, Restored::Done { added: 0, freed: 0 });
}

/// P12: a seat that was sold after the claims were read is not freed by them.
pub(crate) async fn a_stray_sold_seat_stays_when_something_changed(case: Holds) {
    case.prime().await;
    let fence = case.occupancy().await.fence;
    case.sell(&sold_to(1, "ann", &[1])).await;
    assert_eq!(case.restore(&claims(&[], &[]), fence).await, Restored::Done { added: 0, freed: 0 });
    case.expect_seats(&[], &[1]).await;
    let fence = case.occupancy().await.fence;
    case.hold(2, "bob", &[2]).await;
    case.sell(&sold_to(2, "bob", &[2])).await;
    assert_eq!(case.restore(&claims(&[(1, "ann")], &[]), fence).await, Restored::Done { added: 0, freed: 0 });
    case.expect_seats(&[], &[1, 2]).await;
}

fn on_plan_2(read: ShowClaims, seats: u32) -> ShowClaims {
    ShowClaims { layout: sample::layout_id("plan-2"), seats, ..read }
}

/// P5: claims that were read before an order was given up do not bring it back.
pub(crate) async fn a_restore_read_before_an_order_ended_does_not_link_it_again(case: Holds) {
    case.prime().await;
    let placed = case.hold(1, "ann", &[1]).await;
    done(case.begin(1, "ann", &checkout(1)).await);
    let fence = case.occupancy().await.fence;
    done(case.store.end_checkout(hold(1), order(1)).await.unwrap());
    case.restore(&claims(&[], &[pending(1, "ann", &[1], REMAINING)]), fence).await;
    assert_eq!(case.get(1).await, Some(placed));
}

/// P2: claims that were read before an order ended, and its hold with it, take nothing from who has the seats since; nor is
/// the dead hold brought back where its seats are free.
pub(crate) async fn a_restore_read_before_an_order_expired_takes_nothing_from_anybody(case: Holds) {
    case.prime().await;
    for n in [1, 2] {
        case.hold(n, "ann", &[n]).await;
    }
    case.advance(TTL - TICK);
    for n in [1, 2] {
        done(case.begin(n, "ann", &checkout(n)).await);
    }
    case.advance(TICK);
    let fence = case.occupancy().await.fence;
    for n in [1, 2] {
        done(case.store.end_checkout(hold(n), order(n)).await.unwrap());
    }
    let new = case.hold(3, "bob", &[1]).await;
    let read = claims(&[], &[pending(1, "ann", &[1], REMAINING), pending(2, "ann", &[2], REMAINING)]);
    case.restore(&read, fence).await;
    assert_eq!(case.get(3).await, Some(new));
    case.expect_seats(&[1], &[]).await;
    assert!(!case.state(1).await.is_live() && !case.state(2).await.is_live(), "holds of orders that ended");
}

/// P1, P8: a show that begins anew with another plan has all that was told of it, sold seats and pending orders alike.
pub(crate) async fn another_plan_has_all_that_was_told(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1, 5]).await;
    let fence = case.occupancy().await.fence;
    let told = claims(&[(1, "bob"), (7, "cid")], &[pending(2, "dan", &[2], REMAINING)]);
    let told = ShowClaims { layout: sample::layout_id("plan-2"), ..told };
    assert_eq!(case.restore(&told, fence).await, Restored::Done { added: 2, freed: 0 });
    case.expect_seats(&[2], &[1, 7]).await;
    assert_eq!(case.occupancy().await.layout, sample::layout_id("plan-2"));
}

/// A show that is given another plan starts anew: its live holds end, and nothing of the old plan is held or sold.
pub(crate) async fn another_plan_starts_anew(case: Holds) {
    case.prime().await;
    let ten: Vec<u32> = (1..11).collect();
    case.hold(1, "ann", &ten).await;
    case.sell(&sold_to(2, "bob", &[60])).await;
    let before = case.occupancy().await;
    let read = on_plan_2(claims(&[(3, "cid")], &[]), 50);
    assert!(matches!(case.restore(&read, before.fence).await, Restored::Done { .. }));
    let after = case.occupancy().await;
    assert_eq!((after.layout, after.sold.seats()), (sample::layout_id("plan-2"), 50));
    assert!(after.version > before.version);
    case.expect_seats(&[], &[3]).await;
    assert!(!case.state(1).await.is_live(), "a hold of the old plan");
    let mut new = wish(5, "ann", &ten[3..]);
    new.layout = after.layout;
    case.granted(&new).await;
}

/// A wish for seats of another plan than the primed one is not granted: the caller must look at the durable store.
pub(crate) async fn another_plan_than_the_primed_one_is_not_primed(case: Holds) {
    case.prime().await;
    let before = case.occupancy().await;
    let mut new = wish(1, "ann", &[1]);
    new.layout = sample::layout_id("plan-2");
    let Placed::NotPrimed(fence) = case.place(&new).await else { panic!("expected NotPrimed") };
    assert_eq!(case.occupancy().await, before);
    assert!(matches!(case.restore(&on_plan_2(claims(&[], &[]), 50), fence).await, Restored::Done { .. }));
    case.granted(&new).await;
}

/// P10: many who find the show not primed at once all restore it, and none undoes what another was granted since.
pub(crate) async fn many_may_restore_at_once(case: Holds) {
    let tasks = (0..32_u32).map(|n| {
        let store = case.store.clone();
        async move {
            let request = wish(n, &format!("user-{n}"), &[n, 40]);
            let single = wish(n, &format!("user-{n}"), &[n]);
            let read = claims(&[(40, "zoe")], &[pending(99, "yan", &[41], REMAINING)]);
            loop {
                let mut fence: Fence = match store.place(&request).await.unwrap() {
                    Placed::NotPrimed(fence) => fence,
                    Placed::Taken(seats) => {
                        assert_eq!(seats.as_slice(), [40], "the seats in the way of {n}");
                        break;
                    }
                    other => panic!("seat 40 is sold, saw {other:?}"),
                };
                while let Restored::Stale(newer) = store.restore(&read, fence).await.unwrap() {
                    fence = newer;
                }
            }
            store.place(&single).await.unwrap()
        }
    });
    for placed in case.race(tasks).await {
        assert!(matches!(placed, Placed::Placed(_)), "expected Placed, saw {placed:?}");
    }
    let all: Vec<u32> = (0..32).chain([41]).collect();
    case.expect_seats(&all, &[40]).await;
    assert!(case.state(99).await.is_live(), "the hold of the pending order");
    case.advance(TTL);
    case.expect_seats(&[], &[40]).await;
    assert_eq!(case.occupancy().await.held.seats(), SEATS);
}
