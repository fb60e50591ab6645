//! What can go wrong between this program and Redis.

use std::sync::Arc;
use std::time::Duration;

use bms_domain::store::StoreError;
use redis::{ErrorKind, RedisError};

/// What the client library or the operating system said.
pub(crate) type Cause = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// The name of this store in a [`StoreError`].
pub(crate) const STORE: &str = "redis";

/// What went wrong between this program and Redis, and what to do about it.
///
/// A server is named by its scheme, host and port. No user name, no password and no URL as it was given is part of any
/// text. It is also what stands as the source in a [`StoreError`] of this crate.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration makes no sense.
    #[error("the configuration of Redis is wrong: {reason}")]
    Config {
        /// What is wrong, and how it should be.
        reason: &'static str,
    },
    /// No connection could be made.
    #[error(
        "{server} cannot be reached; check host and port, and that the server runs and the network lets this program through"
    )]
    Unreachable {
        /// Scheme, host and port.
        server: Arc<str>,
        /// What the operating system said.
        #[source]
        source: Cause,
    },
    /// The server did not answer within the deadline.
    #[error(
        "{server} did not answer within {within:?}; it is stalled, overloaded or cut off, or does not speak TLS where the URL wants it"
    )]
    NoAnswer {
        /// Scheme, host and port.
        server: Arc<str>,
        /// How long was waited.
        within: Duration,
    },
    /// The connection broke while an answer was awaited.
    #[error("the connection to {server} was lost; a new one is being made")]
    Lost {
        /// Scheme, host and port.
        server: Arc<str>,
        /// What the client library said.
        #[source]
        source: Cause,
    },
    /// Somebody took the connection, and closed it before any answer: a load balancer without a server behind it does, and
    /// a server that wants TLS of one who does not speak it.
    #[error(
        "{server} closes the connection without an answer; check that a server runs behind it, and whether it wants TLS (rediss://)"
    )]
    Closed {
        /// Scheme, host and port.
        server: Arc<str>,
        /// What the client library said.
        #[source]
        source: Cause,
    },
    /// TLS could not be agreed on.
    #[error(
        "TLS with {server} failed; check that the port speaks TLS, that its certificate is for this host, and that its CA is trusted here"
    )]
    Tls {
        /// Scheme, host and port.
        server: Arc<str>,
        /// What was wrong.
        #[source]
        source: Cause,
    },
    /// The user or the password is wrong or missing.
    #[error(
        "{server} does not accept the user and password, or wants them and got none; put them into the URL, percent-encoded: redis://user:password@host:port"
    )]
    Unauthenticated {
        /// Scheme, host and port.
        server: Arc<str>,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The user may not do what is needed.
    #[error(
        "{server} does not let this user {}; its ACL must allow the commands and the keys and channels of the prefix that the documentation lists",
        if commands.is_empty() { "do what is needed".to_owned() } else { format!("use {}", commands.join(", ")) }
    )]
    NotPermitted {
        /// Scheme, host and port.
        server: Arc<str>,
        /// The commands that are missing, in capitals: `HSET`, `CLUSTER|SLOTS`. Empty where it is about keys or channels.
        commands: Vec<String>,
        /// What the server said, where it refused a call.
        #[source]
        source: Option<Cause>,
    },
    /// What answers does not speak Redis' protocol.
    #[error("{server} does not answer as Redis does; check the port, and whether it wants TLS (rediss://)")]
    NotRedis {
        /// Scheme, host and port.
        server: Arc<str>,
        /// What the client library said.
        #[source]
        source: Option<Cause>,
    },
    /// The server is older than 7.0.
    #[error("{server} is version {version}; 7.0 or later is needed")]
    TooOld {
        /// Scheme, host and port.
        server: Arc<str>,
        /// What it is; `before 6.0` where it does not say.
        version: String,
    },
    /// The server is a replica, and refuses writes.
    #[error(
        "{server} is a replica and cannot keep holds; connect to its primary, or through Sentinel: redis+sentinel://host:port/service"
    )]
    Replica {
        /// Scheme, host and port.
        server: Arc<str>,
    },
    /// A node of a cluster was contacted as if it stood alone.
    #[error("{server} is a node of a cluster; use redis+cluster://host:port")]
    Cluster {
        /// Scheme, host and port.
        server: Arc<str>,
    },
    /// A server that is not part of a cluster was contacted as if it were.
    #[error("{server} is not a node of a cluster; use redis://host:port")]
    NotCluster {
        /// Scheme, host and port.
        server: Arc<str>,
    },
    /// A sentinel was contacted as if it were a server that keeps data.
    #[error("{server} is a sentinel; use redis+sentinel://host:port/service")]
    Sentinel {
        /// Scheme, host and port.
        server: Arc<str>,
    },
    /// No sentinel knows of a primary for this service.
    #[error(
        "none of the sentinels {server} names a primary for the service {service:?}; check its name and that a quorum of sentinels runs"
    )]
    NoPrimary {
        /// The sentinels: scheme, hosts and ports.
        server: Arc<str>,
        /// The service that was asked for.
        service: Arc<str>,
        /// What was wrong with the last one that was asked, where it was not its answer.
        #[source]
        source: Option<Cause>,
    },
    /// The sentinels have voted for another primary than the one that was connected to.
    #[error("{server} was voted out by the sentinels; the new primary is being connected to")]
    Demoted {
        /// The old primary: scheme, host and port.
        server: Arc<str>,
    },
    /// The server may throw holds away when its memory is full, and [`strict`](crate::RedisConfig::strict) is on.
    #[error("{server} evicts keys (maxmemory-policy {policy}), and with them holds; set maxmemory-policy noeviction")]
    Evicting {
        /// Scheme, host and port.
        server: Arc<str>,
        /// Its `maxmemory-policy`.
        policy: String,
    },
    /// The server's memory is full, and it evicts nothing.
    #[error("{server} is full: it has reached its maxmemory; raise it, or remove what else is kept there")]
    Full {
        /// Scheme, host and port.
        server: Arc<str>,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The server refuses for now, and has changed nothing: it loads its data, is busy with a script, cannot persist, has
    /// too few replicas, or its cluster is being repaired.
    #[error("{server} refuses ({code}); it has changed nothing, and trying again is safe")]
    Refused {
        /// Scheme, host and port.
        server: Arc<str>,
        /// Redis' own word for it, such as `LOADING`, `BUSY`, `MISCONF`, `NOREPLICAS`, `CLUSTERDOWN`.
        code: String,
        /// What the server said.
        #[source]
        source: Cause,
    },
}

impl Error {
    /// Whether nobody answers, or not for now; what is wrong may pass by itself.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::NoAnswer { .. }
                | Self::Lost { .. }
                | Self::Closed { .. }
                | Self::NoPrimary { .. }
                | Self::Refused { .. }
        )
    }

    /// Nobody has connected to the server yet.
    pub(crate) fn not_connected(server: Arc<str>) -> Self {
        Self::Unreachable { server, source: Arc::new(std::io::Error::from(std::io::ErrorKind::NotConnected)) }
    }

    /// Why connecting to a server failed. Whatever is quoted has `password` taken out: an old Redis repeats the arguments
    /// of a command that it does not know, and HELLO carries the password.
    pub(crate) fn connecting(server: &Arc<str>, tls: bool, error: &RedisError, within: Duration, password: Option<&str>) -> Self {
        let server = Arc::clone(server);
        let source = quote(error, password);
        match error.kind() {
            ErrorKind::AuthenticationFailed => return Self::Unauthenticated { server, source },
            ErrorKind::RESP3NotSupported => return Self::TooOld { server, version: "before 6.0".into() },
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => return Self::NotRedis { server, source: Some(source) },
            _ => {}
        }
        if let Some(code) = error.code() {
            // The first command is HELLO, which came with 6.0.
            if code == "ERR" && error.detail().is_some_and(|detail| detail.starts_with("unknown command")) {
                return Self::TooOld { server, version: "before 6.0".into() };
            }
            // The client library has words of its own for a database that may not be chosen, around the server's.
            let code = if code == "ERR" && refused_command(&source.to_string()).is_some() { "NOPERM" } else { code };
            return Self::answered(&server, code, source.clone()).unwrap_or(Self::Refused { server, code: code.into(), source });
        }
        if error.is_timeout() {
            return Self::NoAnswer { server, within };
        }
        match io_kind(error) {
            Some(std::io::ErrorKind::InvalidData) if tls => Self::Tls { server, source },
            Some(std::io::ErrorKind::InvalidData) => Self::NotRedis { server, source: Some(source) },
            Some(std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) => {
                Self::Closed { server, source }
            }
            _ => Self::Unreachable { server, source },
        }
    }

    /// What a definite refusal means; `None` for an error of the script itself.
    pub(crate) fn answered(server: &Arc<str>, code: &str, source: Cause) -> Option<Self> {
        let server = Arc::clone(server);
        match code {
            "OOM" => Some(Self::Full { server, source }),
            "NOAUTH" | "WRONGPASS" => Some(Self::Unauthenticated { server, source }),
            "NOPERM" => {
                let said = source.to_string();
                let commands = refused_command(&said).into_iter().collect();
                Some(Self::NotPermitted { server, commands, source: Some(Arc::new(Quoted(without_user(&said)))) })
            }
            "READONLY" => Some(Self::Replica { server }),
            "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MISCONF" | "NOREPLICAS" | "MOVED" | "ASK"
            | "UNKILLABLE" => Some(Self::Refused { server, code: code.into(), source }),
            _ => None,
        }
    }

    /// Nothing was changed.
    pub(crate) fn unavailable(self) -> StoreError {
        StoreError::Unavailable { store: STORE, source: Some(Box::new(self)) }
    }

    /// Something may have been changed.
    pub(crate) fn outcome_unknown(self) -> StoreError {
        StoreError::OutcomeUnknown { store: STORE, source: Some(Box::new(self)) }
    }
}

/// The kind of the I/O error below, where there is one.
fn io_kind(error: &RedisError) -> Option<std::io::ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(error.kind());
        }
        // redis keeps the I/O error in an `Arc`, which is an error of its own.
        if let Some(error) = error.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()
            && let Some(error) = error.downcast_ref::<std::io::Error>()
        {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

/// What an error said, without the password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Quoted(String);

fn quote(error: &RedisError, password: Option<&str>) -> Cause {
    let mut text = error.to_string();
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        text = text.replace(password, "***");
    }
    Arc::new(Quoted(text))
}

/// Redis says "… has no permissions to run the 'get' command"; of keys and channels it says something else.
fn refused_command(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("to run the '")?;
    rest.split_once('\'').map(|(command, _)| command.to_uppercase())
}

/// Redis says "User ann has no permissions …".
pub(crate) fn without_user(text: &str) -> String {
    let mut words = Vec::new();
    let mut hide = false;
    for word in text.split(' ') {
        words.push(if hide { "***" } else { word });
        hide = word == "User";
    }
    words.join(" ")
}
