//! The network loses a reply after the script ran: of every call that changes something, in turn.

use std::sync::Arc;
use std::time::Duration;

use bms_domain::error::{Error, Subject};
use bms_domain::hold::HoldState;
use bms_domain::service::Payment;
use bms_domain::store::{Checkout, Fence, HoldChange, HoldStore as _, OccupancyRead, PendingClaim, PlaceHold, Placed, Restored};
use bms_domain::store::{SeatLimits, ShowClaims, SoldSeats, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_redis::RedisHolds;
use bms_redis::testing::{Proxy, Server};

use crate::support::audit::{Kept, audit};
use crate::support::rig::{PREFIX, Rig, admin, caller, connect_within, hold_id, show};
use crate::support::until;

/// Each changes something, and begins where the one before it ended, but for the marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    Restore,
    Place,
    BeginCheckout,
    EndCheckout,
    Release,
    MarkSold,
    MarkFree,
}

const ALL: [Mutation; 7] = [
    Mutation::Restore,
    Mutation::Place,
    Mutation::BeginCheckout,
    Mutation::EndCheckout,
    Mutation::Release,
    Mutation::MarkSold,
    Mutation::MarkFree,
];

/// What stands in each call of a script on the show, and in no other.
const OF_SHOW: &str = "\r\nmgala\r\n";

struct Stores {
    server: Server,
    proxy: Proxy,
    clock: ManualClock,
    far: RedisHolds,
    near: RedisHolds,
}

impl Stores {
    /// One store behind the proxy, and one that goes to the server itself.
    async fn new() -> Self {
        let server = Server::start().unwrap();
        let proxy = Proxy::start(&server).unwrap();
        let clock = ManualClock::new();
        let at = |url: String| {
            let clock = Arc::new(clock.clone());
            async move { RedisHolds::new(connect_within(&url, Duration::from_secs(5)).await).with_clock(clock) }
        };
        let (far, near) = (at(proxy.url().to_owned()).await, at(server.url()).await);
        Self { server, proxy, clock, far, near }
    }

    async fn fence(&self) -> Fence {
        match self.near.occupancy(&show()).await.unwrap() {
            OccupancyRead::Known(known) => known.fence,
            OccupancyRead::NotPrimed(fence) => fence,
        }
    }

    fn kept(&self) -> Option<Kept> {
        audit(&self.server, PREFIX, &show())
    }

    /// Waits until the store behind the proxy is connected again.
    async fn reconnected(&self) {
        until("a connection", || async { self.far.ping().await.is_ok() }).await;
    }
}

fn request() -> PlaceHold {
    PlaceHold {
        id: hold_id(1),
        show: show(),
        layout: sample::layout_id("hall-1"),
        owner: sample::user("ann"),
        seats: sample::seats(&[1, 2]),
        price: sample::euro(2_500),
        ttl: Duration::from_mins(10),
        limits: SeatLimits { per_hold: 2, per_user_and_show: 2 },
    }
}

fn sold() -> SoldSeats {
    SoldSeats {
        show: show(),
        order: sample::order_id(&show(), 1),
        hold: hold_id(1),
        owner: sample::user("ann"),
        seats: sample::seats(&[1, 2]),
    }
}

/// Seat 4 is Bob's.
fn claims() -> ShowClaims {
    let of_bob = SoldSeats { order: sample::order_id(&show(), 7), hold: hold_id(7), owner: sample::user("bob"), ..sold() };
    let sold = vec![SoldSeats { seats: sample::seats(&[4]), ..of_bob }];
    let (layout, grace) = (sample::layout_id("hall-1"), Duration::from_secs(2));
    ShowClaims { show: show(), layout, seats: 6, sold, pending: Vec::new(), grace }
}

impl Mutation {
    /// Makes the call, with what was known of the show before; fails unless it did what it is for.
    async fn run(self, store: &RedisHolds, fence: Fence) -> Result<(), StoreError> {
        let order = sample::order_id(&show(), 1);
        match self {
            Self::Restore => match store.restore(&claims(), fence).await? {
                Restored::Done { .. } => Ok(()),
                Restored::Stale(newer) => panic!("nothing was freed since {fence:?}: {newer:?}"),
            },
            Self::Place => match store.place(&request()).await? {
                Placed::Placed(hold) | Placed::Existing(hold) if hold.state.is_live() => Ok(()),
                other => panic!("P6: {other:?}"),
            },
            Self::BeginCheckout => {
                let (cover, longest_life) = (Duration::from_mins(20), Duration::from_mins(30));
                let begun = store.begin_checkout(hold_id(1), &caller("ann"), &Checkout { order, cover, longest_life }).await?;
                expect_state(begun, |state| matches!(state, HoldState::Held { order: Some(linked), .. } if linked == order));
                Ok(())
            }
            Self::EndCheckout => {
                let ended = store.end_checkout(hold_id(1), order).await?;
                expect_state(ended, |state| matches!(state, HoldState::Held { order: None, .. }));
                Ok(())
            }
            Self::Release => {
                let released = store.release(hold_id(1), &caller("ann")).await?;
                expect_state(released, |state| matches!(state, HoldState::Released { .. }));
                Ok(())
            }
            Self::MarkSold => store.mark_sold(&sold()).await,
            Self::MarkFree => store.mark_free(&sold()).await,
        }
    }

    /// Seats that are held and seats that are sold, when it has taken effect.
    fn effect(self) -> (&'static [u32], &'static [u32]) {
        match self {
            Self::Restore | Self::Release | Self::MarkFree => (&[], &[4]),
            Self::Place | Self::BeginCheckout | Self::EndCheckout => (&[1, 2], &[4]),
            Self::MarkSold => (&[], &[1, 2, 4]),
        }
    }
}

fn expect_state(change: HoldChange, is_right: impl Fn(HoldState) -> bool) {
    match change {
        HoldChange::Done(hold) if is_right(hold.state) => {}
        other => panic!("P6: {other:?}"),
    }
}

/// P6, P11: the answer is that the outcome is unknown; the effect is there; the same call again succeeds and changes nothing
/// more. Nobody is told that his own hold is in his way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_whose_reply_is_lost_is_repeated_safely() {
    let stores = Stores::new().await;
    let fence = stores.fence().await;
    // Every script is known before: what is lost is the reply of one that ran.
    for mutation in ALL {
        mutation.run(&stores.far, fence).await.unwrap();
    }
    stores.server.command::<()>(&["FLUSHDB"]).unwrap();
    stores.clock.advance(Duration::from_secs(1));

    for (number, mutation) in ALL.into_iter().enumerate() {
        let fence = stores.fence().await;
        let before = stores.kept();
        stores.proxy.drop_reply_of(OF_SHOW);
        let lost = mutation.run(&stores.far, fence).await;
        assert!(matches!(lost, Err(StoreError::OutcomeUnknown { store: "redis", .. })), "{mutation:?}: {lost:?}");
        stores.proxy.wait_until_dropped(number + 1).unwrap();
        let once = stores.kept().unwrap();
        let (held, sold) = mutation.effect();
        assert!(once.held.iter().eq(held) && once.sold.iter().eq(sold), "{mutation:?} left {once:?}");

        stores.reconnected().await;
        mutation.run(&stores.far, fence).await.unwrap();
        assert_eq!(stores.kept().unwrap(), once, "P6: {mutation:?} took effect twice");
        // Those that move no seat are seen by their answers alone.
        assert!(before.as_ref() != Some(&once) || matches!(mutation, Mutation::BeginCheckout | Mutation::EndCheckout));
    }
}

/// P6, P10: a show with many orders is told in parts; until the last has come nobody is granted anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_cut_off_between_its_parts_is_completed_by_the_next() {
    let stores = Stores::new().await;
    let waiting = PendingClaim {
        order: sample::order_id(&show(), 8),
        hold: hold_id(8),
        owner: sample::user("cid"),
        seats: sample::seats(&[5]),
        price: sample::euro(1_250),
        remaining: Duration::from_mins(5),
    };
    let claims = ShowClaims { pending: vec![waiting], ..claims() };
    let fence = stores.fence().await;
    // The script is known, the show is not.
    Mutation::Restore.run(&stores.far, fence).await.unwrap();
    stores.server.command::<()>(&["FLUSHDB"]).unwrap();
    let fence = stores.fence().await;

    stores.proxy.drop_reply_of(OF_SHOW);
    let lost = stores.far.restore(&claims, fence).await;
    assert!(matches!(lost, Err(StoreError::OutcomeUnknown { .. })), "{lost:?}");
    let part = stores.kept().unwrap();
    assert!(!part.primed && part.sold == [4].into() && part.held.is_empty(), "{part:?}");
    let refused = stores.near.place(&request()).await.unwrap();
    assert!(matches!(refused, Placed::NotPrimed(_)), "P10: {refused:?}");

    stores.reconnected().await;
    let again = stores.far.restore(&claims, fence).await.unwrap();
    assert!(matches!(again, Restored::Done { added: 0, freed: 0 }), "{again:?}");
    let whole = stores.kept().unwrap();
    assert!(whole.primed && whole.sold == [4].into() && whole.held == [5].into(), "{whole:?}");
}

/// P6: a server that does not know the script has not run it. The reply that says so may be lost as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_of_a_script_that_was_not_known_is_repeated_safely() {
    let stores = Stores::new().await;
    for mutation in ALL {
        let fence = stores.fence().await;
        let before = stores.kept();
        stores.server.command::<()>(&["SCRIPT", "FLUSH"]).unwrap();
        stores.proxy.drop_reply_of(OF_SHOW);
        let lost = mutation.run(&stores.far, fence).await;
        assert!(matches!(lost, Err(StoreError::OutcomeUnknown { .. })), "{mutation:?}: {lost:?}");
        assert_eq!(stores.kept(), before, "{mutation:?} was not run");
        stores.reconnected().await;
        mutation.run(&stores.far, fence).await.unwrap();
        let (held, sold) = mutation.effect();
        let once = stores.kept().unwrap();
        assert!(once.held.iter().eq(held) && once.sold.iter().eq(sold), "{mutation:?} left {once:?}");
    }
}

/// P6, P11, P13: the use cases name what to ask for, and go on where they were; a payment does not even notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_goes_on_though_a_reply_is_lost_in_each_step() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(&server).unwrap();
    let rig = Rig::new(proxy.url(), 6).await;
    // Every script is known.
    rig.buy("cid", &[5], 9).await.unwrap();
    let mut payments = vec!["pay_ok-9".to_owned()];
    let reconnected = || until("a connection", || async { !rig.holds_are_down().await });

    proxy.drop_reply_of(OF_SHOW);
    let lost = rig.place("ann", &[1, 2], 1).await;
    assert!(names_hold(&lost.map(drop)), "place");
    reconnected().await;
    let placed = rig.place("ann", &[1, 2], 1).await.unwrap();
    assert_eq!(rig.service.hold(&caller("ann"), hold_id(1)).await.unwrap(), placed);

    proxy.drop_reply_of(OF_SHOW);
    let lost = rig.order("ann", 1).await;
    assert!(names_hold(&lost.map(drop)), "order");
    reconnected().await;
    let order = rig.order("ann", 1).await.unwrap();
    assert_eq!(rig.order("ann", 1).await.unwrap(), order);

    proxy.drop_reply_of(OF_SHOW);
    let paid = rig.pay("ann", order.id, "pay_ok-1").await;
    assert!(matches!(paid, Ok(Payment::Confirmed(_))), "P13: {paid:?}");
    payments.push("pay_ok-1".to_owned());
    reconnected().await;
    assert_eq!(rig.check(&server, &payments).await.sold, [1, 2, 5].into());

    proxy.drop_reply_of(OF_SHOW);
    rig.service.cancel_order(&admin(), order.id).await.unwrap();
    reconnected().await;
    assert_eq!(rig.check(&server, &payments[..1]).await.sold, [5].into());

    rig.place("ann", &[1, 2], 2).await.unwrap();
    proxy.drop_reply_of(OF_SHOW);
    let lost = rig.service.release_hold(&caller("ann"), hold_id(2)).await;
    assert!(matches!(&lost, Err(Error::OutcomeUnknown { subject: Subject::Hold(hold), .. }) if *hold == hold_id(2)), "{lost:?}");
    reconnected().await;
    rig.service.release_hold(&caller("ann"), hold_id(2)).await.unwrap();
    assert_eq!(rig.check(&server, &payments[..1]).await.held, [].into());
    proxy.wait_until_dropped(5).unwrap();
}

fn names_hold(outcome: &Result<(), Error>) -> bool {
    matches!(outcome, Err(Error::OutcomeUnknown { dependency: "redis", subject: Subject::Hold(hold), .. }) if *hold == hold_id(1))
}
