//! Holds what clients were answered against itself: no look at a database, nothing that only this program could know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;

use crate::counters::Counters;
use crate::plan::Fault;
use crate::record::{Answer, Exchange, What};
use crate::signs::Struck;

/// When the server has answered every request, by its documentation.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the road there and back may take, beside what this machine itself is late by.
const SLACK: Duration = Duration::from_secs(5);

/// What a client that was answered may rely on, and what was broken of it.
pub(crate) struct Answers<'a> {
    pub(crate) record: &'a [Exchange],
    pub(crate) struck: &'a [Struck],
    /// How late a timer of this program was at most.
    pub(crate) lag: Duration,
    pub(crate) counters: &'a Counters,
}

/// An order that a client was told is his.
struct Sale<'a> {
    order: &'a str,
    show: &'a str,
    seats: BTreeSet<&'a str>,
    code: &'a str,
    told: Duration,
}

impl Answers<'_> {
    /// Every promise that is broken, with what shows it.
    pub(crate) fn judge(&self) -> Vec<String> {
        let sales = self.sales();
        let broken = [
            self.strange_answers(),
            self.late_answers(),
            self.keys(),
            self.tickets(&sales),
            self.seats(&sales),
            self.maps(&sales),
            self.refused_payments(),
        ];
        broken.into_iter().flatten().collect()
    }

    /// Errors are those of the contract: no crash, no bug, nobody forgotten.
    fn strange_answers(&self) -> Vec<String> {
        let strange = self.record.iter().filter_map(|exchange| {
            let status = exchange.answer.status()?;
            let expected: &[u16] = match exchange.ask.what {
                What::Hold => &[201, 409, 503],
                What::Look => &[200, 404, 503],
                What::Release => &[200, 404, 409, 410, 503],
                What::Order => &[200, 201, 404, 409, 410, 503],
                What::GiveUp => &[200, 409, 410, 503],
                What::Confirm => &[200, 202, 402, 409, 410, 503],
                What::Cancel => &[200, 409, 503],
                What::Map | What::Notice => &[200, 503],
            };
            (!expected.contains(&status)).then(|| format!("the contract: {}", told(exchange)))
        });
        strange.collect()
    }

    /// P11: every request is answered in time, but for what its server was stopped for.
    fn late_answers(&self) -> Vec<String> {
        let stopped = |exchange: &Exchange| {
            let spans = self.struck.iter().filter(|struck| struck.fault == Fault::PauseServer(exchange.booth));
            spans
                .map(|struck| struck.ended.min(exchange.ended).saturating_sub(struck.began.max(exchange.began)))
                .sum::<Duration>()
        };
        let limit = DEADLINE + SLACK + self.lag;
        let late = self.record.iter().filter(|exchange| exchange.ended - exchange.began > limit + stopped(exchange));
        late.map(|exchange| format!("P11: answered after {:?}: {}", exchange.ended - exchange.began, told(exchange))).collect()
    }

    /// P6: one key, one outcome; unless the keys were lost or out of reach meanwhile.
    fn keys(&self) -> Vec<String> {
        let mut first: HashMap<(&str, &str), &Exchange> = HashMap::new();
        let mut broken = Vec::new();
        for exchange in self.record.iter().filter(|exchange| exchange.answer.is_ok()) {
            let Some(key) = &exchange.ask.key else { continue };
            let Some(before) = first.insert((&exchange.ask.user, key), exchange) else { continue };
            let disturbs =
                |struck: &&Struck| struck.fault.disturbs_keys() && struck.began < exchange.ended && struck.ended > before.began;
            if self.struck.iter().any(|struck| disturbs(&struck)) {
                self.counters.add("keys used again, in trouble", 1);
                continue;
            }
            self.counters.add("keys used again", 1);
            if before.answer.body() != exchange.answer.body() {
                broken.push(format!("P6: one key, two outcomes: {} and {}", told(before), told(exchange)));
            }
        }
        broken
    }

    fn sales(&self) -> Vec<Sale<'_>> {
        let confirmed =
            self.record.iter().filter(|exchange| exchange.ask.what == What::Confirm && exchange.answer.status() == Some(200));
        confirmed
            .map(|exchange| {
                let body = exchange.answer.body();
                let text = |member: &str| body[member].as_str().unwrap_or_default();
                let seats = body["seatIds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                Sale { order: text("orderId"), show: text("showId"), seats, code: text("ticketCode"), told: exchange.ended }
            })
            .collect()
    }

    /// When somebody first asked for an order to be cancelled, by its id.
    fn cancels(&self) -> HashMap<&str, Duration> {
        let mut cancels: HashMap<&str, Duration> = HashMap::new();
        for exchange in self.record.iter().filter(|exchange| exchange.ask.what == What::Cancel) {
            let first = cancels.entry(&exchange.ask.about).or_insert(exchange.began);
            *first = exchange.began.min(*first);
        }
        cancels
    }

    /// P3, P7: who is told that his order is confirmed has its seats and its code, the same whenever he asks, and nobody else's.
    fn tickets(&self, sales: &[Sale<'_>]) -> Vec<String> {
        let (mut codes, mut orders) = (BTreeMap::new(), BTreeMap::new());
        let mut broken = Vec::new();
        for sale in sales {
            if sale.code.is_empty() || sale.seats.is_empty() {
                broken.push(format!("P3: order {} is confirmed without ticket or seats", sale.order));
            }
            if *codes.entry(sale.code).or_insert(sale.order) != sale.order {
                broken.push(format!("P7: orders {} and {} have one ticket code", codes[sale.code], sale.order));
            }
            if *orders.entry(sale.order).or_insert(sale.code) != sale.code {
                broken.push(format!("P7: order {} has two ticket codes", sale.order));
            }
        }
        broken
    }

    /// P1: no two were told that they have the same seat, unless the first was cancelled.
    fn seats(&self, sales: &[Sale<'_>]) -> Vec<String> {
        let mut sold: BTreeMap<(&str, &str), BTreeMap<&str, Duration>> = BTreeMap::new();
        for sale in sales {
            for seat in &sale.seats {
                let told = sold.entry((sale.show, seat)).or_default().entry(sale.order).or_insert(sale.told);
                *told = sale.told.min(*told);
            }
        }
        let cancels = self.cancels();
        let mut broken = Vec::new();
        for ((show, seat), orders) in sold {
            let orders: Vec<(&str, Duration)> = orders.into_iter().collect();
            for (place, (one, one_told)) in orders.iter().enumerate() {
                for (other, other_told) in &orders[place + 1..] {
                    let gave_way = |order: &str, told: Duration| cancels.get(order).is_some_and(|from| *from < told);
                    if !gave_way(one, *other_told) && !gave_way(other, *one_told) {
                        broken.push(format!("P1: {seat} of {show} was sold to orders {one} and {other}"));
                    }
                }
            }
        }
        broken
    }

    /// P12: what was sold before a fresh map was asked for is on it.
    fn maps(&self, sales: &[Sale<'_>]) -> Vec<String> {
        let cancels = self.cancels();
        let mut by_show: HashMap<&str, Vec<&Sale<'_>>> = HashMap::new();
        sales.iter().for_each(|sale| by_show.entry(sale.show).or_default().push(sale));
        let (mut broken, mut looked_for) = (Vec::new(), 0);
        for map in self.record.iter().filter(|exchange| exchange.ask.what == What::Map && exchange.answer.is_ok()) {
            let taken: BTreeSet<&str> =
                map.answer.body()["unavailableSeatIds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for sale in by_show.get(map.ask.about.as_str()).into_iter().flatten().filter(|sale| sale.told < map.began) {
                looked_for += 1;
                let is_over = cancels.get(sale.order).is_some_and(|from| *from < map.ended);
                if !is_over && !sale.seats.is_subset(&taken) {
                    broken.push(format!("P12: sold to order {}, and shown as free: {}", sale.order, told(map)));
                }
            }
        }
        self.counters.add("sales looked for on maps", looked_for);
        broken
    }

    /// P4: who has paid, and is told that his order is over, is told that he gets his money back.
    fn refused_payments(&self) -> Vec<String> {
        let paid =
            |exchange: &&Exchange| exchange.ask.reference.as_deref().is_some_and(|reference| reference.starts_with("pay_ok"));
        let confirms = self.record.iter().filter(|exchange| exchange.ask.what == What::Confirm).filter(paid);
        let refused =
            confirms.filter(|exchange| matches!(exchange.answer.status(), Some(402 | 409 | 410)) && !exchange.answer.is_open());
        let unpaid = refused.filter(|exchange| exchange.answer.body()["refundDue"] != Value::Bool(true));
        unpaid.map(|exchange| format!("P4: paid, refused, and no word of the money: {}", told(exchange))).collect()
    }
}

/// An exchange in a line.
pub(crate) fn told(exchange: &Exchange) -> String {
    let Exchange { ask, booth, began, ended, answer } = exchange;
    let came = match answer {
        Answer::Given { status, body, .. } => format!("{status} {body}"),
        Answer::Lost(why) => format!("lost: {why}"),
        Answer::Left => "not waited for".to_owned(),
    };
    format!("{:?} of {} by {} at server {booth}, {began:.2?} to {ended:.2?}: {came}", ask.what, ask.about, ask.user)
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::json;

    use super::*;
    use crate::record::Ask;

    fn exchange(what: What, about: &str, at: u64, status: u16, body: Value) -> Exchange {
        let (user, path) = ("ann".to_owned(), String::new());
        let ask = Ask { what, user, method: Method::POST, path, about: about.to_owned(), key: None, reference: None, body: None };
        let (began, ended) = (Duration::from_secs(at), Duration::from_secs(at + 1));
        Exchange { ask, booth: 0, began, ended, answer: Answer::Given { status, body, replayed: false } }
    }

    fn sale(order: &str, code: &str, at: u64) -> Exchange {
        exchange(What::Confirm, order, at, 200, json!({"orderId": order, "showId": "s", "seatIds": ["A1"], "ticketCode": code}))
    }

    fn broken(record: &[Exchange]) -> Vec<String> {
        broken_while(record, &[])
    }

    fn broken_while(record: &[Exchange], struck: &[Struck]) -> Vec<String> {
        let answers = Answers { record, struck, lag: Duration::ZERO, counters: &Counters::default() };
        answers.judge().iter().map(|broken| broken.split(':').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_seat_that_two_were_sold_is_found_unless_the_first_was_cancelled() {
        let (one, two) = (sale("1", "BMS-1", 0), sale("2", "BMS-2", 10));
        assert_eq!(broken(&[one.clone(), one.clone()]), [""; 0]);
        assert_eq!(broken(&[one.clone(), two.clone()]), ["P1"]);
        let cancelled = |at| exchange(What::Cancel, "1", at, 200, Value::Null);
        assert_eq!(broken(&[one.clone(), cancelled(5), two.clone()]), [""; 0]);
        assert_eq!(broken(&[one, two, cancelled(20)]), ["P1"]);
    }

    #[test]
    fn a_ticket_is_one_orders_and_always_the_same() {
        assert_eq!(broken(&[sale("1", "BMS-1", 0), sale("1", "BMS-2", 5)]), ["P7"]);
        assert_eq!(broken(&[sale("1", "", 0)]), ["P3"]);
    }

    #[test]
    fn a_sold_seat_that_is_shown_as_free_is_found() {
        let map = |at, taken| exchange(What::Map, "s", at, 200, json!({"unavailableSeatIds": taken}));
        assert_eq!(broken(&[sale("1", "BMS-1", 0), map(5, json!(["A1", "A2"]))]), [""; 0]);
        assert_eq!(broken(&[sale("1", "BMS-1", 0), map(5, json!(["A2"]))]), ["P12"]);
        assert_eq!(broken(&[sale("1", "BMS-1", 5), map(5, json!([]))]), [""; 0], "it was asked for before it was sold");
    }

    #[test]
    fn a_key_with_two_outcomes_is_found_unless_keys_were_lost() {
        let hold = |id: &str, at| {
            let mut hold = exchange(What::Hold, "s", at, 201, json!({"holdId": id}));
            hold.ask.key = Some("k".to_owned());
            hold
        };
        assert_eq!(broken(&[hold("1", 0), hold("1", 5)]), [""; 0]);
        let two = [hold("1", 0), hold("2", 5)];
        assert_eq!(broken(&two), ["P6"]);
        let struck = |fault, at: u64| {
            let (began, ended) = (Duration::from_secs(at), Duration::from_secs(at + 1));
            Struck { fault, began, ended, effect: 1, sign: "" }
        };
        assert_eq!(broken_while(&two, &[struck(Fault::Flush, 3)]), [""; 0]);
        assert_eq!(broken_while(&two, &[struck(Fault::Flush, 8)]), ["P6"]);
        assert_eq!(broken_while(&two, &[struck(Fault::KillPostgres, 3)]), ["P6"]);
    }

    #[test]
    fn answers_that_are_late_strange_or_silent_about_money_are_found() {
        let mut late = exchange(What::Hold, "s", 0, 201, json!({"holdId": "1"}));
        late.ended = Duration::from_secs(16);
        assert_eq!(broken(&[late.clone()]), ["P11"]);
        let (fault, began, ended) = (Fault::PauseServer(0), Duration::from_secs(1), Duration::from_secs(3));
        assert_eq!(broken_while(&[late], &[Struck { fault, began, ended, effect: 1, sign: "" }]), [""; 0]);
        assert_eq!(broken(&[exchange(What::Map, "s", 0, 500, Value::Null)]), ["the contract"]);
        assert_eq!(broken(&[exchange(What::Confirm, "1", 0, 404, Value::Null)]), ["the contract"]);
        let refused = |due: bool| {
            let mut refused = exchange(What::Confirm, "1", 0, 410, json!({"refundDue": due}));
            refused.ask.reference = Some("pay_ok_1".to_owned());
            refused
        };
        assert_eq!(broken(&[refused(true)]), [""; 0]);
        assert_eq!(broken(&[refused(false)]), ["P4"]);
    }
}
