//! Running the checker, and telling what it found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::Hash;
use std::time::Duration;

use stateright::report::{ReportData, ReportDiscovery, Reporter};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use crate::promises::Promise;
use crate::protocol::{Action, Bounds, Protocol};
use crate::state::State;

/// What the checker found.
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    pub(crate) took: Duration,
    /// By promise: the steps that break it.
    pub(crate) broken: BTreeMap<&'static str, String>,
    /// The same steps.
    pub(crate) steps: BTreeMap<&'static str, Vec<Action>>,
    /// What should have come about in some state, and did in none.
    pub(crate) missing: Vec<&'static str>,
}

/// Explores every state.
pub(crate) fn explore(world: Protocol, threads: usize) -> Found {
    run(world, threads, HasDiscoveries::AnyFailures)
}

/// Explores until one promise is broken.
pub(crate) fn explore_until_broken(world: Protocol, promise: Promise) -> Found {
    run(world, 1, HasDiscoveries::AllOf([promise.name()].into()))
}

fn run(world: Protocol, threads: usize, until: HasDiscoveries) -> Found {
    let mut clock = Stopwatch::default();
    let checker = world.clone().checker().threads(threads).finish_when(until).spawn_bfs().join_and_report(&mut clock);
    let found = checker.discoveries();
    let (mut broken, mut steps) = (BTreeMap::new(), BTreeMap::new());
    let mut missing = Vec::new();
    for property in world.properties() {
        match (property.expectation, found.get(property.name)) {
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                broken.insert(property.name, told(property.name, path));
                steps.insert(property.name, path.clone().into_actions());
            }
            (Expectation::Sometimes, None) => missing.push(property.name),
            (Expectation::Always | Expectation::Eventually, None) | (Expectation::Sometimes, Some(_)) => {}
        }
    }
    Found { states: checker.unique_state_count(), depth: checker.max_depth(), took: clock.0, broken, steps, missing }
}

/// The line that explores a world again.
pub(crate) fn replay(world: &Protocol) -> String {
    let Bounds { users, seats, hold_ttl, orders, payments, cancels, losses, failovers, calls, readers } = world.bounds;
    let off = world.off.map_or_else(String::new, |guard| format!(" without={guard:?}"));
    format!(
        "Replay it with: cargo run --release -p bms-domain --features testing --example protocol -- users={users} seats={seats} \
         hold_ttl={hold_ttl} orders={orders} payments={payments} cancels={cancels} losses={losses} failovers={failovers} \
         calls={calls} readers={}{off}",
        u8::from(readers)
    )
}

/// Takes steps, as far as they change anything, and says whether a promise is kept all the way.
pub(crate) fn is_kept_along(world: &Protocol, promise: Promise, steps: &[Action]) -> bool {
    let property = world.properties().into_iter().find(|property| property.name == promise.name()).unwrap();
    let mut state = world.init_states().remove(0);
    steps.iter().all(|step| {
        state = world.next_state(&state, *step).unwrap_or_else(|| state.clone());
        (property.condition)(world, &state)
    })
}

/// The promise, the steps, and where they lead.
fn told(promise: &str, path: &Path<State, Action>) -> String {
    let mut text = format!("{promise} is broken by these steps:\n");
    for (number, action) in path.clone().into_actions().iter().enumerate() {
        _ = writeln!(text, "{:3}. {action}", number + 1);
    }
    _ = writeln!(text, "Then {}", path.last_state());
    text
}

/// Keeps the time that the checker says it took.
#[derive(Default)]
struct Stopwatch(Duration);

impl<M: Model> Reporter<M> for Stopwatch {
    fn report_checking(&mut self, data: ReportData) {
        self.0 = data.duration;
    }

    fn report_discoveries(&mut self, _: &M, _: BTreeMap<&'static str, ReportDiscovery<M>>)
    where
        M::Action: std::fmt::Debug + PartialEq,
        M::State: std::fmt::Debug + Hash + PartialEq,
    {
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(50)
    }
}
