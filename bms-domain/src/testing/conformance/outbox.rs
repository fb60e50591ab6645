//! The events that are written with the changes they tell of.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::order_kit::{Ledger, TICK, TTL, done, failed, id, succeeded, taken, under_way, wish};
use crate::event::{EventKey, OrderEvent, OrderEventKind};
use crate::order::OrderState;
use crate::store::{Delivery, Replay};

const LEASE: Duration = Duration::from_secs(30);
/// For how long events are postponed: less than a lease.
const REST: Duration = Duration::from_secs(8);

fn key(order: u32, sequence: u32) -> EventKey {
    EventKey { order: id(order), sequence }
}

impl Ledger {
    /// Claims ten events, with how often they were tried.
    async fn deliveries(&self) -> Vec<Delivery> {
        self.store.claim(10, LEASE).await.unwrap()
    }
}

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
    assert_eq!(case.expire().await, [id(4)]);
    assert_eq!(case.expire().await, []);
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
    case.expire().await;
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
        let events = case.claim(2, LEASE).await;
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
        async move { store.claim(10, LEASE).await.unwrap().iter().map(|delivery| delivery.event.key).collect::<Vec<_>>() }
    });
    let mut claimed: Vec<EventKey> = case.race(tasks).await.into_iter().flatten().collect();
    claimed.sort();
    let total = claimed.len();
    claimed.dedup();
    assert_eq!(claimed.len(), total, "an event was given to two callers");
    while let more @ [_, ..] = &keys(&case.claim(10, LEASE).await)[..] {
        claimed.extend(more);
    }
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 40);
}

/// Many relays at once: no event overtakes an earlier one of its order, and none comes twice while its lease lasts.
pub(crate) async fn events_stay_in_order_in_a_race(case: Ledger) {
    const ORDERS: u32 = 12;
    for n in 1..=ORDERS {
        case.order(n, "ann", &[n]).await;
        case.settle(&failed(n, &format!("bad-{n}")), 1).await;
        case.settle(&succeeded(n, &format!("pay-{n}")), n).await;
    }
    let arrived: Arc<Mutex<Vec<EventKey>>> = Arc::default();
    let all = 3 * ORDERS as usize;
    let tasks = (0..8).map(|task| {
        let (store, arrived) = (case.store.clone(), arrived.clone());
        async move {
            // Somebody else may have in hand what is missing, but not for so long.
            for _ in 0..10_000 {
                let events = store.claim(1 + task % 3, LEASE).await.unwrap();
                for Delivery { event, .. } in events {
                    arrived.lock().push(event.key);
                    store.published(&[event.key]).await.unwrap();
                }
                if arrived.lock().len() >= all {
                    break;
                }
            }
        }
    });
    case.race(tasks).await;
    let arrived = arrived.lock().clone();
    assert_eq!(arrived.len(), all, "{arrived:?}");
    for n in 1..=ORDERS {
        let of_order: Vec<u32> = arrived.iter().filter(|key| key.order == id(n)).map(|key| key.sequence).collect();
        assert_eq!(of_order, [1, 2, 3], "order {n}");
    }
}

/// At least once: what was not published comes again exactly when its lease is over; what was published never.
pub(crate) async fn an_event_comes_again_until_it_was_published(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.order(2, "bob", &[2]).await;
    let first = case.claim(10, LEASE).await;
    assert_eq!(first.len(), 2);
    case.store.published(&keys(&first[..1])).await.unwrap();
    case.advance(LEASE - TICK);
    assert_eq!(case.claim(10, LEASE).await, []);
    case.advance(TICK);
    assert_eq!(case.claim(10, LEASE).await, first[1..]);
    case.store.published(&keys(&first)).await.unwrap();
    case.advance(LEASE);
    assert_eq!(case.claim(10, LEASE).await, []);
    case.store.published(&keys(&first)).await.unwrap();
}

/// A later event of an order does not overtake an earlier one that another caller has in hand.
pub(crate) async fn a_later_event_waits_for_the_earlier_one(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    let created = case.claim(10, LEASE).await;
    case.paid(2, "bob", &[2]).await;
    case.settle(&succeeded(1, "pay-1"), 7).await;
    let others = case.claim(10, LEASE).await;
    assert_eq!(keys(&others), [EventKey { order: id(2), sequence: 1 }, EventKey { order: id(2), sequence: 2 }]);
    case.store.published(&keys(&created)).await.unwrap();
    let confirmed = case.claim(10, LEASE).await;
    assert_eq!(keys(&confirmed), [EventKey { order: id(1), sequence: 2 }]);
    assert!(matches!(confirmed[0].order.state, OrderState::Confirmed { .. }));
    // A lease that is over gives both again, in order.
    case.advance(LEASE);
    case.store.published(&keys(&others)).await.unwrap();
    case.order(3, "cid", &[3]).await;
    done(case.give_up(3, "cid").await);
    assert_eq!(keys(&case.claim(1, LEASE).await), [EventKey { order: id(1), sequence: 2 }]);
    let one = keys(&case.claim(1, LEASE).await);
    assert_eq!(one, [EventKey { order: id(3), sequence: 1 }]);
    assert_eq!(case.claim(10, LEASE).await, []);
    case.store.published(&one).await.unwrap();
    assert_eq!(keys(&case.claim(10, LEASE).await), [EventKey { order: id(3), sequence: 2 }]);
}

/// Nobody else's while it is postponed, and counted: an event comes again exactly when its time is over.
pub(crate) async fn a_postponed_event_comes_again_at_its_time(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.order(2, "bob", &[2]).await;
    let first = case.deliveries().await;
    assert_eq!(first.iter().map(|delivery| delivery.attempts).collect::<Vec<_>>(), [0, 0]);
    case.store.postpone(&[key(1, 1)], REST).await.unwrap();
    case.advance(REST - TICK);
    assert_eq!(case.deliveries().await, []);
    case.advance(TICK);
    let again = case.deliveries().await;
    assert_eq!(again, [Delivery { attempts: 1, ..first[0].clone() }], "the other is at its caller still");
    case.store.postpone(&[key(1, 1)], REST).await.unwrap();
    case.advance(REST);
    assert_eq!(case.deliveries().await, [Delivery { attempts: 2, ..first[0].clone() }]);
    // A try whose end nobody heard of counts none.
    case.advance(LEASE);
    assert_eq!(case.deliveries().await, [Delivery { attempts: 2, ..first[0].clone() }, first[1].clone()]);
    case.store.published(&[key(1, 1), key(2, 1)]).await.unwrap();
    // Published is published, whatever is said of it by one who comes late.
    case.store.postpone(&[key(1, 1)], TICK).await.unwrap();
    case.store.bury(&[key(2, 1), key(9, 1)]).await.unwrap();
    case.advance(LEASE);
    assert_eq!(case.deliveries().await, []);
    assert_eq!(case.store.dead(None, 10).await.unwrap(), []);
}

/// Behind a postponed event its order waits, and no other; the later ones come with it, uncounted.
pub(crate) async fn events_behind_a_postponed_one_wait(case: Ledger) {
    case.paid(1, "ann", &[1]).await;
    assert_eq!(keys(&case.claim(10, LEASE).await), [key(1, 1), key(1, 2)]);
    case.store.postpone(&[key(1, 1)], REST).await.unwrap();
    done(case.cancel(1).await);
    case.order(2, "bob", &[2]).await;
    assert_eq!(keys(&case.claim(10, LEASE).await), [key(2, 1)]);
    case.advance(REST);
    let all = case.deliveries().await;
    let tried: Vec<_> = all.iter().map(|delivery| (delivery.event.key, delivery.attempts)).collect();
    let of_one = |(key, _): &&(EventKey, u32)| key.order == id(1);
    let (mine, others): (Vec<_>, Vec<_>) = tried.iter().partition(of_one);
    assert_eq!(others, [], "order 2 is at its caller still");
    assert_eq!(mine[..2], [(key(1, 1), 1), (key(1, 2), 0)]);
    assert!(mine.iter().map(|(key, _)| key.sequence).eq(1..=u32::try_from(mine.len()).unwrap()), "{mine:?}");
    // One in the middle lets go what came before it.
    case.store.postpone(&[key(1, 2)], REST).await.unwrap();
    case.store.published(&[key(1, 1)]).await.unwrap();
    assert_eq!(case.claim(10, LEASE).await, []);
    case.advance(REST);
    assert_eq!(
        case.deliveries().await.iter().map(|delivery| (delivery.event.key, delivery.attempts)).next(),
        Some((key(1, 2), 1))
    );
}

/// A dead letter does not come again; its order waits behind it, and no other does.
pub(crate) async fn events_behind_a_dead_letter_wait_for_good(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    let created = case.deliveries().await;
    case.settle(&succeeded(1, "pay-1"), 1).await;
    case.store.postpone(&[key(1, 1)], TICK).await.unwrap();
    case.advance(TICK);
    case.deliveries().await;
    case.store.bury(&[key(1, 1)]).await.unwrap();
    case.paid(2, "bob", &[2]).await;
    done(case.cancel(1).await);
    assert_eq!(keys(&case.claim(1, LEASE).await), [key(2, 1)], "those that cannot go leave room for those that can");
    case.advance(LEASE);
    assert_eq!(keys(&case.claim(10, LEASE).await), [key(2, 1), key(2, 2)]);
    let dead = [Delivery { attempts: 2, ..created[0].clone() }];
    assert_eq!(case.store.dead(None, 10).await.unwrap(), dead);
    // A second burial, a late word from another relay: it is dead.
    case.store.bury(&[key(1, 1)]).await.unwrap();
    case.store.postpone(&[key(1, 1)], TICK).await.unwrap();
    case.advance(LEASE);
    assert_eq!(keys(&case.claim(10, LEASE).await), [key(2, 1), key(2, 2)]);
    assert_eq!(case.store.dead(None, 10).await.unwrap(), dead);
    // But if it was published after all, what waits behind it goes on.
    case.store.published(&[key(1, 1)]).await.unwrap();
    assert_eq!(case.store.dead(None, 10).await.unwrap(), []);
    assert_eq!(keys(&case.claim(1, LEASE).await), [key(1, 2)]);
}

/// Dead letters are listed by key, in parts.
pub(crate) async fn dead_letters_come_by_key(case: Ledger) {
    for n in [3, 1, 2] {
        case.paid(n, "ann", &[n]).await;
    }
    case.deliveries().await;
    case.store.bury(&[key(2, 1), key(3, 2), key(1, 2), key(1, 1)]).await.unwrap();
    let page = async |after, limit| {
        let dead = case.store.dead(after, limit).await.unwrap();
        dead.iter().map(|delivery| delivery.event.key).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 10).await, [key(1, 1), key(1, 2), key(2, 1), key(3, 2)]);
    assert_eq!(page(None, 2).await, [key(1, 1), key(1, 2)]);
    assert_eq!(page(Some(key(1, 1)), 2).await, [key(1, 2), key(2, 1)]);
    assert_eq!(page(Some(key(2, 9)), 2).await, [key(3, 2)]);
    assert_eq!(page(Some(key(3, 2)), 2).await, []);
    assert_eq!(page(None, 0).await, []);
}

/// Dead letters that are put back come as if they had never been tried, at once, and in order with what waited behind them.
pub(crate) async fn dead_letters_are_put_back(case: Ledger) {
    case.paid(1, "ann", &[1]).await;
    case.paid(2, "bob", &[2]).await;
    case.order(3, "cid", &[3]).await;
    case.deliveries().await;
    case.store.published(&[key(2, 1)]).await.unwrap();
    case.store.bury(&[key(1, 1), key(2, 2)]).await.unwrap();
    done(case.cancel(1).await);
    assert_eq!(case.store.replay(&Replay::Dead).await.unwrap(), 2);
    assert_eq!(case.store.dead(None, 10).await.unwrap(), []);
    let back = case.deliveries().await;
    assert!(back.iter().all(|delivery| delivery.attempts == 0), "{back:?}");
    let back: Vec<EventKey> = back.iter().map(|delivery| delivery.event.key).collect();
    assert_eq!(back.iter().filter(|key| key.order == id(2)).collect::<Vec<_>>(), [&key(2, 2)], "published is not dead");
    assert_eq!(back.iter().filter(|key| key.order == id(1)).take(3).map(|key| key.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(!back.contains(&key(3, 1)), "it is at its caller");
    assert_eq!(case.store.replay(&Replay::Dead).await.unwrap(), 0);
}

/// All events of an order that the store keeps come again, in order and at once, and no other order's.
pub(crate) async fn an_orders_events_are_put_back(case: Ledger) {
    case.paid(1, "ann", &[1]).await;
    case.order(2, "bob", &[2]).await;
    case.deliveries().await;
    case.store.published(&[key(1, 1), key(2, 1)]).await.unwrap();
    case.store.postpone(&[key(1, 2)], LEASE).await.unwrap();
    let put_back = case.store.replay(&Replay::Order(id(1))).await.unwrap();
    let back = case.deliveries().await;
    assert!(back.iter().all(|delivery| delivery.event.key.order == id(1) && delivery.attempts == 0), "{back:?}");
    let back: Vec<EventKey> = back.into_iter().map(|delivery| delivery.event.key).collect();
    // What was published comes where it is kept; what waited anyhow is not counted.
    assert!(back == [key(1, 2)] && put_back == 0 || back == [key(1, 1), key(1, 2)] && put_back == 1, "{put_back}: {back:?}");
    case.store.published(&back).await.unwrap();
    assert_eq!(case.store.replay(&Replay::Order(id(9))).await.unwrap(), 0);
    assert_eq!(case.deliveries().await, []);
}

/// Events written at an instant or later come again; older ones do not.
pub(crate) async fn events_since_an_instant_are_put_back(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.order(4, "dan", &[4]).await;
    case.advance(TICK);
    case.order(2, "bob", &[2]).await;
    let since = case.now();
    case.advance(TICK);
    case.order(3, "cid", &[3]).await;
    case.deliveries().await;
    case.store.bury(&[key(1, 1), key(2, 1), key(3, 1)]).await.unwrap();
    case.store.published(&[key(4, 1)]).await.unwrap();
    assert_eq!(case.store.replay(&Replay::Since(since)).await.unwrap(), 2);
    assert_eq!(keys(&case.claim(10, LEASE).await), [key(2, 1), key(3, 1)]);
    let dead = case.store.dead(None, 10).await.unwrap();
    assert_eq!(dead.iter().map(|delivery| delivery.event.key).collect::<Vec<_>>(), [key(1, 1)]);
}

/// Only what was published is forgotten, and only once it is old enough.
pub(crate) async fn only_old_published_events_are_forgotten(case: Ledger) {
    for n in 1..=4 {
        case.order(n, "ann", &[n]).await;
    }
    case.deliveries().await;
    case.store.published(&[key(1, 1), key(2, 1)]).await.unwrap();
    case.store.bury(&[key(3, 1)]).await.unwrap();
    case.advance(LEASE);
    let kept = case.store.prune(LEASE + TICK, 10).await.unwrap();
    assert_eq!(kept, 0, "it is not old enough");
    case.advance(TICK + TICK);
    let forgotten = case.store.prune(LEASE + TICK, 1).await.unwrap();
    let rest = case.store.prune(LEASE + TICK, 10).await.unwrap();
    assert!((forgotten, rest) == (1, 1) || (forgotten, rest) == (0, 0), "{forgotten}, then {rest}");
    for n in [1, 2] {
        assert_eq!(case.store.replay(&Replay::Order(id(n))).await.unwrap(), 0, "it is forgotten");
    }
    assert_eq!(keys(&case.claim(10, LEASE).await), [key(4, 1)]);
    assert_eq!(case.store.replay(&Replay::Dead).await.unwrap(), 1);
    assert_eq!(keys(&case.claim(10, LEASE).await), [key(3, 1)]);
}
