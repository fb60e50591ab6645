//! Every bug that is put in on purpose is found, by the promise that it breaks; its world shrinks, and the printed line
//! replays it.

use std::sync::Mutex;
use std::thread;

use crate::flaws::Flaw;
use crate::plan::Plan;
use crate::run::{Run, campaign, run, threads};
use crate::shrink::{COMMAND, report, shrink};

/// Within so many worlds.
const SEEDS: u64 = 5_000;

/// Runs the world of a printed line.
fn replayed(report: &str) -> Run {
    let line = report.lines().find_map(|line| line.strip_prefix("Replay it with: ")).expect("the line that replays it");
    let arguments = line.strip_prefix(COMMAND).expect("the command").split_whitespace();
    let mut pairs = arguments.filter_map(|argument| argument.split_once('='));
    let (seed, value) = pairs.next().expect("a seed first");
    assert_eq!(seed, "seed");
    let mut plan = Plan::of(value.parse().unwrap());
    for (name, value) in pairs {
        assert!(plan.take(name, value), "{name}={value}");
    }
    run(&plan, false)
}

fn is_found(flaw: Flaw) -> String {
    let failed = campaign(0..SEEDS, 1, Some(flaw)).broken.unwrap_or_else(|| panic!("{flaw} was not found in {SEEDS} worlds"));
    let seed = failed.plan.seed;
    assert!(failed.breaks(flaw.breaks()), "{flaw}: {}", report(&failed));
    let size = |plan: &Plan| (plan.users, plan.processes, plan.visits, plan.seats);
    let (before, faults) = (size(&failed.plan), failed.struck.len());
    let small = shrink(failed);
    assert!(small.breaks(flaw.breaks()), "{flaw}: {}", report(&small));
    let after = size(&small.plan);
    assert!(after.0 <= before.0 && after.1 <= before.1 && after.2 <= before.2 && after.3 <= before.3);
    assert!(small.struck.len() <= faults);
    let text = report(&small);
    assert!(text.starts_with(&flaw.breaks().to_string()));
    let again = replayed(&text);
    assert_eq!((again.hash, &again.broken), (small.hash, &small.broken), "{flaw}: {text}");
    // The bug is what breaks it, and nothing else.
    let sound = run(&Plan { flaw: None, ..small.plan.clone() }, false);
    assert!(sound.broken.is_none(), "{flaw}: without it, too: {}", report(&sound));
    format!("{flaw}: seed {seed}, {faults} faults; {} left: {text}", small.struck.len())
}

#[test]
fn every_bug_that_is_put_in_is_found_shrunk_and_replayed() {
    let waiting = Mutex::new(Flaw::ALL.iter());
    let next = || waiting.lock().unwrap().next().copied();
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while let Some(flaw) = next() {
                    println!("{}\n", is_found(flaw));
                }
            });
        }
    });
}

/// With all that struck it is the whole world, so that what is left out is left out for a reason.
#[test]
fn a_world_without_a_bug_has_nothing_to_shrink() {
    let sound = run(&Plan::of(1), false);
    assert_eq!(shrink(sound.clone()).plan, sound.plan);
}
