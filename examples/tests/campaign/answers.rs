//! Holds what clients were answered against itself: no look at a database, nothing that only this program could know.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use bms_domain::time::Timestamp;
use serde_json::Value;

use crate::counters::Counters;
use crate::deployment::HOLD_LASTS;
use crate::plan::{Fault, Kind};
use crate::record::{Answer, Exchange, What, texts};
use crate::shows;
use crate::signs::Struck;

/// When the server has answered every request, by its documentation.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the road there and back may take, beside what this machine itself is late by.
const SLACK: Duration = Duration::from_secs(5);

/// How often a key was used again, and the same was answered; and how often not, for it was lost or out of reach.
pub(crate) const COMPARED: &str = "keys used again";
pub(crate) const EXCUSED: &str = "keys used again, and excused";

/// From when to when.
pub(crate) type Span = (Duration, Duration);

/// What a client that was answered may rely on, and what was broken of it.
pub(crate) struct Answers<'a> {
    pub(crate) kind: Kind,
    pub(crate) record: &'a [Exchange],
    pub(crate) struck: &'a [Struck],
    /// When a timer of this program was late.
    pub(crate) lags: &'a [Span],
    pub(crate) counters: &'a Counters,
}

/// A seat of a show, by their names.
type Seat<'a> = (&'a str, &'a str);

/// Requests for holds.
struct Wishes<'a> {
    /// Those that may have been granted, by each of their seats.
    of_seats: HashMap<Seat<'a>, Vec<&'a Exchange>>,
    /// When each was first made, by its user and key.
    begun: HashMap<Option<(&'a str, &'a str)>, Duration>,
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
            self.granted_holds(),
            self.forgotten_holds(),
            self.refused_seats(),
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
            let pauses = self.struck.iter().filter(|struck| struck.fault == Fault::PauseServer(exchange.booth));
            shared(pauses.map(|struck| (struck.began, struck.ended)), exchange)
        };
        let limit = |exchange: &Exchange| DEADLINE + SLACK + stopped(exchange) + shared(self.lags.iter().copied(), exchange);
        let late = self.record.iter().filter(|exchange| exchange.ended - exchange.began > limit(exchange));
        late.map(|exchange| format!("P11: answered after {:?}: {}", exchange.ended - exchange.began, told(exchange))).collect()
    }

    /// P2, P3: who is granted a hold has the seats of the show that he asked for, all of them and no others.
    fn granted_holds(&self) -> Vec<String> {
        let (mut known, mut broken) = (HashSet::new(), Vec::new());
        for exchange in self.record.iter().filter(|exchange| exchange.ask.what == What::Hold) {
            let is_first = exchange.ask.name().is_none_or(|name| known.insert(name));
            if exchange.answer.is_ok() && !is_as_asked(exchange, is_first) {
                broken.push(format!("P3: another hold than was asked for: {:?} {}", exchange.ask.body, told(exchange)));
            }
        }
        broken
    }

    /// The holds that were granted, by their ids.
    fn holds(&self) -> HashMap<&str, &Exchange> {
        let mut holds = HashMap::new();
        for exchange in self.record.iter().filter(|exchange| exchange.ask.what == What::Hold && exchange.answer.is_ok()) {
            if let Some(id) = exchange.answer.text("holdId") {
                holds.entry(id).or_insert(exchange);
            }
        }
        holds
    }

    /// P2: a hold that was granted is known to its owner, whatever became of it, for longer than a campaign lasts; unless Redis has
    /// lost it.
    fn forgotten_holds(&self) -> Vec<String> {
        let holds = self.holds();
        let unknown = self.record.iter().filter(|exchange| {
            matches!(exchange.ask.what, What::Look | What::Release | What::Order) && exchange.answer.status() == Some(404)
        });
        let broken = unknown.filter(|exchange| {
            let hold = holds.get(exchange.ask.about.as_str()).filter(|hold| hold.ask.user == exchange.ask.user);
            hold.is_some_and(|hold| !self.is_lost_between(hold.began, exchange.ended))
        });
        broken.map(|exchange| format!("P2: granted, not lost, and unknown: {}", told(exchange))).collect()
    }

    /// P3, P6: who is refused seats asked for them, and somebody else may have them: nobody is in his own way.
    fn refused_seats(&self) -> Vec<String> {
        let (holds, wishes, mut broken) = (self.holds(), self.wishes(), Vec::new());
        for exchange in self.record.iter().filter(|exchange| exchange.answer.is_problem("seats-unavailable")) {
            // An order is made of a hold, which asked for the seats.
            let own =
                if exchange.ask.what == What::Order { holds.get(exchange.ask.about.as_str()).copied() } else { Some(exchange) };
            let Some(own) = own else {
                broken.push(format!("P3: seats of a hold that nobody was granted: {}", told(exchange)));
                continue;
            };
            let (show, named) = (own.ask.wanted("showId").as_str().unwrap_or_default(), exchange.answer.texts("seatIds"));
            let wanted = own.ask.body.as_ref().map(|body| texts(body, "seatIds")).unwrap_or_default();
            if named.is_empty() || !named.is_subset(&wanted) {
                broken.push(format!("P3: refused for other seats than {wanted:?}: {}", told(exchange)));
            }
            let begun = wishes.begun.get(&own.ask.name()).copied().unwrap_or(own.began);
            let is_in_the_way = |seat: &&str| {
                let of_seat = wishes.of_seats.get(&(show, *seat)).into_iter().flatten();
                of_seat.into_iter().any(|other| other.ask.name() != own.ask.name() && other.began < exchange.ended)
            };
            if !named.iter().all(is_in_the_way) && !self.is_lost_between(begun, exchange.ended) {
                broken.push(format!("P6: refused for seats that nobody else wanted: {}", told(exchange)));
            }
        }
        broken
    }

    /// Who may have got which seat, and when each began to ask.
    fn wishes(&self) -> Wishes<'_> {
        let mut wishes = Wishes { of_seats: HashMap::new(), begun: HashMap::new() };
        for exchange in self.record.iter().filter(|exchange| exchange.ask.what == What::Hold) {
            let first = wishes.begun.entry(exchange.ask.name()).or_insert(exchange.began);
            *first = exchange.began.min(*first);
            let may_have_them = exchange.answer.is_ok() || exchange.answer.is_open();
            let (Some(show), Some(body)) = (exchange.ask.wanted("showId").as_str(), &exchange.ask.body) else { continue };
            for seat in texts(body, "seatIds").into_iter().filter(|_| may_have_them) {
                wishes.of_seats.entry((show, seat)).or_default().push(exchange);
            }
        }
        wishes
    }

    /// Whether Redis may have forgotten meanwhile what it had acknowledged.
    fn is_lost_between(&self, from: Duration, to: Duration) -> bool {
        self.struck.iter().any(|struck| struck.fault.loses_data(self.kind) && struck.began < to && struck.ended > from)
    }

    /// Whether Redis may have been out of reach during a request; as it is for a server that was stopped, and finds when it goes on that
    /// its calls have run out of time.
    fn is_hidden_from(&self, exchange: &Exchange) -> bool {
        let hides = |fault: Fault| fault.hides_data() || fault == Fault::PauseServer(exchange.booth);
        let during = |struck: &&Struck| struck.began < exchange.ended && struck.ended > exchange.began;
        self.struck.iter().filter(during).any(|struck| hides(struck.fault))
    }

    /// P6: one key, one answer, told again as such; unless Redis, where the keys are, has lost it meanwhile, or one of the two requests
    /// was carried out without it.
    fn keys(&self) -> Vec<String> {
        let mut last: HashMap<(&str, &str), &Exchange> = HashMap::new();
        let mut broken = Vec::new();
        for exchange in self.record.iter().filter(|exchange| !exchange.answer.is_open()) {
            let Some(before) = exchange.ask.name().and_then(|name| last.insert(name, exchange)) else { continue };
            let (one, other) = (&before.answer, &exchange.answer);
            let is_told_again = matches!(other, Answer::Given { replayed: true, .. });
            if is_told_again && one.status() == other.status() && one.body() == other.body() {
                self.counters.add(COMPARED, 1);
                continue;
            }
            let is_hidden = self.is_hidden_from(before) || self.is_hidden_from(exchange);
            if is_hidden || self.is_lost_between(before.began, exchange.ended) {
                self.counters.add(EXCUSED, 1);
                continue;
            }
            broken.push(format!("P6: one key, two outcomes: {} and {}", told(before), told(exchange)));
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
                let seats = texts(body, "seatIds");
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
            let taken = map.answer.texts("unavailableSeatIds");
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
        let unpaid = refused.filter(|exchange| !exchange.answer.owes_refund());
        unpaid.map(|exchange| format!("P4: paid, refused, and no word of the money: {}", told(exchange))).collect()
    }
}

/// How much of an exchange lies in the spans.
fn shared(spans: impl Iterator<Item = Span>, exchange: &Exchange) -> Duration {
    spans.map(|(from, to)| to.min(exchange.ended).saturating_sub(from.max(exchange.began))).sum()
}

/// Whether an answer tells of the hold that was asked for: HELD for as long as holds last, or EXPIRED when it was asked for before.
fn is_as_asked(exchange: &Exchange, is_first: bool) -> bool {
    let (ask, body) = (&exchange.ask, exchange.answer.body());
    let wanted = ask.body.as_ref().map(|body| texts(body, "seatIds")).unwrap_or_default();
    let time = |member: &str| Timestamp::parse(body[member].as_str()?).ok();
    let lasts = time("createdAt").zip(time("expiresAt")).map(|(from, to)| to.since(from));
    let stands = match body["status"].as_str() {
        Some("HELD") => lasts == Some(HOLD_LASTS),
        Some("EXPIRED") => !is_first && lasts.is_some_and(|lasts| lasts <= HOLD_LASTS),
        _ => false,
    };
    stands
        && body["holdId"].is_string()
        && body["userId"] == ask.user
        && body["showId"] == *ask.wanted("showId")
        && body["seatIds"].as_array().is_some_and(|seats| seats.len() == wanted.len())
        && exchange.answer.texts("seatIds") == wanted
        && body["amount"] == shows::price(ask.wanted("showId").as_str().unwrap_or_default(), wanted.len())
        && body["currency"] == "GBP"
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
        broken_in(Kind::Single, record, struck)
    }

    fn broken_in(kind: Kind, record: &[Exchange], struck: &[Struck]) -> Vec<String> {
        let answers = Answers { kind, record, struck, lags: &[], counters: &Counters::default() };
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

    fn struck(fault: Fault, at: u64) -> Struck {
        Struck { fault, began: Duration::from_secs(at), ended: Duration::from_secs(at + 1), effect: 1, sign: "" }
    }

    /// A hold of A1 and A2 that was granted.
    fn hold(id: &str, at: u64) -> Exchange {
        let body = json!({"holdId": id, "userId": "ann", "showId": "s", "seatIds": ["A1", "A2"], "status": "HELD", "amount": 19_800,
            "currency": "GBP", "createdAt": "2026-01-01T12:00:00.5Z", "expiresAt": "2026-01-01T12:00:04.5Z"});
        let mut hold = exchange(What::Hold, "s", at, 201, body);
        hold.ask.body = Some(json!({"showId": "s", "seatIds": ["A2", "A1"]}));
        hold.ask.key = Some("k".to_owned());
        hold
    }

    /// The same request under its key, told again.
    fn again(mut exchange: Exchange, at: u64) -> Exchange {
        (exchange.began, exchange.ended) = (Duration::from_secs(at), Duration::from_secs(at + 1));
        with(exchange, |answer| {
            if let Answer::Given { replayed, .. } = answer {
                *replayed = true
            }
        })
    }

    fn with(mut exchange: Exchange, change: impl FnOnce(&mut Answer)) -> Exchange {
        change(&mut exchange.answer);
        exchange
    }

    fn telling(exchange: Exchange, member: &str, value: Value) -> Exchange {
        with(exchange, |answer| {
            if let Answer::Given { body, .. } = answer {
                body[member] = value
            }
        })
    }

    #[test]
    fn a_hold_of_something_else_than_was_asked_for_is_found() {
        assert_eq!(broken(&[hold("1", 0)]), [""; 0]);
        let others = [
            ("holdId", Value::Null),
            ("userId", json!("ben")),
            ("showId", json!("t")),
            ("seatIds", json!(["A1"])),
            ("seatIds", json!(["A1", "A2", "A3"])),
            ("seatIds", json!(["A1", "A1"])),
            ("status", json!("RELEASED")),
            ("status", json!("EXPIRED")),
            ("amount", json!(9_900)),
            ("currency", json!("EUR")),
            ("expiresAt", json!("2026-01-01T12:00:05Z")),
        ];
        for (member, value) in others {
            assert_eq!(broken(&[telling(hold("1", 0), member, value)]), ["P3"], "{member}");
        }
        let lost = with(hold("1", 0), |answer| *answer = Answer::Left);
        let expired = telling(hold("1", 5), "status", json!("EXPIRED"));
        assert_eq!(broken(&[lost, expired]), [""; 0], "it was made by a request that was not waited for, and has ended");
    }

    #[test]
    fn a_hold_that_is_forgotten_is_found_unless_redis_was_lost() {
        for what in [What::Look, What::Release, What::Order] {
            let record = [hold("1", 0), exchange(what, "1", 5, 404, Value::Null)];
            assert_eq!(broken(&record), ["P2"], "{what:?}");
            assert_eq!(broken_while(&record, &[struck(Fault::Flush, 3)]), [""; 0]);
            assert_eq!(broken_while(&record, &[struck(Fault::Flush, 8)]), ["P2"], "it was there to be known");
            for harmless in [Fault::KillPostgres, Fault::Fill, Fault::PauseRedis, Fault::StepClock(6), Fault::ScriptFlush] {
                assert_eq!(broken_while(&record, &[struck(harmless, 3)]), ["P2"], "{harmless:?}");
            }
            assert_eq!(broken_in(Kind::Sentinel, &record, &[struck(Fault::PauseRedis, 3)]), [""; 0], "a replica took over");
        }
        let mut bens = exchange(What::Release, "1", 5, 404, Value::Null);
        bens.ask.user = "ben".to_owned();
        assert_eq!(broken(&[hold("1", 0), bens]), [""; 0], "it is not his");
    }

    fn refused(mut exchange: Exchange, seats: Value) -> Exchange {
        let body = json!({"type": "urn:bms:problem:seats-unavailable", "seatIds": seats});
        exchange.answer = Answer::Given { status: 409, body, replayed: false };
        exchange
    }

    #[test]
    fn seats_that_are_refused_to_the_only_one_who_wants_them_are_found() {
        let alone = [refused(hold("1", 5), json!(["A1"]))];
        assert_eq!(broken(&alone), ["P6"]);
        let other = |mut other: Exchange| {
            other.ask.user = "ben".to_owned();
            telling(other, "userId", json!("ben"))
        };
        let after = |first: Exchange| broken(&[first, alone[0].clone()]);
        assert_eq!(after(other(hold("2", 0))), [""; 0]);
        assert_eq!(after(with(other(hold("2", 0)), |answer| *answer = Answer::Left)), [""; 0], "he may have got them");
        assert_eq!(after(refused(other(hold("2", 0)), json!(["A1"]))), ["P6"; 2], "neither has got them");
        assert_eq!(broken(&[alone[0].clone(), other(hold("2", 9))]), ["P6"], "he came later");
        let lost = with(hold("1", 0), |answer| *answer = Answer::Lost(String::new()));
        assert_eq!(after(lost.clone()), ["P6"], "he has got them himself");
        let record = [lost, alone[0].clone()];
        assert_eq!(broken_while(&record, &[struck(Fault::Flush, 3)]), [""; 0], "Redis knows his key no more");
        assert_eq!(broken_while(&record, &[struck(Fault::Fill, 3)]), ["P6"]);
        assert_eq!(broken(&[other(hold("2", 0)), refused(hold("1", 5), json!(["A7"]))]), ["P3", "P6"]);
        assert_eq!(broken(&[other(hold("2", 0)), refused(hold("1", 5), json!([]))]), ["P3"]);
        let order = refused(exchange(What::Order, "1", 5, 409, Value::Null), json!(["A2"]));
        assert_eq!(broken(&[hold("1", 0), order.clone()]), ["P6"]);
        assert_eq!(broken(&[hold("1", 0), other(hold("2", 0)), order.clone()]), [""; 0]);
        assert_eq!(broken(&[order]), ["P3"]);
    }

    #[test]
    fn a_key_with_two_outcomes_is_found_unless_keys_were_lost() {
        assert_eq!(broken(&[hold("1", 0), again(hold("1", 0), 5)]), [""; 0]);
        let two = [hold("1", 0), again(hold("2", 0), 5)];
        assert_eq!(broken(&two), ["P6"]);
        assert_eq!(broken(&[hold("1", 0), hold("1", 5)]), ["P6"], "done twice");
        let cancel = |status, code: &str| {
            let mut cancel = exchange(What::Cancel, "1", 0, status, json!({"type": format!("urn:bms:problem:{code}")}));
            cancel.ask.key = Some("k".to_owned());
            cancel
        };
        assert_eq!(broken(&[cancel(409, "order-pending"), again(cancel(409, "order-pending"), 5)]), [""; 0]);
        assert_eq!(broken(&[cancel(409, "order-pending"), again(cancel(200, ""), 5)]), ["P6"], "a refusal is an outcome");
        assert_eq!(broken(&[cancel(409, "order-pending"), again(cancel(409, "order-not-pending"), 5)]), ["P6"]);
        let order = |status| {
            let mut order = exchange(What::Order, "1", 0, status, Value::Null);
            order.ask.key = Some("k".to_owned());
            order
        };
        assert_eq!(broken(&[order(201), again(order(200), 5)]), ["P6"], "the same body, and another status");
        assert_eq!(broken(&[cancel(503, "unavailable"), cancel(200, "")]), [""; 0], "nothing was said yet");
        assert_eq!(broken(&[cancel(409, "request-in-progress"), cancel(200, "")]), [""; 0], "nothing was said yet");
        assert_eq!(broken_while(&two, &[struck(Fault::Flush, 3)]), [""; 0]);
        assert_eq!(broken_while(&two, &[struck(Fault::Flush, 8)]), ["P6"]);
        assert_eq!(broken_while(&two, &[struck(Fault::KillPostgres, 3)]), ["P6"]);
        assert_eq!(broken_while(&two, &[struck(Fault::Fill, 0)]), [""; 0], "the first was not kept");
        assert_eq!(broken_while(&two, &[struck(Fault::Fill, 5)]), [""; 0], "the second was carried out without its key");
        assert_eq!(broken_while(&two, &[struck(Fault::Fill, 2)]), ["P6"], "neither was");
        assert_eq!(
            broken_while(&two, &[struck(Fault::PauseServer(0), 0)]),
            [""; 0],
            "when it went on, it was too late to keep the first"
        );
        assert_eq!(broken_while(&two, &[struck(Fault::PauseServer(1), 0)]), ["P6"], "another server was stopped");
    }

    #[test]
    fn keys_that_told_the_same_are_counted_apart_from_those_that_were_excused() {
        let counters = Counters::default();
        for second in ["1", "2"] {
            let (record, struck) = ([hold("1", 0), again(hold(second, 0), 5)], [struck(Fault::Flush, 3)]);
            let answers = Answers { kind: Kind::Single, record: &record, struck: &struck, lags: &[], counters: &counters };
            assert_eq!(answers.keys(), [""; 0]);
        }
        assert_eq!([counters.of(COMPARED), counters.of(EXCUSED)], [1, 1]);
    }

    #[test]
    fn answers_that_are_late_strange_or_silent_about_money_are_found() {
        let mut late = hold("1", 0);
        late.ended = Duration::from_secs(16);
        assert_eq!(broken(&[late.clone()]), ["P11"]);
        assert_eq!(broken_while(&[late.clone()], &[struck(Fault::PauseServer(0), 1)]), [""; 0]);
        assert_eq!(broken_while(&[late.clone()], &[struck(Fault::PauseServer(1), 1)]), ["P11"]);
        let lags = |from, to| {
            let (record, lags) = ([late.clone()], [(Duration::from_secs(from), Duration::from_secs(to))]);
            let counters = Counters::default();
            Answers { kind: Kind::Single, record: &record, struck: &[], lags: &lags, counters: &counters }.late_answers().len()
        };
        assert_eq!([lags(15, 17), lags(16, 20)], [0, 1], "only what was late meanwhile counts");
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
