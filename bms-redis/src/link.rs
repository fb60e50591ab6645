//! What calls go out on: one node, or a cluster of them.

use std::sync::Arc;

use redis::{Cmd, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::time::Instant;

use crate::error::Error;
use crate::node::{Failure, Node};
use crate::script::{Call, Script};

/// One command to send.
#[derive(Clone, Copy)]
pub(crate) enum Order<'a> {
    /// A call of a script.
    Script(&'a Script, &'a Call),
    /// A command as it is, in the slot of a key.
    Plain(&'a Cmd, &'a [u8]),
}

impl Order<'_> {
    /// Sends it to one node; a script that the node does not know is sent again with its text.
    pub(crate) async fn send(self, node: &Node, deadline: Instant) -> Result<Value, Failure> {
        match self {
            Self::Script(script, call) => {
                let answer = node.send(&script.evalsha(call), deadline).await?;
                if is_unknown_script(&answer) { node.send(&script.eval(call), deadline).await } else { Ok(answer) }
            }
            Self::Plain(command, _) => node.send(command, deadline).await,
        }
    }
}

/// Calls a script on one node.
pub(crate) async fn run(node: &Node, order: Order<'_>, deadline: Instant) -> Result<Value, Failure> {
    let answer = order.send(node, deadline).await?;
    judge(node, answer)
}

/// Calls a script several times on one node, in one round trip; those that find it unknown once more with its text.
pub(crate) async fn run_all(node: &Node, script: &Script, calls: &[Call], deadline: Instant) -> Result<Vec<Value>, Failure> {
    let mut by_hash = Pipeline::with_capacity(calls.len());
    for call in calls {
        by_hash.add_command(script.evalsha(call));
    }
    let mut answers = node.send_all(&by_hash, deadline).await?;
    let mut by_text = Pipeline::new();
    for (call, _) in calls.iter().zip(&answers).filter(|(_, answer)| is_unknown_script(answer)) {
        // The first brings the text; after it the hash is known.
        let command = if by_text.is_empty() { script.eval(call) } else { script.evalsha(call) };
        by_text.add_command(command);
    }
    let mut second = node.send_all(&by_text, deadline).await?.into_iter();
    for answer in answers.iter_mut().filter(|answer| is_unknown_script(answer)) {
        *answer = second.next().unwrap_or(Value::Nil);
    }
    answers.into_iter().map(|answer| judge(node, answer)).collect()
}

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
        None => Err(Failure::Broken(format!("a script failed: {source}"))),
    }
}
