//! What calls go out on: one node, or a cluster of them.

use std::sync::Arc;

use futures::future::join_all;
use redis::{Cmd, Pipeline, PushKind, RedisError, ServerErrorKind, Value, cmd};
use tokio::time::Instant;

use super::cluster::Cluster;
use super::dial::Endpoint;
use super::node::{Failure, Listener, Node};
use super::sentinel::Sentinels;
use crate::config::{RedisConfig, Target};
use crate::error::{Error, without_user};
use crate::script::{Call, Script};

/// One command to send.
#[derive(Clone, Copy)]
pub(crate) enum Order<'a> {
    /// A call of a script.
    Script(&'a Script, &'a Call),
    /// A command as it is, in the slot of a key.
    Plain(&'a Cmd, &'a [u8]),
    /// A command that subscribes to a channel.
    Subscribe(&'a Cmd, &'a [u8]),
}

/// What calls go out on; cheap to clone.
#[derive(Clone)]
pub(crate) enum Link {
    /// One server, or the primary that sentinels name.
    Node(Node),
    /// Many.
    Cluster(Cluster),
}

impl Link {
    /// Connects to what the configuration names.
    pub(crate) async fn connect(config: &RedisConfig, listener: Listener) -> Result<Self, Error> {
        match &config.target {
            Target::Single(info) => Node::connect(Endpoint::new(info, config), listener).await.map(Self::Node),
            Target::Sentinel { sentinels, service, login } => {
                Node::connect(Sentinels::new(sentinels, service, login, config)?, listener).await.map(Self::Node)
            }
            Target::Cluster(seeds) => Cluster::connect(seeds, config, listener).await.map(Self::Cluster),
        }
    }

    /// The same, which is not awaited: calls fail, with `down` at first, until there is a connection.
    pub(crate) fn start(config: &RedisConfig, listener: Listener, down: Error) -> Result<Self, Error> {
        match &config.target {
            Target::Single(info) => Ok(Self::Node(Node::start(Endpoint::new(info, config), listener, down))),
            Target::Sentinel { sentinels, service, login } => {
                Ok(Self::Node(Node::start(Sentinels::new(sentinels, service, login, config)?, listener, down)))
            }
            Target::Cluster(seeds) => Cluster::start(seeds, config, listener).map(Self::Cluster),
        }
    }

    /// Waits until there is a connection for a key, or the deadline has come; not for one that could not be made just now.
    pub(crate) async fn ready(&self, key: &[u8], deadline: Instant) {
        match self {
            Self::Node(node) => node.ready(deadline).await,
            Self::Cluster(cluster) => cluster.ready(key, deadline).await,
        }
    }

    /// The nodes that hold the data; not all of them need be connected.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        match self {
            Self::Node(node) => vec![node.clone()],
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    /// Asks for a sign of life, of a cluster from every primary.
    pub(crate) async fn ping(&self, deadline: Instant) -> Result<(), Failure> {
        let nodes = self.nodes();
        if let Self::Cluster(cluster) = self
            && nodes.is_empty()
        {
            return Err(cluster.unmapped());
        }
        let answers = join_all(nodes.iter().map(|node| node.send(cmd("PING"), deadline))).await;
        for (node, answer) in nodes.iter().zip(answers) {
            judge(node, answer?)?;
        }
        Ok(())
    }

    /// Sends one command.
    pub(crate) async fn run(&self, order: Order<'_>, deadline: Instant) -> Result<Value, Failure> {
        match self {
            Self::Node(node) => run(node, order, deadline).await,
            Self::Cluster(cluster) => cluster.run(order, deadline).await,
        }
    }

    /// Calls a script several times, all at once; the answers stand in the order of the calls.
    pub(crate) async fn run_all(&self, script: &Script, calls: &[Call], deadline: Instant) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Node(node) => run_all(node, script, calls, deadline).await,
            Self::Cluster(cluster) => cluster.run_all(script, calls, deadline).await,
        }
    }
}

impl Order<'_> {
    /// The key by which a cluster finds the node.
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Script(_, call) => call.first_key().unwrap_or_default(),
            Self::Plain(_, key) | Self::Subscribe(_, key) => key,
        }
    }

    /// Sends it to one node; a script that the node does not know is sent again with its text. `asking` is for a node that
    /// is just being given the slot, and says that another has sent us there.
    pub(crate) async fn send(self, node: &Node, asking: bool, deadline: Instant) -> Result<Value, Failure> {
        match self {
            Self::Script(script, call) => {
                let answer = send(node, script.evalsha(call), asking, deadline).await?;
                if is_unknown_script(&answer) { send(node, script.eval(call), asking, deadline).await } else { Ok(answer) }
            }
            Self::Plain(command, _) => send(node, command.clone(), asking, deadline).await,
            Self::Subscribe(command, _) => {
                let answer = send(node, command.clone(), asking, deadline).await?;
                match &answer {
                    Value::Push { kind: PushKind::SSubscribe, .. } | Value::ServerError(_) => Ok(answer),
                    // The end of another subscription came between, and was taken for the answer.
                    _ => {
                        let source = Arc::new(std::io::Error::other("an answer belongs to another command"));
                        let error = Error::Lost { server: node.server().unwrap_or_else(|| "redis".into()), source };
                        node.distrust(error.clone());
                        Err(Failure::Refused(error))
                    }
                }
            }
        }
    }
}

async fn send(node: &Node, command: Cmd, asking: bool, deadline: Instant) -> Result<Value, Failure> {
    if !asking {
        return node.send(command, deadline).await;
    }
    // ASKING counts for the very next command, so nobody else's may come between.
    let mut both = Pipeline::with_capacity(2);
    both.add_command(cmd("ASKING")).add_command(command);
    Ok(node.send_all(&both, deadline).await?.pop().unwrap_or(Value::Nil))
}

async fn run(node: &Node, order: Order<'_>, deadline: Instant) -> Result<Value, Failure> {
    let answer = order.send(node, false, deadline).await?;
    judge(node, answer)
}

async fn run_all(node: &Node, script: &Script, calls: &[Call], deadline: Instant) -> Result<Vec<Value>, Failure> {
    let answers = send_calls(node, script, calls.iter(), deadline).await?;
    answers.into_iter().map(|answer| judge(node, answer)).collect()
}

/// Sends calls to one node in one round trip; in a second those that find the script unknown.
pub(crate) async fn send_calls<'a>(
    node: &Node,
    script: &Script,
    calls: impl Iterator<Item = &'a Call> + Clone,
    deadline: Instant,
) -> Result<Vec<Value>, Failure> {
    let mut by_hash = Pipeline::new();
    for call in calls.clone() {
        by_hash.add_command(script.evalsha(call));
    }
    let mut answers = node.send_all(&by_hash, deadline).await?;
    let mut by_text = Pipeline::new();
    for (call, _) in calls.zip(&answers).filter(|(_, answer)| is_unknown_script(answer)) {
        // The first brings the text; after it the hash is known.
        let command = if by_text.is_empty() { script.eval(call) } else { script.evalsha(call) };
        by_text.add_command(command);
    }
    let mut second = node.send_all(&by_text, deadline).await?.into_iter();
    for answer in answers.iter_mut().filter(|answer| is_unknown_script(answer)) {
        *answer = second.next().unwrap_or(Value::Nil);
    }
    Ok(answers)
}

/// The node does not know the script that was called by its hash, and has done nothing.
pub(crate) fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

/// Takes errors out of an answer, and distrusts a server that has become a replica.
pub(crate) fn judge(node: &Node, answer: Value) -> Result<Value, Failure> {
    let Value::ServerError(error) = answer else { return Ok(answer) };
    let server = node.server().unwrap_or_else(|| "redis".into());
    let code = error.code().to_owned();
    let source = Arc::new(RedisError::from(error));
    match Error::answered(&server, &code, source.clone()) {
        Some(refusal) => {
            if matches!(refusal, Error::Replica { .. }) {
                node.distrust(refusal.clone());
            }
            Err(Failure::Refused(refusal))
        }
        None => Err(Failure::Broken(format!("a script failed: {}", without_user(&source.to_string())))),
    }
}
