//! Two calls that meet halfway, and calls that come much later than the one they continue.

use std::pin::pin;
use std::time::Duration;

use bms_domain::catalogue::CatalogueDocument;
use bms_domain::error::Error;
use bms_domain::hold::HoldState;
use bms_domain::payment::PaymentStatus;
use bms_domain::store::{Creation, LayoutPin, NewOrder, OrderStore};
use bms_domain::testing::{Fault, Gate, sample};
use futures::FutureExt as _;
use futures::executor::block_on;

use crate::rig::{HOUR, Rig, admin, names, show, user_of};

const MINUTE: Duration = Duration::from_mins(1);

/// P8, P2: a checkout that is cut off and resumed minutes later covers its order to the end.
#[test]
fn a_checkout_that_is_resumed_late_is_covered() {
    block_on(async {
        let rig = Rig::new().await;
        rig.place("ann", &[1], 1).await.unwrap();
        rig.clock.advance(9 * MINUTE);
        rig.faults.at_every("orders.create", Fault::WaitBefore(Gate::new()));
        assert!(rig.order("ann", 1).now_or_never().is_none());
        rig.faults.heal();
        rig.clock.advance(4 * MINUTE);
        rig.order("ann", 1).await.unwrap();
        rig.clock.advance(2 * MINUTE);
        let pending = rig.order_of(1).await.unwrap().state.is_pending();
        let bob = rig.place("bob", &[1], 2).await;
        assert!(!(pending && bob.is_ok()));
    });
}

/// P8: a call that fails leaves the link alone by which another call has made the order meanwhile.
#[test]
fn a_failed_call_does_not_uncover_the_order_of_another() {
    block_on(async {
        let rig = Rig::new().await;
        rig.place("ann", &[1], 1).await.unwrap();
        rig.faults.heal();
        let gate = Gate::new();
        rig.faults.at_nth("catalogue.show", 0, Fault::WaitBefore(gate.clone()));
        rig.faults.at_nth("orders.create", 1, Fault::Unavailable);
        let mut first = pin!(rig.order("ann", 1));
        assert!(futures::poll!(first.as_mut()).is_pending());
        rig.order("ann", 1).await.unwrap();
        gate.open();
        _ = first.await;
        rig.faults.heal();
        let pending = rig.order_of(1).await.unwrap().state.is_pending();
        let released = rig.service.release_hold(&user_of("ann"), Rig::hold_id(1)).await;
        assert!(!(pending && released.is_ok()));
    });
}

/// An order of another process for seat 1, which the hold store never heard of. It waits for a minute.
async fn another_claims_seat_1(rig: &Rig) {
    let order = NewOrder {
        id: sample::order_id(&show(), 77),
        hold: sample::hold_id(&show(), 77),
        show: show(),
        layout: sample::layout_id("hall-1"),
        owner: sample::user("bob"),
        seats: sample::seat_list(&sample::seats(&[1])),
        price: sample::euro(5),
        customer: sample::customer(),
        ttl: MINUTE,
    };
    assert!(matches!(rig.orders.create(&order).await.unwrap(), Creation::Created(_)));
}

/// Fails unless the order of hold 1 waits, and the hold with it.
async fn expect_order_1_covered(rig: &Rig) {
    let order = rig.order_of(1).await.unwrap();
    assert!(order.state.is_pending(), "{:?}", order.state);
    let hold = rig.service.hold(&user_of("ann"), Rig::hold_id(1)).await.unwrap().hold.state;
    assert!(matches!(hold, HoldState::Held { order: Some(linked), .. } if linked == order.id), "{hold:?}");
}

/// P8: a call that was refused does not give the hold back by which another call has made the order since.
#[test]
fn a_refused_call_does_not_uncover_the_order_of_a_later_one() {
    block_on(async {
        let rig = Rig::new().await;
        rig.place("ann", &[1], 1).await.unwrap();
        another_claims_seat_1(&rig).await;
        rig.faults.heal();
        let gate = Gate::new();
        rig.faults.at_nth("holds.give_back", 0, Fault::WaitBefore(gate.clone()));
        let mut refused = pin!(rig.order("ann", 1));
        assert!(futures::poll!(refused.as_mut()).is_pending());
        rig.clock.advance(MINUTE);
        rig.order("ann", 1).await.unwrap();
        gate.open();
        assert!(matches!(refused.await, Err(Error::SeatsUnavailable(_))));
        expect_order_1_covered(&rig).await;
    });
}

/// P8: a call that was refused does not give the hold back by which an earlier call is making the order.
#[test]
fn a_refused_call_does_not_uncover_the_order_of_an_earlier_one() {
    block_on(async {
        let rig = Rig::new().await;
        rig.place("ann", &[1], 1).await.unwrap();
        another_claims_seat_1(&rig).await;
        rig.faults.heal();
        let gate = Gate::new();
        rig.faults.at_nth("orders.create", 0, Fault::WaitBefore(gate.clone()));
        let mut first = pin!(rig.order("ann", 1));
        assert!(futures::poll!(first.as_mut()).is_pending());
        assert!(matches!(rig.order("ann", 1).await, Err(Error::SeatsUnavailable(_))));
        rig.clock.advance(MINUTE);
        gate.open();
        first.await.unwrap();
        expect_order_1_covered(&rig).await;
    });
}

/// P7, P8: claims that were read before an order ended bring its hold back to nobody's cost.
#[test]
fn old_news_of_a_pending_order_takes_nobodys_seats() {
    block_on(async {
        let rig = Rig::new().await;
        let x = rig.ordered("ann", &[1], 1).await;
        rig.faults.heal();
        let gate = Gate::new();
        rig.faults.at_nth("holds.restore", 0, Fault::WaitBefore(gate.clone()));
        let s = show();
        let mut rec = pin!(rig.service.reconcile(&s));
        assert!(futures::poll!(rec.as_mut()).is_pending());
        rig.service.give_up_order(&user_of("ann"), x.id).await.unwrap();
        rig.service.release_hold(&user_of("ann"), Rig::hold_id(1)).await.unwrap();
        rig.ordered("bob", &[1], 2).await;
        gate.open();
        rec.await.unwrap();
        let ann = rig.service.hold(&user_of("ann"), Rig::hold_id(1)).await.unwrap().hold.state;
        let bob = rig.service.hold(&user_of("bob"), Rig::hold_id(2)).await.unwrap().hold.state;
        assert!(!ann.is_live() && bob.is_live());
    });
}

/// P8: a sale that is told after its cancellation ends nobody's hold.
#[test]
fn old_news_of_a_sale_takes_nobodys_seats() {
    block_on(async {
        let rig = Rig::new().await;
        let x = rig.ordered("ann", &[1], 1).await;
        rig.bank.pays("pay-1", &x, PaymentStatus::Succeeded);
        rig.faults.heal();
        let gate = Gate::new();
        rig.faults.at_nth("holds.mark_sold", 0, Fault::WaitBefore(gate.clone()));
        let mut conf = pin!(rig.confirm("ann", x.id, "pay-1"));
        assert!(futures::poll!(conf.as_mut()).is_pending());
        rig.service.cancel_order(&admin(), x.id).await.unwrap();
        rig.clock.advance(HOUR);
        let y = rig.ordered("bob", &[1], 2).await;
        gate.open();
        conf.await.unwrap();
        let bob = rig.service.hold(&user_of("bob"), Rig::hold_id(2)).await.unwrap().hold.state;
        assert!(bob.is_live());
        assert!(rig.service.order(&user_of("bob"), y.id).await.unwrap().state.is_pending());
    });
}

/// P2: a cancellation that is told after the seat was sold again frees it not.
#[test]
fn old_news_of_a_cancellation_frees_no_sold_seat() {
    block_on(async {
        let rig = Rig::new().await;
        let x = rig.bought("ann", &[1], 1).await;
        rig.faults.heal();
        let gate = Gate::new();
        rig.faults.at_nth("holds.mark_free", 0, Fault::WaitBefore(gate.clone()));
        let adm = admin();
        let mut c = pin!(rig.service.cancel_order(&adm, x.id));
        assert!(futures::poll!(c.as_mut()).is_pending());
        rig.service.reconcile(&show()).await.unwrap();
        rig.bought("ann", &[1], 2).await;
        gate.open();
        c.await.unwrap();
        let bob = rig.place("bob", &[1], 3).await;
        assert!(bob.is_err());
    });
}

/// P4: refunds come in parts that leave none out, also several of one order.
#[test]
fn refunds_of_one_order_come_in_parts() {
    block_on(async {
        let rig = Rig::new().await;
        let x = rig.ordered("ann", &[1], 1).await;
        for payment in ["a", "b"] {
            rig.bank.takes(payment, &x, sample::euro(1));
            rig.confirm("ann", x.id, payment).await.unwrap_err();
        }
        let first = rig.service.refunds_due(&admin(), None, 1).await.unwrap().remove(0);
        let after = (first.order, first.reference.clone());
        let second = rig.service.refunds_due(&admin(), Some(&after), 1).await.unwrap().remove(0);
        assert_ne!(first.reference, second.reference);
    });
}

/// An order past its end whose payment is under way; its provider knows by now that it succeeded.
async fn paid_late(rig: &Rig, user: &str, seed: u32) {
    let payment = format!("pay-{seed}");
    let order = rig.ordered(user, &[seed], seed).await;
    rig.bank.pays(&payment, &order, PaymentStatus::Pending);
    rig.confirm(user, order.id, &payment).await.unwrap();
    rig.bank.pays(&payment, &order, PaymentStatus::Succeeded);
}

/// P4: while one sweeper asks the provider, another does not give the payment up.
#[test]
fn a_sweeper_waits_for_what_another_asks() {
    block_on(async {
        let rig = Rig::new().await;
        paid_late(&rig, "ann", 1).await;
        rig.clock.advance(6 * MINUTE);
        let gate = Gate::new();
        rig.faults.at_nth("gateway.verify", 1, Fault::WaitBefore(gate.clone()));
        let mut asks = pin!(rig.service.sweep(10));
        assert!(futures::poll!(asks.as_mut()).is_pending());
        assert_eq!(rig.service.sweep(10).await.unwrap().orders, 0, "the provider is being asked");
        gate.open();
        let swept = asks.await.unwrap();
        assert_eq!((swept.payments_asked, swept.orders), (1, 0));
        assert!(rig.order_of(1).await.unwrap().state.is_confirmed());
    });
}

/// One answer that cannot be written down keeps none of the others from being asked for, and its order is not given up.
#[test]
fn a_sweep_goes_on_after_an_answer_that_was_not_written_down() {
    block_on(async {
        let rig = Rig::new().await;
        for (seed, user) in [(1, "ann"), (2, "bob"), (3, "cid")] {
            paid_late(&rig, user, seed).await;
        }
        rig.clock.advance(6 * MINUTE);
        let settled = rig.faults.count("orders.settle");
        rig.faults.at_nth("orders.settle", settled + 1, Fault::Unavailable);
        rig.service.sweep(10).await.unwrap_err();
        let confirmed = async || {
            let orders = [rig.order_of(1).await, rig.order_of(2).await, rig.order_of(3).await];
            orders.into_iter().flatten().filter(|order| order.state.is_confirmed()).count()
        };
        assert_eq!(confirmed().await, 2);
        rig.clock.advance(MINUTE);
        let swept = rig.service.sweep(10).await.unwrap();
        assert_eq!((swept.payments_asked, swept.orders, confirmed().await), (1, 0, 3));
    });
}

/// P13: the sweeper asks after payments though the hold store is down.
#[test]
fn a_sweep_asks_providers_without_the_hold_store() {
    block_on(async {
        let rig = Rig::new().await;
        let x = rig.ordered("ann", &[1], 1).await;
        rig.bank.pays("p", &x, PaymentStatus::Pending);
        rig.confirm("ann", x.id, "p").await.unwrap();
        rig.bank.pays("p", &x, PaymentStatus::Succeeded);
        rig.clock.advance(HOUR);
        rig.faults.at_every("holds.", Fault::Unavailable);
        rig.service.sweep(10).await.unwrap_err();
        assert!(rig.order_of(1).await.unwrap().state.is_confirmed());
    });
}

/// P5: a cancellation that the hold store missed is mended by the next map, sweeper or not.
#[test]
fn a_map_mends_a_missed_cancellation() {
    block_on(async {
        let rig = Rig::new().await;
        let x = rig.bought("ann", &[1], 1).await;
        rig.faults.at_every("holds.mark_free", Fault::Unavailable);
        rig.service.cancel_order(&admin(), x.id).await.unwrap();
        rig.faults.heal();
        rig.clock.advance(2 * HOUR);
        assert!(rig.place("bob", &[1], 3).await.is_err());
        assert_eq!(rig.map().await.unavailable.count(), 0);
        rig.place("bob", &[1], 4).await.unwrap();
    });
}

/// P3: a change of plan that was decided and not carried out hinders no order.
#[test]
fn a_plan_that_came_to_nothing_hinders_no_order() {
    block_on(async {
        let rig = Rig::new().await;
        // What an import does before its write, which then fails.
        assert_eq!(rig.orders.pin_layout(&show(), sample::layout_id("other")).await.unwrap(), LayoutPin::Pinned);
        rig.place("ann", &[1], 1).await.unwrap();
        rig.order("ann", 1).await.unwrap();
    });
}

/// P3: a hold that was placed by another seat plan keeps the names of its seats, and is not ordered by the new plan.
#[test]
fn a_hold_is_read_by_its_own_plan() {
    const NEW_PLAN: &str = r#"{
        "theatres": [{"theatreId": "odeon", "name": "Odeon", "city": "Madrid", "timeZone": "Europe/Madrid", "screens": [
            {"screen": "one", "name": "One", "layout": {"layoutId": "hall-2", "name": "Hall",
             "categories": [{"category": "stalls", "name": "Stalls"}],
             "sections": [{"sectionId": "s", "name": "S", "rows": [
                {"rowId": "S", "numbers": "10-29", "category": "stalls", "line": {"x": 0, "y": 0}}]}]}}]}],
        "shows": [{"showId": "gala", "movieId": "film", "theatreId": "odeon", "screen": "one",
            "startTime": "2030-02-01T19:30:00Z", "prices": [{"category": "stalls", "amount": 1250, "currency": "EUR"}]}]
    }"#;
    block_on(async {
        let rig = Rig::new().await;
        rig.place("ann", &[1, 2], 1).await.unwrap();
        rig.service.import(&admin(), &CatalogueDocument::parse(NEW_PLAN).unwrap()).await.unwrap();
        let held = rig.service.hold(&user_of("ann"), Rig::hold_id(1)).await.unwrap();
        assert!(held.seats().ids().eq(names(&[1, 2])));
        assert!(matches!(rig.order("ann", 1).await, Err(Error::HoldExpired(_))));
        assert_eq!(rig.order_of(1).await, None);
        let again = rig.place("ann", &[11, 12], 2).await.unwrap();
        assert!(again.seats().ids().eq(names(&[11, 12])));
        let order = rig.order("ann", 2).await.unwrap();
        assert!(order.seats.ids().eq(names(&[11, 12])));
    });
}
