//! What came of a run, as a document. `README.md` beside this file describes it.

use std::collections::BTreeMap;
use std::time::Duration;

use bms_domain::time::Timestamp;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::crowd::Crowd;
use crate::machine::Machine;
use crate::office::Kind;
use crate::run::{Ended, Ending};
use crate::scenario::Scenario;
use crate::tally::{Requests, Sample};

/// Grows when a field changes its meaning or goes away; fields may be added without.
pub(crate) const FORMAT: u32 = 1;

/// A run's report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    format: u32,
    /// When the run began.
    started_at: String,
    machine: Machine,
    /// Of this program and of the servers, by name.
    versions: BTreeMap<&'static str, String>,
    pub(crate) target: Target,
    pub(crate) scenario: Scenario,
    seed: u64,
    ending: Ending,
    /// From the first arrival to the end of the last user.
    seconds: f64,
    arrivals: Came,
    /// By kind; kinds that nobody made are left out.
    pub(crate) requests: BTreeMap<&'static str, Figures>,
    pub(crate) seats: Seats,
    payments: u64,
    /// The sale, as it went on.
    pub(crate) curve: Vec<Sample>,
    /// The promises that were broken, each with its seats and orders.
    pub(crate) broken: Vec<String>,
}

/// What the load was put on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    /// `http` or `library`.
    pub(crate) through: &'static str,
    /// Where holds and orders are kept.
    pub(crate) stores: String,
    /// How many requests may be under way.
    pub(crate) at_once: usize,
}

/// Who came.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Came {
    users: u64,
    /// Users who did all that they came for.
    finished: u64,
    /// How late the generator was with what it had to wait for nobody to do.
    late: Latency,
}

/// Requests of a kind.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    count: u64,
    per_second: f64,
    given: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) unknown: BTreeMap<String, u64>,
    pub(crate) latency: Latency,
}

/// Times in microseconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    pub(crate) mean: f64,
    pub(crate) max: u64,
    pub(crate) p50: u64,
    pub(crate) p75: u64,
    pub(crate) p90: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    /// Of a thousand, the 999th.
    pub(crate) p999: u64,
}

/// Seats of all shows.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seats {
    pub(crate) on_sale: u64,
    pub(crate) sold: u64,
    /// From the first arrival to the last sale that was noted; null without a sale.
    sold_in_seconds: Option<f64>,
}

impl Report {
    /// The report of a crowd that has gone.
    pub(crate) fn of(
        crowd: &Crowd,
        ended: Ended,
        target: Target,
        versions: BTreeMap<&'static str, String>,
        started_at: Timestamp,
    ) -> Self {
        let (users, finished) = crowd.tally.users();
        let curve = crowd.tally.curve();
        let sold = crowd.book.seats_sold();
        let last = curve.iter().find(|sample| sample.seats_sold == sold && sold > 0);
        let of_kind = |kind: Kind| {
            let figures = crowd.tally.of(kind, |requests| figures(requests, ended.took))?;
            (figures.count > 0).then(|| (kind.name(), figures))
        };
        Self {
            format: FORMAT,
            started_at: started_at.to_string(),
            machine: Machine::this(),
            versions,
            target,
            scenario: crowd.scenario.clone(),
            seed: crowd.seed,
            ending: ended.how,
            seconds: ended.took.as_secs_f64(),
            arrivals: Came { users, finished, late: crowd.tally.lateness(latency) },
            requests: Kind::ALL.into_iter().filter_map(of_kind).collect(),
            seats: Seats {
                on_sale: crowd.hall.seats(),
                sold,
                sold_in_seconds: last.map(|sample| Duration::from_millis(sample.at_ms).as_secs_f64()),
            },
            payments: crowd.book.payments(),
            curve,
            broken: crowd.book.broken(),
        }
    }

    /// A few lines for people.
    pub(crate) fn summary(&self) -> String {
        let Self { seats, arrivals, target, scenario, .. } = self;
        let mut lines = vec![format!(
            "{} through {} on {}: {} users in {:.1} s, {} of {} seats sold",
            scenario.name, target.through, target.stores, arrivals.users, self.seconds, seats.sold, seats.on_sale
        )];
        let millis = |micros: u64| micros as f64 / 1_000.0;
        for (kind, figures) in &self.requests {
            let Figures { count, per_second, given, latency, .. } = figures;
            let (p50, p99, p999) = (millis(latency.p50), millis(latency.p99), millis(latency.p999));
            lines.push(format!(
                "{kind:<8} {count:>8} ({per_second:.0}/s), {given} given, p50 {p50:.1} ms, p99 {p99:.1} ms, p99.9 {p999:.1} ms"
            ));
            for (what, causes) in [("refused", &figures.refused), ("unknown", &figures.unknown)] {
                lines.extend(causes.iter().map(|(cause, count)| format!("         {what}: {count} {cause}")));
            }
        }
        let late = millis(arrivals.late.p99);
        lines.push(format!("the generator itself was late by {late:.1} ms at most in 99 of 100 cases"));
        lines.join("\n")
    }
}

fn figures(requests: &Requests, took: Duration) -> Figures {
    let count = requests.latency.len();
    Figures {
        count,
        per_second: count as f64 / took.as_secs_f64().max(0.001),
        given: requests.given,
        refused: requests.refused.clone(),
        unknown: requests.unknown.clone(),
        latency: latency(&requests.latency),
    }
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile: f64| histogram.value_at_quantile(quantile);
    Latency {
        mean: histogram.mean(),
        max: histogram.max(),
        p50: at(0.5),
        p75: at(0.75),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
    }
}
