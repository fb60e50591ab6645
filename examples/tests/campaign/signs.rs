//! What shows that a fault has had an effect.

use std::time::Duration;

use bms_domain::time::Timestamp;
use bms_redis::testing::Server as Redis;

use crate::answers::Span;
use crate::plan::Fault;
use crate::record::{Answer, Ask, Exchange};

/// A fault that struck.
#[derive(Clone, Debug)]
pub(crate) struct Struck {
    pub(crate) fault: Fault,
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    /// What came of it that was seen; nothing if nothing was.
    pub(crate) effect: usize,
    /// What that is.
    pub(crate) sign: &'static str,
}

/// What was seen of a fault, or what to look for in the record when all is over.
pub(crate) enum Sign {
    Seen(&'static str, usize),
    /// Requests to a server that were lost, or refused.
    Refused(usize),
    /// Answers that came late.
    Slow(Slowed),
}

/// What was made slow.
pub(crate) struct Slowed {
    /// The server that was, or none if all were.
    pub(crate) booth: Option<usize>,
    /// Whether a request needs what was slow.
    pub(crate) needs: fn(&Ask) -> bool,
    /// From when to when nothing came back.
    pub(crate) spans: Vec<Span>,
    /// How long whoever asked at the beginning had to wait at least.
    pub(crate) by: Duration,
}

/// How soon an answer comes that was kept back, once it is let go: one that comes later may have waited for something else.
pub(crate) const SOON: Duration = Duration::from_secs(1);

impl Slowed {
    /// Whether an answer was kept back: it was asked for meanwhile, waited for as long as that takes, and came soon afterwards.
    fn has_delayed(&self, exchange: &Exchange) -> bool {
        let is_its = self.booth.is_none_or(|booth| exchange.booth == booth) && (self.needs)(&exchange.ask);
        let was_kept = |(from, to): &Span| {
            let (came, took) = (exchange.ended, exchange.ended - exchange.began);
            exchange.began >= *from && took >= self.by && came >= *to && came <= *to + SOON
        };
        is_its && exchange.answer.is_ok() && self.spans.iter().any(was_kept)
    }
}

/// A hold of the nemesis.
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) user: String,
    /// By this machine's clock.
    pub(crate) asked: Timestamp,
    pub(crate) answered: Timestamp,
    /// By that of the store.
    pub(crate) created: Timestamp,
}

impl Held {
    /// Whether the store's clock was just that far from this machine's: the hold was made between question and answer by a clock that
    /// was, and not by one that was not.
    pub(crate) fn is_off_by(&self, seconds: i64) -> bool {
        /// The two clocks are one that is read twice, and cut to milliseconds.
        const APART_MS: i64 = 20;
        let fits = |off_ms: i64| {
            let created = self.created.as_millis() - off_ms;
            (self.asked.as_millis() - APART_MS..=self.answered.as_millis() + APART_MS).contains(&created)
        };
        fits(seconds * 1_000) && !fits(0)
    }
}

/// How many errors of a kind servers that run have given.
pub(crate) fn errors(nodes: &[&Redis], kind: &str) -> usize {
    let count = |node: &&Redis| node.info(&format!("errorstat_{kind}")).ok()?.strip_prefix("count=")?.parse::<usize>().ok();
    nodes.iter().filter_map(count).sum()
}

/// What came of a fault, by what was seen at once or stands in the record.
pub(crate) fn judge(fault: Fault, (began, ended): Span, sign: &Sign, record: &[Exchange]) -> Struck {
    let meanwhile = |exchange: &&Exchange| exchange.ended > began && exchange.began < ended;
    let count = |is: &dyn Fn(&Exchange) -> bool| record.iter().filter(meanwhile).filter(|exchange| is(exchange)).count();
    let (sign, effect) = match sign {
        Sign::Seen(sign, effect) => (*sign, *effect),
        Sign::Refused(booth) => {
            let refused = |exchange: &Exchange| exchange.booth == *booth && matches!(exchange.answer, Answer::Lost(_));
            ("requests without an answer", count(&refused))
        }
        Sign::Slow(slowed) => ("slow answers", count(&|exchange| slowed.has_delayed(exchange))),
    };
    Struck { fault, began, ended, effect, sign }
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::Value;

    use super::*;
    use crate::record::What;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    fn exchange(what: What, booth: usize, began: u64, ended: u64, answer: Answer) -> Exchange {
        let (user, path, about) = ("ann".to_owned(), String::new(), String::new());
        let ask = Ask { what, user, method: Method::GET, path, about, key: None, reference: None, body: None };
        Exchange { ask, booth, began: ms(began), ended: ms(ended), answer }
    }

    fn given(status: u16) -> Answer {
        Answer::Given { status, body: Value::Null, replayed: false }
    }

    #[test]
    fn only_what_was_kept_back_counts_as_slow() {
        let (spans, needs) = (vec![(ms(1_000), ms(1_300))], (|ask: &Ask| ask.what == What::Look) as fn(&Ask) -> bool);
        let sign = Sign::Slow(Slowed { booth: Some(0), needs, spans, by: ms(250) });
        let effect = |what, booth, began, ended, status| {
            let record = [exchange(what, booth, began, ended, given(status))];
            judge(Fault::SlowPostgres(0), (ms(500), ms(2_000)), &sign, &record).effect
        };
        assert_eq!(effect(What::Look, 0, 1_010, 1_310, 200), 1);
        assert_eq!(effect(What::Look, 1, 1_010, 1_310, 200), 0, "another server's");
        assert_eq!(effect(What::Hold, 0, 1_010, 1_310, 200), 0, "it did not need what was slow");
        assert_eq!(effect(What::Look, 0, 990, 1_310, 200), 0, "slow from before");
        assert_eq!(effect(What::Look, 0, 1_010, 1_290, 200), 0, "it came though nothing came back");
        assert_eq!(effect(What::Look, 0, 1_100, 1_310, 200), 0, "it waited for less");
        assert_eq!(effect(What::Look, 0, 1_010, 2_310, 200), 0, "it waited for something else");
        assert_eq!(effect(What::Look, 0, 1_010, 1_310, 503), 0, "it was not answered");
    }

    #[test]
    fn only_what_a_server_did_not_answer_counts_as_lost() {
        let effect = |booth, began, answer| {
            let record = [exchange(What::Hold, booth, began, began + 10, answer)];
            judge(Fault::KillServer(0), (ms(500), ms(2_000)), &Sign::Refused(0), &record).effect
        };
        let lost = || Answer::Lost(String::new());
        assert_eq!([effect(0, 600, lost()), effect(1, 600, lost()), effect(0, 3_000, lost())], [1, 0, 0]);
        assert_eq!([effect(0, 600, given(503)), effect(0, 600, Answer::Left)], [0, 0]);
    }

    #[test]
    fn a_clock_is_off_by_its_step_and_nothing_else() {
        let is_off = |created, answered| {
            let time = Timestamp::from_millis;
            let held = Held {
                id: String::new(),
                user: String::new(),
                asked: time(100_000),
                answered: time(answered),
                created: time(created),
            };
            [held.is_off_by(6), held.is_off_by(-6)]
        };
        assert_eq!(is_off(106_050, 100_100), [true, false]);
        assert_eq!(is_off(94_050, 100_100), [false, true]);
        for other in [100_050, 103_050, 105_900, 106_200, 94_200, 93_900] {
            assert_eq!(is_off(other, 100_100), [false; 2], "{other}");
        }
        assert_eq!(is_off(106_050, 107_000), [false; 2], "it took so long that either clock may have been right");
    }
}
