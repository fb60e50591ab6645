//! What clients were answered, held against itself as the answers come: no look into a store, nothing that only the program under
//! load could know.
//!
//! An answer that was lost tells nothing, and proves nothing. A hold is certain from when its client was told until he first asks
//! to let it go, or until its time, counted from when he asked for it, is over: within that span nobody else may be granted one of
//! its seats, and no fault of a clock or of the network can excuse it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use bms_domain::id::{HoldId, OrderId, SeatId, ShowId, UserId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::office::{Held, Refusal, Sale};

/// Refusals after which a payment's fate is decided: without a refund the money is gone.
const FINAL: [&str; 4] = ["payment-declined", "order-not-pending", "order-expired", "not-found"];

/// How many broken promises are told of one by one.
const TOLD: usize = 50;

/// The book of a run.
#[derive(Default)]
pub(crate) struct Book {
    entries: Mutex<Entries>,
    broken: Notify,
}

#[derive(Default)]
struct Entries {
    seats: HashMap<(ShowId, SeatId), Seat>,
    holds: HashMap<HoldId, Vec<(ShowId, SeatId)>>,
    payments: BTreeMap<OrderId, Payment>,
    codes: HashMap<String, OrderId>,
    sold: u64,
    broken: Vec<String>,
}

#[derive(Default)]
struct Seat {
    /// The hold that certainly covers it, until then.
    held: Option<(HoldId, Instant)>,
    /// The order that owns it, and when its client was told.
    sold: Option<(OrderId, Instant)>,
}

/// Money that a client has given.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    /// For which order.
    pub(crate) order: OrderId,
    /// Who gave it.
    pub(crate) user: UserId,
    /// For a seat of which show.
    pub(crate) show: ShowId,
    /// Its reference.
    pub(crate) reference: String,
    seats: Vec<SeatId>,
    accounted_for: bool,
}

impl Book {
    /// A client who asked for seats at `asked` was told at `told` that they are his.
    pub(crate) fn granted(&self, show: ShowId, wanted: &[SeatId], held: &Held, asked: Instant, told: Instant) {
        self.write(|entries| {
            let hold = held.hold;
            if wanted.iter().collect::<HashSet<_>>() != held.seats.iter().collect::<HashSet<_>>() {
                entries.broken.push(format!("P3: hold {hold} of {show} is of {:?}, and {wanted:?} were asked for", held.seats));
            }
            let until = asked + held.lasts;
            for seat in &held.seats {
                let entry = entries.seats.entry((show, *seat)).or_default();
                if let Some((order, sold)) = entry.sold
                    && sold < asked
                {
                    entries.broken.push(format!("P2: hold {hold} was granted {seat} of {show}, which was sold to order {order}"));
                }
                match entry.held {
                    Some((other, until)) if other != hold && until > told => {
                        entries.broken.push(format!("P2: {seat} of {show} was granted to hold {hold} while hold {other} had it"));
                    }
                    _ => entry.held = Some((hold, until)),
                }
            }
            entries.holds.insert(hold, held.seats.iter().map(|seat| (show, *seat)).collect());
        });
    }

    /// Somebody is about to ask that a hold be let go.
    pub(crate) fn letting_go(&self, hold: HoldId) {
        self.write(|entries| {
            for place in entries.holds.remove(&hold).unwrap_or_default() {
                if let Some(seat) = entries.seats.get_mut(&place)
                    && seat.held.is_some_and(|(holder, _)| holder == hold)
                {
                    seat.held = None;
                }
            }
        });
    }

    /// A client has paid for an order, and is about to say so.
    pub(crate) fn paid(&self, order: OrderId, user: &UserId, show: ShowId, seats: &[SeatId], reference: &str) {
        let (user, reference) = (user.clone(), reference.to_owned());
        let payment = Payment { order, user, show, reference, seats: seats.to_vec(), accounted_for: false };
        self.write(|entries| _ = entries.payments.insert(order, payment));
    }

    /// A client was told that his order is confirmed.
    pub(crate) fn sold(&self, show: ShowId, sale: &Sale, told: Instant) {
        self.write(|entries| {
            let order = sale.order;
            if sale.code.is_empty() || *entries.codes.entry(sale.code.clone()).or_insert(order) != order {
                entries
                    .broken
                    .push(format!("P7: order {order} has the ticket code {:?}, which is no code or another's", sale.code));
            }
            match entries.payments.get_mut(&order) {
                Some(payment) => {
                    payment.accounted_for = true;
                    if payment.seats.iter().collect::<HashSet<_>>() != sale.seats.iter().collect::<HashSet<_>>() {
                        let broken =
                            format!("P3: order {order} of {show} is of {:?}, and {:?} were held", sale.seats, payment.seats);
                        entries.broken.push(broken);
                    }
                }
                None => entries.broken.push(format!("P4: order {order} of {show} is confirmed, and nobody has paid for it")),
            }
            for seat in &sale.seats {
                let entry = entries.seats.entry((show, *seat)).or_default();
                match entry.sold {
                    Some((other, _)) if other != order => {
                        entries.broken.push(format!("P1: {seat} of {show} was sold to orders {other} and {order}"));
                    }
                    Some(_) => {}
                    None => {
                        entry.sold = Some((order, told));
                        entries.sold += 1;
                    }
                }
            }
        });
    }

    /// A client who has paid was refused.
    pub(crate) fn refused(&self, order: OrderId, refusal: &Refusal) {
        self.write(|entries| {
            let Some(payment) = entries.payments.get_mut(&order) else { return };
            if refusal.refund_due {
                payment.accounted_for = true;
            } else if FINAL.contains(&refusal.cause.as_str()) {
                payment.accounted_for = true;
                let (reference, cause) = (&payment.reference, &refusal.cause);
                let broken = format!("P4: payment {reference} of order {order} was refused ({cause}), and no refund is due");
                entries.broken.push(broken);
            }
        });
    }

    /// Payments of which nobody was told what came of them.
    pub(crate) fn open_payments(&self) -> Vec<Payment> {
        self.entries.lock().payments.values().filter(|payment| !payment.accounted_for).cloned().collect()
    }

    /// There is nobody left to ask: what is open now is lost.
    pub(crate) fn close(&self) {
        for Payment { order, reference, show, .. } in self.open_payments() {
            self.write(|entries| entries.broken.push(format!("P4: payment {reference} of order {order} of {show} is lost")));
        }
    }

    /// Holds the sold seats of a show's map, read when all was over, against what clients were told.
    pub(crate) fn compare(&self, show: ShowId, on_map: &HashSet<SeatId>) {
        self.write(|entries| {
            let of_show = entries.seats.iter().filter(|((place, _), _)| *place == show);
            let told: BTreeMap<SeatId, OrderId> =
                of_show.filter_map(|((_, seat), entry)| Some((*seat, entry.sold.as_ref()?.0))).collect();
            for (seat, order) in told.iter().filter(|(seat, _)| !on_map.contains(*seat)) {
                entries.broken.push(format!("P12: {seat} of {show} was sold to order {order}, and the map shows it as not sold"));
            }
            for seat in on_map.iter().filter(|seat| !told.contains_key(*seat)) {
                entries.broken.push(format!("P12: the map of {show} shows {seat} as sold, and nobody was told that it is his"));
            }
        });
    }

    /// The map of a show cannot be read.
    pub(crate) fn map_is_missing(&self, show: ShowId) {
        self.write(|entries| entries.broken.push(format!("P12: the map of {show} cannot be read, though all was over")));
    }

    /// How many seats clients were told are theirs.
    pub(crate) fn seats_sold(&self) -> u64 {
        self.entries.lock().sold
    }

    /// How many payments there are.
    pub(crate) fn payments(&self) -> u64 {
        self.entries.lock().payments.len() as u64
    }

    /// The promises that were broken, each with its seats and orders; the first of them, where they are many.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.entries.lock().broken.iter().take(TOLD).cloned().collect()
    }

    /// Waits until a promise is broken.
    pub(crate) async fn is_broken(&self) {
        self.broken.notified().await;
    }

    fn write(&self, entry: impl FnOnce(&mut Entries)) {
        let mut entries = self.entries.lock();
        entry(&mut entries);
        if !entries.broken.is_empty() {
            // Kept for the one who waits, or will.
            self.broken.notify_one();
        }
    }
}

/// The longest that anybody is asked for the fate of a payment when all is over.
pub(crate) const ASKED_FOR: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LASTS: Duration = Duration::from_secs(600);

    struct Desk {
        book: Book,
        start: Instant,
        show: ShowId,
    }

    fn desk() -> Desk {
        Desk { book: Book::default(), start: Instant::now(), show: ShowId::parse("show").unwrap() }
    }

    fn seats(names: &[&str]) -> Vec<SeatId> {
        names.iter().map(|name| SeatId::parse(name).unwrap()).collect()
    }

    impl Desk {
        fn hold_id(&self, number: u128) -> HoldId {
            HoldId::of(&self.show, Uuid::from_u128(number << 80))
        }

        fn order_id(&self, number: u128) -> OrderId {
            OrderId::new(self.show.shard(), Uuid::from_u128(number << 80))
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// Asked for at the one second, and told at the other.
        fn granted(&self, hold: u128, names: &[&str], asked: u64, told: u64) {
            let held = Held { hold: self.hold_id(hold), seats: seats(names), lasts: LASTS };
            self.book.granted(self.show, &held.seats, &held, self.at(asked), self.at(told));
        }

        fn paid(&self, order: u128, names: &[&str]) {
            let user = UserId::parse("user").unwrap();
            self.book.paid(self.order_id(order), &user, self.show, &seats(names), &format!("pay_ok_{order}"));
        }

        fn sold(&self, order: u128, names: &[&str], code: &str, told: u64) {
            let sale = Sale { order: self.order_id(order), seats: seats(names), code: code.to_owned() };
            self.book.sold(self.show, &sale, self.at(told));
        }

        /// The promises that are broken, each with all of `words` in its report.
        fn broken(&self, words: &[String]) -> Vec<String> {
            let broken = self.book.broken();
            assert!(broken.iter().all(|line| words.iter().all(|word| line.contains(word))), "{words:?} in {broken:?}");
            broken.iter().map(|line| line.split(':').next().unwrap().to_owned()).collect()
        }
    }

    #[test]
    fn an_ordinary_sale_breaks_nothing() {
        let desk = desk();
        desk.granted(1, &["A1", "A2"], 0, 1);
        desk.paid(1, &["A1", "A2"]);
        desk.sold(1, &["A1", "A2"], "BMS-1", 2);
        // Told twice, as who asks twice is.
        desk.sold(1, &["A1", "A2"], "BMS-1", 3);
        desk.book.compare(desk.show, &seats(&["A1", "A2"]).into_iter().collect());
        desk.book.close();
        assert_eq!(desk.book.broken(), Vec::<String>::new());
        assert_eq!((desk.book.seats_sold(), desk.book.payments()), (2, 1));
    }

    #[test]
    fn a_seat_sold_twice_is_named_with_both_orders() {
        let desk = desk();
        for order in [1, 2] {
            desk.paid(order, &["A1"]);
            desk.sold(order, &["A1"], &format!("BMS-{order}"), order as u64);
        }
        let words = ["A1".to_owned(), desk.order_id(1).to_string(), desk.order_id(2).to_string()];
        assert_eq!(desk.broken(&words), ["P1"]);
    }

    #[test]
    fn a_seat_cannot_be_granted_while_another_certainly_has_it() {
        let desk = desk();
        desk.granted(1, &["A1", "A2"], 0, 1);
        desk.granted(2, &["A2"], 2, 3);
        assert_eq!(desk.broken(&["A2".to_owned(), desk.hold_id(1).to_string(), desk.hold_id(2).to_string()]), ["P2"]);
    }

    #[test]
    fn a_seat_may_be_granted_again_after_its_hold_was_let_go_or_has_ended() {
        let desk = desk();
        desk.granted(1, &["A1"], 0, 1);
        desk.book.letting_go(desk.hold_id(1));
        desk.granted(2, &["A1"], 1, 2);
        // The second hold's time counts from when it was asked for: the store may have granted it at once.
        desk.granted(3, &["A1"], 600, 601 + 1);
        assert_eq!(desk.book.broken(), Vec::<String>::new());
        desk.granted(4, &["A1"], 602, 603);
        assert_eq!(desk.broken(&["A1".to_owned()]), ["P2"]);
    }

    #[test]
    fn a_seat_that_was_sold_cannot_be_granted() {
        let desk = desk();
        desk.paid(1, &["A1"]);
        desk.sold(1, &["A1"], "BMS-1", 5);
        // Asked for before anybody was told: the grant is as likely to have come first, and its loss of the seat legal.
        desk.granted(1, &["A1"], 4, 6);
        assert_eq!(desk.book.broken(), Vec::<String>::new());
        desk.book.letting_go(desk.hold_id(1));
        desk.granted(2, &["A1"], 6, 7);
        assert_eq!(desk.broken(&["A1".to_owned(), desk.order_id(1).to_string()]), ["P2"]);
    }

    #[test]
    fn other_seats_than_those_asked_for_are_a_breach() {
        let desk = desk();
        let held = Held { hold: desk.hold_id(1), seats: seats(&["A1"]), lasts: LASTS };
        desk.book.granted(desk.show, &seats(&["A1", "A2"]), &held, desk.at(0), desk.at(1));
        assert_eq!(desk.broken(&[desk.hold_id(1).to_string()]), ["P3"]);
    }

    #[test]
    fn a_payment_that_nobody_accounts_for_is_lost() {
        let desk = desk();
        desk.paid(1, &["A1"]);
        desk.paid(2, &["A2"]);
        desk.sold(2, &["A2"], "BMS-2", 1);
        let open: Vec<String> = desk.book.open_payments().into_iter().map(|payment| payment.reference).collect();
        assert_eq!(open, ["pay_ok_1"]);
        desk.book.close();
        assert_eq!(desk.broken(&[desk.order_id(1).to_string(), "pay_ok_1".to_owned()]), ["P4"]);
    }

    #[test]
    fn a_refused_payment_has_to_be_given_back() {
        let refusal = |cause: &str, refund_due| Refusal { cause: cause.to_owned(), refund_due };
        let desk = desk();
        desk.paid(1, &["A1"]);
        desk.book.refused(desk.order_id(1), &refusal("order-expired", true));
        // Nobody looked at the payment yet: it is still to be asked about.
        desk.paid(2, &["A2"]);
        desk.book.refused(desk.order_id(2), &refusal("rate-limited", false));
        assert_eq!(desk.book.broken(), Vec::<String>::new());
        assert_eq!(desk.book.open_payments().len(), 1);
        desk.book.refused(desk.order_id(2), &refusal("order-expired", false));
        assert_eq!(desk.broken(&[desk.order_id(2).to_string()]), ["P4"]);
    }

    #[test]
    fn the_last_map_has_to_say_what_clients_were_told() {
        for (on_map, word) in [(&["A1"][..], "A2"), (&["A1", "A2", "A3"], "A3")] {
            let desk = desk();
            desk.paid(1, &["A1", "A2"]);
            desk.sold(1, &["A1", "A2"], "BMS-1", 1);
            desk.book.compare(desk.show, &seats(on_map).into_iter().collect());
            assert_eq!(desk.broken(&[word.to_owned()]), ["P12"]);
        }
    }

    #[test]
    fn one_ticket_code_is_one_order_s() {
        let desk = desk();
        for order in [1, 2] {
            desk.paid(order, &[&format!("A{order}")]);
            desk.sold(order, &[&format!("A{order}")], "BMS-1", 1);
        }
        assert_eq!(desk.broken(&[desk.order_id(2).to_string()]), ["P7"]);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_breach_is_told() {
        let desk = desk();
        desk.sold(1, &["A1"], "BMS-1", 1);
        desk.book.is_broken().await;
        assert_eq!(desk.broken(&[]), ["P4"]);
    }
}
