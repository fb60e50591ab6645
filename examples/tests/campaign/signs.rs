//! What shows that a fault has had an effect.

use std::time::Duration;

use bms_domain::time::Timestamp;
use bms_redis::testing::Server as Redis;

use crate::plan::Fault;
use crate::record::{Answer, Exchange};

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
    /// Answers of a server, or of any, that took so long.
    Slow(Option<usize>, Duration),
}

/// A hold of the nemesis.
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) user: String,
    /// By this machine's clock.
    pub(crate) asked: Timestamp,
    /// By that of the store.
    pub(crate) created: Timestamp,
}

impl Held {
    /// Whether the store's clock was that far from this machine's, about.
    pub(crate) fn is_off_by(&self, seconds: i64) -> bool {
        let off = self.created.as_millis() - self.asked.as_millis();
        (off - seconds * 1_000).abs() < seconds.abs() * 500
    }
}

/// How many errors of a kind servers that run have given.
pub(crate) fn errors(nodes: &[&Redis], kind: &str) -> usize {
    let count = |node: &&Redis| node.info(&format!("errorstat_{kind}")).ok()?.strip_prefix("count=")?.parse::<usize>().ok();
    nodes.iter().filter_map(count).sum()
}

/// What came of a fault, by what was seen at once or stands in the record.
pub(crate) fn judge(fault: Fault, began: Duration, ended: Duration, sign: Sign, record: &[Exchange]) -> Struck {
    let meanwhile = |exchange: &&Exchange| exchange.ended > began && exchange.began < ended;
    let count = |is: &dyn Fn(&Exchange) -> bool| record.iter().filter(meanwhile).filter(|exchange| is(exchange)).count();
    let (sign, effect) = match sign {
        Sign::Seen(sign, effect) => (sign, effect),
        Sign::Refused(booth) => {
            let refused = |exchange: &Exchange| exchange.booth == booth && matches!(exchange.answer, Answer::Lost(_));
            ("requests without an answer", count(&refused))
        }
        Sign::Slow(booth, span) => {
            let is_there = |exchange: &Exchange| booth.is_none_or(|booth| exchange.booth == booth);
            let slow = |exchange: &Exchange| exchange.answer.is_ok() && exchange.ended - exchange.began >= span;
            ("slow answers", count(&|exchange| is_there(exchange) && slow(exchange)))
        }
    };
    Struck { fault, began, ended, effect, sign }
}
