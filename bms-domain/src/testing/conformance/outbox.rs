//! The events that are written with the changes they tell of.

use std::time::Duration;

use super::order_kit::{Ledger, TICK, TTL, done, failed, id, succeeded, taken, under_way, wish};
use crate::event::{EventKey, OrderEvent, OrderEventKind};
use crate::order::OrderState;

const LEASE: Duration = Duration::from_secs(30);

fn keys(events: &[OrderEvent]) -> Vec<EventKey> {
    events.iter().map(|event| event.key).collect()
}

/// Every change has its event, once, with the order as it was just after it, numbered from 1 in its order.
pub(crate) async fn every_change_writes_one_event(case: Ledger) {
    use OrderEventKind::{Cancelled, Confirmed, Created, Expired, Failed, RefundDue};
    case.order(1, "ann", &[1]).await;
    case.advance(TICK);
    case.settle(&succeeded(1, "pay-1"), 1).await;
    case.settle(&succeeded(1, "pay-1"), 2).await;
    case.settle(&succeeded(1, "pay-again"), 3).await;
    case.settle(&succeeded(1, "pay-again"), 3).await;
    case.order(2, "bob", &[2]).await;
    case.settle(&failed(2, "pay-2"), 4).await;
    case.order(3, "cid", &[3]).await;
    done(case.give_up(3, "cid").await);
    done(case.give_up(3, "cid").await);
    case.order(4, "dan", &[4]).await;
    case.advance(TTL);
    done(case.expire(4).await);
    done(case.expire(4).await);
    case.settle(&succeeded(4, "pay-4"), 5).await;
    let events = case.events().await;
    for (n, kinds) in [
        (1, vec![Created, Confirmed, RefundDue]),
        (2, vec![Created, Failed]),
        (3, vec![Created, Failed]),
        (4, vec![Created, Expired, Confirmed]),
    ] {
        let of_order: Vec<&OrderEvent> = events.iter().filter(|event| event.key.order == id(n)).collect();
        assert_eq!(of_order.iter().map(|event| event.kind).collect::<Vec<_>>(), kinds, "order {n}");
        let numbers: Vec<u32> = of_order.iter().map(|event| event.key.sequence).collect();
        assert_eq!(numbers, (1..=u32::try_from(kinds.len()).unwrap()).collect::<Vec<_>>(), "order {n}");
        for event in of_order {
            assert_eq!(event.order.id, id(n));
            match event.kind {
                RefundDue => assert!(event.order.refund_due),
                kind => assert_eq!(OrderEventKind::of(&event.order.state), kind),
            }
        }
    }
    // A cancellation is told, and that its money is to be given back shows in the order it tells of.
    done(case.cancel(1).await);
    done(case.cancel(1).await);
    let events = case.events().await;
    assert_eq!(events.iter().filter(|event| event.kind == Cancelled).count(), 1);
    assert!(events.iter().all(|event| matches!(event.kind, Cancelled | RefundDue) && event.order.refund_due), "{events:?}");
    assert_eq!(case.events().await, []);
}

/// P3: what changes nothing tells nothing.
pub(crate) async fn a_refusal_writes_no_event(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.events().await;
    taken(case.create(&wish(2, "bob", &[1])).await);
    case.create(&wish(1, "ann", &[1])).await;
    case.settle(&under_way(1, "pay-1"), 1).await;
    case.cancel(1).await;
    case.expire(1).await;
    case.give_up(1, "bob").await;
    assert_eq!(case.events().await, []);
}

/// The events of an order come in order, each once, whatever the parts they are taken in.
pub(crate) async fn events_of_an_order_come_in_order(case: Ledger) {
    for n in 1..=5 {
        case.order(n, "ann", &[n]).await;
    }
    for n in (1..=5).rev() {
        case.settle(&failed(n, &format!("bad-{n}")), 1).await;
        case.settle(&succeeded(n, &format!("pay-{n}")), n).await;
    }
    let mut last = std::collections::BTreeMap::new();
    let mut count = 0;
    loop {
        let events = case.store.claim(2, LEASE).await.unwrap();
        assert!(events.len() <= 2, "{events:?}");
        if events.is_empty() {
            break;
        }
        for event in &events {
            let before = last.insert(event.key.order, event.key.sequence).unwrap_or(0);
            assert_eq!(event.key.sequence, before + 1);
            count += 1;
        }
        case.store.published(&keys(&events)).await.unwrap();
    }
    assert_eq!(count, 15);
}

/// An event is given to one caller at a time.
pub(crate) async fn a_leased_event_is_one_callers_alone(case: Ledger) {
    for n in 0..40 {
        case.order(n, "ann", &[n]).await;
    }
    let tasks = (0..8).map(|_| {
        let store = case.store.clone();
        async move { keys(&store.claim(10, LEASE).await.unwrap()) }
    });
    let mut claimed: Vec<EventKey> = case.race(tasks).await.into_iter().flatten().collect();
    claimed.sort();
    let total = claimed.len();
    claimed.dedup();
    assert_eq!(claimed.len(), total, "an event was given to two callers");
    while let more @ [_, ..] = &keys(&case.store.claim(10, LEASE).await.unwrap())[..] {
        claimed.extend(more);
    }
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 40);
}

/// At least once: what was not published comes again exactly when its lease is over; what was published never.
pub(crate) async fn an_event_comes_again_until_it_was_published(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.order(2, "bob", &[2]).await;
    let first = case.store.claim(10, LEASE).await.unwrap();
    assert_eq!(first.len(), 2);
    case.store.published(&keys(&first[..1])).await.unwrap();
    case.advance(LEASE - TICK);
    assert_eq!(case.store.claim(10, LEASE).await.unwrap(), []);
    case.advance(TICK);
    assert_eq!(case.store.claim(10, LEASE).await.unwrap(), first[1..]);
    case.store.published(&keys(&first)).await.unwrap();
    case.advance(LEASE);
    assert_eq!(case.store.claim(10, LEASE).await.unwrap(), []);
    case.store.published(&keys(&first)).await.unwrap();
}

/// A later event of an order does not overtake an earlier one that another caller has in hand.
pub(crate) async fn a_later_event_waits_for_the_earlier_one(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    let created = case.store.claim(10, LEASE).await.unwrap();
    case.paid(2, "bob", &[2]).await;
    case.settle(&succeeded(1, "pay-1"), 7).await;
    let others = case.store.claim(10, LEASE).await.unwrap();
    assert_eq!(keys(&others), [EventKey { order: id(2), sequence: 1 }, EventKey { order: id(2), sequence: 2 }]);
    case.store.published(&keys(&created)).await.unwrap();
    let confirmed = case.store.claim(10, LEASE).await.unwrap();
    assert_eq!(keys(&confirmed), [EventKey { order: id(1), sequence: 2 }]);
    assert!(matches!(confirmed[0].order.state, OrderState::Confirmed { .. }));
    // A lease that is over gives both again, in order.
    case.advance(LEASE);
    case.store.published(&keys(&others)).await.unwrap();
    case.order(3, "cid", &[3]).await;
    done(case.give_up(3, "cid").await);
    assert_eq!(keys(&case.store.claim(1, LEASE).await.unwrap()), [EventKey { order: id(1), sequence: 2 }]);
    let one = keys(&case.store.claim(1, LEASE).await.unwrap());
    assert_eq!(one, [EventKey { order: id(3), sequence: 1 }]);
    assert_eq!(case.store.claim(10, LEASE).await.unwrap(), []);
    case.store.published(&one).await.unwrap();
    assert_eq!(keys(&case.store.claim(10, LEASE).await.unwrap()), [EventKey { order: id(3), sequence: 2 }]);
}
