//! Reading holds and occupancy, following changes, tidying up.

use std::collections::BTreeSet;
use std::task::Poll;

use futures::future::{join, poll_fn};

use super::hold_kit::{Holds, SEATS, TICK, TTL, by, checkout, claims, done, hold, order, sold_to, the_show, wish_of};
use crate::hold::HoldState;
use crate::id::{HoldId, ShowId};
use crate::seat::SeatIndex;
use crate::store::{Changes, Counts, Occupancy, OccupancyChange, OccupancyRead, SoldSeats};
use crate::testing::sample;

/// Many holds come in the order asked, of whatever show, with a gap for each that is not there.
pub(crate) async fn many_holds_come_in_the_order_asked(case: Holds) {
    let other = sample::show("show-2");
    case.prime().await;
    case.prime_show(&other, SEATS).await;
    let first = case.hold(1, "ann", &[1]).await;
    let second = case.granted(&wish_of(&other, 2, sample::user("bob"), &[1])).await;
    let third = case.hold(3, "cid", &[3]).await;
    let ids: Vec<HoldId> = vec![third.id, hold(9), second.id, first.id, third.id];
    let found = case.store.get(&ids).await.unwrap();
    assert_eq!(found, [Some(third.clone()), None, Some(second), Some(first), Some(third)]);
    assert_eq!(case.store.get(&[]).await.unwrap(), []);
}

/// P7: an owner is told how his hold ended.
pub(crate) async fn ended_holds_are_told(case: Holds) {
    case.prime().await;
    for n in [1, 2, 3] {
        case.hold(n, "ann", &[n]).await;
    }
    let at = case.now();
    done(case.release(1, "ann").await);
    case.sell(&sold_to(2, "ann", &[2])).await;
    case.advance(TTL);
    let told: Vec<HoldState> =
        case.store.get(&[hold(1), hold(2), hold(3)]).await.unwrap().into_iter().map(|hold| hold.unwrap().state).collect();
    let expired = HoldState::Expired { at: at.plus(TTL) };
    assert_eq!(told, [HoldState::Released { at }, HoldState::Consumed { order: order(2), at }, expired]);
}

/// The version grows with every change, and with none but changes.
pub(crate) async fn the_version_grows_with_every_change(case: Holds) {
    case.prime().await;
    let mut last = case.occupancy().await;
    for step in 0..6_u32 {
        match step {
            0 => drop(case.hold(1, "ann", &[1]).await),
            1 => drop(done(case.release(1, "ann").await)),
            2 => drop(case.hold(2, "ann", &[2]).await),
            3 => case.advance(TTL),
            4 => case.sell(&sold_to(3, "bob", &[3])).await,
            _ => case.store.mark_free(&sold_to(3, "bob", &[3])).await.unwrap(),
        }
        let now = case.occupancy().await;
        assert!(now.version > last.version, "step {step}: {} after {}", now.version, last.version);
        assert_eq!(case.occupancy().await, now, "reading changes nothing");
        last = now;
    }
    // A store that lost everything later goes on above it: versions count from the clock.
    assert!(last.version >= u64::try_from(case.now().minus(TTL).as_millis()).unwrap() * 1_000, "{}", last.version);
}

/// The counts of many shows are those of their occupancies.
pub(crate) async fn counts_agree_with_the_occupancy(case: Holds) {
    let (other, unknown) = (sample::show("show-2"), sample::show("show-3"));
    case.prime().await;
    case.prime_show(&other, SEATS).await;
    case.hold(1, "ann", &[1, 2, 3]).await;
    case.hold(2, "bob", &[4]).await;
    case.sell(&sold_to(2, "bob", &[4])).await;
    let counts = case.store.counts(&[unknown, the_show(), other]).await.unwrap();
    assert_eq!(counts, [None, Some(Counts { held: 3, sold: 1 }), Some(Counts::default())]);
    case.advance(TTL);
    assert_eq!(case.store.counts(&[the_show()]).await.unwrap(), [Some(Counts { held: 0, sold: 1 })]);
    assert_eq!(case.store.counts(&[]).await.unwrap(), []);
}

/// A map that follows changes: every seat in at most one of the two sets.
struct Follower {
    version: u64,
    held: BTreeSet<SeatIndex>,
    sold: BTreeSet<SeatIndex>,
}

impl Follower {
    fn of(known: &Occupancy) -> Self {
        Self { version: known.version, held: known.held.iter().collect(), sold: known.sold.iter().collect() }
    }

    fn follow(&mut self, change: &OccupancyChange) {
        assert!(change.version > self.version, "{} after {}", change.version, self.version);
        self.version = change.version;
        for seat in change.held.iter().chain(change.sold.iter()).chain(change.freed.iter()) {
            self.held.remove(&seat);
            self.sold.remove(&seat);
        }
        self.held.extend(change.held.iter());
        self.sold.extend(change.sold.iter());
    }
}

async fn since(case: &Holds, after: u64) -> Vec<OccupancyChange> {
    match case.store.changes(&the_show(), after).await.unwrap() {
        Changes::Since(changes) => {
            assert!(!changes.is_empty(), "an answer has at least one change");
            changes
        }
        Changes::Gap => panic!("expected the changes after {after}, saw Gap"),
    }
}

/// Whoever follows the changes from any version on has the occupancy, exactly.
pub(crate) async fn changes_replay_to_the_occupancy(case: Holds) {
    case.prime().await;
    let mut seen = vec![case.occupancy().await];
    for step in 0..8_u32 {
        match step {
            0 => drop(case.hold(1, "ann", &[1, 2, 3]).await),
            1 => drop(case.hold(2, "bob", &[4, 5]).await),
            2 => drop(done(case.release(1, "ann").await)),
            3 => case.sell(&sold_to(2, "bob", &[4, 5])).await,
            4 => drop(case.hold(3, "cid", &[6, 7]).await),
            // Cuts the hold of cid short: one seat sold, the other free.
            5 => case.sell(&sold_to(9, "dan", &[6])).await,
            6 => case.store.mark_free(&sold_to(2, "bob", &[4])).await.unwrap(),
            _ => {
                let fence = case.occupancy().await.fence;
                case.restore(&claims(&[(6, "dan"), (8, "eve")], &[]), fence).await;
            }
        }
        seen.push(case.occupancy().await);
    }
    let last = seen.last().unwrap().clone();
    for start in &seen[..seen.len() - 1] {
        let mut follower = Follower::of(start);
        while follower.version < last.version {
            for change in since(&case, follower.version).await {
                follower.follow(&change);
            }
        }
        let expected = Follower::of(&last);
        assert_eq!((follower.version, follower.held, follower.sold), (expected.version, expected.held, expected.sold));
    }
}

/// Who asks for changes waits until there is one, and is woken by it; a change of another show does not wake him.
pub(crate) async fn changes_wait_until_there_is_one(case: Holds) {
    let (one, other) = sample::shows_of_one_shard();
    case.prime_show(&one, SEATS).await;
    case.prime_show(&other, SEATS).await;
    let before = case.occupancy_of(&one).await.version;
    let (changes, ()) = join(case.store.changes(&one, before), async {
        case.granted(&wish_of(&other, 1, sample::user("ann"), &[1])).await;
        case.granted(&wish_of(&one, 2, sample::user("ann"), &[7])).await;
    })
    .await;
    let Changes::Since(changes) = changes.unwrap() else { panic!("expected a change, saw Gap") };
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!((changes[0].held.as_slice(), changes[0].freed.len(), changes[0].sold.len()), ([7].as_slice(), 0, 0));
    // The same from another task.
    let before = case.occupancy_of(&one).await.version;
    let store = case.store.clone();
    let (waiter, maker) = (store.clone(), store);
    let answers = case
        .race((0..4_u32).map(|task| {
            let (waiter, maker) = (waiter.clone(), maker.clone());
            async move {
                if task == 3 {
                    maker.release(sample::hold_id(&one, 2), &by("ann")).await.unwrap();
                    None
                } else {
                    Some(waiter.changes(&one, before).await.unwrap())
                }
            }
        }))
        .await;
    for answer in answers.into_iter().flatten() {
        assert!(matches!(&answer, Changes::Since(changes) if changes[0].freed.as_slice() == [7]), "{answer:?}");
    }
}

/// P5: what expired while nobody asked is seen by the next who asks.
pub(crate) async fn changes_show_what_expired_at_the_next_call(case: Holds) {
    case.prime().await;
    case.hold(1, "ann", &[1, 2]).await;
    let version = case.occupancy().await.version;
    case.advance(TTL);
    let changes = since(&case, version).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].freed.as_slice(), [1, 2]);
}

/// A version that is none of this store's, or a show it does not know, is answered with a gap at once.
pub(crate) async fn an_unknown_version_is_a_gap(case: Holds) {
    assert_eq!(case.store.changes(&the_show(), 1).await.unwrap(), Changes::Gap);
    case.prime().await;
    case.hold(1, "ann", &[1]).await;
    let version = case.occupancy().await.version;
    for unknown in [0, 1, version + 1_000_000, u64::MAX] {
        assert_eq!(case.store.changes(&the_show(), unknown).await.unwrap(), Changes::Gap, "{unknown} of {version}");
    }
}

/// However many changes there were: all of them, or a gap; never some.
pub(crate) async fn a_version_long_past_is_a_gap_or_complete(case: Holds) {
    case.prime().await;
    let start = case.occupancy().await;
    for n in 0..600_u32 {
        case.hold(n, "ann", &[n % SEATS]).await;
        done(case.release(n, "ann").await);
    }
    case.hold(1_000, "bob", &[5]).await;
    let mut follower = Follower::of(&start);
    let last = case.occupancy().await;
    while follower.version < last.version {
        match case.store.changes(&the_show(), follower.version).await.unwrap() {
            Changes::Gap => follower = Follower::of(&last),
            Changes::Since(changes) => changes.iter().for_each(|change| follower.follow(change)),
        }
    }
    assert_eq!((follower.held, follower.sold), ([5].into(), BTreeSet::new()));
}

/// What is known without asking catches up with every change, however that came about; or nothing is said. A store that
/// is told by notices may need a moment for it, and is asked for something meanwhile.
pub(crate) async fn a_change_becomes_known_or_nothing_is_said(case: Holds) {
    // It may begin to listen now.
    case.store.newest(&the_show());
    case.prime().await;
    for step in 0..6_u32 {
        match step {
            0 => drop(case.hold(1, "ann", &[1]).await),
            1 => drop(done(case.release(1, "ann").await)),
            2 => drop(case.hold(2, "ann", &[2]).await),
            3 => case.advance(TTL),
            4 => case.sell(&sold_to(3, "bob", &[3])).await,
            _ => case.store.mark_free(&sold_to(3, "bob", &[3])).await.unwrap(),
        }
        becomes_known(&case, &the_show()).await;
    }
}

/// Ends once the present version of a show is known, or nothing is said.
async fn becomes_known(case: &Holds, show: &ShowId) {
    let version = case.occupancy_of(show).await.version;
    while case.store.newest(show).is_some_and(|newest| newest < version) {
        case.store.ping().await.unwrap();
        yield_once().await;
    }
}

/// Lets whatever else runs here go on.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What is known without asking is never ahead of the occupancy, in a race neither, and is of the show that was asked for.
pub(crate) async fn no_version_is_known_that_has_not_been(case: Holds) {
    let (one, other) = sample::shows_of_one_shard();
    for show in [one, other] {
        case.store.newest(&show);
        case.prime_show(&show, SEATS).await;
    }
    // The other show goes far ahead.
    for n in 0..50 {
        case.granted(&wish_of(&other, n, sample::user(&format!("user-{n}")), &[n])).await;
    }
    let store = &case.store;
    let tasks = (0..8_u32).map(|task| {
        let store = store.clone();
        async move {
            let mut ahead = Vec::new();
            for round in 0..10 {
                if task % 2 == 0 {
                    let wish = wish_of(&one, 10 * task + round, sample::user(&format!("user-{task}")), &[10 * task + round]);
                    store.place(&wish).await.unwrap();
                }
                let newest = store.newest(&one);
                let OccupancyRead::Known(known) = store.occupancy(&one).await.unwrap() else { panic!("it is primed") };
                ahead.extend(newest.filter(|newest| *newest > known.version).map(|newest| (newest, known.version)));
            }
            ahead
        }
    });
    let ahead: Vec<(u64, u64)> = case.race(tasks).await.into_iter().flatten().collect();
    assert!(ahead.is_empty(), "versions that were known, and the occupancy's after that: {ahead:?}");
    for show in [one, other] {
        becomes_known(&case, &show).await;
    }
}

/// A sweep retires at most its limit, says how many, and takes nothing from what is live or still to be told.
pub(crate) async fn a_sweep_retires_what_expired_and_no_more(case: Holds) {
    let other = sample::show("show-2");
    case.prime().await;
    case.prime_show(&other, SEATS).await;
    for n in 0..3 {
        case.hold(n, &format!("user-{n}"), &[n]).await;
        case.granted(&wish_of(&other, n, sample::user("ann"), &[n])).await;
    }
    case.advance(TICK);
    let live = case.hold(10, "bob", &[50]).await;
    case.begin(2, "user-2", &checkout(2)).await;
    case.sell(&SoldSeats { seats: sample::seats(&[60]), ..sold_to(20, "cid", &[]) }).await;
    assert_eq!(case.store.sweep(100).await.unwrap(), 0);
    case.advance(TTL - TICK);
    // Hold 2 was linked, and covered for less time than it had: it expires with the others.
    let mut swept = Vec::new();
    for _ in 0..8 {
        swept.push(case.store.sweep(4).await.unwrap());
    }
    assert!(swept.iter().all(|count| *count <= 4), "{swept:?}");
    assert_eq!(swept.iter().sum::<usize>(), 6, "{swept:?}");
    case.expect_seats(&[50], &[60]).await;
    assert_eq!(case.get(10).await, Some(live));
    assert_eq!(case.state(0).await, HoldState::Expired { at: case.now() });
}

/// The store answers.
pub(crate) async fn the_store_answers(case: Holds) {
    case.store.ping().await.unwrap();
}
