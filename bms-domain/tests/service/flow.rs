//! The whole path, late payments, conflicts and upkeep.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::error::Error;
use bms_domain::id::OrderId;
use bms_domain::memory::MemoryHolds;
use bms_domain::money::Money;
use bms_domain::order::{Order, OrderState};
use bms_domain::payment::{GatewayError, PaymentGateway, PaymentReference, PaymentStatus, RefundReason};
use bms_domain::service::{Payment, Ports};
use bms_domain::store::{HoldStore, OccupancyRead, OrderStore};
use bms_domain::testing::{Fault, Gate, ManualClock, SeededIds, sample};
use bms_domain::time::Clock as _;
use bms_domain::{BookingService, hold::HoldState};
use futures::executor::block_on;

use crate::rig::{HOUR, Rig, admin, names, show, user_of};

const TICK: Duration = Duration::from_millis(1);

fn confirmed(payment: Payment) -> Order {
    match payment {
        Payment::Confirmed(order) => order,
        Payment::Pending(order) => panic!("expected CONFIRMED, saw {order:?}"),
    }
}

/// The path of the documentation: hold, order, payment, ticket, sold; each step repeated gives the same.
#[test]
fn two_seats_are_sold() {
    block_on(async {
        let rig = Rig::new().await;
        assert_eq!(rig.map().await.available(), crate::rig::SEATS);
        let held = rig.place("ann", &[1, 2], 1).await.unwrap();
        assert_eq!(held.seats().ids().collect::<Vec<_>>(), names(&[1, 2]));
        assert_eq!(held.hold.price, sample::euro(2 * sample::SEAT_PRICE));
        assert_eq!(rig.place("ann", &[1, 2], 1).await.unwrap(), held);
        let order = rig.order("ann", 1).await.unwrap();
        assert_eq!(rig.order("ann", 1).await.unwrap(), order);
        rig.bank.pays("pay-1", &order, PaymentStatus::Pending);
        assert_eq!(rig.confirm("ann", order.id, "pay-1").await.unwrap(), Payment::Pending(order.clone()));
        rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
        let paid = confirmed(rig.confirm("ann", order.id, "pay-1").await.unwrap());
        assert_eq!(confirmed(rig.confirm("ann", order.id, "pay-1").await.unwrap()), paid);
        let OrderState::Confirmed { ticket, .. } = &paid.state else { panic!("expected CONFIRMED") };
        assert_eq!(rig.service.order_by_ticket(&admin(), &ticket.code).await.unwrap(), paid);
        let hold = rig.service.hold(&user_of("ann"), Rig::hold_id(1)).await.unwrap().hold;
        assert!(matches!(hold.state, HoldState::Consumed { order, .. } if order == paid.id));
        let refused = rig.place("bob", &[1, 2, 3], 2).await;
        assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[1, 2])), "{refused:?}");
        rig.check(&["pay-1"]).await;
    });
}

/// What the catalogue knows of many holds is read at once, and not for one after the other.
#[test]
fn many_holds_are_read_at_once() {
    block_on(async {
        let rig = Rig::new().await;
        for seed in [1, 2, 3] {
            rig.place("ann", &[seed], seed).await.unwrap();
        }
        rig.faults.heal();
        let gate = Gate::new();
        rig.faults.at_every("catalogue.", Fault::WaitBefore(gate.clone()));
        let (ann, ids) = (user_of("ann"), [1, 2, 3].map(Rig::hold_id));
        let mut read = pin!(rig.service.holds_by_id(&ann, &ids));
        assert!(futures::poll!(read.as_mut()).is_pending());
        assert_eq!((rig.faults.count("holds.get"), rig.faults.count("catalogue.show")), (1, 3));
        gate.open();
        let read = read.await.unwrap();
        assert!(read.into_iter().map(|hold| hold.unwrap().hold.id).eq(ids));
    });
}

/// P8: the seats of an order that waits are held past the hold's own end, and past the order's by a grace.
#[test]
fn checkout_is_covered() {
    block_on(async {
        let rig = Rig::new().await;
        let policy = *rig.service.policy();
        rig.place("ann", &[1], 1).await.unwrap();
        rig.clock.advance(policy.hold_ttl - TICK);
        let order = rig.order("ann", 1).await.unwrap();
        rig.clock.advance(policy.order_ttl - TICK);
        assert!(rig.order_of(1).await.unwrap().state.is_pending());
        assert!(rig.place("bob", &[1], 2).await.is_err());
        rig.clock.advance(policy.checkout_grace);
        assert!(matches!(rig.service.order(&user_of("ann"), order.id).await.unwrap().state, OrderState::Expired { .. }));
        assert!(rig.place("bob", &[1], 2).await.is_err());
        rig.clock.advance(TICK);
        rig.place("bob", &[1], 3).await.unwrap();
    });
}

/// A failed or abandoned order leaves the hold to another card, within the hold's own time.
#[test]
fn another_card_within_the_holds_time() {
    block_on(async {
        let rig = Rig::new().await;
        let first = rig.ordered("ann", &[1], 1).await;
        rig.bank.pays("bad", &first, PaymentStatus::Failed);
        assert!(matches!(rig.confirm("ann", first.id, "bad").await, Err(Error::PaymentDeclined(_))));
        let second = rig.order("ann", 1).await.unwrap();
        assert_ne!(second.id, first.id);
        rig.service.give_up_order(&user_of("ann"), second.id).await.unwrap();
        let third = rig.order("ann", 1).await.unwrap();
        rig.bank.pays("good", &third, PaymentStatus::Succeeded);
        confirmed(rig.confirm("ann", third.id, "good").await.unwrap());
        rig.check(&["good"]).await;
    });
}

/// P5: an order left alone expires and frees its seats with no background job.
#[test]
fn time_alone_frees_the_seats() {
    block_on(async {
        let rig = Rig::new().await;
        rig.ordered("ann", &[1, 2], 1).await;
        rig.clock.advance(HOUR);
        assert_eq!(rig.map().await.available(), crate::rig::SEATS);
        rig.bought("bob", &[1, 2], 2).await;
        rig.check(&["pay-2"]).await;
    });
}

/// P4: a late payment confirms the order when its seats are free, though somebody holds them without an order.
#[test]
fn a_late_payment_is_recovered() {
    block_on(async {
        let rig = Rig::new().await;
        let order = rig.ordered("ann", &[1, 2], 1).await;
        rig.clock.advance(HOUR);
        rig.place("bob", &[2, 3], 2).await.unwrap();
        rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
        confirmed(rig.confirm("ann", order.id, "pay-1").await.unwrap());
        rig.check(&["pay-1"]).await;
        assert!(matches!(rig.order("bob", 2).await, Err(Error::HoldExpired(_))));
        rig.place("bob", &[3], 3).await.unwrap();
    });
}

/// P1, P4: a late payment whose seats are another's is to be given back, and the order says so.
#[test]
fn a_late_payment_whose_seats_are_gone_is_given_back() {
    block_on(async {
        let rig = Rig::new().await;
        let order = rig.ordered("ann", &[1, 2], 1).await;
        rig.clock.advance(HOUR);
        rig.bought("bob", &[2], 2).await;
        rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
        for _ in 0..2 {
            match rig.confirm("ann", order.id, "pay-1").await {
                Err(Error::OrderExpired(order)) => assert!(order.refund_due),
                other => panic!("expected OrderExpired, saw {other:?}"),
            }
            rig.check(&["pay-1", "pay-2"]).await;
        }
        let due = rig.service.refunds_due(&admin(), None, 10).await.unwrap();
        assert_eq!(due.iter().map(|due| (due.order, due.reason)).collect::<Vec<_>>(), [(order.id, RefundReason::SeatsGone)]);
    });
}

/// P4: a payment of the wrong amount is to be given back, and another can still pay for the order.
#[test]
fn a_wrong_amount_is_given_back() {
    block_on(async {
        let rig = Rig::new().await;
        let order = rig.ordered("ann", &[1], 1).await;
        rig.bank.takes("short", &order, sample::euro(1));
        match rig.confirm("ann", order.id, "short").await {
            Err(Error::PaymentDeclined(order)) => assert!(order.refund_due && order.state.is_pending()),
            other => panic!("expected PaymentDeclined, saw {other:?}"),
        }
        assert!(matches!(rig.confirm("ann", order.id, "unknown").await, Err(Error::PaymentNotForOrder { .. })));
        rig.bank.pays("right", &order, PaymentStatus::Succeeded);
        confirmed(rig.confirm("ann", order.id, "right").await.unwrap());
        rig.check(&["short", "right"]).await;
    });
}

/// P1, P10: a hold store that was emptied lets a hold on a claimed seat through only until the next call restores it.
#[test]
fn an_emptied_hold_store_is_restored_before_it_grants() {
    block_on(async {
        let rig = Rig::new().await;
        rig.bought("ann", &[1], 1).await;
        rig.ordered("bob", &[2], 2).await;
        rig.place("cid", &[3], 3).await.unwrap();
        rig.forget_now();
        let refused = rig.place("cid", &[1, 2, 3], 4).await;
        assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[1, 2])), "{refused:?}");
        rig.place("cid", &[3], 5).await.unwrap();
        assert_eq!(rig.order("bob", 2).await.unwrap().id, rig.order_of(2).await.unwrap().id);
        rig.check(&["pay-1"]).await;
    });
}

/// P1, P3: when the hold store is wrong the order finds it out, names the seats, releases the hold and repairs the map.
#[test]
fn a_conflict_is_repaired() {
    block_on(async {
        let rig = Rig::new().await;
        rig.place("ann", &[1, 2, 3], 1).await.unwrap();
        // Another process sold seats 1 and 2, on a hold store that this one never saw.
        let sold = sample::order_id(&show(), 77);
        let order = bms_domain::store::NewOrder {
            id: sold,
            hold: sample::hold_id(&show(), 77),
            show: show(),
            layout: sample::layout_id("hall-1"),
            owner: sample::user("bob"),
            seats: sample::seat_list(&sample::seats(&[1, 2])),
            price: sample::euro(5),
            customer: sample::customer(),
            ttl: HOUR,
        };
        rig.orders.create(&order).await.unwrap();
        let paid = sample::report(sold, "pay-77", PaymentStatus::Succeeded, sample::euro(5));
        rig.orders.settle(&paid, &sample::ticket(77)).await.unwrap();
        let refused = rig.order("ann", 1).await;
        assert!(matches!(&refused, Err(Error::SeatsUnavailable(seats)) if *seats == names(&[1, 2])), "{refused:?}");
        let map = rig.map().await;
        assert_eq!((map.held.count(), map.unavailable.iter().collect::<Vec<_>>()), (0, vec![1, 2]));
        rig.place("cid", &[3], 2).await.unwrap();
        rig.check(&["pay-77"]).await;
    });
}

/// The sweeper asks after payments under way, persists what expired, and retires holds.
#[test]
fn a_sweep_tidies_up() {
    block_on(async {
        let rig = Rig::new().await;
        let paying = rig.ordered("ann", &[1], 1).await;
        rig.bank.pays("slow", &paying, PaymentStatus::Pending);
        rig.confirm("ann", paying.id, "slow").await.unwrap();
        rig.ordered("bob", &[2], 2).await;
        rig.place("cid", &[3], 3).await.unwrap();
        rig.clock.advance(HOUR);
        rig.bank.pays("slow", &paying, PaymentStatus::Succeeded);
        let swept = rig.service.sweep(10).await.unwrap();
        assert_eq!((swept.holds, swept.payments_asked, swept.orders), (3, 1, 1), "{swept:?}");
        assert!(rig.order_of(1).await.unwrap().state.is_confirmed());
        assert_eq!(rig.service.sweep(10).await.unwrap(), bms_domain::service::Swept { shows: swept.shows, ..Default::default() });
        rig.check(&["slow"]).await;
    });
}

/// A payment that its provider forgot is not asked after for ever, and still counts if it turns up.
#[test]
fn a_payment_that_its_provider_does_not_know_ends() {
    block_on(async {
        let rig = Rig::new().await;
        let order = rig.ordered("ann", &[1], 1).await;
        rig.bank.pays("lost", &order, PaymentStatus::Pending);
        rig.confirm("ann", order.id, "lost").await.unwrap();
        rig.clock.advance(HOUR);
        rig.bank.forgets("lost");
        assert_eq!(rig.service.sweep(10).await.unwrap().payments_asked, 1);
        rig.clock.advance(HOUR);
        assert_eq!(rig.service.sweep(10).await.unwrap().payments_asked, 0);
        let notice = sample::notice("evt-1", sample::report(order.id, "lost", PaymentStatus::Succeeded, order.price));
        rig.orders.settle(&notice, &sample::ticket(1)).await.unwrap();
        assert!(rig.order_of(1).await.unwrap().state.is_confirmed());
        rig.check(&["lost"]).await;
    });
}

/// Reconciling brings the hold store in line, both ways.
#[test]
fn reconciling_adds_and_frees() {
    block_on(async {
        let rig = Rig::new().await;
        let order = rig.bought("ann", &[1, 2], 1).await;
        rig.faults.at_every("holds.mark_free", bms_domain::testing::Fault::Unavailable);
        rig.service.cancel_order(&admin(), order.id).await.unwrap();
        rig.faults.heal();
        let reconciled = rig.service.reconcile(&show()).await.unwrap();
        assert_eq!((reconciled.added, reconciled.freed), (0, 2));
        rig.faults.at_every("holds.mark_sold", bms_domain::testing::Fault::Unavailable);
        rig.bought("bob", &[1], 2).await;
        rig.faults.heal();
        let reconciled = rig.service.reconcile(&show()).await.unwrap();
        assert_eq!((reconciled.added, reconciled.freed), (1, 0));
        assert!(matches!(rig.place("cid", &[1], 3).await, Err(Error::SeatsUnavailable(_))));
        rig.check(&["pay-1", "pay-2"]).await;
    });
}

/// What the hold store missed of a sale or a cancellation is mended by asking again, and else by the sweeper.
#[test]
fn what_the_hold_store_missed_is_mended() {
    block_on(async {
        let down = |rig: &Rig, call| rig.faults.at_every(call, bms_domain::testing::Fault::Unavailable);
        let rig = Rig::new().await;
        let swept = async |rig: &Rig| rig.service.sweep(10).await.unwrap().seats;
        let marked = async |rig: &Rig| match rig.holds.occupancy(&show()).await.unwrap() {
            OccupancyRead::Known(known) => known.sold.iter().collect::<Vec<_>>(),
            OccupancyRead::NotPrimed(_) => panic!("the show is primed"),
        };
        down(&rig, "holds.mark_sold");
        let one = rig.bought("ann", &[1], 1).await;
        rig.bought("bob", &[2], 2).await;
        rig.faults.heal();
        assert_eq!(marked(&rig).await, Vec::<u32>::new());
        rig.confirm("ann", one.id, "pay-1").await.unwrap();
        assert_eq!(marked(&rig).await, [1]);
        assert_eq!((swept(&rig).await, marked(&rig).await), (1, vec![1, 2]));

        down(&rig, "holds.mark_free");
        rig.service.cancel_order(&admin(), one.id).await.unwrap();
        rig.faults.heal();
        assert_eq!(marked(&rig).await, [1, 2]);
        rig.service.cancel_order(&admin(), one.id).await.unwrap();
        assert_eq!(marked(&rig).await, [2]);
        down(&rig, "holds.mark_free");
        let two = rig.order_of(2).await.unwrap();
        rig.service.cancel_order(&admin(), two.id).await.unwrap();
        rig.faults.heal();
        assert_eq!((swept(&rig).await, marked(&rig).await), (1, vec![]));
        assert_eq!(swept(&rig).await, 0);
    });
}

/// However many shows there are: each sweep goes on where the last one stopped.
#[test]
fn each_show_comes_to_its_turn() {
    block_on(async {
        let rig = Rig::new().await;
        rig.bought("ann", &[1], 1).await;
        let mut shows = Vec::new();
        for _ in 0..4 {
            shows.push(rig.service.sweep(1).await.unwrap().shows);
        }
        assert_eq!(shows, [1, 0, 1, 0]);
        // What else there is to do comes first.
        rig.place("bob", &[2], 2).await.unwrap();
        rig.clock.advance(HOUR / 2);
        let swept = rig.service.sweep(1).await.unwrap();
        assert_eq!((swept.holds, swept.shows), (1, 0));
        assert_eq!(rig.service.sweep(1).await.unwrap().shows, 1);
    });
}

mockall::mock! {
    Provider {}

    #[async_trait]
    impl PaymentGateway for Provider {
        async fn verify(&self, order: &Order, reference: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError>;
    }
}

/// A payment that was confirmed is not asked for again, and the provider is shown the order that is to be paid.
#[test]
fn the_provider_is_asked_once() {
    block_on(async {
        let mut provider = MockProvider::new();
        provider.expect_verify().once().returning(|order, _| Ok((PaymentStatus::Succeeded, order.price)));
        let clock = ManualClock::new();
        let mut ports = Ports::in_memory(Arc::new(clock.clone()), Arc::new(provider));
        let holds: Arc<dyn HoldStore> = Arc::new(MemoryHolds::new(Arc::new(clock.clone())));
        ports.holds = holds;
        ports.catalogue.write(&sample::catalogue("gala", 10, clock.now())).await.unwrap();
        let ids = Arc::new(SeededIds::new(1, clock.clone()));
        let service = BookingService::builder(ports).clock(Arc::new(clock)).ids(ids).build().unwrap();
        let ann = user_of("ann");
        let held = service.place_hold(&ann, &show(), &names(&[1]), sample::uuid(1)).await.unwrap();
        let order: OrderId = service.create_order(&ann, held.hold.id, sample::customer()).await.unwrap().order.id;
        for _ in 0..3 {
            confirmed(service.confirm_order(&ann, order, &sample::reference("pay-1")).await.unwrap());
        }
    });
}
