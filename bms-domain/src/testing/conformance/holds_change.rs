//! Releasing holds, beginning and ending checkouts, and time.

use std::time::Duration;

use super::hold_kit::{
    COVER, Holds, LONGEST, SEATS, TICK, TTL, by, checkout, done, held, hold, order, sold_to, taken, wish, wish_of,
};
use crate::hold::{Hold, HoldRefusal, HoldState};
use crate::id::Caller;
use crate::store::{Checkout, HoldChange};
use crate::testing::sample;

/// P9: to anybody else the hold is not there; an administrator may release it.
pub(crate) async fn only_the_owner_and_an_administrator_release(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    case.hold(2, "ann", &[2]).await;
    assert_eq!(case.release(1, "bob").await, HoldChange::NotFound);
    case.expect_seats(&[1, 2], &[]).await;
    assert_eq!(done(case.release(1, "ann").await).state, HoldState::Released { at: case.now() });
    let admin = Caller::admin(sample::user("root"));
    let released = done(case.store.release(hold(2), &admin).await.unwrap());
    assert_eq!((released.state, released.owner), (HoldState::Released { at: case.now() }, sample::user("ann")));
    case.expect_seats(&[], &[]).await;
}

/// P6: a repeated release tells the first, and frees nobody else's hold.
pub(crate) async fn releasing_twice_is_releasing_once(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    let first = done(case.release(1, "ann").await);
    case.hold(2, "bob", &[1]).await;
    let before = case.occupancy().await;
    case.advance(TICK);
    assert_eq!(done(case.release(1, "ann").await), first);
    assert_eq!(case.occupancy().await, before);
}

/// P5: a hold is live until its deadline and not at it, with no sweep; its seats are anybody's from then on.
pub(crate) async fn a_hold_ends_exactly_at_its_deadline(case: Holds) {
    case.prime().await;
    let until = case.hold(1, "ann", &[1, 2]).await.expires_at();
    case.advance(TTL - TICK);
    assert_eq!(taken(case.place(&wish(2, "bob", &[1])).await).as_slice(), [1]);
    assert_eq!(case.state(1).await, HoldState::Held { until, order: None });
    case.advance(TICK);
    case.hold(3, "bob", &[1]).await;
    assert_eq!(case.state(1).await, HoldState::Expired { at: until });
    case.expect_seats(&[1], &[]).await;
}

/// P5, P7: an expired hold cannot be released, and says so.
pub(crate) async fn an_expired_hold_is_not_released(case: Holds) {
    case.prime().await;
    let until = case.hold(1, "ann", &[1]).await.expires_at();
    case.advance(TTL);
    match case.release(1, "ann").await {
        HoldChange::Refused(hold, HoldRefusal::Expired) => assert_eq!(hold.state, HoldState::Expired { at: until }),
        other => panic!("expected Refused(Expired), saw {other:?}"),
    }
    assert_eq!(case.release(1, "bob").await, HoldChange::NotFound);
}

/// P8: a hold whose order waits for payment is not released.
pub(crate) async fn a_linked_hold_is_not_released(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    let linked = done(case.begin(1, "ann", &checkout(1)).await);
    assert_eq!(case.release(1, "ann").await, HoldChange::Refused(linked, HoldRefusal::OrderPending(order(1))));
    case.expect_seats(&[1], &[]).await;
}

/// P8: checkout links the order and keeps the seats held for the cover.
pub(crate) async fn checkout_links_and_prolongs(case: Holds) {
    case.prime().await;
    let placed = case.hold(1, "ann", &[1, 2]).await;
    case.advance(TTL - TICK);
    let linked = done(case.begin(1, "ann", &checkout(1)).await);
    assert_eq!(held(&linked), (case.now().plus(COVER), Some(order(1))));
    assert_eq!((linked.life, &linked.seats, linked.price), (placed.life, &placed.seats, placed.price));
    assert_eq!(case.get(1).await, Some(linked));
    case.advance(TICK);
    assert_eq!(taken(case.place(&wish(2, "bob", &[1])).await).as_slice(), [1]);
    case.expect_seats(&[1, 2], &[]).await;
}

/// A checkout that needs less time than the hold has does not shorten it.
pub(crate) async fn checkout_never_shortens(case: Holds) {
    case.prime().await;
    let own_end = case.hold(1, "ann", &[1]).await.life.own_end;
    let linked = done(case.begin(1, "ann", &checkout(1)).await);
    assert_eq!(held(&linked), (own_end, Some(order(1))));
}

/// P6, P8: beginning again gives the order that was linked first, and covers it anew: it may only now be made. Its end moves
/// each time, by which the first tells that somebody else has asked.
pub(crate) async fn the_first_order_stays_linked(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    case.advance(TTL - TICK);
    let first = done(case.begin(1, "ann", &checkout(1)).await);
    case.advance(TICK);
    let again = done(case.begin(1, "ann", &checkout(1)).await);
    assert_eq!(held(&again), (held(&first).0.plus(TICK), Some(order(1))));
    let third = done(case.begin(1, "ann", &checkout(2)).await);
    assert_eq!(held(&third), (held(&again).0.plus(TICK), Some(order(1))));
    assert_eq!(case.get(1).await, Some(third));
    // Also where the hold's own time is cover enough.
    let own_end = case.hold(2, "ann", &[2]).await.life.own_end;
    done(case.begin(2, "ann", &checkout(2)).await);
    assert_eq!(held(&done(case.begin(2, "ann", &checkout(3)).await)), (own_end.plus(TICK), Some(order(2))));
}

/// P5, P6: whoever linked an order that was refused gives the hold back, once.
pub(crate) async fn a_hold_in_conflict_is_given_back(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1, 2]).await;
    let (until, _) = held(&done(case.begin(1, "ann", &checkout(1)).await));
    let given = done(case.store.give_back(hold(1), order(1), until).await.unwrap());
    assert_eq!(given.state, HoldState::Released { at: case.now() });
    case.expect_seats(&[], &[]).await;
    let ten: Vec<u32> = (0..10).collect();
    case.hold(2, "ann", &ten).await;
    case.advance(TICK);
    assert_eq!(done(case.store.give_back(hold(1), order(1), until).await.unwrap()), given);
    assert_eq!(case.store.give_back(hold(3), order(1), until).await.unwrap(), HoldChange::NotFound);
    case.expect_seats(&ten, &[]).await;
}

/// P8: a hold is not given back once another has asked for its order, who may be making it; nor for another order; nor
/// when it has no order.
pub(crate) async fn a_hold_that_others_order_is_not_given_back(case: Holds) {
    case.prime().await;
    let free = case.hold(1, "ann", &[1]).await;
    assert_eq!(done(case.store.give_back(hold(1), order(1), free.life.own_end).await.unwrap()), free);
    let (until, _) = held(&done(case.begin(1, "ann", &checkout(1)).await));
    let asked = done(case.begin(1, "ann", &checkout(2)).await);
    assert_eq!(done(case.store.give_back(hold(1), order(1), until).await.unwrap()), asked);
    let (now_until, _) = held(&asked);
    assert_eq!(done(case.store.give_back(hold(1), order(2), now_until).await.unwrap()), asked);
    case.expect_seats(&[1], &[]).await;
    case.advance(TTL + TICK);
    let ended = done(case.store.give_back(hold(1), order(1), now_until).await.unwrap());
    assert_eq!(ended.state, HoldState::Expired { at: now_until });
}

/// P9: to anybody else the hold is not there; an administrator may order for its owner.
pub(crate) async fn only_the_owner_and_an_administrator_begin_checkout(case: Holds) {
    case.prime().await;
    let placed = case.hold(1, "ann", &[1]).await;
    assert_eq!(case.begin(1, "bob", &checkout(1)).await, HoldChange::NotFound);
    assert_eq!(case.get(1).await, Some(placed));
    let admin = Caller::admin(sample::user("root"));
    let linked = done(case.store.begin_checkout(hold(1), &admin, &checkout(2)).await.unwrap());
    assert_eq!((held(&linked).1, linked.owner), (Some(order(2)), sample::user("ann")));
}

/// A hold lives its longest life at most: a checkout that needs more is refused and changes nothing.
pub(crate) async fn no_hold_outlives_its_longest_life(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    case.advance(TTL - TICK);
    let before = case.get(1).await;
    let asked = |longest_life| Checkout { longest_life, ..checkout(1) };
    let needed = TTL - TICK + COVER;
    match case.begin(1, "ann", &asked(needed - TICK)).await {
        HoldChange::Refused(hold, HoldRefusal::TooOld) => assert_eq!(Some(hold), before),
        other => panic!("expected Refused(TooOld), saw {other:?}"),
    }
    assert_eq!(case.get(1).await, before);
    done(case.begin(1, "ann", &asked(needed)).await);
    // With another card: the second order counts from the same beginning.
    done(case.store.end_checkout(hold(1), order(1)).await.unwrap());
    done(case.begin(1, "ann", &asked(LONGEST)).await);
}

/// P5, P7: no order is made of a hold that has ended, and the refusal says how it ended.
pub(crate) async fn an_ended_hold_is_refused_checkout(case: Holds) {
    case.prime().await;
    for n in [1, 2, 3] {
        case.hold(n, "ann", &[n]).await;
    }
    done(case.release(1, "ann").await);
    case.sell(&sold_to(2, "ann", &[2])).await;
    case.advance(TTL);
    for n in [1, 2, 3] {
        let state = case.state(n).await;
        let refusal = if n == 3 { HoldRefusal::Expired } else { HoldRefusal::NotActive(state) };
        match case.begin(n, "ann", &checkout(9)).await {
            HoldChange::Refused(hold, why) => assert_eq!((hold.state, why), (state, refusal)),
            other => panic!("expected Refused for {state:?}, saw {other:?}"),
        }
        assert_eq!(case.begin(n, "bob", &checkout(9)).await, HoldChange::NotFound);
    }
}

/// P5: a prolonged hold ends at its prolonged deadline, with no sweep and whatever became of its order.
pub(crate) async fn a_prolonged_hold_ends_exactly_at_its_deadline(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    case.advance(TTL - TICK);
    let (until, _) = held(&done(case.begin(1, "ann", &checkout(1)).await));
    case.advance(COVER - TICK);
    assert_eq!(taken(case.place(&wish(2, "bob", &[1])).await).as_slice(), [1]);
    case.advance(TICK);
    case.hold(3, "bob", &[1]).await;
    assert_eq!(case.state(1).await, HoldState::Expired { at: until });
}

/// A failed order leaves the hold its own time, in which another order may be made of it.
pub(crate) async fn ending_a_checkout_falls_back_to_the_holds_own_end(case: Holds) {
    case.prime().await;
    let placed = case.hold(1, "ann", &[1]).await;
    case.advance(TTL - Duration::from_secs(60));
    done(case.begin(1, "ann", &checkout(1)).await);
    let freed = done(case.store.end_checkout(hold(1), order(1)).await.unwrap());
    assert_eq!(freed, placed);
    assert_eq!(done(case.store.end_checkout(hold(1), order(1)).await.unwrap()), placed);
    assert_eq!(held(&done(case.begin(1, "ann", &checkout(2)).await)).1, Some(order(2)));
    done(case.store.end_checkout(hold(1), order(2)).await.unwrap());
    case.advance(Duration::from_secs(60));
    case.hold(2, "bob", &[1]).await;
}

/// P5: an order that ends after the hold's own end leaves no hold behind, and its seats count no more.
pub(crate) async fn ending_a_checkout_after_the_holds_own_end_frees_its_seats(case: Holds) {
    case.prime().await;
    let ten: Vec<u32> = (0..10).collect();
    let own_end = case.hold(1, "ann", &ten).await.life.own_end;
    case.advance(TTL - TICK);
    done(case.begin(1, "ann", &checkout(1)).await);
    case.advance(TICK);
    let ended = done(case.store.end_checkout(hold(1), order(1)).await.unwrap());
    assert_eq!(ended.state, HoldState::Expired { at: own_end });
    case.expect_seats(&[], &[]).await;
    case.hold(2, "ann", &ten).await;
}

/// Only the linked order's end unlinks.
pub(crate) async fn another_orders_end_does_not_unlink(case: Holds) {
    case.prime().await;
    let placed = case.hold(1, "ann", &[1]).await;
    assert_eq!(done(case.store.end_checkout(hold(1), order(2)).await.unwrap()), placed);
    let linked = done(case.begin(1, "ann", &checkout(1)).await);
    assert_eq!(done(case.store.end_checkout(hold(1), order(2)).await.unwrap()), linked);
}

/// What is not there is not found, whatever is asked of it.
pub(crate) async fn an_unknown_hold_is_not_found(case: Holds) {
    case.prime().await;
    assert_eq!(case.get(1).await, None);
    assert_eq!(case.release(1, "ann").await, HoldChange::NotFound);
    assert_eq!(case.begin(1, "ann", &checkout(1)).await, HoldChange::NotFound);
    assert_eq!(case.store.end_checkout(hold(1), order(1)).await.unwrap(), HoldChange::NotFound);
}

/// An id tells the shard of its show: holds of two shows of one shard are told apart, whichever was asked for last.
pub(crate) async fn holds_of_two_shows_of_one_shard_are_told_apart(case: Holds) {
    let (one, other) = sample::shows_of_one_shard();
    let shows = [(one, 0), (other, 10)];
    for (show, first) in shows {
        case.prime_show(&show, SEATS).await;
        for n in first..first + 3 {
            case.granted(&wish_of(&show, n, sample::user("ann"), &[n])).await;
        }
    }
    for n in 0..3 {
        for (show, first) in shows {
            let id = sample::hold_id(&show, first + n);
            let sent = match n {
                0 => case.store.release(id, &by("ann")).await,
                1 => case.store.begin_checkout(id, &by("ann"), &checkout(1)).await,
                _ => case.store.end_checkout(id, order(1)).await,
            };
            let hold = done(sent.unwrap());
            assert_eq!((hold.id, hold.show, hold.seats.as_slice()), (id, show, [first + n].as_slice()));
        }
    }
    for (show, first) in shows {
        let held: Vec<_> = case.occupancy_of(&show).await.held.iter().collect();
        assert_eq!(held, [first + 1, first + 2], "seats held in {show}");
    }
}

/// P2: a hold that is released and ordered at once ends as one of the two.
pub(crate) async fn release_and_checkout_never_both_win(case: Holds) {
    case.prime().await;
    for n in 0..20_u32 {
        let owner = format!("user-{n}");
        case.hold(n, &owner, &[n]).await;
        let tasks = (0..8_u32).map(|task| {
            let (store, caller) = (case.store.clone(), by(&owner));
            async move {
                match task % 2 {
                    0 => store.release(hold(n), &caller).await.unwrap(),
                    _ => store.begin_checkout(hold(n), &caller, &checkout(100 + task)).await.unwrap(),
                }
            }
        });
        let changes = case.race(tasks).await;
        let last = case.get(n).await.expect("a hold that is there, or ended just now");
        // Its end moves with each that asks for the order.
        let outcome = |hold: &Hold| match hold.state {
            HoldState::Held { order, .. } => HoldState::Held { until: hold.life.own_end, order },
            ended => ended,
        };
        for change in &changes {
            if let HoldChange::Done(seen) = change {
                assert_eq!(outcome(seen), outcome(&last), "round {n}: {changes:?}");
            }
        }
        assert_eq!(case.occupancy().await.held.contains(n), last.state.is_live());
    }
}
