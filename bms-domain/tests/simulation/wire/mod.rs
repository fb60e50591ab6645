//! The way from a process to the stores, the payment provider and the receiver of events. A call is a message: it takes effect
//! as a task of its own, perhaps after its caller gave up, or died.

mod holds;
mod orders;
mod rest;

use std::fmt;
use std::sync::Arc;

use bms_domain::event::PublishError;
use bms_domain::payment::GatewayError;
use bms_domain::store::StoreError;
use futures::channel::oneshot;

use crate::dice::CallFault;
use crate::sim::Group;
use crate::sometimes::Sometimes;
use crate::world::{DEADLINE_MS, World};

/// For how long nobody hears of a call that was lost in silence: longer than anybody waits.
const SILENCE_MS: u64 = 20 * 60_000;

/// What a process sees of the world.
pub(crate) struct Wire {
    world: Arc<World>,
    process: usize,
}

/// How a call came to where it takes effect.
#[derive(Clone, Copy)]
struct Way {
    /// It took longer than its caller waits.
    is_late: bool,
}

/// How a port says that a call failed.
pub(crate) trait Failure: Send + 'static {
    fn unavailable() -> Self;
    fn unknown() -> Self;
}

impl Failure for StoreError {
    fn unavailable() -> Self {
        Self::unavailable("a store")
    }

    fn unknown() -> Self {
        Self::outcome_unknown("a store")
    }
}

impl Failure for GatewayError {
    fn unavailable() -> Self {
        Self::Unavailable { source: None }
    }

    fn unknown() -> Self {
        Self::Unavailable { source: None }
    }
}

impl Failure for PublishError {
    fn unavailable() -> Self {
        Self { published: Vec::new(), untried: Vec::new(), source: None }
    }

    fn unknown() -> Self {
        Self::unavailable()
    }
}

impl Wire {
    pub(crate) fn new(world: Arc<World>, process: usize) -> Self {
        Self { world, process }
    }

    /// Sends a call, and waits for its reply. Others go on before it takes effect, and before the reply is there.
    async fn call<T, E>(
        &self,
        method: &'static str,
        effect: impl FnOnce(&Arc<World>, Way) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: fmt::Debug + Send + 'static,
        E: Failure + fmt::Debug,
    {
        let world = &self.world;
        let _open = world.meters.call(method);
        let fault = world.dice.call(method);
        if let Some(fault) = fault {
            world.note(format_args!("process {}: {method}: {fault:?}", self.process));
            world.count(match fault {
                CallFault::Fails => Sometimes::CallFailed,
                CallFault::Lost { .. } => Sometimes::CallLost,
                CallFault::ReplyLost => Sometimes::ReplyLost,
                CallFault::Late { .. } => Sometimes::CallLate,
                CallFault::ReplyLate { .. } => Sometimes::ReplyLate,
            });
        }
        let (reply, answer) = oneshot::channel();
        let there = message(world.clone(), self.process, method, fault, reply, effect);
        world.sim.spawn(Group::World, there);
        answer.await.unwrap_or_else(|_| Err(E::unknown()))
    }
}

/// A call on its way, and its reply.
async fn message<T: fmt::Debug, E: Failure + fmt::Debug>(
    world: Arc<World>,
    process: usize,
    method: &'static str,
    fault: Option<CallFault>,
    reply: oneshot::Sender<Result<T, E>>,
    effect: impl FnOnce(&Arc<World>, Way) -> Result<T, E>,
) {
    let sent = world.sim.now();
    let (there_ms, back_ms) = match fault {
        Some(CallFault::Late { ms }) => (ms, 0),
        Some(CallFault::ReplyLate { ms }) => (0, ms),
        _ => world.latency(),
    };
    world.sim.pause(there_ms).await;
    match fault {
        Some(CallFault::Fails) => return drop(reply.send(Err(E::unavailable()))),
        Some(CallFault::Lost { told: true }) => return,
        Some(CallFault::Lost { told: false }) => {
            world.sim.pause(SILENCE_MS).await;
            return drop(reply);
        }
        _ => {}
    }
    if reply.is_canceled() {
        world.count(Sometimes::EffectUnheard);
    }
    let is_late = world.sim.now() - sent > i64::try_from(DEADLINE_MS).unwrap_or(0);
    let answer = effect(&world, Way { is_late });
    world.note(format_args!("process {process}: {method}{}", if answer.is_ok() { "" } else { " fails" }));
    world.aside(|| format!("    {answer:?}"));
    world.sim.pause(back_ms).await;
    if fault != Some(CallFault::ReplyLost) {
        _ = reply.send(answer);
    }
}
