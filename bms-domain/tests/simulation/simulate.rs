//! Runs the booking service in as many worlds as one likes, or one of them again.
//!
//! ```console
//! $ cargo run --release -p bms-domain --features testing --example simulate -- seeds=1000000
//! $ cargo run --release -p bms-domain --features testing --example simulate -- seed=123 users=2 faults=17,40 trace
//! ```
//!
//! `seeds=A..B` begins elsewhere; `flaw=NAME` puts a bug in. Ends with an error when a promise is broken, with the smallest
//! world found that breaks it and the line that replays it, or when something never came about that has to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool of the tests, which share its modules"
)]
#![allow(dead_code, reason = "the tests use the rest")]

mod auditor;
mod bank;
mod clients;
mod clocks;
mod dice;
mod flaws;
mod keyed;
mod life;
mod meter;
mod plan;
mod process;
mod random;
mod run;
mod servers;
mod shrink;
mod sim;
mod sometimes;
mod trace;
mod wire;
mod world;

use std::ops::Range;
use std::process::ExitCode;

use plan::Plan;

const USAGE: &str = "usage: simulate seeds=N|A..B [threads=N] [flaw=NAME]\n       simulate seed=N [users=N] [processes=N] \
                     [visits=N] [seats=N] [faults=none|K,K,…] [flaw=NAME] [trace]";

/// From so many worlds on, everything that has to come about must have.
const ENOUGH: u64 = 5_000;

enum Task {
    One { plan: Plan, is_shown: bool },
    Many { seeds: Range<u64>, threads: usize, plan: Plan },
}

fn parse(arguments: Vec<String>) -> Option<Task> {
    let pairs: Vec<(&str, &str)> = arguments.iter().map(|argument| argument.split_once('=').unwrap_or((argument, ""))).collect();
    let value = |wanted: &str| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let (mut plan, mut threads, mut is_shown) =
        (Plan::of(value("seed").map_or(Some(0), |seed| seed.parse().ok())?), run::threads(), false);
    for (name, value) in &pairs {
        match *name {
            "seed" | "seeds" => {}
            "threads" => threads = value.parse().ok().filter(|threads| *threads > 0)?,
            "trace" => is_shown = true,
            name if plan.take(name, value) => {}
            _ => return None,
        }
    }
    match (value("seed"), value("seeds")) {
        (Some(_), None) => Some(Task::One { plan, is_shown }),
        (None, Some(seeds)) => {
            let (first, end) = seeds.split_once("..").unwrap_or(("0", seeds));
            Some(Task::Many { seeds: first.parse().ok()?..end.parse().ok()?, threads, plan })
        }
        _ => None,
    }
}

fn one(plan: &Plan, is_shown: bool) -> ExitCode {
    let run = run::run(plan, is_shown);
    println!("{}\n{} steps, trace {:016x}", shrink::report(&run), run.steps, run.hash);
    if run.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(seeds: Range<u64>, threads: usize, plan: &Plan) -> ExitCode {
    let campaign = run::campaign(seeds, threads, plan.flaw);
    for (words, count) in campaign.counts.each() {
        println!("{count:>12}  {words}");
    }
    println!("{} worlds, {} steps, traces {:016x}", campaign.worlds, campaign.steps, campaign.hash);
    if let Some(broken) = campaign.broken {
        println!(
            "\n{}\n\nThe smallest world found:\n{}",
            shrink::report(&broken),
            shrink::report(&shrink::shrink(broken.clone()))
        );
        return ExitCode::FAILURE;
    }
    let missing = campaign.counts.missing();
    if campaign.worlds >= ENOUGH && !missing.is_empty() {
        println!("\nin no world: {}", missing.join("; "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1).collect()) {
        Some(Task::One { plan, is_shown }) => one(&plan, is_shown),
        Some(Task::Many { seeds, threads, plan }) => many(seeds, threads, &plan),
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
