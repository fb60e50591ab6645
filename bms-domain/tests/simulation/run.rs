//! Runs worlds: one, or many at once.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::auditor::{Broken, Promise};
use crate::flaws::Flaw;
use crate::life;
use crate::plan::Plan;
use crate::sim::Step;
use crate::sometimes::Counts;
use crate::world::World;

/// No world takes so many steps: it would go round in circles.
const MOST_STEPS: u64 = 1_000_000;

/// What came of a world.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) plan: Plan,
    /// Of everything that happened, in its order.
    pub(crate) hash: u64,
    pub(crate) steps: u64,
    pub(crate) broken: Option<Broken>,
    /// The faults that struck, by their number.
    pub(crate) struck: Vec<(u64, String)>,
    pub(crate) counts: Counts,
}

impl Run {
    pub(crate) fn breaks(&self, promise: Promise) -> bool {
        self.broken.as_ref().is_some_and(|broken| broken.promise == promise)
    }
}

/// Runs a world from its beginning to its end, or until a promise is broken.
pub(crate) fn run(plan: &Plan, is_shown: bool) -> Run {
    let world = World::new(plan.clone(), is_shown);
    let mut end = world.sim.begin(life::play(world.clone()));
    let mut steps = 0;
    let stuck = |what: &str| world.audit(|auditor| auditor.breaks(Promise::BoundedWaits, what.to_owned()));
    let ended = catch_unwind(AssertUnwindSafe(|| {
        while !world.is_broken() && matches!(end.try_recv(), Ok(None)) {
            match world.sim.step() {
                Step::Polled(task) => world.trace.step(world.sim.now(), task),
                Step::Waited => {}
                Step::Idle => stuck("everybody waits for ever"),
            }
            steps += 1;
            if steps > MOST_STEPS {
                stuck("the world does not come to an end");
            }
        }
    }));
    if ended.is_err() {
        stuck("something panicked");
    }
    let (broken, counts) = world.findings();
    if let Some(broken) = &broken {
        world.note(format_args!("{}: {}", broken.promise, broken.seen));
    }
    let run = Run { plan: plan.clone(), hash: world.trace.hash(), steps, broken, struck: world.dice.struck(), counts };
    world.end();
    run
}

/// What came of many worlds.
#[derive(Debug, Default)]
pub(crate) struct Campaign {
    pub(crate) worlds: u64,
    pub(crate) steps: u64,
    /// Of all traces together, in whatever order they ran.
    pub(crate) hash: u64,
    pub(crate) counts: Counts,
    /// The first world that breaks a promise, of those that ran.
    pub(crate) broken: Option<Run>,
}

impl Campaign {
    fn take(&mut self, run: Run) {
        self.worlds += 1;
        self.steps += run.steps;
        self.hash = self.hash.wrapping_add(run.hash);
        self.counts.add_all(&run.counts);
        let is_first = self.broken.as_ref().is_none_or(|first| run.plan.seed < first.plan.seed);
        if run.broken.is_some() && is_first {
            self.broken = Some(run);
        }
    }
}

/// Runs the worlds of many seeds, until one breaks a promise.
pub(crate) fn campaign(seeds: Range<u64>, threads: usize, flaw: Option<Flaw>) -> Campaign {
    let (next, found) = (AtomicU64::new(seeds.start), Mutex::new(Campaign::default()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Campaign::default();
                while found.lock().broken.is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let run = run(&Plan { flaw, ..Plan::of(seed) }, false);
                    if run.broken.is_some() {
                        found.lock().take(run);
                    } else {
                        mine.take(run);
                    }
                }
                let mut found = found.lock();
                found.worlds += mine.worlds;
                found.steps += mine.steps;
                found.hash = found.hash.wrapping_add(mine.hash);
                found.counts.add_all(&mine.counts);
            });
        }
    });
    found.into_inner()
}

/// As many as there are cores.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
