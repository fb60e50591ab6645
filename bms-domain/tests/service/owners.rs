//! P9: a hold or an order is its owner's alone.

use bms_domain::error::Error;
use bms_domain::id::Caller;
use bms_domain::order::TicketCode;
use bms_domain::payment::PaymentStatus;
use bms_domain::testing::sample;
use futures::executor::block_on;

use crate::rig::{Rig, admin, names, show, user_of};

fn is_hidden<T: std::fmt::Debug>(what: &str, outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::NotFound(_))), "{what} of another user: {outcome:?}");
}

/// To a stranger nothing of another user is there; nothing that he tries changes it.
#[test]
fn a_stranger_sees_and_changes_nothing() {
    block_on(async {
        let rig = Rig::new().await;
        let stranger = user_of("bob");
        let (hold, service) = (Rig::hold_id(1), &rig.service);
        for stage in 0..3 {
            match stage {
                0 => drop(rig.place("ann", &[1], 1).await.unwrap()),
                1 => drop(rig.order("ann", 1).await.unwrap()),
                _ => {
                    let order = rig.order_of(1).await.unwrap();
                    rig.bank.pays("pay-1", &order, PaymentStatus::Succeeded);
                    rig.confirm("ann", order.id, "pay-1").await.unwrap();
                }
            }
            let before = (rig.map().await, rig.order_of(1).await);
            is_hidden("hold", service.hold(&stranger, hold).await);
            assert_eq!(service.holds_by_id(&stranger, &[hold]).await.unwrap(), [None]);
            is_hidden("release", service.release_hold(&stranger, hold).await);
            is_hidden("order", service.create_order(&stranger, hold, sample::customer()).await);
            if let Some(order) = &before.1 {
                is_hidden("order", service.order(&stranger, order.id).await);
                is_hidden("confirm", service.confirm_order(&stranger, order.id, &sample::reference("pay-1")).await);
                is_hidden("give up", service.give_up_order(&stranger, order.id).await);
            }
            assert_eq!(service.my_orders(&stranger, None, 10).await.unwrap().items, []);
            assert_eq!((rig.map().await, rig.order_of(1).await), before);
        }
        // A hold that was forgotten is told of by its order, to its owner alone.
        rig.forget_now();
        is_hidden("hold", service.hold(&stranger, hold).await);
        is_hidden("release", service.release_hold(&stranger, hold).await);
        assert!(service.hold(&user_of("ann"), hold).await.is_ok());
    });
}

/// What is for administrators is refused to everybody else, an order's owner too.
#[test]
fn only_administrators_cancel_and_look_up_tickets() {
    block_on(async {
        let rig = Rig::new().await;
        let order = rig.bought("ann", &[1], 1).await;
        let code = TicketCode::parse("BMS-000000").unwrap();
        for caller in [user_of("ann"), user_of("bob")] {
            assert!(matches!(rig.service.cancel_order(&caller, order.id).await, Err(Error::Forbidden)));
            assert!(matches!(rig.service.order_by_ticket(&caller, &code).await, Err(Error::Forbidden)));
            assert!(matches!(rig.service.refunds_due(&caller, None, 10).await, Err(Error::Forbidden)));
        }
        assert!(matches!(rig.service.order_by_ticket(&admin(), &code).await, Err(Error::NotFound(_))));
        rig.service.cancel_order(&admin(), order.id).await.unwrap();
        rig.check(&["pay-1"]).await;
    });
}

/// An administrator may do what an owner may, and it stays the owner's.
#[test]
fn an_administrator_acts_for_the_owner() {
    block_on(async {
        let rig = Rig::new().await;
        rig.place("ann", &[1], 1).await.unwrap();
        let placed = rig.service.create_order(&admin(), Rig::hold_id(1), sample::customer()).await.unwrap();
        assert_eq!(placed.order.owner, sample::user("ann"));
        rig.service.give_up_order(&admin(), placed.order.id).await.unwrap();
        rig.service.release_hold(&admin(), Rig::hold_id(1)).await.unwrap();
        assert_eq!(rig.map().await.held.count(), 0);
    });
}

/// Ids of users are opaque: no user is taken for another.
#[test]
fn users_with_strange_ids_are_told_apart() {
    block_on(async {
        let rig = Rig::new().await;
        let users: Vec<Caller> = sample::hostile_users().into_iter().map(Caller::user).collect();
        for (n, user) in (0_u32..).zip(&users).take(18) {
            rig.service.place_hold(user, &show(), &names(&[n]), sample::uuid(n)).await.unwrap();
        }
        for (n, user) in (0_u32..).zip(&users).take(18) {
            for other in users.iter().filter(|other| *other != user) {
                is_hidden("hold", rig.service.hold(other, Rig::hold_id(n)).await);
            }
            rig.service.release_hold(user, Rig::hold_id(n)).await.unwrap();
        }
    });
}
