//! Makes one connection to one server, and looks at what answers.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ProtocolVersion, TlsCertificates, Value};

use super::facts::Facts;
use super::node::{Dial, Dialled, Pushed};
use crate::config::{RedisConfig, at, is_tls, server_name};
use crate::error::Error;

/// Calls wait here until the connection's task takes them. More of them wait for a place, in order.
const QUEUE: usize = 1024;

/// One server and how to talk to it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) info: ConnectionInfo,
    /// Scheme, host and port.
    pub(crate) server: Arc<str>,
    pub(crate) ca_certificate: Option<Arc<[u8]>>,
    /// How long making the connection may take.
    pub(crate) within: Duration,
}

impl Endpoint {
    pub(crate) fn new(info: &ConnectionInfo, config: &RedisConfig) -> Self {
        // RESP3 carries messages on the same connection as answers, and tells of a lost connection without being asked.
        let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        // Without it a small command waits for the acknowledgement of the one before.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let info = info.clone().set_redis_settings(login).set_tcp_settings(tcp);
        Self { server: server_name(&info), info, ca_certificate: config.ca_certificate.clone(), within: config.deadline }
    }

    /// Another server, talked to in the same way.
    pub(crate) fn at(&self, host: &str, port: u16) -> Self {
        let info = at(&self.info, host, port);
        Self { server: server_name(&info), info, ..self.clone() }
    }

    /// Connects and logs in. `pushed` is given what arrives unasked, and the end of the connection.
    pub(crate) async fn open(&self, pushed: Pushed) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
            .set_push_sender(move |push| -> Result<(), ()> {
                pushed(push);
                Ok(())
            });
        let client = self.client().map_err(|error| self.failed(&error))?;
        match tokio::time::timeout(self.within, client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.no_answer()),
        }
    }

    /// Connects, and asks the server what it is.
    pub(crate) async fn open_and_look(&self, pushed: Pushed) -> Result<(MultiplexedConnection, Facts), Error> {
        let mut connection = self.open(pushed).await?;
        let answer = match tokio::time::timeout(self.within, connection.send_packed_command(&redis::cmd("INFO"))).await {
            Ok(answer) => answer.and_then(Value::extract_error).map_err(|error| self.failed(&error))?,
            Err(_) => return Err(self.no_answer()),
        };
        let facts = Facts::read(&answer).ok_or_else(|| Error::NotRedis { server: Arc::clone(&self.server), source: None })?;
        if facts.is_sentinel {
            return Err(Error::Sentinel { server: Arc::clone(&self.server) });
        }
        if facts.is_too_old() {
            return Err(Error::TooOld { server: Arc::clone(&self.server), version: facts.version });
        }
        Ok((connection, facts))
    }

    fn client(&self) -> redis::RedisResult<Client> {
        if !is_tls(&self.info) {
            return Client::open(self.info.clone());
        }
        install_tls_provider();
        match &self.ca_certificate {
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) };
                Client::build_with_tls(self.info.clone(), certificates)
            }
            None => Client::open(self.info.clone()),
        }
    }

    pub(crate) fn no_answer(&self) -> Error {
        Error::NoAnswer { server: Arc::clone(&self.server), within: self.within }
    }

    pub(crate) fn failed(&self, error: &redis::RedisError) -> Error {
        let password = self.info.redis_settings().password();
        Error::connecting(&self.server, is_tls(&self.info), error, self.within, password)
    }
}

/// The one server of a configuration that has one.
impl Dial for Endpoint {
    fn within(&self) -> Duration {
        self.within
    }

    async fn dial(&mut self, pushed: Pushed) -> Result<Dialled, Error> {
        let (connection, facts) = self.open_and_look(pushed).await?;
        let server = Arc::clone(&self.server);
        if facts.is_cluster_node {
            return Err(Error::Cluster { server });
        }
        if facts.is_replica {
            return Err(Error::Replica { server });
        }
        let warnings = facts.warnings(&server, None);
        Ok(Dialled { connection, server, warnings })
    }
}

/// redis panics if it speaks TLS and the process has not chosen who does the cryptography. A choice that was made is left.
fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails only if another thread was quicker, and then there is one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}
