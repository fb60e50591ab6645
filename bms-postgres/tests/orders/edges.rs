//! Edges that a race, or the time, leads to.

use bms_domain::id::HoldId;
use bms_domain::order::OrderRefusal;
use bms_domain::payment::{PaymentStatus, RefundReason};
use bms_domain::store::{Creation, NewOrder, OrderChange, OrderStore as _, Settled};
use bms_domain::testing::{ManualClock, sample};

use crate::support::shop::{TTL, ann, assert_sound, id, orders, paid, report, show, wish};
use crate::support::{self, case};

fn hold() -> HoldId {
    sample::hold_id(&show(), 1)
}

/// How many wait for a lock of this case's.
async fn waiting(case: &support::Case) -> u64 {
    case.sql(
        "select 1 from pg_stat_activity a where wait_event_type = 'Lock'
            and exists (select from pg_locks l where l.pid = a.pid and l.relation = 'bms.orders'::regclass)",
    )
    .await
    .unwrap()
}

/// P4, P5: a late payment for an order whose successor on the same hold has run out as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_payment_wins_over_a_successor_that_has_run_out() {
    let clock = ManualClock::default();
    let case = case(&clock).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    store.give_up(id(1), &ann()).await.unwrap();
    let again = NewOrder { hold: hold(), seats: wish(1).seats, ..wish(2) };
    assert!(matches!(store.create(&again).await.unwrap(), Creation::Created(_)));
    clock.advance(TTL);
    let late = store.settle(&paid(1), &sample::ticket(1)).await.unwrap();
    assert_eq!(late.settled, Settled::Confirmed);
    assert_sound(&case.postgres).await;
}

/// P4: money that is to be given back is not counted too, however close the reports come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_was_decided_meanwhile_stands() {
    let clock = ManualClock::default();
    let case = case(&clock).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    let lock = case.schema.open("select from bms.orders for update").await;
    let wrong = tokio::spawn({
        let store = store.clone();
        async move { store.settle(&report(1, "pay-1", PaymentStatus::Succeeded, sample::euro(2_499)), &sample::ticket(1)).await }
    });
    support::until("a report that waits", async || waiting(&case).await == 1).await;
    let right = tokio::spawn({
        let store = store.clone();
        async move { store.settle(&paid(1), &sample::ticket(1)).await }
    });
    support::until("two reports that wait", async || waiting(&case).await == 2).await;
    drop(lock);
    let refund = Settled::RefundDue(RefundReason::WrongAmount);
    assert_eq!(wrong.await.unwrap().unwrap().settled, refund);
    assert_eq!(right.await.unwrap().unwrap().settled, refund);
    assert!(!store.get(id(1)).await.unwrap().unwrap().state.is_confirmed());
    assert_eq!(store.refunds_due(None, 10).await.unwrap().len(), 1);
    assert_sound(&case.postgres).await;
}

/// P4: whoever is sold his seats is told of other money that is to be given back, however close the reports come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_was_decided_meanwhile_is_told_with_the_sale() {
    let clock = ManualClock::default();
    let case = case(&clock).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    let lock = case.schema.open("select from bms.orders for update").await;
    let wrong = tokio::spawn({
        let store = store.clone();
        async move { store.settle(&report(1, "pay-2", PaymentStatus::Succeeded, sample::euro(2_499)), &sample::ticket(2)).await }
    });
    support::until("a report that waits", async || waiting(&case).await == 1).await;
    let right = tokio::spawn({
        let store = store.clone();
        async move { store.settle(&paid(1), &sample::ticket(1)).await }
    });
    support::until("two reports that wait", async || waiting(&case).await == 2).await;
    drop(lock);
    assert_eq!(wrong.await.unwrap().unwrap().settled, Settled::RefundDue(RefundReason::WrongAmount));
    let sale = right.await.unwrap().unwrap();
    assert_eq!(sale.settled, Settled::Confirmed);
    assert!(sale.order.unwrap().refund_due);
    assert_sound(&case.postgres).await;
}

/// P4, P7: an order that was paid while its owner was just giving it up is sold, and he is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_paid_meanwhile_is_not_given_up() {
    let clock = ManualClock::default();
    let case = case(&clock).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    let lock = case.schema.open("select from bms.orders for update").await;
    let paying = tokio::spawn({
        let store = store.clone();
        async move { store.settle(&paid(1), &sample::ticket(1)).await }
    });
    support::until("a payment that waits", async || waiting(&case).await == 1).await;
    let giving_up = tokio::spawn({
        let store = store.clone();
        async move { store.give_up(id(1), &ann()).await }
    });
    support::until("an owner who waits, too", async || waiting(&case).await == 2).await;
    drop(lock);
    assert_eq!(paying.await.unwrap().unwrap().settled, Settled::Confirmed);
    let given_up = giving_up.await.unwrap().unwrap();
    assert!(matches!(given_up, OrderChange::Refused(_, OrderRefusal::NotPending)), "{given_up:?}");
    assert!(store.get(id(1)).await.unwrap().unwrap().state.is_confirmed());
    assert_sound(&case.postgres).await;
}

/// P11: somebody is busy with an order that has run out; whoever wants its seats waits for him.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_of_an_order_that_is_being_changed_are_waited_for() {
    let clock = ManualClock::default();
    let case = case(&clock).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    clock.advance(TTL);
    let lock = case.schema.open("select from bms.orders for update").await;
    let rival = NewOrder { seats: wish(1).seats, ..wish(2) };
    let making = tokio::spawn({
        let store = store.clone();
        async move { store.create(&rival).await }
    });
    support::until("one who waits", async || waiting(&case).await == 1).await;
    drop(lock);
    assert!(matches!(making.await.unwrap().unwrap(), Creation::Created(_)));
    assert_sound(&case.postgres).await;
}

/// P4: an order that expires tells of money to be given back that came to light while its end was on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_was_decided_meanwhile_is_told_with_the_end() {
    let clock = ManualClock::default();
    let case = case(&clock).await;
    let store = orders(&case.postgres);
    store.create(&wish(1)).await.unwrap();
    let lock = case.schema.open("select from bms.orders for update").await;
    let wrong = tokio::spawn({
        let store = store.clone();
        async move { store.settle(&report(1, "pay-2", PaymentStatus::Succeeded, sample::euro(2_499)), &sample::ticket(2)).await }
    });
    support::until("a report that waits", async || waiting(&case).await == 1).await;
    clock.advance(TTL);
    let rival = NewOrder { seats: wish(1).seats, ..wish(2) };
    let making = tokio::spawn({
        let store = store.clone();
        async move { store.create(&rival).await }
    });
    support::until("one who wants its seats, too", async || waiting(&case).await == 2).await;
    drop(lock);
    assert_eq!(wrong.await.unwrap().unwrap().settled, Settled::RefundDue(RefundReason::WrongAmount));
    assert!(matches!(making.await.unwrap().unwrap(), Creation::Created(_)));
    let told = "select from bms.order_changes where kind = 'order.expired' and refund_due";
    assert_eq!(case.sql(told).await, Ok(1));
    assert_sound(&case.postgres).await;
}

/// P11: what the server gives up for another's sake, in a deadlock or where two transactions cannot both be, is done all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_was_given_up_for_anothers_sake_is_done_all_the_same() {
    for code in ["40P01", "40001"] {
        let clock = ManualClock::default();
        let case = case(&clock).await;
        let store = orders(&case.postgres);
        store.create(&wish(1)).await.unwrap();
        // A number that was drawn stays drawn when its statement is given up.
        case.sql(&format!(
            "create sequence bms.tries;
            create function bms.give_up_twice() returns trigger language plpgsql as $$
            begin
                if nextval('bms.tries') < 3 then
                    raise exception 'given up' using errcode = '{code}';
                end if;
                return new;
            end
            $$;
            create trigger given_up before insert on bms.orders for each row execute function bms.give_up_twice()"
        ))
        .await
        .unwrap();
        assert!(matches!(store.create(&wish(2)).await.unwrap(), Creation::Created(_)), "{code}");
        assert_eq!(case.sql("select from bms.tries where last_value = 3").await, Ok(1), "{code}");
        assert_sound(&case.postgres).await;
    }
}
