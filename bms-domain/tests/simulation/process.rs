//! Server processes: each a service of its own over the same stores. They crash, and come back knowing nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bms_domain::service::{BookingService, Policy, Ports};
use bms_domain::testing::{ManualClock, SeededIds};
use bms_domain::time::Clock as _;
use fastrand::Rng;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::auditor::Promise;
use crate::clocks::DriftingClock;
use crate::dice::RequestFault;
use crate::flaws::Flaw;
use crate::meter::{Meter, RELAY_ATTEMPTS};
use crate::sim::{Group, Sim};
use crate::sometimes::Sometimes;
use crate::wire::Wire;
use crate::world::{DEADLINE_MS, World};

/// A server process.
pub(crate) struct Process {
    number: usize,
    pub(crate) clock: Arc<DriftingClock>,
    /// When its clock was last set, in ms of the world.
    stepped_at: AtomicI64,
    /// What new ids take for the time.
    dates: ManualClock,
    starts: AtomicU64,
    service: Mutex<Option<BookingService>>,
}

impl Process {
    pub(crate) fn new(number: usize, sim: &Sim, random: &mut Rng) -> Self {
        Self {
            number,
            clock: Arc::new(DriftingClock::new(sim, random)),
            stepped_at: AtomicI64::new(i64::MIN / 2),
            dates: ManualClock::new(),
            starts: AtomicU64::new(0),
            service: Mutex::new(None),
        }
    }

    pub(crate) fn stop(&self) {
        let service = self.service.lock().take();
        drop(service);
    }

    /// For how long its clock was not set, in ms.
    pub(crate) fn steady_for(&self, now: i64) -> i64 {
        now - self.stepped_at.load(Ordering::Relaxed)
    }

    fn service(&self) -> Option<BookingService> {
        self.dates.set(self.clock.now());
        self.service.lock().clone()
    }
}

/// How a request ended.
enum End<T> {
    Answered(T),
    Dropped,
    Crashed,
}

/// A request that is polled so many times at most.
struct CutOff<T> {
    request: Option<BoxFuture<'static, T>>,
    fault: Option<RequestFault>,
    world: Arc<World>,
    meter: Arc<Meter>,
}

impl<T> Drop for CutOff<T> {
    fn drop(&mut self) {
        self.world.meters.end(&self.meter);
    }
}

impl<T> Future for CutOff<T> {
    type Output = End<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End<T>> {
        let end = match &mut self.fault {
            Some(RequestFault::Dropped { polls: 0 }) => Some(End::Dropped),
            Some(RequestFault::Crash { polls: 0 }) => Some(End::Crashed),
            Some(RequestFault::Dropped { polls } | RequestFault::Crash { polls }) => {
                *polls -= 1;
                None
            }
            None => None,
        };
        if let Some(end) = end {
            self.request = None;
            return Poll::Ready(end);
        }
        let CutOff { request: Some(request), world, meter, .. } = &mut *self else { return Poll::Ready(End::Dropped) };
        world.meters.poll(meter, || request.as_mut().poll(context)).map(End::Answered)
    }
}

impl World {
    /// A process comes up, with nothing in its memory.
    pub(crate) fn start(self: &Arc<Self>, process: usize) {
        let it = &self.processes[process];
        let start = it.starts.fetch_add(1, Ordering::Relaxed);
        let wire = Arc::new(Wire::new(self.clone(), process));
        let ports = Ports {
            holds: wire.clone(),
            orders: wire.clone(),
            outbox: wire.clone(),
            catalogue: wire.clone(),
            idempotency: wire.clone(),
            gateway: wire,
        };
        let seed = self.plan.seed ^ (it.number as u64 + 1) << 48 ^ (start + 1) << 56;
        let ids = Arc::new(SeededIds::new(seed, it.dates.clone()));
        let mut policy = Policy::default();
        policy.relay_attempts = RELAY_ATTEMPTS;
        let mut builder = BookingService::builder(ports).clock(it.clock.clone()).ids(ids).policy(policy);
        if !self.plan.has(Flaw::NoDeadline) {
            let stretched = if self.plan.has(Flaw::DeadlineStretched) { DEADLINE_MS / 3 } else { 0 };
            builder = builder.deadline(Duration::from_millis(DEADLINE_MS + stretched), Arc::new(self.sim.clone()));
        }
        *it.service.lock() = Some(builder.build().unwrap());
    }

    /// A process dies wherever it is, and comes up again after a while.
    pub(crate) fn crash(self: &Arc<Self>, process: usize) {
        self.note(format_args!("process {process} crashes"));
        self.processes[process].stop();
        self.sim.kill(process);
        let (world, down_ms) = (self.clone(), self.draw_u64() % 60_000);
        self.sim.spawn(Group::World, async move {
            world.sim.pause(down_ms).await;
            // Unless it was started meanwhile.
            if world.processes[process].service.lock().is_none() {
                world.start(process);
            }
        });
    }

    /// Sets a clock: the order store's, the hold store's, or a process'.
    pub(crate) fn set_clock(&self, clock: usize, ms: i64) {
        let by_ms = match clock {
            0 => self.orders.clock.step(ms),
            1 => self.holds.clock.step(ms),
            process => {
                let process = &self.processes[process - 2];
                process.stepped_at.store(self.sim.now(), Ordering::Relaxed);
                process.clock.step(ms)
            }
        };
        self.audit(|auditor| auditor.clock_set(clock == 0, by_ms));
    }

    /// Sees to it that every process is up.
    pub(crate) fn start_all(self: &Arc<Self>) {
        for process in 0..self.processes.len() {
            if self.processes[process].service.lock().is_none() {
                self.start(process);
            }
        }
    }

    /// Sends a request to a process, and waits for its answer for so long. `None` when there is none: the process is down, or
    /// died; or the request was dropped, or takes longer.
    pub(crate) async fn ask<T, Answer>(
        self: &Arc<Self>,
        process: usize,
        what: &'static str,
        patience_ms: u64,
        request: impl FnOnce(BookingService) -> Answer,
    ) -> Option<T>
    where
        T: Send + 'static,
        Answer: Future<Output = T> + Send + 'static,
    {
        let service = self.processes[process].service()?;
        let fault = self.dice.request(what);
        self.note(format_args!("process {process} is asked to {what}"));
        if let Some(fault) = fault {
            self.note(format_args!("    {fault:?}"));
        }
        let (reply, answer) = oneshot::channel();
        let (world, meter) = (self.clone(), self.meters.begin(process, what, self.sim.now()));
        let cut_off = CutOff { request: Some(request(service).boxed()), fault, world: self.clone(), meter: meter.clone() };
        self.sim.spawn(Group::Process(process), async move {
            let end = cut_off.await;
            if let Some(complaint) = meter.complaint(world.sim.now()) {
                world.audit(|auditor| auditor.breaks(Promise::BoundedWaits, complaint));
            }
            match end {
                End::Answered(answer) => drop(reply.send(answer)),
                End::Dropped => world.count(Sometimes::RequestDropped),
                End::Crashed => {
                    world.count(Sometimes::ProcessCrashed);
                    world.crash(process);
                }
            }
        });
        self.sim.within(patience_ms, answer).await?.ok()
    }
}
