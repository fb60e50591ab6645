//! Seat maps that are kept: for how long, what empties them, and how many callers share one reading.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bms_domain::BookingService;
use bms_domain::catalogue::{CatalogueDocument, ShowEntry};
use bms_domain::error::Error;
use bms_domain::id::HoldId;
use bms_domain::payment::{NoticeId, PaymentStatus};
use bms_domain::service::{Notice, Policy, SeatMap, SeatMapReads};
use bms_domain::store::{HoldStore as _, OccupancyRead, OrderStore as _, PlaceHold, Placed, SeatLimits, ShowClaims};
use bms_domain::testing::{Fault, Gate, sample};
use bms_domain::time::{Clock as _, Timestamp};
use futures::executor::block_on;
use futures::future::{join, join_all};

use crate::rig::{HOUR, Rig, SEATS, admin, names, show, user_of};

const TICK: Duration = Duration::from_millis(1);
const BUSY: Duration = Policy::LONGEST_BUSY_MAP_LIFE;
const QUIET: Duration = Policy::LONGEST_QUIET_MAP_LIFE;

/// A rig whose hold store tells nothing of what others change.
async fn untold() -> Rig {
    let rig = Rig::new().await;
    rig.faults.at_every("holds.newest", Fault::Unavailable);
    rig
}

/// Healed, but still told nothing.
fn heal(rig: &Rig) {
    rig.faults.heal();
    rig.faults.at_every("holds.newest", Fault::Unavailable);
}

/// The map as anybody gets it.
async fn map(rig: &Rig) -> Arc<SeatMap> {
    rig.service.seat_map(&show()).await.unwrap()
}

fn readings(rig: &Rig) -> u64 {
    rig.service.seat_map_reads().from_stores
}

/// Another process holds a seat.
async fn held_elsewhere(rig: &Rig, n: u32, seat: u32) -> HoldId {
    let id = sample::hold_id(&show(), n);
    let request = PlaceHold {
        id,
        show: show(),
        layout: sample::layout_id("hall-1"),
        owner: sample::user("elsewhere"),
        seats: sample::seats(&[seat]),
        price: sample::euro(sample::SEAT_PRICE),
        ttl: HOUR,
        limits: SeatLimits { per_hold: 10, per_user_and_show: 100 },
    };
    assert!(matches!(rig.holds.place(&request).await.unwrap(), Placed::Placed(_)));
    id
}

type Asked<'a> = Pin<Box<dyn Future<Output = Result<Arc<SeatMap>, Error>> + Send + 'a>>;

/// Somebody who has asked for the map and waits.
fn asks(service: &BookingService) -> Asked<'_> {
    Box::pin(async { service.seat_map(&show()).await })
}

/// Somebody who has asked for a fresh one.
fn asks_fresh(service: &BookingService) -> Asked<'_> {
    Box::pin(async { service.seat_map_fresh(&show()).await })
}

async fn waits(asked: &mut Asked<'_>) {
    assert!(futures::poll!(asked.as_mut()).is_pending(), "the reading is held up");
}

#[test]
fn the_map_of_a_busy_show_is_kept_for_five_seconds_to_the_tick() {
    block_on(async {
        let rig = untold().await;
        for round in 0..3 {
            let first = map(&rig).await;
            held_elsewhere(&rig, round, round).await;
            rig.clock.advance(BUSY - TICK);
            assert!(Arc::ptr_eq(&map(&rig).await, &first), "round {round}");
            rig.clock.advance(TICK);
            assert!(map(&rig).await.held.contains(round), "round {round}");
            assert_eq!(
                rig.service.seat_map_reads(),
                SeatMapReads { from_cache: u64::from(round) * 2 + 1, from_stores: u64::from(round) + 2 }
            );
        }
    });
}

#[test]
fn the_map_of_a_quiet_show_is_kept_for_thirty_seconds_to_the_tick() {
    block_on(async {
        let rig = untold().await;
        map(&rig).await;
        rig.clock.advance(BUSY);
        let quiet = map(&rig).await;
        assert_eq!(readings(&rig), 2);
        held_elsewhere(&rig, 1, 1).await;
        rig.clock.advance(QUIET - TICK);
        assert!(Arc::ptr_eq(&map(&rig).await, &quiet));
        rig.clock.advance(TICK);
        let moved = map(&rig).await;
        assert!(moved.held.contains(1));
        // It is busy again.
        rig.clock.advance(BUSY - TICK);
        assert!(Arc::ptr_eq(&map(&rig).await, &moved));
        rig.clock.advance(TICK);
        assert!(!Arc::ptr_eq(&map(&rig).await, &moved));
    });
}

/// What is sold shows in the version of the hold store only once it was told.
#[test]
fn a_show_is_busy_though_only_the_durable_store_moves() {
    block_on(async {
        let rig = untold().await;
        let order = rig.ordered("ann", &[1], 1).await;
        map(&rig).await;
        let paid = sample::report(order.id, "pay-1", PaymentStatus::Succeeded, order.price);
        rig.orders.settle(&paid, &sample::ticket(1)).await.unwrap();
        rig.clock.advance(BUSY);
        let sold = map(&rig).await;
        assert!(sold.unavailable.contains(1));
        rig.clock.advance(BUSY);
        assert!(!Arc::ptr_eq(&map(&rig).await, &sold), "it has not been quiet for long enough");
    });
}

/// Two readings that follow each other closely say nothing of how busy a show is.
#[test]
fn fresh_readings_in_a_row_do_not_make_a_show_quiet() {
    block_on(async {
        let rig = untold().await;
        map(&rig).await;
        rig.clock.advance(BUSY - TICK);
        rig.map().await;
        let last = map(&rig).await;
        rig.clock.advance(BUSY);
        assert!(!Arc::ptr_eq(&map(&rig).await, &last));
        assert_eq!(readings(&rig), 3);
    });
}

#[test]
fn a_change_that_the_hold_store_heard_of_empties_the_cache() {
    block_on(async {
        let rig = Rig::new().await;
        let first = map(&rig).await;
        assert!(Arc::ptr_eq(&map(&rig).await, &first));
        held_elsewhere(&rig, 1, 1).await;
        let second = map(&rig).await;
        assert!(second.held.contains(1));
        assert!(Arc::ptr_eq(&map(&rig).await, &second));
        // Once more when that hold's time is over: long after its map was, so it is kept anew just before.
        rig.clock.advance(HOUR - TICK);
        assert!(map(&rig).await.held.contains(1));
        rig.clock.advance(TICK);
        assert!(!map(&rig).await.held.contains(1));
    });
}

#[test]
fn a_fresh_map_is_read_and_is_the_one_that_is_kept() {
    block_on(async {
        let rig = untold().await;
        map(&rig).await;
        held_elsewhere(&rig, 1, 1).await;
        assert!(!map(&rig).await.held.contains(1));
        let fresh = rig.map().await;
        assert!(fresh.held.contains(1));
        assert!(Arc::ptr_eq(&map(&rig).await, &fresh));
    });
}

/// A fresh map is not another's reading that began before it was asked for. Those who ask meanwhile share the next.
#[test]
fn a_fresh_map_is_no_earlier_reading() {
    block_on(async {
        let rig = untold().await;
        let gate = Gate::new();
        rig.faults.at_nth("holds.occupancy", 1, Fault::WaitAfter(gate.clone()));
        let mut early = asks(&rig.service);
        waits(&mut early).await;
        held_elsewhere(&rig, 1, 1).await;
        let mut fresh: Vec<Asked<'_>> = (0..64).map(|_| asks_fresh(&rig.service)).collect();
        for caller in &mut fresh {
            waits(caller).await;
        }
        gate.open();
        let (early, fresh) = join(early, join_all(fresh)).await;
        assert!(!early.unwrap().held.contains(1));
        assert!(fresh.into_iter().all(|map| map.unwrap().held.contains(1)));
        assert!(map(&rig).await.held.contains(1));
        assert_eq!(readings(&rig), 2);
    });
}

/// P10: whoever finds that the hold store has forgotten a show waits for the one who restores it.
#[test]
fn many_callers_share_one_restoring() {
    block_on(async {
        let rig = &Rig::new().await;
        let gate = Gate::new();
        rig.faults.at_nth("orders.claims", 0, Fault::WaitBefore(gate.clone()));
        let users: Vec<String> = (0..16).map(|n| format!("user-{n}")).collect();
        let mut callers: Vec<_> =
            (0..).zip(&users).map(|(n, user)| Box::pin(async move { rig.place(user, &[n], n).await })).collect();
        for caller in &mut callers {
            assert!(futures::poll!(caller.as_mut()).is_pending());
        }
        let mut looks = asks(&rig.service);
        waits(&mut looks).await;
        gate.open();
        let (placed, _) = join(join_all(callers), looks).await;
        assert!(placed.iter().all(Result::is_ok), "{placed:?}");
        assert_eq!(rig.faults.count("orders.claims"), 1);
        // It is not remembered: what is forgotten again is restored again.
        rig.forget_now();
        rig.map().await;
        assert_eq!(rig.faults.count("orders.claims"), 2);
    });
}

#[test]
fn many_callers_share_one_reading() {
    block_on(async {
        let rig = Rig::new().await;
        let gate = Gate::new();
        rig.faults.at_nth("orders.sold", 0, Fault::WaitBefore(gate.clone()));
        let mut callers: Vec<Asked<'_>> = (0..64).map(|_| asks(&rig.service)).collect();
        for caller in &mut callers {
            waits(caller).await;
        }
        gate.open();
        let maps: Vec<_> = join_all(callers).await.into_iter().map(Result::unwrap).collect();
        assert!(maps.iter().all(|map| Arc::ptr_eq(map, &maps[0])));
        assert_eq!(rig.faults.count("orders.sold"), 1);
        assert_eq!(rig.service.seat_map_reads(), SeatMapReads { from_cache: 63, from_stores: 1 });
    });
}

#[test]
fn a_caller_who_goes_away_takes_nobodys_reading_with_him() {
    block_on(async {
        let rig = Rig::new().await;
        let gate = Gate::new();
        rig.faults.at_nth("orders.sold", 0, Fault::WaitBefore(gate.clone()));
        let (mut first, mut second) = (asks(&rig.service), asks(&rig.service));
        waits(&mut first).await;
        waits(&mut second).await;
        drop(first);
        waits(&mut second).await;
        gate.open();
        second.await.unwrap();
        assert_eq!((readings(&rig), rig.faults.count("orders.sold")), (1, 1));

        // When all have gone, the next one reads for himself.
        rig.clock.advance(BUSY);
        rig.faults.at_every("orders.sold", Fault::WaitBefore(Gate::new()));
        let mut gone = asks(&rig.service);
        waits(&mut gone).await;
        drop(gone);
        rig.faults.heal();
        map(&rig).await;
        assert_eq!(readings(&rig), 3);
    });
}

#[test]
fn an_error_is_shared_by_who_waited_and_not_kept() {
    block_on(async {
        let rig = Rig::new().await;
        let gate = Gate::new();
        rig.faults.at_nth("holds.occupancy", 0, Fault::WaitAfter(gate.clone()));
        rig.faults.at_every("orders.", Fault::Unavailable);
        let mut callers: Vec<Asked<'_>> = (0..8).map(|_| asks(&rig.service)).collect();
        for caller in &mut callers {
            waits(caller).await;
        }
        gate.open();
        for answer in join_all(callers).await {
            let Err(Error::Unavailable { dependency, .. }) = answer else { panic!("expected Unavailable, saw {answer:?}") };
            assert_eq!(dependency, "a faulty store");
        }
        assert_eq!(readings(&rig), 1);
        assert!(asks(&rig.service).await.is_err());
        assert_eq!(readings(&rig), 2);
        rig.faults.heal();
        map(&rig).await;
        assert!(matches!(rig.service.seat_map(&sample::show("nothing")).await, Err(Error::NotFound("show"))));
    });
}

/// P12: who asks after a sale is not answered with a reading that began before it, nor do many of them read one by one.
#[test]
fn who_asks_after_a_sale_sees_it_though_a_reading_was_under_way() {
    block_on(async {
        let rig = untold().await;
        let order = rig.ordered("ann", &[1], 1).await;
        rig.clock.advance(HOUR);
        map(&rig).await;
        rig.clock.advance(BUSY);
        heal(&rig);
        let gate = Gate::new();
        rig.faults.at_nth("orders.sold", 0, Fault::WaitAfter(gate.clone()));
        rig.faults.at_every("holds.mark_sold", Fault::Unavailable);
        let before = readings(&rig);
        let mut early = asks(&rig.service);
        waits(&mut early).await;
        // A late payment: nobody holds the seat.
        rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
        rig.confirm("ann", order.id, "pay-1").await.unwrap();
        let mut late: Vec<Asked<'_>> = (0..8).map(|_| asks(&rig.service)).collect();
        for caller in &mut late {
            waits(caller).await;
        }
        gate.open();
        assert!(!early.await.unwrap().unavailable.contains(1), "it was asked for before the sale");
        for answer in join_all(late).await {
            assert!(answer.unwrap().unavailable.contains(1));
        }
        assert_eq!(readings(&rig), before + 2);
    });
}

/// P12: a seat that is held when the reading of its map begins, and sold when it ends, is shown free by nobody. The hold store was
/// not told of the sale, and the hold is over meanwhile, so that only the durable store can tell.
#[test]
fn a_seat_that_is_sold_while_its_map_is_read_is_not_shown_free() {
    block_on(async {
        let rig = untold().await;
        let order = rig.ordered("ann", &[1], 1).await;
        rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
        heal(&rig);
        // Between the two stores, whichever is read first.
        let gate = Gate::new();
        rig.faults.at_nth("holds.occupancy", 0, Fault::WaitAfter(gate.clone()));
        rig.faults.at_nth("orders.sold", 0, Fault::WaitAfter(gate.clone()));
        rig.faults.at_every("holds.mark_sold", Fault::Unavailable);
        let mut asked = asks_fresh(&rig.service);
        waits(&mut asked).await;
        rig.confirm("ann", order.id, "pay-1").await.unwrap();
        rig.clock.advance(HOUR);
        gate.open();
        let map = asked.await.unwrap();
        assert!(map.unavailable.contains(1) || map.held.contains(1), "seat 1 was free at no time");
    });
}

/// P12: what this process sold and freed shows at once, though the hold store could not be told.
#[test]
fn what_was_sold_or_freed_here_shows_at_once() {
    block_on(async {
        let rig = untold().await;
        let order = rig.ordered("ann", &[1], 1).await;
        rig.faults.at_every("holds.mark_", Fault::Unavailable);
        assert!(map(&rig).await.held.contains(1));
        rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
        rig.confirm("ann", order.id, "pay-1").await.unwrap();
        assert!(map(&rig).await.unavailable.contains(1));
        // A repeated confirm of a sale that another process made.
        let other = rig.ordered("ann", &[2], 2).await;
        assert!(map(&rig).await.held.contains(2));
        let paid = sample::report(other.id, "pay-2", PaymentStatus::Succeeded, other.price);
        rig.orders.settle(&paid, &sample::ticket(2)).await.unwrap();
        assert!(!map(&rig).await.unavailable.contains(2));
        rig.confirm("ann", other.id, "pay-2").await.unwrap();
        assert!(map(&rig).await.unavailable.contains(2));
        // A provider's notice.
        let third = rig.ordered("ann", &[3], 3).await;
        assert!(map(&rig).await.held.contains(3));
        let (id, reference) = (NoticeId::parse("evt-3").unwrap(), sample::reference("pay-3"));
        let notice = Notice { id, order: third.id, reference, status: PaymentStatus::Succeeded, amount: third.price };
        rig.service.take_notice(notice).await.unwrap();
        assert!(map(&rig).await.unavailable.contains(3));
        // A cancellation.
        heal(&rig);
        rig.service.cancel_order(&admin(), order.id).await.unwrap();
        assert!(!map(&rig).await.unavailable.contains(1));
    });
}

#[test]
fn what_was_held_or_released_here_shows_at_once() {
    block_on(async {
        let rig = untold().await;
        map(&rig).await;
        rig.place("ann", &[1], 1).await.unwrap();
        assert!(map(&rig).await.held.contains(1));
        rig.service.release_hold(&user_of("ann"), Rig::hold_id(1)).await.unwrap();
        assert!(!map(&rig).await.held.contains(1));
        // Who is refused sees what is in the way.
        held_elsewhere(&rig, 2, 2).await;
        assert!(!map(&rig).await.held.contains(2));
        assert!(matches!(rig.place("ann", &[2], 3).await, Err(Error::SeatsUnavailable(_))));
        assert!(map(&rig).await.held.contains(2));
    });
}

/// A change whose answer was lost has happened, perhaps: no map from before it is given out any more. Of which show the hold
/// was is not known then, so that holds for every show.
#[test]
fn a_change_whose_answer_was_lost_shows_at_once() {
    block_on(async {
        let rig = untold().await;
        rig.place("ann", &[1], 1).await.unwrap();
        assert!(map(&rig).await.held.contains(1));
        rig.faults.at_nth("holds.release", 0, Fault::LoseReply);
        let lost = rig.service.release_hold(&user_of("ann"), Rig::hold_id(1)).await;
        assert!(matches!(lost, Err(Error::OutcomeUnknown { .. })), "{lost:?}");
        assert!(!map(&rig).await.held.contains(1), "a hold that was released is shown");

        // Holds whose own time is over end with their orders: one that is given up, and one that has failed.
        let outlived = |user, seat, seed| {
            let rig = &rig;
            async move {
                heal(rig);
                rig.place(user, &[seat], seed).await.unwrap();
                rig.clock.advance(Policy::default().hold_ttl - TICK);
                let order = rig.order(user, seed).await.unwrap();
                rig.clock.advance(TICK);
                assert!(map(rig).await.held.contains(seat));
                rig.faults.at_nth("holds.end_checkout", 0, Fault::LoseReply);
                order
            }
        };
        let given_up = outlived("bob", 2, 2).await;
        rig.service.give_up_order(&user_of("bob"), given_up.id).await.unwrap();
        assert_eq!(rig.faults.count("holds.end_checkout"), 1);
        assert!(!map(&rig).await.held.contains(2), "the hold of an order that was given up is shown");

        let failed = outlived("cid", 3, 3).await;
        rig.bank.pays("pay-3", &failed, PaymentStatus::Failed);
        assert!(matches!(
            rig.confirm("cid", failed.id, "pay-3").await,
            Err(Error::PaymentDeclined(_) | Error::OrderNotPending(_))
        ));
        assert_eq!(rig.faults.count("holds.end_checkout"), 1);
        assert!(!map(&rig).await.held.contains(3), "the hold of an order that has failed is shown");
    });
}

/// Whoever asks for shows that do not exist has the hold store listen for none of them.
#[test]
fn nobody_listens_for_a_show_that_does_not_exist() {
    block_on(async {
        let rig = Rig::new().await;
        for _ in 0..2 {
            let missing = rig.service.seat_map(&sample::show("nothing")).await;
            assert!(matches!(missing, Err(Error::NotFound("show"))), "{missing:?}");
        }
        assert_eq!(rig.faults.count("holds.newest"), 0);
        map(&rig).await;
        assert_eq!(rig.faults.count("holds.newest"), 1, "once it was read");
        map(&rig).await;
        assert_eq!(rig.faults.count("holds.newest"), 2, "and whenever it is kept");
    });
}

/// A seat that the hold store gives away though it is sold: who was refused at checkout sees it sold.
#[test]
fn a_conflict_at_checkout_shows_at_once() {
    block_on(async {
        let rig = untold().await;
        rig.place("ann", &[1], 1).await.unwrap();
        rig.bank.pays("pay-2", &rig.ordered("bob", &[2], 2).await, PaymentStatus::Succeeded);
        map(&rig).await;
        let order = rig.order_of(2).await.unwrap();
        let paid = sample::report(order.id, "pay-2", PaymentStatus::Succeeded, order.price);
        rig.orders.settle(&paid, &sample::ticket(1)).await.unwrap();
        // The hold store loses everything, and is primed without the sale.
        rig.forget_now();
        let fence = match rig.holds.occupancy(&show()).await.unwrap() {
            OccupancyRead::NotPrimed(fence) => fence,
            known => panic!("expected NotPrimed, saw {known:?}"),
        };
        let claims = ShowClaims {
            show: show(),
            layout: sample::layout_id("hall-1"),
            seats: SEATS,
            sold: Vec::new(),
            pending: Vec::new(),
            grace: Duration::from_secs(2),
        };
        rig.holds.restore(&claims, fence).await.unwrap();
        rig.place("ann", &[2], 3).await.unwrap();
        assert!(map(&rig).await.unavailable.contains(2), "the durable store wins");
        let kept = map(&rig).await;
        assert!(matches!(rig.order("ann", 3).await, Err(Error::SeatsUnavailable(_))));
        assert!(!Arc::ptr_eq(&map(&rig).await, &kept));
    });
}

#[test]
fn a_replaced_show_shows_at_once() {
    block_on(async {
        let rig = untold().await;
        let before = map(&rig).await;
        let listed = before.listing.show().clone();
        let entry = ShowEntry {
            show_id: listed.show_id,
            movie_id: listed.movie_id,
            theatre_id: listed.theatre_id,
            screen: listed.screen,
            layout_id: None,
            start_time: listed.start_time,
            sales_open_at: None,
            status: listed.status,
            prices: listed.prices,
            blocked_seats: names(&[4]),
        };
        rig.service.put_show(&admin(), entry).await.unwrap();
        let after = map(&rig).await;
        assert!(after.unavailable.contains(4));
        assert_eq!(after.version, before.version);
        // A theatre's entry is a part of the listings of its shows.
        let theatre = after.listing.theatre().clone();
        let screen = serde_json::json!({"screen": "one", "name": "One", "layout": {"layoutId": "hall-1"}});
        let document = serde_json::json!({"theatres": [{
            "theatreId": theatre.theatre_id.as_str(), "name": "Another name", "city": theatre.city, "timeZone": "Europe/Madrid",
            "screens": [screen],
        }]});
        let document = CatalogueDocument::parse(document.to_string()).unwrap();
        rig.service.import(&admin(), &document).await.unwrap();
        assert_eq!(map(&rig).await.listing.theatre().name, "Another name");
    });
}

#[test]
fn no_map_is_kept_when_its_life_is_zero() {
    block_on(async {
        let rig = Rig::built(|builder| {
            let mut policy = Policy::default();
            (policy.busy_map_life, policy.quiet_map_life) = (Duration::ZERO, QUIET);
            builder.policy(policy)
        })
        .await;
        rig.faults.at_every("holds.newest", Fault::Unavailable);
        map(&rig).await;
        held_elsewhere(&rig, 1, 1).await;
        assert!(map(&rig).await.held.contains(1));
        assert_eq!(rig.service.seat_map_reads(), SeatMapReads { from_cache: 0, from_stores: 2 });
    });
}

#[test]
fn a_clock_that_was_set_back_keeps_no_map_alive() {
    block_on(async {
        let rig = untold().await;
        map(&rig).await;
        held_elsewhere(&rig, 1, 1).await;
        rig.clock.set(Timestamp::from_millis(rig.clock.now().as_millis() - 1));
        assert!(map(&rig).await.held.contains(1));
    });
}

/// A reading that takes longer than a map may live is no answer to who asked meanwhile.
#[test]
fn a_reading_that_took_too_long_is_old_when_it_ends() {
    block_on(async {
        let rig = untold().await;
        let gate = Gate::new();
        rig.faults.at_nth("orders.sold", 0, Fault::WaitAfter(gate.clone()));
        let mut first = asks(&rig.service);
        waits(&mut first).await;
        rig.clock.advance(BUSY);
        let mut second = asks(&rig.service);
        waits(&mut second).await;
        // The next reading begins later than the second caller asked, which is no fault of it.
        rig.clock.advance(TICK);
        rig.faults.at_nth("orders.sold", 2, Fault::WaitBefore(Gate::new()));
        gate.open();
        let Poll::Ready(Ok(early)) = futures::poll!(first.as_mut()) else { panic!("it was read") };
        let Poll::Ready(Ok(late)) = futures::poll!(second.as_mut()) else { panic!("the second reading is good enough") };
        assert!(!Arc::ptr_eq(&late, &early));
        assert_eq!(readings(&rig), 2);
    });
}

/// On real threads: whoever has changed something sees it in the next map, whatever readings the others share.
#[test]
fn everybody_sees_his_own_change_in_a_race() {
    let rig = block_on(untold());
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let rig = &rig;
            scope.spawn(move || {
                let user = format!("user-{thread}");
                block_on(async {
                    for round in 0..100 {
                        let seed = 1_000 * thread + round;
                        rig.place(&user, &[thread], seed).await.unwrap();
                        assert!(map(rig).await.held.contains(thread), "round {round}: the hold is not shown");
                        rig.service.release_hold(&user_of(&user), Rig::hold_id(seed)).await.unwrap();
                        assert!(!map(rig).await.held.contains(thread), "round {round}: the hold is still shown");
                    }
                });
            });
        }
    });
}
