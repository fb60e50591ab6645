//! Placing holds.

use std::collections::BTreeSet;

use super::hold_kit::{Holds, SEATS, TICK, TTL, by, done, held, hold, order, sold_to, taken, the_show, wish, wish_of};
use crate::hold::HoldState;
use crate::seat::SeatIndex;
use crate::store::{Placed, SeatLimits};
use crate::testing::ids::draw;
use crate::testing::sample;

/// P3: a hold that cannot have all of its seats has none.
pub(crate) async fn a_hold_takes_all_of_its_seats_or_none(case: Holds) {
    case.prime().await;
    let hold = case.hold(1, "ann", &[2, 1]).await;
    assert_eq!(hold.seats.as_slice(), [1, 2]);
    assert_eq!((held(&hold), hold.life.own_end), ((case.now().plus(TTL), None), case.now().plus(TTL)));
    assert_eq!((hold.life.created_at, hold.price), (case.now(), sample::euro(2_500)));
    assert_eq!(taken(case.place(&wish(2, "bob", &[2, 3])).await).as_slice(), [2]);
    assert_eq!(case.get(2).await, None);
    case.expect_seats(&[1, 2], &[]).await;
    case.hold(3, "bob", &[3]).await;
}

/// P3: a refusal names every wanted seat that is held or sold, by whomever, and no other.
pub(crate) async fn a_refusal_names_every_seat_in_the_way(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1, 9]).await;
    case.hold(2, "bob", &[3]).await;
    case.sell(&sold_to(3, "cid", &[5, 6])).await;
    let before = case.occupancy().await;
    assert_eq!(taken(case.place(&wish(4, "dan", &[0, 1, 2, 3, 4, 5])).await).as_slice(), [1, 3, 5]);
    assert_eq!(case.occupancy().await, before);
}

/// P6: the same request again is the same hold, with its first expiry.
pub(crate) async fn placing_ones_own_hold_again_gives_the_first_expiry(case: Holds) {
    case.prime().await;
    let first = case.hold(1, "ann", &[1, 2]).await;
    let before = case.occupancy().await;
    case.advance(TTL / 2);
    assert_eq!(case.place(&wish(1, "ann", &[1, 2])).await, Placed::Existing(first.clone()));
    assert_eq!(case.occupancy().await, before);
    case.advance(TTL / 2 - TICK);
    assert_eq!(case.place(&wish(1, "ann", &[1, 2])).await, Placed::Existing(first));
}

/// P6: a request that comes again after its hold ended does not hold the seats a second time.
pub(crate) async fn an_ended_hold_placed_again_is_told_as_it_is(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    done(case.release(1, "ann").await);
    case.hold(2, "ann", &[2]).await;
    let ended_at = case.now().plus(TTL);
    case.advance(TTL);
    for (n, state) in [(1, HoldState::Released { at: ended_at.minus(TTL) }), (2, HoldState::Expired { at: ended_at })] {
        match case.place(&wish(n, "ann", &[n])).await {
            Placed::Existing(hold) => assert_eq!(hold.state, state),
            other => panic!("expected Existing, saw {other:?}"),
        }
    }
    case.expect_seats(&[], &[]).await;
}

/// An id is one hold's: of another owner, or for other seats, it is refused, and nothing changes.
pub(crate) async fn the_id_of_another_hold_is_taken(case: Holds) {
    case.prime().await;
    let first = case.hold(1, "ann", &[1, 2]).await;
    for (owner, seats) in [("bob", vec![1, 2]), ("bob", vec![3]), ("ann", vec![1]), ("ann", vec![1, 2, 3]), ("ann", vec![4])] {
        assert_eq!(case.place(&wish(1, owner, &seats)).await, Placed::IdTaken, "{owner} {seats:?}");
    }
    assert_eq!(case.get(1).await, Some(first));
    case.expect_seats(&[1, 2], &[]).await;
}

/// P2: a user's own hold stands in his way as anybody's does.
pub(crate) async fn ones_own_seats_are_taken_too(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1, 2]).await;
    assert_eq!(taken(case.place(&wish(2, "ann", &[1, 2])).await).as_slice(), [1, 2]);
    case.sell(&sold_to(1, "ann", &[1, 2])).await;
    assert_eq!(taken(case.place(&wish(3, "ann", &[2, 3])).await).as_slice(), [2]);
}

/// The limit of a hold, in the same atomic step.
pub(crate) async fn a_hold_has_no_more_seats_than_its_limit(case: Holds) {
    case.prime().await;
    let limits = SeatLimits { per_hold: 2, per_user_and_show: 10 };
    let mut three = wish(1, "ann", &[1, 2, 3]);
    three.limits = limits;
    assert_eq!(case.place(&three).await, Placed::TooMany { limit: 2 });
    assert_eq!(case.get(1).await, None);
    case.expect_seats(&[], &[]).await;
    let mut two = wish(1, "ann", &[1, 2]);
    two.limits = limits;
    case.granted(&two).await;
}

/// The limit of a user and show: it is his own, and the show's own.
pub(crate) async fn a_user_has_no_more_seats_of_a_show_than_the_limit(case: Holds) {
    let other = sample::show("show-2");
    case.prime().await;
    case.prime_show(&other, SEATS).await;
    case.hold(1, "ann", &[1, 2, 3, 4, 5]).await;
    case.hold(2, "ann", &[6, 7, 8, 9]).await;
    assert_eq!(case.place(&wish(3, "ann", &[10, 11])).await, Placed::TooMany { limit: 10 });
    case.expect_seats(&[1, 2, 3, 4, 5, 6, 7, 8, 9], &[]).await;
    case.hold(4, "ann", &[10]).await;
    assert_eq!(case.place(&wish(5, "ann", &[11])).await, Placed::TooMany { limit: 10 });
    case.hold(6, "bob", &[11]).await;
    case.granted(&wish_of(&other, 7, sample::user("ann"), &[1, 2])).await;
}

/// P5: what was released, what expired and what was cut short counts no more.
pub(crate) async fn seats_given_back_count_no_more(case: Holds) {
    case.prime().await;
    let full = |n: u32| -> Vec<SeatIndex> { (n * 10..n * 10 + 10).collect() };
    case.hold(1, "ann", &full(1)).await;
    done(case.release(1, "ann").await);
    done(case.release(1, "ann").await);
    case.hold(2, "ann", &full(2)).await;
    assert_eq!(case.place(&wish(9, "ann", &[90])).await, Placed::TooMany { limit: 10 });
    case.advance(TTL);
    case.hold(3, "ann", &full(3)).await;
    assert_eq!(case.place(&wish(9, "ann", &[90])).await, Placed::TooMany { limit: 10 });
    case.sell(&sold_to(8, "bob", &[30])).await;
    case.hold(4, "ann", &full(4)).await;
    assert_eq!(case.place(&wish(9, "ann", &[90])).await, Placed::TooMany { limit: 10 });
}

/// Sold seats count against the limit until their order is cancelled.
pub(crate) async fn sold_seats_count_until_they_are_freed(case: Holds) {
    case.prime().await;
    let ten: Vec<SeatIndex> = (0..10).collect();
    case.hold(1, "ann", &ten).await;
    case.sell(&sold_to(1, "ann", &ten)).await;
    assert_eq!(case.place(&wish(2, "ann", &[20])).await, Placed::TooMany { limit: 10 });
    case.advance(TTL);
    assert_eq!(case.place(&wish(2, "ann", &[20])).await, Placed::TooMany { limit: 10 });
    case.store.mark_free(&sold_to(1, "ann", &ten)).await.unwrap();
    case.hold(3, "ann", &ten).await;
}

/// A seat that was held and then sold counts once; marking it sold again does not count it again.
pub(crate) async fn a_seat_counts_once_when_it_is_sold(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[0, 1, 2, 3]).await;
    case.sell(&sold_to(1, "ann", &[0, 1, 2, 3])).await;
    case.sell(&sold_to(1, "ann", &[0, 1, 2, 3])).await;
    case.hold(2, "ann", &[4, 5, 6, 7, 8, 9]).await;
    assert_eq!(case.place(&wish(3, "ann", &[10])).await, Placed::TooMany { limit: 10 });
}

/// P2, P3: of many who want the same seats one gets them, and all others are told all of them.
pub(crate) async fn one_winner_when_many_want_the_same_seats(case: Holds) {
    case.prime().await;
    for round in 0..5_u32 {
        let wanted = [round * 3 + 2, round * 3, round * 3 + 1];
        let tasks = (0..64_u32).map(|n| {
            let (store, wish) = (case.store.clone(), wish(round * 64 + n, &format!("user-{round}-{n}"), &wanted));
            async move { store.place(&wish).await.unwrap() }
        });
        let placed = case.race(tasks).await;
        let winners = placed.iter().filter(|placed| matches!(placed, Placed::Placed(_))).count();
        assert_eq!(winners, 1, "winners of round {round}");
        for placed in placed {
            if !matches!(placed, Placed::Placed(_)) {
                assert_eq!(taken(placed), sample::seats(&wanted));
            }
        }
    }
}

/// P2, P3: 64 wishes for 6 of 40 seats, again and again: no seat is in two holds, and what is held is what was granted.
pub(crate) async fn overlapping_wishes_never_share_a_seat(case: Holds) {
    case.prime().await;
    let mut random = 7;
    for round in 0..10_u32 {
        let wishes: Vec<_> = (0..64_u32)
            .map(|n| {
                let seats: Vec<_> = (0..6).map(|_| SeatIndex::try_from(draw(&mut random) % 40).unwrap()).collect();
                wish(round * 64 + n, &format!("user-{n}"), &seats)
            })
            .collect();
        let tasks = wishes.clone().into_iter().map(|wish| {
            let store = case.store.clone();
            async move { store.place(&wish).await.unwrap() }
        });
        let mut owned = BTreeSet::new();
        for (placed, wish) in case.race(tasks).await.into_iter().zip(&wishes) {
            match placed {
                Placed::Placed(hold) => {
                    assert_eq!(hold.seats, wish.seats);
                    for seat in hold.seats.iter() {
                        assert!(owned.insert(seat), "seat {seat} is in two holds");
                    }
                }
                Placed::Taken(seats) => {
                    assert!(!seats.is_empty() && seats.iter().all(|seat| wish.seats.contains(seat)), "{seats:?} of {wish:?}");
                }
                other => panic!("expected Placed or Taken, saw {other:?}"),
            }
        }
        case.expect_seats(&owned.into_iter().collect::<Vec<_>>(), &[]).await;
        let releases = wishes.into_iter().map(|wish| {
            let store = case.store.clone();
            async move { store.release(wish.id, &by(wish.owner.as_str())).await.unwrap() }
        });
        case.race(releases).await;
        case.expect_seats(&[], &[]).await;
    }
}

/// The limit of a user and show holds when all of his requests come at once.
pub(crate) async fn a_users_limit_holds_in_a_race(case: Holds) {
    case.prime().await;
    let tasks = (0..64_u32).map(|n| {
        let (store, wish) = (case.store.clone(), wish(n, "ann", &[n]));
        async move { store.place(&wish).await.unwrap() }
    });
    let placed = case.race(tasks).await;
    let granted = placed.iter().filter(|placed| matches!(placed, Placed::Placed(_))).count();
    let refused = placed.iter().filter(|placed| **placed == Placed::TooMany { limit: 10 }).count();
    assert_eq!((granted, refused), (10, 54), "granted and refused of 64 requests, limit 10");
    assert_eq!(case.occupancy().await.held.count(), 10);
}

/// P6: one request sent many times at once is one hold, and every answer tells of it.
pub(crate) async fn one_hold_when_a_request_is_sent_many_times(case: Holds) {
    case.prime().await;
    for n in 0..5_u32 {
        let tasks = (0..16).map(|_| {
            let (store, wish) = (case.store.clone(), wish(n, &format!("user-{n}"), &[n * 2, n * 2 + 1]));
            async move { store.place(&wish).await.unwrap() }
        });
        let mut first = 0;
        let mut holds = Vec::new();
        for placed in case.race(tasks).await {
            match placed {
                Placed::Placed(hold) => {
                    first += 1;
                    holds.push(hold);
                }
                Placed::Existing(hold) => holds.push(hold),
                other => panic!("expected Placed or Existing, saw {other:?}"),
            }
        }
        holds.dedup();
        assert_eq!((first, holds.len()), (1, 1), "first answers, and different holds told of");
    }
}

/// User ids are opaque: no two of them are taken for one, whatever characters they hold.
pub(crate) async fn users_are_told_apart_whatever_their_ids_hold(case: Holds) {
    case.prime().await;
    let users = sample::hostile_users();
    for (n, user) in (0_u32..).zip(&users) {
        let mut request = wish_of(&the_show(), n, user.clone(), &[n * 2, n * 2 + 1]);
        request.limits = SeatLimits { per_hold: 2, per_user_and_show: 2 };
        let hold = case.granted(&request).await;
        assert_eq!(hold.owner, *user);
        request.id = hold_beside(n);
        request.seats = sample::seats(&[99]);
        assert_eq!(case.place(&request).await, Placed::TooMany { limit: 2 }, "{user:?}");
    }
    for (n, user) in (0_u32..).zip(&users) {
        let stranger = users.iter().find(|other| *other != user).unwrap();
        let kept = case.store.get(&[hold(n)]).await.unwrap().pop().unwrap().expect("a hold that is there");
        assert_eq!((&kept.owner, kept.seats.as_slice()), (user, [n * 2, n * 2 + 1].as_slice()));
        let change = case.store.release(hold(n), &crate::id::Caller::user(stranger.clone())).await.unwrap();
        assert_eq!(change, crate::store::HoldChange::NotFound, "{stranger:?} releases the hold of {user:?}");
        done(case.store.release(hold(n), &crate::id::Caller::user(user.clone())).await.unwrap());
    }
    case.expect_seats(&[], &[]).await;
}

fn hold_beside(n: u32) -> crate::id::HoldId {
    hold(1_000 + n)
}

/// Shows whose ids fall into one shard share nothing: not their seats, their users' limits, nor their versions.
pub(crate) async fn shows_of_one_shard_do_not_mix(case: Holds) {
    let (one, other) = sample::shows_of_one_shard();
    case.prime_show(&one, SEATS).await;
    assert_eq!(case.store.counts(&[one, other]).await.unwrap()[1], None);
    case.prime_show(&other, SEATS).await;
    let before = case.occupancy_of(&other).await;
    let ten: Vec<SeatIndex> = (0..10).collect();
    let hold = case.granted(&wish_of(&one, 1, sample::user("ann"), &ten)).await;
    assert_eq!(case.occupancy_of(&other).await, before);
    case.granted(&wish_of(&other, 2, sample::user("ann"), &ten)).await;
    done(case.store.release(hold.id, &by("ann")).await.unwrap());
    assert_eq!(case.occupancy_of(&one).await.held.count(), 0);
    assert_eq!(case.occupancy_of(&other).await.held.count(), 10);
}

/// A hall of 20,000 seats is served like a small one, to its last seat.
pub(crate) async fn the_last_seat_of_a_big_hall_is_like_any_other(case: Holds) {
    let big = sample::show("arena");
    case.prime_show(&big, 20_000).await;
    let last = [0, 63, 64, 19_999];
    case.granted(&wish_of(&big, 1, sample::user("ann"), &last)).await;
    assert_eq!(taken(case.place(&wish_of(&big, 2, sample::user("bob"), &[19_998, 19_999])).await).as_slice(), [19_999]);
    let known = case.occupancy_of(&big).await;
    assert_eq!((known.held.seats(), known.sold.seats()), (20_000, 20_000));
    assert_eq!(known.held.iter().collect::<Vec<_>>(), last);
    let sold = crate::store::SoldSeats { show: big, seats: sample::seats(&last), ..sold_to(1, "ann", &[]) };
    let sold = crate::store::SoldSeats { hold: sample::hold_id(&big, 1), order: order(1), ..sold };
    case.sell(&sold).await;
    assert_eq!(case.occupancy_of(&big).await.sold.iter().collect::<Vec<_>>(), last);
}
