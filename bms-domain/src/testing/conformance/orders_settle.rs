//! Payments: what a report does to an order.

use super::order_kit::{Ledger, PRICE, TICK, TTL, done, failed, id, succeeded, taken, under_way, wish};
use crate::event::OrderEventKind;
use crate::money::{Currency, Money};
use crate::order::{FailReason, Order, OrderState};
use crate::payment::{Known, PaymentReport, PaymentState, PaymentStatus, RefundReason, apply};
use crate::store::Settled;
use crate::testing::sample;

/// P1, P4: a payment confirms its order, gives it the ticket, and sells its seats.
pub(crate) async fn a_payment_confirms_an_order(case: Ledger) {
    case.order(1, "ann", &[1, 2]).await;
    case.advance(TTL - TICK);
    let settlement = case.settle(&succeeded(1, "pay-1"), 7).await;
    let order = settlement.order.expect("the order");
    let state = OrderState::Confirmed { ticket: sample::ticket(7), payment: sample::reference("pay-1"), at: case.now() };
    assert_eq!((settlement.settled, &order.state, order.refund_due), (Settled::Confirmed, &state, false));
    assert_eq!(case.get(1).await, order);
    assert_eq!((case.sold().await, case.waiting().await, case.refunds().await), (vec![1, 2], vec![], vec![]));
}

/// The states an order can be brought to, and how.
const STATES: [&str; 7] = ["pending", "confirmed", "declined", "given up", "expired", "swept", "cancelled"];
/// What can be known of the payment before the report comes.
const KNOWN: [&str; 4] = ["nothing", "pending", "failed", "refund due"];

/// Brings order `n` to a state in which something is known of payment `new`. `None` when there is no such pair.
async fn bring(case: &Ledger, n: u32, state: &str, known: &str) -> Option<(Order, Option<PaymentState>)> {
    let seat = n * 2;
    case.order(n, "ann", &[seat, seat + 1]).await;
    let payment = format!("new-{n}");
    // A payment of a wrong amount is to be given back whatever the order's state.
    let wrong = PaymentReport { amount: sample::euro(1), ..succeeded(n, &payment) };
    let known = match known {
        "nothing" => None,
        "pending" => {
            case.settle(&under_way(n, &payment), 0).await;
            Some(PaymentState::Pending)
        }
        "refund due" => {
            case.settle(&wrong, 0).await;
            Some(PaymentState::RefundDue(RefundReason::WrongAmount))
        }
        _ => {
            // A failed payment, and none open, is the end of a pending order.
            if state == "pending" {
                return None;
            }
            if state != "declined" {
                end(case, n, state).await;
            }
            case.settle(&failed(n, &payment), 0).await;
            return Some((case.get(n).await, Some(PaymentState::Failed)));
        }
    };
    end(case, n, state).await;
    Some((case.get(n).await, known))
}

async fn end(case: &Ledger, n: u32, state: &str) {
    match state {
        "pending" => {}
        "confirmed" | "cancelled" => {
            assert_eq!(case.settle(&succeeded(n, &format!("old-{n}")), n).await.settled, Settled::Confirmed);
            if state == "cancelled" {
                done(case.cancel(n).await);
            }
        }
        // The failure of another payment, while none is open.
        "declined" => drop(case.settle(&failed(n, &format!("old-{n}")), 0).await),
        "given up" => drop(done(case.give_up(n, "ann").await)),
        _ => {
            case.advance(TTL);
            if state == "swept" {
                assert!(case.sweep().await.contains(&id(n)));
            }
        }
    }
}

/// What the port's documentation calls a decision.
fn settled(before: &Order, known: Option<PaymentState>, payment: PaymentState, after: &OrderState) -> Settled {
    match payment {
        PaymentState::RefundDue(reason) => Settled::RefundDue(reason),
        PaymentState::Counted if known != Some(PaymentState::Counted) => Settled::Confirmed,
        _ if before.state != *after => Settled::Failed,
        _ => Settled::Recorded,
    }
}

/// P4, P7: every state of an order, with everything known of a payment, goes by the table of [`apply`] for each report,
/// and again for the same report.
pub(crate) async fn every_state_and_report_goes_by_the_table(case: Ledger) {
    let mut n = 0;
    for state in STATES {
        for known in KNOWN {
            for status in [PaymentStatus::Pending, PaymentStatus::Succeeded, PaymentStatus::Failed] {
                for amount in [PRICE, PRICE - 1] {
                    n += 1;
                    let Some((before, payment)) = bring(&case, n, state, known).await else { continue };
                    let report = sample::report(id(n), &format!("new-{n}"), status, sample::euro(amount));
                    // Alone in its seats, so that they can always be had. A payment that is open elsewhere is none here.
                    let facts = Known { order: &before, payment, another_open: false, claimable: true };
                    let ticket = sample::ticket(500_000 + n);
                    let expected = apply(facts, &report, ticket, case.now());
                    let what = format!("{state}, payment {known}, then {status:?} of {amount}");
                    let first = case.store.settle(&report, &ticket).await.unwrap();
                    let after = first.order.expect("the order");
                    assert_eq!(after.state, expected.order, "{what}");
                    assert_eq!(first.settled, settled(&before, payment, expected.payment, &expected.order), "{what}");
                    assert_eq!(case.get(n).await, after, "{what}");
                    let owed = |order: &Order| order.refund_due;
                    let refund = matches!(expected.payment, PaymentState::RefundDue(_));
                    assert_eq!(owed(&after), refund || owed(&before), "{what}: refund_due");
                    assert_eq!(case.sold().await.contains(&(n * 2)), after.state.is_confirmed(), "{what}: sold");
                    let again = case.store.settle(&report, &sample::ticket(700_000 + n)).await.unwrap();
                    assert_eq!(again.order.as_ref(), Some(&after), "{what}, again");
                    if after.state.is_pending() {
                        done(case.give_up(n, "ann").await);
                    }
                    let due: Vec<_> = case.refunds().await.into_iter().filter(|refund| refund.order == id(n)).collect();
                    let expected_due = usize::from(refund) + usize::from(state == "cancelled");
                    assert_eq!(due.len(), expected_due, "{what}: refunds");
                    if after.state.is_confirmed() {
                        // Makes room: the seats of the show are few.
                        done(case.cancel(n).await);
                    }
                }
            }
        }
    }
}

/// P4, P6: a notice that comes again changes nothing, whatever happened meanwhile.
pub(crate) async fn a_repeated_notice_changes_nothing(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    let declined = sample::notice("evt-1", failed(1, "pay-1"));
    let paid = sample::notice("evt-2", succeeded(1, "pay-2"));
    assert_eq!(case.settle(&declined, 1).await.settled, Settled::Failed);
    assert_eq!(case.settle(&declined, 2).await.settled, Settled::Recorded);
    assert_eq!(case.settle(&paid, 3).await.settled, Settled::Confirmed);
    let order = case.get(1).await;
    for (n, notice) in [(4, &declined), (5, &paid), (6, &declined)] {
        let settlement = case.settle(notice, n).await;
        assert_eq!((settlement.settled, settlement.order.as_ref()), (Settled::Recorded, Some(&order)));
    }
    assert_eq!(case.refunds().await, []);
    let expected = [OrderEventKind::Created, OrderEventKind::Failed, OrderEventKind::Confirmed];
    assert_eq!(case.kinds(1).await, expected);
}

/// P4: a notice is known by its id: what comes with an id that was recorded is not looked at.
pub(crate) async fn a_notice_of_a_known_id_is_not_read_again(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.settle(&sample::notice("evt-1", under_way(1, "pay-1")), 1).await;
    assert_eq!(case.settle(&sample::notice("evt-1", succeeded(1, "pay-1")), 2).await.settled, Settled::Recorded);
    assert_eq!(case.state(1).await, OrderState::PaymentPending);
    assert_eq!(case.settle(&sample::notice("evt-2", succeeded(1, "pay-1")), 3).await.settled, Settled::Confirmed);
    // Nor is it of an order that does not exist.
    case.settle(&sample::notice("evt-3", under_way(2, "pay-2")), 4).await;
    assert_eq!(case.settle(&sample::notice("evt-3", succeeded(2, "pay-2")), 5).await.settled, Settled::Recorded);
    assert_eq!(case.refunds().await, []);
    let due = Settled::RefundDue(RefundReason::UnknownOrder);
    assert_eq!(case.settle(&sample::notice("evt-4", succeeded(2, "pay-2")), 6).await.settled, due);
}

/// P4, P6: one payment counts once, by whatever notices and answers it is told.
pub(crate) async fn a_repeated_payment_changes_nothing(case: Ledger) {
    case.paid(1, "ann", &[1]).await;
    let order = case.get(1).await;
    for (n, report) in [
        (2, succeeded(1, "pay-1")),
        (3, sample::notice("evt-1", succeeded(1, "pay-1"))),
        (4, sample::notice("evt-2", failed(1, "pay-1"))),
        (5, sample::notice("evt-3", under_way(1, "pay-1"))),
    ] {
        let settlement = case.settle(&report, n).await;
        assert_eq!((settlement.settled, settlement.order.as_ref()), (Settled::Recorded, Some(&order)));
    }
    assert_eq!(case.refunds().await, []);
}

/// P4: what is not the order's amount, or not its currency, pays for nothing and is given back as it came.
pub(crate) async fn a_wrong_amount_is_given_back(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    let wrong = [sample::euro(PRICE - 1), sample::euro(PRICE + 1), sample::euro(0), Money::new(PRICE, Currency::USD).unwrap()];
    for (n, amount) in (1_u32..).zip(wrong) {
        let report = PaymentReport { amount, ..succeeded(1, &format!("pay-{n}")) };
        let settlement = case.settle(&report, n).await;
        assert_eq!(settlement.settled, Settled::RefundDue(RefundReason::WrongAmount), "{amount}");
        let order = settlement.order.expect("the order");
        assert_eq!((order.state, order.refund_due), (OrderState::PaymentPending, true));
    }
    let mut due: Vec<_> = case.refunds().await;
    due.sort_by(|a, b| a.reference.cmp(&b.reference));
    assert_eq!(due.iter().map(|refund| refund.amount).collect::<Vec<_>>(), wrong);
    assert_eq!(case.settle(&succeeded(1, "pay-right"), 9).await.settled, Settled::Confirmed);
    assert!(case.get(1).await.refund_due);
    assert_eq!(case.refunds().await.len(), 4);
}

/// P4: money for an order that does not exist is given back, and its refund is durable.
pub(crate) async fn a_payment_of_no_order_is_given_back(case: Ledger) {
    for report in [under_way(1, "pay-1"), failed(1, "pay-2")] {
        let settlement = case.settle(&report, 1).await;
        assert_eq!((settlement.order, settlement.settled), (None, Settled::Recorded));
    }
    assert_eq!(case.refunds().await, []);
    let paid = sample::notice("evt-1", succeeded(1, "pay-3"));
    let settlement = case.settle(&paid, 1).await;
    assert_eq!((settlement.order, settlement.settled), (None, Settled::RefundDue(RefundReason::UnknownOrder)));
    case.settle(&paid, 1).await;
    case.settle(&succeeded(1, "pay-3"), 1).await;
    assert_eq!(case.refund_reasons().await, [(id(1), "pay-3".to_owned(), RefundReason::UnknownOrder)]);
    assert_eq!(case.refunds().await[0].amount, sample::euro(PRICE));
}

/// P4: a failed attempt is not the end of an order while another attempt is open, and is when the last one failed.
pub(crate) async fn a_failed_attempt_beside_an_open_one_does_not_end_the_order(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    for (payment, report) in [("pay-1", under_way(1, "pay-1")), ("pay-2", under_way(1, "pay-2"))] {
        assert_eq!(case.settle(&report, 1).await.settled, Settled::Recorded, "{payment}");
    }
    assert_eq!(case.settle(&failed(1, "pay-1"), 1).await.settled, Settled::Recorded);
    assert_eq!(case.state(1).await, OrderState::PaymentPending);
    assert_eq!(taken(case.create(&wish(2, "bob", &[1])).await).as_slice(), [1]);
    let settlement = case.settle(&failed(1, "pay-2"), 1).await;
    assert_eq!(settlement.settled, Settled::Failed);
    assert_eq!(settlement.order.unwrap().state, OrderState::Failed { reason: FailReason::Declined, at: case.now() });
    case.order(3, "bob", &[1]).await;
}

/// P4: paid, and not FAILED: a good attempt after a bad one confirms, and a bad one told late changes nothing.
pub(crate) async fn a_failed_attempt_then_a_good_one_confirms(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.settle(&failed(1, "pay-1"), 1).await;
    assert_eq!(case.settle(&succeeded(1, "pay-2"), 2).await.settled, Settled::Confirmed);
    // The provider took the money of the first attempt after all.
    let settlement = case.settle(&succeeded(1, "pay-1"), 3).await;
    assert_eq!(settlement.settled, Settled::RefundDue(RefundReason::AlreadyPaid));
    case.order(2, "bob", &[2]).await;
    case.settle(&under_way(2, "pay-3"), 4).await;
    case.settle(&succeeded(2, "pay-4"), 5).await;
    assert_eq!(case.settle(&failed(2, "pay-3"), 6).await.settled, Settled::Recorded);
    assert!(case.state(2).await.is_confirmed());
}

/// P4: a payment after the order's end confirms it while every seat can still be claimed.
pub(crate) async fn a_late_payment_wins_free_seats(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.order(2, "bob", &[2]).await;
    case.order(3, "cid", &[3]).await;
    case.order(4, "dan", &[4]).await;
    done(case.give_up(3, "cid").await);
    case.settle(&failed(4, "bad-4"), 1).await;
    case.advance(TTL);
    assert_eq!(case.expire().await, [id(1), id(2)]);
    for n in 1..=4 {
        let settlement = case.settle(&succeeded(n, &format!("pay-{n}")), n).await;
        assert_eq!(settlement.settled, Settled::Confirmed, "order {n}");
    }
    assert_eq!(case.sold().await, [1, 2, 3, 4]);
    assert_eq!(case.refunds().await, []);
}

/// P1, P4: a late payment does not win a seat that is another order's by now: the order stays as it was, and its money
/// is given back.
pub(crate) async fn a_late_payment_does_not_win_anothers_seats(case: Ledger) {
    case.order(1, "ann", &[1, 2]).await;
    case.order(2, "bob", &[3, 4]).await;
    done(case.give_up(2, "bob").await);
    case.advance(TTL);
    let expired = case.state(1).await;
    case.paid(3, "cid", &[2]).await;
    case.order(4, "dan", &[4]).await;
    for n in [1, 2] {
        let before = case.state(n).await;
        let settlement = case.settle(&succeeded(n, &format!("pay-{n}")), n).await;
        let order = settlement.order.expect("the order");
        assert_eq!(settlement.settled, Settled::RefundDue(RefundReason::SeatsGone));
        assert_eq!((order.state, order.refund_due), (before, true));
    }
    assert_eq!(case.state(1).await, expired);
    assert_eq!((case.sold().await, case.waiting().await), (vec![2], vec![(id(4), vec![4])]));
    let gone = |n: u32| (id(n), format!("pay-{n}"), RefundReason::SeatsGone);
    assert_eq!(case.refund_reasons().await, [gone(1), gone(2)]);
    // The seats that nobody took are still anybody's.
    case.order(5, "eve", &[1, 3]).await;
}

/// P4: a late payment takes over claims whose own order has ended as well.
pub(crate) async fn a_late_payment_takes_over_expired_claims_only(case: Ledger) {
    case.order(1, "ann", &[1]).await;
    case.advance(TTL);
    case.order(2, "bob", &[1]).await;
    case.advance(TTL);
    assert_eq!(case.settle(&succeeded(1, "pay-1"), 1).await.settled, Settled::Confirmed);
    assert_eq!(case.settle(&succeeded(2, "pay-2"), 2).await.settled, Settled::RefundDue(RefundReason::SeatsGone));
    assert_eq!(case.sold().await, [1]);
}

/// P4: a second payment of a paid order is given back, and one for a cancelled order too.
pub(crate) async fn a_second_payment_is_given_back(case: Ledger) {
    let first = case.paid(1, "ann", &[1]).await;
    let settlement = case.settle(&succeeded(1, "pay-2"), 2).await;
    let order = settlement.order.expect("the order");
    assert_eq!(settlement.settled, Settled::RefundDue(RefundReason::AlreadyPaid));
    assert_eq!((order.state, order.refund_due), (first.state, true));
    done(case.cancel(1).await);
    assert_eq!(case.settle(&succeeded(1, "pay-3"), 3).await.settled, Settled::RefundDue(RefundReason::OrderCancelled));
    let mut due = case.refund_reasons().await;
    due.sort_by(|a, b| a.1.cmp(&b.1));
    let reason = |payment: &str, reason| (id(1), payment.to_owned(), reason);
    let cancelled = RefundReason::OrderCancelled;
    let expected = [reason("pay-1", cancelled), reason("pay-2", RefundReason::AlreadyPaid), reason("pay-3", cancelled)];
    assert_eq!(due, expected);
}

/// A ticket code is one order's: when it is another's the call changes nothing, and a new draw completes it.
pub(crate) async fn a_ticket_code_is_given_once(case: Ledger) {
    case.paid(1, "ann", &[1]).await;
    case.order(2, "bob", &[2]).await;
    let report = sample::notice("evt-1", succeeded(2, "pay-2"));
    for _ in 0..2 {
        assert_eq!(case.settle(&report, 1).await.settled, Settled::CodeTaken);
        assert_eq!(case.state(2).await, OrderState::PaymentPending);
        assert_eq!((case.sold().await, case.refunds().await), (vec![1], vec![]));
    }
    // Not even is the payment this order's by it.
    case.order(4, "dan", &[4]).await;
    assert_eq!(case.settle(&failed(4, "pay-2"), 9).await.settled, Settled::Failed);
    assert_eq!(case.settle(&report, 2).await.settled, Settled::Confirmed);
    // A void ticket's code is not given again either.
    done(case.cancel(1).await);
    case.order(3, "cid", &[3]).await;
    assert_eq!(case.settle(&succeeded(3, "pay-3"), 1).await.settled, Settled::CodeTaken);
}

/// P4: one payment pays for one order; it is not counted for another, which stays as it was.
pub(crate) async fn a_payment_counts_for_one_order(case: Ledger) {
    case.paid(1, "ann", &[1]).await;
    case.order(2, "bob", &[2]).await;
    let before = (case.get(1).await, case.get(2).await);
    for report in [succeeded(2, "pay-1"), sample::notice("evt-1", succeeded(2, "pay-1"))] {
        assert_eq!(case.settle(&report, 2).await.settled, Settled::OtherOrders);
        assert_eq!((case.get(1).await, case.get(2).await), before);
    }
    assert_eq!(case.refunds().await, []);
    assert_eq!(case.settle(&succeeded(2, "pay-2"), 3).await.settled, Settled::Confirmed);
    // Providers whose references repeat from order to order say so by the key.
    case.order(3, "cid", &[3]).await;
    let same = succeeded(3, "pay-1");
    let own_key = crate::payment::PaymentKey::within(id(3), &same.reference);
    assert_eq!(case.settle(&PaymentReport { key: own_key, ..same }, 4).await.settled, Settled::Confirmed);
}

/// P4: money that came before its order was known is given back, and is not counted when the order comes after all.
pub(crate) async fn money_that_came_before_its_order_is_given_back_only(case: Ledger) {
    let due = Settled::RefundDue(RefundReason::UnknownOrder);
    assert_eq!(case.settle(&succeeded(1, "pay-1"), 1).await.settled, due);
    assert!(case.order(1, "ann", &[1]).await.refund_due);
    assert_eq!(case.settle(&succeeded(1, "pay-1"), 1).await.settled, due);
    assert!(case.state(1).await.is_pending());
    assert_eq!(case.store.refunds_due(None, 10).await.unwrap().len(), 1);
    assert_eq!(case.settle(&succeeded(1, "pay-2"), 1).await.settled, Settled::Confirmed);
}
