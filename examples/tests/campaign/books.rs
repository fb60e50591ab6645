//! Holds the database, the ledger, the servers and what clients were answered against each other, when all is over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bms_domain::id::{ShowId, UserId};
use bms_domain::order::{Order, OrderState};
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
        let cancels = record.iter().filter(|exchange| exchange.ask.what == What::Cancel);
        let cancelled = cancels.map(|exchange| exchange.ask.about.as_str()).collect();
        let mut refunds: Vec<RefundDue> = Vec::new();
        loop {
            let after = refunds.last().map(|due| (due.order, due.reference.clone()));
            let more = store.refunds_due(after.as_ref(), 500).await.unwrap();
            if more.is_empty() {
                return Self { record, ledger, orders, refunds, cancelled };
            }
            refunds.extend(more);
        }
    }

    /// Every promise that is broken, with what shows it.
    pub(crate) fn judge(&self) -> Vec<String> {
        [self.answered_orders(), self.answered_ends(), self.seats_sold_twice(), self.payments(), self.money_from_nowhere()]
            .into_iter()
            .flatten()
            .collect()
    }

    fn answered(&self, what: What, status: &'static [u16]) -> impl Iterator<Item = &Exchange> {
        let is = move |exchange: &&Exchange| {
            exchange.ask.what == what && exchange.answer.status().is_some_and(|it| status.contains(&it))
        };
        self.record.iter().filter(is)
    }

    /// P3, P9: an order that was answered is there, with the seats, the price and the owner that were answered.
    fn answered_orders(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for exchange in self.answered(What::Order, &[200, 201]) {
            let body = exchange.answer.body();
            let found = exchange.answer.text("orderId").and_then(|id| self.orders.get(id));
            let is_right = found.is_some_and(|order| {
                let seats: Vec<String> = order.seats.ids().map(|seat| seat.to_string()).collect();
                let amount = shows::price(order.show.as_str(), seats.len());
                body["seatIds"] == json!(seats)
                    && body["amount"] == amount
                    && order.price.amount() == amount
                    && body["showId"] == order.show.as_str()
                    && body["holdId"] == exchange.ask.about
                    && order.hold.to_string() == exchange.ask.about
                    && order.owner.as_str() == exchange.ask.user
            });
            if !is_right {
                broken.push(format!("P3: answered, and kept as {found:?}: {}", told(exchange)));
            }
        }
        broken
    }

    /// P1, P7: what was answered as confirmed, cancelled or given up is; and nothing waits any more.
    fn answered_ends(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for what in [What::Confirm, What::Cancel, What::GiveUp] {
            for exchange in self.answered(what, &[200]) {
                let order = self.orders.get(&exchange.ask.about);
                let code = exchange.answer.text("ticketCode");
                let is_right = order.is_some_and(|order| match (&order.state, what) {
                    (OrderState::Confirmed { ticket, .. }, What::Confirm) => code == Some(ticket.code.to_string().as_str()),
                    (OrderState::Cancelled { ticket, .. }, What::Confirm) => {
                        code == Some(ticket.code.to_string().as_str()) && self.cancelled.contains(exchange.ask.about.as_str())
                    }
                    (OrderState::Cancelled { .. }, What::Cancel) => true,
                    // A payment that came after all has brought it back.
                    (OrderState::Confirmed { .. } | OrderState::Failed { .. } | OrderState::Cancelled { .. }, What::GiveUp) => {
                        true
                    }
                    _ => false,
                });
                if !is_right {
                    broken.push(format!("P7: answered, and kept as {order:?}: {}", told(exchange)));
                }
            }
        }
        let waiting = self.orders.values().filter(|order| order.state.is_pending());
        broken.extend(waiting.map(|order| format!("P5: order {} still waits for payment", order.id)));
        broken
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
        let mut dues: HashMap<&str, usize> = HashMap::new();
        self.refunds.iter().for_each(|due| *dues.entry(due.reference.as_str()).or_default() += 1);
        let mut broken = Vec::new();
        for (reference, charge) in self.ledger {
            let order = self.orders.get(&charge.order);
            let counted = usize::from(order.is_some_and(|order| pays(order) == Some(reference.as_str())));
            let due = dues.get(reference.as_str()).copied().unwrap_or(0);
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

    /// P4: nothing is counted or given back that nobody paid, or that has no reason.
    fn money_from_nowhere(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for order in self.orders.values().filter(|order| order.state.is_confirmed()) {
            let paid = pays(order).and_then(|reference| self.ledger.get(reference));
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
                    RefundReason::OrderCancelled => self.cancelled.contains(id.as_str()),
                    RefundReason::AlreadyPaid => {
                        pays(order).is_some_and(|payment| payment != due.reference.as_str())
                            || self.cancelled.contains(id.as_str())
                    }
                    RefundReason::SeatsGone => true,
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
                if !map.is_ok() || listed(&map, "unavailableSeatIds") != names || !listed(&map, "heldSeatIds").is_empty() {
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

/// The payment that an order was confirmed with.
fn pays(order: &Order) -> Option<&str> {
    match &order.state {
        OrderState::Confirmed { payment, .. } => Some(payment.as_str()),
        OrderState::PaymentPending | OrderState::Failed { .. } | OrderState::Expired { .. } | OrderState::Cancelled { .. } => {
            None
        }
    }
}

/// A fresh map, when the last holds are over: they end by their time.
async fn map_without_holds(desk: &Desk, booth: usize, show: &str) -> Answer {
    let ask = ask(What::Map, "", format!("/api/v1/shows/{show}/seatmap?layout=false"), show);
    until_given(desk, booth, &ask, |map| listed(map, "heldSeatIds").is_empty()).await
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

/// The names in a list of an answer.
fn listed(answer: &Answer, member: &str) -> BTreeSet<String> {
    answer.body()[member].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
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
