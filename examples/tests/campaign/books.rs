//! Holds the database, the ledger, the servers and what clients were answered against each other, when all is over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bms_domain::id::{ShowId, UserId};
use bms_domain::money::Currency;
use bms_domain::order::{Order, OrderState, Ticket};
use bms_domain::payment::{RefundDue, RefundReason};
use bms_domain::store::OrderStore as _;
use bms_postgres::{Postgres, PostgresConfig, PostgresOrders};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::answers::told;
use crate::counters::Counters;
use crate::plan::BOOTHS;
use crate::provider::Charge;
use crate::record::{Answer, Ask, Desk, Exchange, What};
use crate::shows;

/// How many are asked for together.
const AT_ONCE: usize = 16;

/// How long holds may last after all is over: the longest is one of an order, made on a clock that was 6 s ahead.
const HOLDS_END_WITHIN: Duration = Duration::from_secs(30);

/// Everything that is written down anywhere.
pub(crate) struct Books<'a> {
    pub(crate) record: &'a [Exchange],
    pub(crate) ledger: &'a HashMap<String, Charge>,
    /// Orders by their ids.
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) refunds: Vec<RefundDue>,
    /// Orders that somebody wanted to be cancelled.
    cancelled: BTreeSet<&'a str>,
    /// How many orders each payment was counted for, and how often it is to be given back, by its reference.
    counted: HashMap<String, usize>,
    due: HashMap<String, usize>,
}

impl<'a> Books<'a> {
    /// Reads the orders of everybody who has asked for one, and all refunds, as the library reads them.
    pub(crate) async fn read(store: &PostgresOrders, record: &'a [Exchange], ledger: &'a HashMap<String, Charge>) -> Self {
        let mut orders = BTreeMap::new();
        for user in buyers(record) {
            for order in store.list(&UserId::parse(user).unwrap(), None, 1_000).await.unwrap() {
                orders.insert(order.id.to_string(), order);
            }
        }
        let mut refunds: Vec<RefundDue> = Vec::new();
        loop {
            let after = refunds.last().map(|due| (due.order, due.reference.clone()));
            let more = store.refunds_due(after.as_ref(), 500).await.unwrap();
            if more.is_empty() {
                return Self::of(record, ledger, orders, refunds);
            }
            refunds.extend(more);
        }
    }

    /// What is written down, as values.
    fn of(
        record: &'a [Exchange],
        ledger: &'a HashMap<String, Charge>,
        orders: BTreeMap<String, Order>,
        refunds: Vec<RefundDue>,
    ) -> Self {
        let cancels = record.iter().filter(|exchange| exchange.ask.what == What::Cancel);
        let cancelled = cancels.map(|exchange| exchange.ask.about.as_str()).collect();
        let counted = tally(orders.values().filter(|order| order.state.is_confirmed()).filter_map(paid_by));
        let due = tally(refunds.iter().map(|due| due.reference.as_str()));
        Self { record, ledger, orders, refunds, cancelled, counted, due }
    }

    /// Every promise that is broken, with what shows it.
    pub(crate) fn judge(&self) -> Vec<String> {
        let broken = [
            self.answered_orders(),
            self.answered_ends(),
            self.orders_that_wait(),
            self.seats_sold_twice(),
            self.payments(),
            self.promised_refunds(),
            self.money_from_nowhere(),
        ];
        broken.into_iter().flatten().collect()
    }

    fn answered(&self, what: What, status: &'static [u16]) -> impl Iterator<Item = &Exchange> {
        let is = move |exchange: &&Exchange| {
            exchange.ask.what == what && exchange.answer.status().is_some_and(|it| status.contains(&it))
        };
        self.record.iter().filter(is)
    }

    /// P3, P9: an order that was answered is there, with the hold and the owner that asked for it, as it was answered.
    fn answered_orders(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for exchange in self.answered(What::Order, &[200, 201]) {
            let found = exchange.answer.text("orderId").and_then(|id| self.orders.get(id));
            let is_right = found.is_some_and(|order| {
                is_told_right(exchange.answer.body(), order)
                    && order.hold.to_string() == exchange.ask.about
                    && order.owner.as_str() == exchange.ask.user
            });
            if !is_right {
                broken.push(format!("P3: answered, and kept as {found:?}: {}", told(exchange)));
            }
        }
        broken
    }

    /// P1, P7: an order that was answered as confirmed, cancelled, given up or under way is the one that was asked about, as it
    /// was answered, and came to an end that fits.
    fn answered_ends(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let answers: [(What, &[u16], &str); 4] = [
            (What::Confirm, &[200], "CONFIRMED"),
            (What::Confirm, &[202], "PAYMENT_PENDING"),
            (What::Cancel, &[200], "CANCELLED"),
            (What::GiveUp, &[200], "FAILED"),
        ];
        for (what, status, state) in answers {
            for exchange in self.answered(what, status) {
                let (order, body) = (self.orders.get(&exchange.ask.about), exchange.answer.body());
                let is_right = order.is_some_and(|order| {
                    let is_allowed = what == What::Cancel || order.owner.as_str() == exchange.ask.user;
                    is_allowed && is_told_right(body, order) && body["status"] == state && self.ended_as_told(order, exchange)
                });
                if !is_right {
                    broken.push(format!("P7: answered, and kept as {order:?}: {}", told(exchange)));
                }
            }
        }
        broken
    }

    /// Whether an order came to an end that an answer about it allows: with the same ticket, for the same payment.
    fn ended_as_told(&self, order: &Order, exchange: &Exchange) -> bool {
        let is_same = |ticket: &Ticket| {
            exchange.answer.text("ticketCode") == Some(ticket.code.to_string().as_str())
                && exchange.ask.reference.as_deref() == paid_by(order)
        };
        match (exchange.ask.what, exchange.answer.status(), &order.state) {
            // Nothing was promised.
            (What::Confirm, Some(202), _) => true,
            (What::Confirm, _, OrderState::Confirmed { ticket, .. }) => is_same(ticket),
            (What::Confirm, _, OrderState::Cancelled { ticket, .. }) => {
                is_same(ticket) && self.cancelled.contains(order.id.to_string().as_str())
            }
            (What::Cancel, _, OrderState::Cancelled { .. }) => exchange.answer.owes_refund(),
            // A payment that came after all has brought it back.
            (What::GiveUp, _, state) => {
                matches!(state, OrderState::Confirmed { .. } | OrderState::Failed { .. } | OrderState::Cancelled { .. })
            }
            _ => false,
        }
    }

    fn orders_that_wait(&self) -> Vec<String> {
        let waiting = self.orders.values().filter(|order| order.state.is_pending());
        waiting.map(|order| format!("P5: order {} still waits for payment", order.id)).collect()
    }

    fn seats_sold_twice(&self) -> Vec<String> {
        let mut owners: BTreeMap<(&str, String), &str> = BTreeMap::new();
        let mut broken = Vec::new();
        for (id, order) in self.orders.iter().filter(|(_, order)| order.state.is_confirmed()) {
            for seat in order.seats.ids() {
                if let Some(other) = owners.insert((order.show.as_str(), seat.to_string()), id) {
                    broken.push(format!("P1: {seat} of {} is sold to orders {id} and {other}", order.show));
                }
            }
        }
        broken
    }

    /// P4: a success of the ledger that was reported, by a notice that was taken or a confirmation that was answered, is counted
    /// for its order or to be given back, once. Another is nowhere, unless the servers heard of it all the same.
    fn payments(&self) -> Vec<String> {
        let definite = |exchange: &&Exchange| exchange.ask.what == What::Confirm && !exchange.answer.is_open();
        let answered: BTreeSet<&str> =
            self.record.iter().filter(definite).filter_map(|exchange| exchange.ask.reference.as_deref()).collect();
        let mut broken = Vec::new();
        for (reference, charge) in self.ledger {
            let order = self.orders.get(&charge.order);
            let (counted, due) = self.fate_of(reference);
            // Only the sandbox says on the spot that a payment has succeeded.
            let reported = charge.reported || (answered.contains(reference.as_str()) && reference.starts_with("pay_ok"));
            let is_right = match (charge.succeeded, reported) {
                (true, true) => counted + due == 1,
                (true, false) => counted + due <= 1,
                (false, _) => counted + due == 0,
            };
            if !is_right {
                broken.push(format!("P4: {reference} is counted {counted} times and due {due} times: {charge:?}, {order:?}"));
            }
            if counted == 1 && order.is_some_and(|order| order.price.amount() != charge.amount) {
                broken.push(format!("P4: {reference} is counted, and is not the price: {charge:?}, {order:?}"));
            }
        }
        broken
    }

    /// How many orders a payment was counted for, and how often it is to be given back.
    fn fate_of(&self, reference: &str) -> (usize, usize) {
        let of = |tally: &HashMap<String, usize>| tally.get(reference).copied().unwrap_or(0);
        (of(&self.counted), of(&self.due))
    }

    /// P4: who was refused, and told that his money is to be given back, is given back this very payment, once.
    fn promised_refunds(&self) -> Vec<String> {
        let promised = self.answered(What::Confirm, &[402, 409, 410]).filter(|exchange| exchange.answer.owes_refund());
        let kept = |exchange: &&Exchange| self.fate_of(exchange.ask.reference.as_deref().unwrap_or_default()) == (0, 1);
        let broken = promised.filter(|exchange| !kept(exchange));
        broken.map(|exchange| format!("P4: the money was promised, and is not due once alone: {}", told(exchange))).collect()
    }

    /// P4: nothing is counted or given back that nobody paid, or that has no reason.
    fn money_from_nowhere(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for order in self.orders.values().filter(|order| order.state.is_confirmed()) {
            let paid = paid_by(order).and_then(|reference| self.ledger.get(reference));
            if !paid.is_some_and(|charge| charge.succeeded && charge.order == order.id.to_string()) {
                broken.push(format!("P4: confirmed, and not paid for by {paid:?}: {order:?}"));
            }
        }
        for due in &self.refunds {
            let id = due.order.to_string();
            let (charge, order) = (self.ledger.get(due.reference.as_str()), self.orders.get(&id));
            let is_right = charge.zip(order).is_some_and(|(charge, order)| {
                let reason = match due.reason {
                    RefundReason::WrongAmount => charge.amount != order.price.amount(),
                    RefundReason::OrderCancelled => {
                        matches!(order.state, OrderState::Cancelled { .. }) && self.cancelled.contains(id.as_str())
                    }
                    RefundReason::AlreadyPaid => paid_by(order).is_some_and(|payment| payment != due.reference.as_str()),
                    RefundReason::SeatsGone => self.wanted_by_another(order),
                    _ => false,
                };
                charge.succeeded && charge.order == id && charge.amount == due.amount.amount() && reason
            });
            if !is_right {
                broken.push(format!("P4: due without a reason: {due:?}, {charge:?}, {order:?}"));
            }
        }
        broken
    }

    /// Whether another order has ever claimed one of its seats. Whatever became of that one: it was in the way while it waited.
    fn wanted_by_another(&self, order: &Order) -> bool {
        let seats: BTreeSet<_> = order.seats.ids().collect();
        let shares = |other: &Order| other.show == order.show && other.seats.ids().any(|seat| seats.contains(&seat));
        self.orders.values().any(|other| other.id != order.id && shares(other))
    }

    /// P5, P12: each server shows exactly what is sold as sold, and nothing as held; and tells everybody of his orders as they are.
    pub(crate) async fn compare_with_servers(&self, store: &PostgresOrders, desk: &Desk) -> Vec<String> {
        let mut broken = Vec::new();
        let wanted: BTreeSet<&str> = self.record.iter().map(|exchange| exchange.ask.about.as_str()).collect();
        for (show, seats) in shows::all().filter(|(show, _)| wanted.contains(show.as_str())) {
            let sold = self.orders.values().filter(|order| order.state.is_confirmed() && order.show.as_str() == show);
            let names: BTreeSet<String> =
                sold.flat_map(|order| order.seats.ids().map(|seat| seat.to_string()).collect::<Vec<_>>()).collect();
            let bits = store.sold(&ShowId::parse(&show).unwrap(), seats).await.unwrap();
            if bits.count() as usize != names.len() {
                broken.push(format!("P1: {} seats of {show} are sold, and {} are in orders", bits.count(), names.len()));
            }
            for booth in 0..BOOTHS {
                let map = map_without_holds(desk, booth, &show).await;
                let shown: BTreeSet<&str> = names.iter().map(String::as_str).collect();
                if !map.is_ok() || map.texts("unavailableSeatIds") != shown || !map.texts("heldSeatIds").is_empty() {
                    broken.push(format!("P12: of {show} {names:?} are sold, and server {booth} shows {map:?}"));
                }
            }
        }
        let buyers: Vec<&str> = buyers(self.record).into_iter().collect();
        for (group, users) in buyers.chunks(AT_ONCE).enumerate() {
            let told = join_all(users.iter().map(|user| self.compare_with_told(user, group % BOOTHS, desk))).await;
            broken.extend(told.into_iter().flatten());
        }
        broken
    }

    async fn compare_with_told(&self, user: &str, booth: usize, desk: &Desk) -> Option<String> {
        let answer =
            until_given(desk, booth, &ask(What::Look, user, "/api/v1/orders?limit=100".to_owned(), user), |_| true).await;
        let told: BTreeMap<&str, &str> = answer.body()["orders"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|order| Some((order["orderId"].as_str()?, order["status"].as_str()?)))
            .collect();
        let own = self.orders.iter().filter(|(_, order)| order.owner.as_str() == user);
        let kept: BTreeMap<&str, &str> = own.map(|(id, order)| (id.as_str(), order.state.name())).collect();
        (told != kept).then(|| format!("P7: {user} has {kept:?}, and server {booth} tells him of {answer:?}"))
    }

    /// What came about at all.
    pub(crate) fn count(&self, counters: &Counters) {
        let with = |is: fn(&Order) -> bool| self.orders.values().filter(|order| is(order)).count();
        counters.add("orders", self.orders.len());
        counters.add("orders confirmed", with(|order| order.state.is_confirmed()));
        counters.add("orders cancelled", with(|order| matches!(order.state, OrderState::Cancelled { .. })));
        counters.add("orders failed", with(|order| matches!(order.state, OrderState::Failed { .. })));
        counters.add("orders expired", with(|order| matches!(order.state, OrderState::Expired { .. })));
        let late = |order: &Order| matches!(order.state, OrderState::Confirmed { at, .. } if at >= order.expires_at);
        counters.add("late payments recovered", with(late));
        for (name, reason) in [
            ("refunds: wrong amount", RefundReason::WrongAmount),
            ("refunds: seats gone", RefundReason::SeatsGone),
            ("refunds: cancelled", RefundReason::OrderCancelled),
        ] {
            counters.add(name, self.refunds.iter().filter(|due| due.reason == reason).count());
        }
        counters.add("payments that succeeded", self.ledger.values().filter(|charge| charge.succeeded).count());
    }
}

/// The store as the library gives it.
pub(crate) async fn store(database: &str) -> PostgresOrders {
    PostgresOrders::new(Postgres::connect(&PostgresConfig::new(database).unwrap()).await.unwrap())
}

/// The payment that an order was confirmed with, also if it was cancelled since.
fn paid_by(order: &Order) -> Option<&str> {
    match &order.state {
        OrderState::Confirmed { payment, .. } | OrderState::Cancelled { payment, .. } => Some(payment.as_str()),
        OrderState::PaymentPending | OrderState::Failed { .. } | OrderState::Expired { .. } => None,
    }
}

/// P3: whether an answer tells of an order as it is kept, with the seats of its hold at their price.
fn is_told_right(body: &Value, order: &Order) -> bool {
    let seats: Vec<String> = order.seats.ids().map(|seat| seat.to_string()).collect();
    let amount = shows::price(order.show.as_str(), seats.len());
    body["orderId"] == order.id.to_string()
        && body["holdId"] == order.hold.to_string()
        && body["showId"] == order.show.as_str()
        && body["seatIds"] == json!(seats)
        && body["amount"] == amount
        && body["currency"] == "GBP"
        && (order.price.amount(), order.price.currency()) == (amount, Currency::GBP)
        // What is once due stays so.
        && (body["refundDue"] == false || order.refund_due)
}

/// How often each is there.
fn tally<'n>(names: impl Iterator<Item = &'n str>) -> HashMap<String, usize> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    names.for_each(|name| *counts.entry(name.to_owned()).or_default() += 1);
    counts
}

/// A fresh map, when the last holds are over: they end by their time.
async fn map_without_holds(desk: &Desk, booth: usize, show: &str) -> Answer {
    let ask = ask(What::Map, "", format!("/api/v1/shows/{show}/seatmap?layout=false"), show);
    until_given(desk, booth, &ask, |map| map.texts("heldSeatIds").is_empty()).await
}

/// An answer that is as wanted, or the last when it does not come.
async fn until_given(desk: &Desk, booth: usize, ask: &Ask, is_wanted: impl Fn(&Answer) -> bool) -> Answer {
    let until = desk.now() + HOLDS_END_WITHIN;
    loop {
        let answer = desk.ask(booth, ask).await;
        if (answer.is_ok() && is_wanted(&answer)) || desk.now() > until {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Everybody who has asked for an order.
fn buyers(record: &[Exchange]) -> BTreeSet<&str> {
    record.iter().filter(|exchange| exchange.ask.what == What::Order).map(|exchange| exchange.ask.user.as_str()).collect()
}

fn ask(what: What, user: &str, path: String, about: &str) -> Ask {
    Ask {
        what,
        user: user.to_owned(),
        method: Method::GET,
        path,
        about: about.to_owned(),
        key: None,
        reference: None,
        body: None,
    }
}

#[cfg(test)]
mod tests {
    use bms_domain::id::{HoldId, IdSource as _, LayoutId, OrderId, SeatId, Shard, SystemIds};
    use bms_domain::money::Money;
    use bms_domain::order::{Customer, FailReason};
    use bms_domain::payment::PaymentReference;
    use bms_domain::time::Timestamp;

    use super::*;

    /// Books that something can be changed in.
    #[derive(Default)]
    struct Written {
        record: Vec<Exchange>,
        ledger: HashMap<String, Charge>,
        orders: Vec<Order>,
        refunds: Vec<RefundDue>,
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000)
    }

    fn confirmed(payment: &str) -> OrderState {
        let payment = PaymentReference::parse(payment).unwrap();
        OrderState::Confirmed { ticket: Ticket::draw(&SystemIds).unwrap(), payment, at: now() }
    }

    fn money(amount: i64) -> Money {
        Money::new(amount, Currency::GBP).unwrap()
    }

    fn seats(name: &str) -> bms_domain::seat::SeatList {
        [(0, SeatId::parse(name).unwrap())].into_iter().collect()
    }

    /// How an order is answered.
    fn body(order: &Order, status: &str) -> Value {
        let seats: Vec<String> = order.seats.ids().map(|seat| seat.to_string()).collect();
        let code = match &order.state {
            OrderState::Confirmed { ticket, .. } | OrderState::Cancelled { ticket, .. } => Some(ticket.code.to_string()),
            _ => None,
        };
        json!({"orderId": order.id.to_string(), "holdId": order.hold.to_string(), "showId": order.show.as_str(), "seatIds": seats,
            "status": status, "amount": order.price.amount(), "currency": "GBP", "ticketCode": code, "refundDue": false})
    }

    impl Written {
        /// An order of a seat, answered as it is.
        fn order(&mut self, user: &str, seat: &str, state: OrderState) -> &mut Order {
            let show = ShowId::parse("rush-0").unwrap();
            let order = Order {
                id: OrderId::new(Shard::of(&show), SystemIds.uuid()),
                hold: HoldId::of(&show, SystemIds.uuid()),
                show,
                layout: LayoutId::parse("small").unwrap(),
                owner: UserId::parse(user).unwrap(),
                seats: seats(seat),
                price: money(9_900),
                customer: Customer { name: "A".to_owned(), email: "a@example.org".to_owned() },
                created_at: now(),
                expires_at: now(),
                state,
                refund_due: false,
            };
            let (hold, told) = (order.hold.to_string(), body(&order, "PAYMENT_PENDING"));
            self.answer(What::Order, user, &hold, 201, told);
            self.orders.push(order);
            self.orders.last_mut().unwrap()
        }

        fn answer(&mut self, what: What, user: &str, about: &str, status: u16, body: Value) -> &mut Exchange {
            let ask = Ask { reference: Some(format!("pay_ok_{user}")), ..ask(what, user, String::new(), about) };
            let answer = Answer::Given { status, body, replayed: false };
            self.record.push(Exchange { ask, booth: 0, began: Duration::ZERO, ended: Duration::ZERO, answer });
            self.record.last_mut().unwrap()
        }

        fn charge(&mut self, user: &str, order: &Order) {
            let charge = Charge { order: order.id.to_string(), amount: order.price.amount(), succeeded: true, reported: true };
            self.ledger.insert(format!("pay_ok_{user}"), charge);
        }

        fn refund(&mut self, user: &str, order: &Order, reason: RefundReason) {
            let reference = PaymentReference::parse(&format!("pay_ok_{user}")).unwrap();
            self.refunds.push(RefundDue { order: order.id, reference, amount: order.price, reason });
        }

        /// A sale.
        fn buys(&mut self, user: &str, seat: &str) -> Order {
            let order = self.order(user, seat, confirmed(&format!("pay_ok_{user}"))).clone();
            self.charge(user, &order);
            self.answer(What::Confirm, user, &order.id.to_string(), 200, body(&order, "CONFIRMED"));
            order
        }

        /// A payment that came too late, and was refused.
        fn is_late(&mut self, user: &str, seat: &str) {
            let order = self.order(user, seat, OrderState::Expired { at: now() });
            order.refund_due = true;
            let order = order.clone();
            self.charge(user, &order);
            self.refund(user, &order, RefundReason::SeatsGone);
            self.answer(What::Confirm, user, &order.id.to_string(), 410, json!({"refundDue": true}));
        }

        /// A sale that is cancelled.
        fn is_cancelled(&mut self, user: &str, seat: &str) {
            let sold = self.buys(user, seat);
            let OrderState::Confirmed { ticket, payment, at } = sold.state.clone() else { unreachable!("it is sold") };
            let order = Order { state: OrderState::Cancelled { ticket, payment, at }, refund_due: true, ..sold };
            self.refund(user, &order, RefundReason::OrderCancelled);
            let mut told = body(&order, "CANCELLED");
            told["refundDue"] = json!(true);
            self.answer(What::Cancel, "admin", &order.id.to_string(), 200, told);
            *self.orders.last_mut().unwrap() = order;
        }

        /// An order that is given up.
        fn gives_up(&mut self, user: &str, seat: &str) {
            let state = OrderState::Failed { reason: FailReason::GivenUp, at: now() };
            let order = self.order(user, seat, state).clone();
            self.answer(What::GiveUp, user, &order.id.to_string(), 200, body(&order, "FAILED"));
        }

        fn of(&mut self, user: &str) -> &mut Order {
            self.orders.iter_mut().find(|order| order.owner.as_str() == user).unwrap()
        }

        fn told(&mut self, what: What) -> &mut Value {
            let found = self.record.iter_mut().find(|exchange| exchange.ask.what == what).unwrap();
            let Answer::Given { body, .. } = &mut found.answer else { unreachable!("all were answered") };
            body
        }

        fn broken(&self) -> Vec<String> {
            let orders = self.orders.iter().map(|order| (order.id.to_string(), order.clone())).collect();
            let books = Books::of(&self.record, &self.ledger, orders, self.refunds.clone());
            books.judge().iter().map(|broken| broken.split(':').next().unwrap().to_owned()).collect()
        }
    }

    /// What is found in right books with one thing wrong: Ann has bought A1, Ben paid for it too late, Cat's sale was cancelled, and
    /// Dan gave his order up.
    fn planted(wrong: impl FnOnce(&mut Written)) -> Vec<String> {
        let mut books = Written::default();
        books.buys("ann", "A1");
        books.is_late("ben", "A1");
        books.is_cancelled("cat", "A2");
        books.gives_up("dan", "A3");
        wrong(&mut books);
        books.broken()
    }

    #[test]
    fn in_right_books_nothing_is_found() {
        assert_eq!(planted(|_| {}), [""; 0]);
        assert_eq!(planted(|books| _ = books.buys("eve", "A2")), [""; 0], "a seat that was cancelled is sold again");
    }

    #[test]
    fn a_seat_that_two_orders_have_is_found() {
        assert_eq!(planted(|books| _ = books.buys("eve", "A1")), ["P1"]);
    }

    #[test]
    fn money_that_is_lost_or_counted_twice_is_found() {
        let uncounted = |books: &mut Written| {
            let order = books.of("dan").clone();
            books.charge("dan", &order);
        };
        assert_eq!(planted(uncounted), ["P4"]);
        let counted_and_due = |books: &mut Written| {
            let order = books.of("ann").clone();
            books.refund("ann", &order, RefundReason::AlreadyPaid);
        };
        assert_eq!(planted(counted_and_due), ["P4"; 2], "once as too much, once as without a reason");
        let counted_for_two = |books: &mut Written| books.of("dan").state = confirmed("pay_ok_ann");
        assert_eq!(planted(counted_for_two), ["P4"; 2], "once as too much, once as another order's");
        let due_twice = |books: &mut Written| books.refunds.push(books.refunds[0].clone());
        assert_eq!(planted(due_twice), ["P4"; 2], "once as too much, once as another thing than was promised");
        let wrong_amount = |books: &mut Written| books.ledger.get_mut("pay_ok_ann").unwrap().amount += 1;
        assert_eq!(planted(wrong_amount), ["P4"]);
        let failed = |books: &mut Written| books.ledger.get_mut("pay_ok_ann").unwrap().succeeded = false;
        assert_eq!(planted(failed), ["P4"; 2], "once as counted, once as not paid for");
    }

    #[test]
    fn an_order_that_is_lost_or_another_than_was_answered_is_found() {
        assert_eq!(planted(|books| books.orders.truncate(3)), ["P3", "P7"]);
        assert_eq!(planted(|books| books.of("dan").price = money(9_901)), ["P3", "P7"]);
        assert_eq!(planted(|books| books.of("dan").seats = seats("A4")), ["P3", "P7"]);
        assert_eq!(planted(|books| books.of("dan").owner = UserId::parse("eve").unwrap()), ["P3", "P7"]);
        assert_eq!(planted(|books| books.of("dan").show = ShowId::parse("rush-1").unwrap()), ["P3", "P7"]);
        assert_eq!(planted(|books| books.told(What::Order)["amount"] = json!(1)), ["P3"]);
    }

    #[test]
    fn an_end_that_is_another_than_was_answered_is_found() {
        for what in [What::Confirm, What::Cancel, What::GiveUp] {
            let told = [
                ("orderId", json!("1")),
                ("showId", json!("rush-1")),
                ("seatIds", json!(["A7"])),
                ("amount", json!(1)),
                ("currency", json!("EUR")),
                ("status", json!("EXPIRED")),
            ];
            for (member, value) in told {
                assert_eq!(planted(|books| books.told(what)[member] = value), ["P7"], "{what:?} {member}");
            }
        }
        assert_eq!(planted(|books| books.told(What::Confirm)["ticketCode"] = json!("BMS-000000")), ["P7"]);
        assert_eq!(planted(|books| books.told(What::Cancel)["refundDue"] = json!(false)), ["P7"]);
        let of_another = |books: &mut Written| {
            let order = books.of("dan").clone();
            books.answer(What::GiveUp, "eve", &order.id.to_string(), 200, body(&order, "FAILED"));
        };
        assert_eq!(planted(of_another), ["P7"]);
        let under_way = |books: &mut Written| {
            let order = books.of("dan").clone();
            books.answer(What::Confirm, "dan", &order.id.to_string(), 202, body(&order, "PAYMENT_PENDING"));
        };
        assert_eq!(planted(under_way), [""; 0]);
        let pending = |books: &mut Written| books.of("dan").state = OrderState::PaymentPending;
        assert_eq!(planted(pending), ["P7", "P5"], "once as not given up, once as waiting");
        let waits = |books: &mut Written| _ = books.order("eve", "A4", OrderState::PaymentPending);
        assert_eq!(planted(waits), ["P5"]);
    }

    #[test]
    fn a_refund_without_a_reason_is_found() {
        let reason = |user: &'static str, reason| {
            planted(move |books| {
                let reference = format!("pay_ok_{user}");
                books.refunds.iter_mut().find(|due| due.reference.as_str() == reference).unwrap().reason = reason;
            })
        };
        use RefundReason::{AlreadyPaid, OrderCancelled, SeatsGone, UnknownOrder, WrongAmount};
        for without in [WrongAmount, OrderCancelled, AlreadyPaid, UnknownOrder] {
            assert_eq!(reason("ben", without), ["P4"], "{without:?}");
        }
        for without in [WrongAmount, SeatsGone, AlreadyPaid, UnknownOrder] {
            assert_eq!(reason("cat", without), ["P4"], "{without:?}");
        }
        assert_eq!(planted(|books| books.is_late("eve", "A3")), [""; 0], "Dan's order was in the way while it waited");
        assert_eq!(planted(|books| books.is_late("eve", "A4")), ["P4"], "nobody else has wanted it");
    }

    #[test]
    fn a_refund_that_is_promised_and_not_due_is_found() {
        let promised = |user: &'static str, status, body| {
            planted(move |books| {
                let order = books.of(user).id.to_string();
                books.answer(What::Confirm, user, &order, status, body);
            })
        };
        assert_eq!(promised("ben", 410, json!({"refundDue": true})), [""; 0]);
        assert_eq!(promised("cat", 409, json!({"refundDue": true})), [""; 0]);
        assert_eq!(promised("ann", 409, json!({"refundDue": true})), ["P4"], "it is counted");
        assert_eq!(promised("dan", 410, json!({"refundDue": true})), ["P4"], "nothing was paid");
        assert_eq!(promised("dan", 402, json!({"order": {"refundDue": true}})), ["P4"], "nothing was paid");
        assert_eq!(promised("dan", 410, json!({})), [""; 0]);
    }

    #[test]
    fn a_sale_that_nobody_paid_for_is_found() {
        assert_eq!(planted(|books| _ = books.ledger.remove("pay_ok_ann")), ["P4"]);
        let unknown = |books: &mut Written| _ = books.ledger.remove("pay_ok_ben");
        assert_eq!(planted(unknown), ["P4"], "nor is anything given back that nobody paid");
    }
}
