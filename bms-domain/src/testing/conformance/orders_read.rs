//! Finding orders, claims and refunds.

use super::order_kit::{Ledger, TICK, TTL, done, hold, id, succeeded, the_show, wish, wish_of};
use crate::id::{Caller, OrderId};
use crate::money::Money;
use crate::order::{Order, OrderState};
use crate::payment::{RefundDue, RefundReason};
use crate::store::{NewOrder, OrderChange};
use crate::testing::sample;

fn ids(orders: &[Order]) -> Vec<OrderId> {
    orders.iter().map(|order| order.id).collect()
}

/// P9: a user's own orders, newest first, in parts that neither repeat nor leave out.
pub(crate) async fn a_users_orders_come_newest_first(case: Ledger) {
    let other = sample::show("show-2");
    for n in 1..=6_u32 {
        case.order(n, if n % 2 == 0 { "ann" } else { "bob" }, &[n]).await;
        case.advance(TICK);
    }
    let elsewhere = case.made(&wish_of(&other, 7, sample::user("ann"), &[1])).await;
    let ann = sample::user("ann");
    let all = case.store.list(&ann, None, 10).await.unwrap();
    assert_eq!(ids(&all), [elsewhere.id, id(6), id(4), id(2)]);
    let first = case.store.list(&ann, None, 3).await.unwrap();
    assert_eq!(ids(&first), [elsewhere.id, id(6), id(4)]);
    assert_eq!(ids(&case.store.list(&ann, Some(id(4)), 3).await.unwrap()), [id(2)]);
    assert_eq!(case.store.list(&ann, Some(id(2)), 3).await.unwrap(), []);
    assert_eq!(case.store.list(&sample::user("zoe"), None, 3).await.unwrap(), []);
    case.advance(TTL);
    let all = case.store.list(&ann, None, 10).await.unwrap();
    assert!(all.iter().all(|order| matches!(order.state, OrderState::Expired { .. })), "{all:?}");
}

/// P9: no two user ids are taken for one, whatever characters they hold.
pub(crate) async fn users_are_told_apart_whatever_their_ids_hold(case: Ledger) {
    let users = sample::hostile_users();
    for (n, user) in (1_u32..).zip(&users) {
        case.made(&wish_of(&the_show(), n, user.clone(), &[n])).await;
    }
    for (n, user) in (1_u32..).zip(&users) {
        let listed = case.store.list(user, None, 100).await.unwrap();
        assert_eq!(ids(&listed), [id(n)], "{user:?}");
        assert_eq!(listed[0].owner, *user);
        let stranger = users.iter().find(|other| *other != user).unwrap();
        let change = case.store.give_up(id(n), &Caller::user(stranger.clone())).await.unwrap();
        assert_eq!(change, OrderChange::NotFound, "{stranger:?} gives up the order of {user:?}");
        done(case.store.give_up(id(n), &Caller::user(user.clone())).await.unwrap());
    }
}

/// A ticket's code finds its order while the ticket is good, and when it is void.
pub(crate) async fn a_ticket_code_finds_its_order(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    let code = sample::ticket(1).code;
    assert_eq!(case.store.by_ticket(&code).await.unwrap(), None);
    let paid = case.settle(&succeeded(1, "pay-1"), 1).await.order;
    assert_eq!(case.store.by_ticket(&code).await.unwrap(), paid);
    done(case.cancel(1).await);
    assert_eq!(case.store.by_ticket(&code).await.unwrap(), Some(case.get(1).await));
    // The ticket of a payment that confirmed nothing is no ticket.
    case.settle(&succeeded(1, "pay-2"), 2).await;
    assert_eq!(case.store.by_ticket(&sample::ticket(2).code).await.unwrap(), None);
}

/// A hold's pending or confirmed order, else its newest; in the order of the holds.
pub(crate) async fn a_hold_finds_its_open_order_else_its_newest(case: Ledger) {
    let of_hold = |n| NewOrder { hold: hold(1), ..wish(n, "ann", &[1]) };
    case.made(&of_hold(1)).await;
    done(case.give_up(1, "ann").await);
    case.advance(TICK);
    case.made(&of_hold(2)).await;
    case.order(3, "bob", &[3]).await;
    let found = async |holds: &[_]| {
        let orders = case.store.by_holds(holds).await.unwrap();
        orders.into_iter().map(|order| order.map(|order| order.id)).collect::<Vec<_>>()
    };
    assert_eq!(found(&[hold(3), hold(9), hold(1), hold(3)]).await, [Some(id(3)), None, Some(id(2)), Some(id(3))]);
    done(case.give_up(2, "ann").await);
    assert_eq!(found(&[hold(1)]).await, [Some(id(2))], "the newest of two that ended");
    // Late payment: the older one is confirmed.
    case.settle(&succeeded(1, "pay-1"), 1).await;
    assert_eq!(found(&[hold(1)]).await, [Some(id(1))], "the confirmed one");
    assert_eq!(found(&[]).await, []);
}

/// P12: what is sold, to whom, and what is waited for, for how much longer; of that show alone.
pub(crate) async fn sold_and_claims_tell_who_owns_what(case: Ledger) {
    case.paid(1, "ann", &[5, 2]).await;
    case.advance(TICK);
    case.paid(2, "bob", &[63, 64]).await;
    case.order(3, "cid", &[7, 8]).await;
    case.order(4, "dan", &[9]).await;
    done(case.give_up(4, "dan").await);
    case.paid(5, "eve", &[10]).await;
    done(case.cancel(5).await);
    case.made(&wish_of(&sample::show("show-2"), 6, sample::user("fay"), &[1])).await;
    assert_eq!(case.sold().await, [2, 5, 63, 64]);
    assert_eq!(case.store.sold(&the_show(), 65).await.unwrap().seats(), 65);
    case.advance(TTL / 2);
    let (mut sold, pending) = case.store.claims(&the_show()).await.unwrap();
    sold.sort_by_key(|sold| sold.order);
    assert_eq!(sold, [case.get(1).await.sold_seats(), case.get(2).await.sold_seats()]);
    assert_eq!(pending.len(), 1, "{pending:?}");
    let claim = &pending[0];
    assert_eq!((claim.order, claim.hold, &claim.owner), (id(3), hold(3), &sample::user("cid")));
    assert_eq!((claim.seats.as_slice(), claim.remaining), ([7, 8].as_slice(), TTL - TTL / 2));
    assert_eq!(claim.price, case.get(3).await.price);
    case.advance(TTL);
    assert_eq!(case.waiting().await, []);
    assert_eq!(case.sold().await, [2, 5, 63, 64]);
}

/// P4: refunds come by order id, in parts that neither repeat nor leave out; those of unknown orders among them.
pub(crate) async fn refunds_come_by_order(case: Ledger) {
    for n in [3, 1, 2] {
        case.paid(n, "ann", &[n]).await;
        done(case.cancel(n).await);
    }
    case.settle(&succeeded(9, "pay-9"), 9).await;
    case.settle(&succeeded(9, "pay-10"), 10).await;
    let page = async |after: Option<(u32, &str)>, limit| {
        let after = after.map(|(order, payment)| (id(order), sample::reference(payment)));
        case.store.refunds_due(after.as_ref(), limit).await.unwrap()
    };
    let orders = |due: Vec<RefundDue>| due.into_iter().map(|refund| refund.order).collect::<Vec<_>>();
    assert_eq!(orders(page(None, 10).await), [id(1), id(2), id(3), id(9), id(9)]);
    assert_eq!(orders(page(None, 2).await), [id(1), id(2)]);
    assert_eq!(orders(page(Some((2, "pay-2")), 2).await), [id(3), id(9)]);
    assert_eq!(orders(page(Some((9, "pay-10")), 2).await), [id(9)], "a second one of the same order");
    assert_eq!(orders(page(Some((9, "pay-9")), 2).await), []);
    let due = page(Some((3, "pay-3")), 1).await;
    let amount: Money = due[0].amount;
    assert_eq!((amount, due[0].reason), (sample::euro(super::order_kit::PRICE), RefundReason::UnknownOrder));
}

/// The store answers.
pub(crate) async fn the_store_answers(case: Ledger) {
    case.store.ping().await.unwrap();
}
