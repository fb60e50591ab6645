//! A world: stores, a payment provider, server processes and clients, with all that they share.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use bms_domain::id::ShowId;
use bms_domain::memory::{MemoryCatalogue, MemoryHolds, MemoryIdempotency};
use bms_domain::store::{CatalogueStore as _, HoldStore, StoreError};
use bms_domain::testing::sample;
use bms_domain::time::{Clock as _, Timestamp};
use fastrand::Rng;
use parking_lot::Mutex;

use crate::auditor::{Auditor, Broken, Now};
use crate::bank::Bank;
use crate::clocks::{BEGINNING_MS, DriftingClock};
use crate::dice::Dice;
use crate::meter::Meters;
use crate::plan::{MOST_SEATS, Plan};
use crate::process::Process;
use crate::random::{once_in, stream};
use crate::servers::{HoldServer, OrderServer, done};
use crate::sim::Sim;
use crate::sometimes::{Counts, Sometimes};
use crate::trace::Trace;

/// How long a service waits for a call of a port.
pub(crate) const DEADLINE_MS: u64 = 1_500;

/// Everything there is.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) sim: Sim,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) holds: HoldServer,
    pub(crate) orders: OrderServer,
    pub(crate) keys: MemoryIdempotency,
    pub(crate) catalogue: Arc<MemoryCatalogue>,
    pub(crate) bank: Bank,
    pub(crate) processes: Vec<Process>,
    pub(crate) meters: Meters,
    /// Whether processes hear of changes of the occupancy.
    pub(crate) hears_notices: bool,
    /// Whether everybody has left, and only the ending is to come.
    pub(crate) is_closing: AtomicBool,
    auditor: Mutex<Auditor>,
    network: Mutex<Rng>,
}

/// The show that everybody wants to see.
pub(crate) fn show() -> ShowId {
    sample::show("gala")
}

/// One catalogue for each number of seats, for all worlds.
static CATALOGUES: LazyLock<Vec<Arc<MemoryCatalogue>>> = LazyLock::new(|| {
    let made = |seats| {
        let catalogue = MemoryCatalogue::new();
        done(catalogue.write(&sample::catalogue("gala", seats, Timestamp::from_millis(BEGINNING_MS)))).unwrap();
        Arc::new(catalogue)
    };
    (1..=MOST_SEATS).map(made).collect()
});

impl World {
    pub(crate) fn new(plan: Plan, is_shown: bool) -> Arc<Self> {
        let seed = plan.seed;
        let sim = Sim::new(stream(seed, "schedule", 0));
        let mut clocks = stream(seed, "clocks", 0);
        let holds = HoldServer::new(&sim, &mut clocks);
        let orders = OrderServer::new(&sim, &mut clocks);
        let keys = MemoryIdempotency::new(Arc::new(DriftingClock::new(&sim, &mut clocks)));
        let processes = (0..plan.processes).map(|number| Process::new(number, &sim, &mut clocks)).collect();
        let mut network = stream(seed, "network", 0);
        let world = Arc::new(Self {
            dice: Dice::new(&plan),
            trace: Trace::new(is_shown),
            holds,
            orders,
            keys,
            catalogue: CATALOGUES[plan.seats as usize - 1].clone(),
            bank: Bank::default(),
            processes,
            meters: Meters::default(),
            hears_notices: network.bool(),
            is_closing: AtomicBool::new(false),
            auditor: Mutex::new(Auditor::new()),
            network: Mutex::new(network),
            sim,
            plan,
        });
        (0..world.processes.len()).for_each(|process| world.start(process));
        world
    }

    /// Something that the trace is made of.
    pub(crate) fn note(&self, text: fmt::Arguments<'_>) {
        self.trace.line(self.sim.now(), text);
    }

    /// Something that is only shown.
    pub(crate) fn aside(&self, text: impl FnOnce() -> String) {
        self.trace.aside(text);
    }

    pub(crate) fn count(&self, what: Sometimes) {
        self.auditor.lock().counts.add(what);
    }

    /// Tells the auditor.
    pub(crate) fn audit<R>(&self, tell: impl FnOnce(&mut Auditor) -> R) -> R {
        let now = Now { world: self.sim.now(), holds: self.holds.clock.now(), orders: self.orders.clock.now() };
        let mut auditor = self.auditor.lock();
        auditor.now = now;
        let told = tell(&mut auditor);
        auditor.check_cover();
        told
    }

    /// Tells the auditor of a command of the hold store, and shows him what the store looks like since.
    pub(crate) fn audit_holds(&self, tell: impl FnOnce(&mut Auditor)) {
        self.audit(|auditor| {
            tell(auditor);
            let ids = auditor.holds_to_look_at();
            let seen = self.holds.look(|holds| done(HoldStore::get(holds, &ids)));
            // A show that the store knows nothing of begins as somebody asks: it is kept when that was.
            let occupancy = self.holds.read(|holds| done(HoldStore::occupancy(holds, &show())));
            if let (Ok(seen), Ok(occupancy)) = (seen, occupancy) {
                auditor.saw_holds(&ids, &seen, &occupancy);
            }
        });
    }

    /// Asks the hold store something. The auditor hears that it was asked, for what is past its end ends with that.
    pub(crate) fn ask_holds<T>(
        &self,
        ask: impl Fn(&MemoryHolds) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.holds.read(ask)?;
        self.audit(Auditor::holds_asked);
        Ok(answer)
    }

    /// The hold store falls back to an older state.
    pub(crate) fn holds_fall_back(&self, thousandths: u64, down_ms: i64) {
        let commands = self.holds.fall_back(thousandths, down_ms);
        self.audit(|auditor| {
            let ids = auditor.holds_fell_back(commands);
            auditor.holds_left(&ids, &self.holds.holds_left(&ids));
        });
    }

    /// How long a call and its reply are on their way when nothing is wrong, in ms.
    pub(crate) fn latency(&self) -> (u64, u64) {
        let mut network = self.network.lock();
        let mut way = || if once_in(&mut network, 3) { network.u64(1..40) } else { 0 };
        (way(), way())
    }

    pub(crate) fn draw_u64(&self) -> u64 {
        self.network.lock().u64(..)
    }

    /// What is broken, and how often things came about.
    pub(crate) fn findings(&self) -> (Option<Broken>, Counts) {
        let auditor = self.auditor.lock();
        (auditor.broken.clone(), auditor.counts.clone())
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.auditor.lock().broken.is_some()
    }

    /// Takes it apart: what refers to the world would keep it for ever.
    pub(crate) fn end(&self) {
        self.processes.iter().for_each(Process::stop);
        self.sim.end();
    }
}
