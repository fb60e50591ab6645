//! Finds the primary of a service by asking sentinels, and notices when they vote for another.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, Value, cmd};

use super::dial::Endpoint;
use super::node::{Dial, Dialled, Pushed};
use crate::config::RedisConfig;
use crate::error::Error;

/// How often the sentinels are asked whether the primary is still the primary. A primary that they have voted out may
/// still be reachable from here and believe in itself; what it grants meanwhile is lost.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Sentinels are near, and one that does not answer must not hold up the others.
const ASK_WITHIN: Duration = Duration::from_millis(500);

/// The sentinels of one service.
pub(crate) struct Sentinels {
    sentinels: Vec<Sentinel>,
    /// How the primary is connected to: with TLS if they are.
    template: Endpoint,
    service: Arc<str>,
    /// All of them, for errors.
    server: Arc<str>,
    connected: Option<Primary>,
}

struct Sentinel {
    endpoint: Endpoint,
    connection: Option<MultiplexedConnection>,
}

/// A primary, as a sentinel names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Primary {
    host: String,
    port: u16,
    /// Grows with every failover; the higher one is the newer.
    epoch: u64,
}

impl Sentinels {
    pub(crate) fn new(
        sentinels: &[ConnectionInfo],
        service: &Arc<str>,
        login: &RedisConnectionInfo,
        config: &RedisConfig,
    ) -> Result<Self, Error> {
        let first = sentinels.first().cloned().ok_or(Error::Config { reason: "no sentinel is named" })?;
        let template = Endpoint::new(&first.set_redis_settings(login.clone()), config);
        let sentinels = sentinels
            .iter()
            .map(|info| Endpoint { within: config.deadline.min(ASK_WITHIN), ..Endpoint::new(info, config) })
            .map(|endpoint| Sentinel { endpoint, connection: None })
            .collect();
        Ok(Self { sentinels, template, service: Arc::clone(service), server: config.server(), connected: None })
    }

    /// Asks all sentinels at once, and believes the one that knows of the latest failover.
    async fn primary(&mut self) -> Result<Primary, Error> {
        let service = Arc::clone(&self.service);
        let answers = join_all(self.sentinels.iter_mut().map(|sentinel| sentinel.primary(&service))).await;
        let answered = answers.iter().filter(|answer| answer.is_ok()).count();
        let mut problem = None;
        let mut newest: Option<Primary> = None;
        for answer in answers {
            match answer {
                Ok(Some(primary)) if newest.as_ref().is_none_or(|newest| primary.epoch > newest.epoch) => newest = Some(primary),
                Ok(_) => {}
                Err(error) => problem = Some(error),
            }
        }
        // Sentinels that missed a failover would lead back to the primary that was voted out. A majority missed nothing: if
        // it counts from anew, it was set up anew.
        let is_stale = |primary: &Primary| {
            answered * 2 <= self.sentinels.len() && self.connected.as_ref().is_some_and(|known| primary.epoch < known.epoch)
        };
        match newest {
            Some(primary) if !is_stale(&primary) => Ok(primary),
            _ => Err(match problem {
                // What is wrong with all of them is what has to be mended.
                Some(error @ (Error::Unauthenticated { .. } | Error::Tls { .. } | Error::NotRedis { .. })) if answered == 0 => {
                    error
                }
                problem => Error::NoPrimary {
                    server: Arc::clone(&self.server),
                    service: Arc::clone(&self.service),
                    source: problem.map(|error| Arc::new(error) as _),
                },
            }),
        }
    }

    fn endpoint(&self, primary: &Primary) -> Endpoint {
        self.template.at(&primary.host, primary.port)
    }
}

impl Dial for Sentinels {
    fn within(&self) -> Duration {
        self.template.within
    }

    async fn dial(&mut self, pushed: Pushed) -> Result<Dialled, Error> {
        let primary = self.primary().await?;
        let endpoint = self.endpoint(&primary);
        let (connection, facts) = endpoint.open_and_look(pushed).await?;
        let server = endpoint.server;
        if facts.is_cluster_node {
            return Err(Error::Cluster { server });
        }
        // Sentinels name a server before it has taken office.
        if facts.is_replica {
            return Err(Error::Replica { server });
        }
        self.connected = Some(primary);
        let warnings = facts.warnings(&server, None);
        Ok(Dialled { connection, server, warnings })
    }

    async fn moved(&mut self) -> Error {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let Some(known) = self.connected.clone() else { continue };
            // Without sentinels there is no failover either, and the connection is as good as it was.
            let Ok(named) = self.primary().await else { continue };
            if (&named.host, named.port) != (&known.host, known.port) {
                return Error::Demoted { server: self.endpoint(&known).server };
            }
            self.connected = Some(named);
        }
    }
}

impl Sentinel {
    /// What this sentinel knows; `None` if it does not know the service.
    async fn primary(&mut self, service: &str) -> Result<Option<Primary>, Error> {
        let answers = self.ask(service).await;
        if answers.is_err() {
            self.connection = None;
        }
        Ok(read(&answers?))
    }

    async fn ask(&mut self, service: &str) -> Result<Vec<Value>, Error> {
        let mut connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => self.connection.insert(self.endpoint.open(Box::new(|_| {})).await?).clone(),
        };
        let mut questions = Pipeline::with_capacity(2);
        // The first names the new primary as soon as it was chosen, the second has the number of the failover.
        questions.add_command(cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).clone());
        questions.add_command(cmd("SENTINEL").arg("MASTER").arg(service).clone());
        let answers = connection.send_packed_commands(&questions, 0, 2);
        let answers = tokio::time::timeout(self.endpoint.within, answers).await.map_err(|_| self.endpoint.no_answer())?;
        answers.map_err(|error| self.endpoint.failed(&error)).and_then(|answers| match answers.as_slice() {
            [Value::ServerError(error), _] => Err(self.endpoint.failed(&RedisError::from(error.clone()))),
            _ => Ok(answers),
        })
    }
}

/// Reads host and port, and the epoch.
fn read(answers: &[Value]) -> Option<Primary> {
    let [address, details] = answers else { return None };
    let (host, port): (String, u16) = redis::from_redis_value(address.clone()).ok()?;
    let details: std::collections::HashMap<String, String> = redis::from_redis_value(details.clone()).ok()?;
    let epoch = details.get("config-epoch")?.parse().ok()?;
    Some(Primary { host, port, epoch })
}
