//! The connection that the stores share.

mod batch;
mod cluster;
mod dial;
mod facts;
mod link;
mod node;
mod notices;
mod sentinel;
mod slots;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::store::StoreError;
use futures::future::join_all;
use redis::Value;
use tokio::time::Instant;

pub use facts::Warning;
pub(crate) use notices::Notice;

use crate::config::RedisConfig;
use crate::error::{Error, STORE};
use crate::lua;
use crate::script::{Call, Script};
use facts::Facts;
use link::{Link, Order, judge};
use node::{Failure, Listener, Node};
use notices::{Notices, Subscriptions};

/// A connection to Redis: one server, the primary that sentinels name, or a cluster. Cheap to clone; the stores made of it
/// share it. It must be made and used within one tokio runtime; its background tasks end with the last clone.
///
/// Calls end by their deadline ([`RedisConfig::deadline`], P11). While there is no connection they fail at once (P13), and
/// a background task makes a new one, in pauses of up to a second.
///
/// A call that changes something and whose answer is lost ends as [`StoreError::OutcomeUnknown`]. Nothing is sent twice,
/// unless the server has said that it did not carry it out.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    subscriptions: Subscriptions,
    server: Arc<str>,
    prefix: Arc<str>,
    deadline: Duration,
    warnings: Vec<Warning>,
}

/// What a call does, which decides what a lost answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing is changed: without an answer, nothing has happened.
    Reads,
    /// Something may be changed: without an answer, it is not known whether it was.
    Writes,
}

impl Redis {
    /// Connects, and looks at the server (P14): what is unsafe is logged, kept in [`warnings`](Self::warnings), and refused
    /// if the configuration is [`strict`](RedisConfig::strict).
    ///
    /// # Errors
    ///
    /// Every kind of [`Error`], by what is wrong.
    pub async fn connect(config: RedisConfig) -> Result<Self, Error> {
        // What is done once, on the heap: whoever awaits it does not carry it along.
        let link = Box::pin(Link::connect(&config, Listener::log())).await?;
        let nodes: Vec<Node> = link.nodes().into_iter().filter(Node::is_up).collect();
        let mut warnings = Vec::new();
        for found in join_all(nodes.iter().map(|node| look(node, &config))).await {
            warnings.extend(found?);
        }
        warnings.extend(Box::pin(check_rights(&link, &config)).await?);
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self::over(link, config, warnings))
    }

    /// Connects, and goes on if there is nobody to connect to for now: a program that is started while Redis is away confirms
    /// payments all the same (P13). Calls fail meanwhile as they do when it goes away later, and a background task connects.
    /// Then nobody has looked at the server yet: [`warnings`](Self::warnings) is empty, what is unsafe is logged when the server
    /// is there, [`strict`](RedisConfig::strict) or not, and a right that is missing is met by the call that needs it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), but for those that say that nobody answers.
    pub async fn connect_or_wait(config: RedisConfig) -> Result<Self, Error> {
        match Self::connect(config.clone()).await {
            Err(error) if error.is_absence() => {
                tracing::warn!(%error, "Redis is away: nothing can be held until it is back");
                let link = Link::start(&config, Listener::log(), error)?;
                Ok(Self::over(link, config, Vec::new()))
            }
            connected => connected,
        }
    }

    fn over(link: Link, config: RedisConfig, warnings: Vec<Warning>) -> Self {
        let (server, prefix, deadline) = (config.server(), Arc::clone(&config.prefix), config.deadline);
        let inner = Inner { link, subscriptions: Subscriptions::new(config), server, prefix, deadline, warnings };
        Self { inner: Arc::new(inner) }
    }

    /// What was found unsafe when connecting (P14).
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.inner.warnings
    }

    /// What every key and channel starts with.
    pub(crate) fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// Calls a script once.
    pub(crate) async fn run(&self, script: &Script, call: Call, effect: Effect) -> Result<Value, StoreError> {
        self.run_by(script, &call, effect, self.by()).await
    }

    /// Calls a script once, within a time that more than one call may share.
    pub(crate) async fn run_by(&self, script: &Script, call: &Call, effect: Effect, by: Instant) -> Result<Value, StoreError> {
        let outcome = self.inner.link.run(Order::Script(script, call), by).await;
        outcome.map_err(|failure| store_error(failure, effect))
    }

    /// Calls a script once for each of `calls`, all at once, and answers in their order. All have been tried when one fails.
    pub(crate) async fn run_all(&self, script: &Script, calls: Vec<Call>, effect: Effect) -> Result<Vec<Value>, StoreError> {
        let outcome = self.inner.link.run_all(script, &calls, self.by()).await;
        outcome.map_err(|failure| store_error(failure, effect))
    }

    /// Asks for a sign of life, of a cluster from every primary; for a health check of the host.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if there is none, with an [`Error`] as its source.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.inner.link.ping(self.by()).await.map_err(|failure| store_error(failure, Effect::Reads))
    }

    /// Subscribes to a sharded channel. Its messages arrive at [`notices`](Self::notices), until [`Notice::Lost`] does.
    pub(crate) async fn subscribe(&self, channel: &[u8]) -> Result<(), StoreError> {
        let outcome = self.inner.subscriptions.subscribe(channel, self.by()).await;
        outcome.map_err(|failure| store_error(failure, Effect::Reads))
    }

    /// Ends a subscription; messages that are under way may still arrive.
    pub(crate) async fn unsubscribe(&self, channel: &[u8]) {
        self.inner.subscriptions.unsubscribe(channel, self.by()).await;
    }

    /// Everything that arrives on subscribed channels from now on.
    pub(crate) fn notices(&self) -> Notices {
        self.inner.subscriptions.notices()
    }

    /// When a call that begins now has to end.
    pub(crate) fn by(&self) -> Instant {
        Instant::now() + self.inner.deadline
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("server", &self.inner.server).field("prefix", &self.inner.prefix).finish_non_exhaustive()
    }
}

/// What a failure means to a store.
fn store_error(failure: Failure, effect: Effect) -> StoreError {
    match (failure, effect) {
        (Failure::Refused(error), _) | (Failure::Lost(error), Effect::Reads) => error.unavailable(),
        (Failure::Lost(error), Effect::Writes) => error.outcome_unknown(),
        (Failure::Broken(detail), _) => StoreError::Broken { store: STORE, detail },
    }
}

/// Whether a server is fit to keep holds.
async fn look(node: &Node, config: &RedisConfig) -> Result<Vec<Warning>, Error> {
    let by = Instant::now() + config.deadline;
    let server = node.server().unwrap_or_else(|| config.server());
    let info = ask(node, &redis::cmd("INFO"), by).await.map_err(|failure| connecting(failure, &server))?;
    let facts = Facts::read(&info).ok_or_else(|| Error::NotRedis { server: Arc::clone(&server), source: None })?;
    if let Some(policy) = facts.eviction_policy().filter(|_| config.strict) {
        return Err(Error::Evicting { server, policy: policy.to_owned() });
    }
    // Many a user may not read the configuration, and many a service does not show it: then this is left open.
    let save = ask(node, redis::cmd("CONFIG").arg("GET").arg("save"), by).await.ok();
    let save = save.and_then(|answer| redis::from_redis_value::<std::collections::HashMap<String, String>>(answer).ok());
    Ok(facts.warnings(&server, save.as_ref().and_then(|save| save.get("save")).map(String::as_str)))
}

/// Whether the user may do all that is needed: a script that fails half-way has done half.
async fn check_rights(link: &Link, config: &RedisConfig) -> Result<Vec<Warning>, Error> {
    let (server, by) = (config.server(), Instant::now() + config.deadline);
    let keys = ["hash", "string", "set", "list"].map(|kind| format!("{}:{{check}}:{kind}", config.prefix));
    let call = keys.iter().fold(Call::new(), Call::key).number(u8::from(matches!(link, Link::Cluster(_))));
    let answer = match link.run(Order::Script(&lua::CHECK, &call), by).await.map_err(|failure| connecting(failure, &server)) {
        Ok(answer) => answer,
        // This is one node of many: a program starts all the same, and shows of the others are sold.
        Err(error) if matches!(link, Link::Cluster(_)) && error.is_absence() => {
            tracing::warn!(%error, "it is not known whether the user of Redis may do all that is needed");
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let unreadable = |error| Error::NotRedis { server: Arc::clone(&server), source: Some(Arc::new(error)) };
    let mut commands: Vec<String> = redis::from_redis_value(answer).map_err(unreadable)?;
    let untold = commands.extract_if(.., |command| command == "SPUBLISH").count() > 0;
    let unheard = commands.extract_if(.., |command| ["SSUBSCRIBE", "SUNSUBSCRIBE"].contains(&command.as_str())).count() > 0;
    if !commands.is_empty() {
        return Err(Error::NotPermitted { server, commands, source: None });
    }
    let untold = untold.then(|| Warning::Untold { server: Arc::clone(&server) });
    Ok(untold.into_iter().chain(unheard.then_some(Warning::Unheard { server })).collect())
}

async fn ask(node: &Node, command: &redis::Cmd, by: Instant) -> Result<Value, Failure> {
    judge(node, node.send(command.clone(), by).await?)
}

fn connecting(failure: Failure, server: &Arc<str>) -> Error {
    match failure {
        Failure::Refused(error) | Failure::Lost(error) => error,
        Failure::Broken(detail) => {
            Error::NotRedis { server: Arc::clone(server), source: Some(Arc::new(std::io::Error::other(detail))) }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
