//! Makes a failing world smaller: first with fewer users, processes, visits and seats, then with fewer faults. And says how to
//! replay it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::auditor::Promise;
use crate::plan::Plan;
use crate::run::{Run, run};

/// The smallest world found that breaks the same promise.
pub(crate) fn shrink(failed: Run) -> Run {
    let Some(promise) = failed.broken.as_ref().map(|broken| broken.promise) else { return failed };
    let mut best = failed;
    loop {
        let before = best.plan.clone();
        best = fewer_faults(smaller_world(best, promise), promise);
        if best.plan == before {
            return best;
        }
    }
}

fn smaller_world(mut best: Run, promise: Promise) -> Run {
    let smaller: [fn(&Plan, usize) -> Option<Plan>; 4] = [
        |plan, to| (to < plan.users).then(|| Plan { users: to, ..plan.clone() }),
        |plan, to| (to < plan.processes).then(|| Plan { processes: to, ..plan.clone() }),
        |plan, to| (to < plan.visits).then(|| Plan { visits: to, ..plan.clone() }),
        |plan, to| ((to as u32) < plan.seats).then(|| Plan { seats: to as u32, ..plan.clone() }),
    ];
    for smaller in smaller {
        let tried = (1..).map_while(|to| smaller(&best.plan, to)).map(|plan| run(&plan, false));
        if let Some(found) = tried.into_iter().find(|tried| tried.breaks(promise)) {
            best = found;
        }
    }
    best
}

/// Leaves out as many faults as it can, many at once as long as that goes, one by one in the end.
fn fewer_faults(mut best: Run, promise: Promise) -> Run {
    let only = |faults: &[u64], plan: &Plan| {
        let faults = Some(faults.iter().copied().collect::<BTreeSet<u64>>());
        let tried = run(&Plan { faults, ..plan.clone() }, false);
        tried.breaks(promise).then_some(tried)
    };
    let numbers = |run: &Run| run.struck.iter().map(|(number, _)| *number).collect::<Vec<u64>>();
    if let Some(found) = only(&[], &best.plan) {
        return found;
    }
    let mut size = best.struck.len().div_ceil(2);
    while size > 0 {
        let mut place = 0;
        loop {
            let faults = numbers(&best);
            if place >= faults.len() {
                break;
            }
            let mut fewer = faults.clone();
            fewer.drain(place..(place + size).min(faults.len()));
            match only(&fewer, &best.plan) {
                Some(found) => best = found,
                None => place += size,
            }
        }
        size /= 2;
    }
    // Those that were left in because they never struck.
    only(&numbers(&best), &best.plan).unwrap_or(best)
}

/// Which promise is broken, what was seen, and the line that replays it.
pub(crate) fn report(run: &Run) -> String {
    let Some(broken) = &run.broken else { return format!("{}: every promise is kept", run.plan) };
    let mut text = format!("{} is broken after {} steps: {}\n", broken.promise, run.steps, broken.seen);
    for (number, fault) in &run.struck {
        _ = writeln!(text, "  fault {number}: {fault}");
    }
    _ = write!(text, "Replay it with: {COMMAND} {} trace", run.plan);
    text
}

/// What the arguments of a world go behind.
pub(crate) const COMMAND: &str = "cargo run --release -p bms-domain --features testing --example simulate --";
