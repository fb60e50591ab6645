//! Which faults strike. Decision number k is drawn from the seed and k alone, so that leaving a fault out changes no other.

use std::collections::BTreeSet;

use fastrand::Rng;
use parking_lot::Mutex;

use crate::plan::Plan;
use crate::random::{pause_ms, stream};
use crate::sometimes::Sometimes;

/// The longest that a call, or its reply, is on its way.
pub(crate) const LONGEST_WAY_MS: u64 = 4 * 60_000;

/// What happens to a call of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// It fails before it does anything.
    Fails,
    /// It never arrives. Whether its caller is told so.
    Lost { told: bool },
    /// It takes effect, and its caller is told that this is not known.
    ReplyLost,
    /// It takes effect late.
    Late { ms: u64 },
    /// Its reply comes late.
    ReplyLate { ms: u64 },
}

/// What happens to a request, when it was polled so many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestFault {
    Dropped { polls: u32 },
    Crash { polls: u32 },
}

/// What happens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    Forget,
    /// To the state after so many thousandths of the calls.
    FallBack {
        thousandths: u64,
    },
    /// Of the order store, the hold store, or a process.
    Step {
        clock: usize,
        ms: i64,
    },
    Stop {
        process: usize,
    },
}

pub(crate) struct Dice {
    seed: u64,
    only: Option<BTreeSet<u64>>,
    /// In 10,000 calls or requests.
    rate: u32,
    /// Which kinds of faults this world has: with fewer kinds, those that are left come together more often.
    kinds: u32,
    processes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    decided: u64,
    /// What struck.
    struck: Vec<(u64, String)>,
    is_over: bool,
}

impl Dice {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut random = stream(plan.seed, "faults", 0);
        let rate = [0, 100, 400, 1_500][random.usize(..4)];
        // Each kind in two worlds of three.
        let kinds = random.u32(..) | random.u32(..) & random.u32(..);
        Self { seed: plan.seed, only: plan.faults.clone(), rate, kinds, processes: plan.processes, state: Mutex::default() }
    }

    /// From now on nothing fails any more.
    pub(crate) fn rest(&self) {
        self.state.lock().is_over = true;
    }

    /// What struck, with its numbers.
    pub(crate) fn struck(&self) -> Vec<(u64, String)> {
        self.state.lock().struck.clone()
    }

    /// Makes a decision: perhaps one of so many kinds of fault, the first of them being number `first`.
    fn decide<T: std::fmt::Debug>(
        &self,
        rate: u32,
        first: usize,
        kinds: usize,
        what: &str,
        make: impl FnOnce(usize, &mut Rng) -> T,
    ) -> Option<T> {
        let mut state = self.state.lock();
        if state.is_over {
            return None;
        }
        state.decided += 1;
        let number = state.decided;
        if self.only.as_ref().is_some_and(|only| !only.contains(&number)) {
            return None;
        }
        let mut random = stream(self.seed, "fault", number);
        let strikes = random.u32(..10_000) < rate;
        let kind = random.usize(..kinds);
        if !strikes || self.kinds & (1 << (first + kind)) == 0 {
            return None;
        }
        let fault = make(kind, &mut random);
        state.struck.push((number, format!("{fault:?} at {what}")));
        Some(fault)
    }

    /// For a call of a port.
    pub(crate) fn call(&self, method: &'static str) -> Option<CallFault> {
        self.decide(self.rate, 0, 5, method, |kind, random| match kind {
            0 => CallFault::Fails,
            1 => CallFault::Lost { told: random.bool() },
            2 => CallFault::ReplyLost,
            3 => CallFault::Late { ms: pause_ms(random, LONGEST_WAY_MS) },
            _ => CallFault::ReplyLate { ms: pause_ms(random, LONGEST_WAY_MS) },
        })
    }

    /// For a request of a client.
    pub(crate) fn request(&self, what: &'static str) -> Option<RequestFault> {
        self.decide(self.rate, 5, 2, what, |kind, random| {
            let polls = random.u32(1..12);
            if kind == 0 { RequestFault::Dropped { polls } } else { RequestFault::Crash { polls } }
        })
    }

    /// For the whole world, every few minutes.
    pub(crate) fn mishap(&self) -> Option<Mishap> {
        self.decide(self.rate * 5, 7, 4, "world", |kind, random| match kind {
            0 => Mishap::Forget,
            1 => Mishap::FallBack { thousandths: random.u64(..1_000) },
            2 => Mishap::Step { clock: random.usize(..self.processes + 2), ms: random.i64(-20_000..=20_000) },
            _ => Mishap::Stop { process: random.usize(..self.processes) },
        })
    }

    /// For a payment: whether all of its notices are lost.
    pub(crate) fn loses_notices(&self) -> bool {
        self.decide(self.rate * 2, 11, 1, "notices", |_, _| Sometimes::NoticesLost).is_some()
    }

    /// For a batch of events: how many of them are published before the sink fails.
    pub(crate) fn sink(&self, events: usize) -> Option<usize> {
        self.decide(self.rate * 4, 12, 1, "sink", |_, random| random.usize(..=events))
    }
}
