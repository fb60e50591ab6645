//! A handle to one schema of one database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::store::StoreError;
use bms_domain::time::{Clock, Timestamp};
use chrono::{DateTime, Utc};
use sqlx::Connection as _;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::{Instant, timeout};

use crate::config::{PostgresConfig, Schema, name_of};
use crate::connections::Connections;
use crate::error::{Error, STORE};
use crate::facts::{self, Facts};
use crate::migrate::{self, Migrated};

/// Something about a server that may lose what was acknowledged (promise P14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// Commits are acknowledged before they are durable.
    #[error("synchronous_commit is off: a crash loses payments that were acknowledged")]
    SynchronousCommitOff,
    /// Nothing is forced to disk.
    #[error("fsync is off: a crash of the machine can lose or corrupt everything")]
    FsyncOff,
    /// A page that was half written is not repaired.
    #[error("full_page_writes is off: a crash of the machine can corrupt tables")]
    FullPageWritesOff,
}

/// The tables of this library in one schema of one database. Cheap to clone; its clones share their connections.
#[derive(Clone)]
pub struct Postgres {
    shared: Arc<Shared>,
    clock: Option<Arc<dyn Clock>>,
    /// When the call that this is for has to end.
    until: Option<Instant>,
}

struct Shared {
    connections: Connections,
    replica: Option<Connections>,
    schema: Schema,
    deadline: Duration,
    listing_life: Duration,
    connected: Instant,
    prepares: bool,
    warnings: Vec<Warning>,
}

/// A schema that was looked at.
struct Opened {
    postgres: Postgres,
    server: Arc<str>,
    missing: Vec<String>,
}

impl Opened {
    /// Refuses a schema that lacks what a promise rests on.
    fn whole(self, config: &PostgresConfig) -> Result<Postgres, Error> {
        if self.missing.is_empty() {
            return Ok(self.postgres);
        }
        Err(Error::Damaged { server: self.server, schema: config.schema.as_str().to_owned(), missing: self.missing })
    }
}

impl Postgres {
    /// Connects, and looks at what it is connected to: version, role, migrations, constraints, settings.
    ///
    /// # Errors
    /// [`Error`] when the server cannot be reached or used, or the schema is not migrated; with
    /// [`strict`](PostgresConfig::strict) also when something may lose what was acknowledged.
    pub async fn connect(config: &PostgresConfig) -> Result<Self, Error> {
        Self::open(config).await?.whole(config)
    }

    /// The same for [`audit`](Self::audit) alone, which says what a schema lacks that a promise rests on: here it is not refused
    /// for that.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), but for [`Error::Damaged`].
    pub async fn connect_to_audit(config: &PostgresConfig) -> Result<Self, Error> {
        Ok(Self::open(config).await?.postgres)
    }

    async fn open(config: &PostgresConfig) -> Result<Opened, Error> {
        let connections = Connections::own(pool(config, &config.options).await?);
        let replica = match &config.replica {
            Some(options) => Some(Connections::own(pool(config, options).await?)),
            None => None,
        };
        Self::checked(connections, replica, config.server(), config).await
    }

    /// Uses a pool of the host program, whose own settings hold: how long is waited for a connection, how many there are,
    /// and `statement_timeout`. Of `config` only what has nothing to do with connecting counts.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn with_pool(pool: PgPool, config: &PostgresConfig) -> Result<Self, Error> {
        let server = name_of(&pool.connect_options());
        Self::checked(Connections::of_host(pool), None, server, config).await?.whole(config)
    }

    async fn checked(
        connections: Connections,
        replica: Option<Connections>,
        server: Arc<str>,
        config: &PostgresConfig,
    ) -> Result<Opened, Error> {
        let check = facts::check(connections.pool(), &server, &config.schema);
        let checked = timeout(config.patience(), check).await;
        let Facts { warnings, missing } = checked.map_err(|_| Error::NoAnswer { server: server.clone() })??;
        if config.strict && !warnings.is_empty() {
            return Err(Error::Unsafe { server, warnings });
        }
        for warning in &warnings {
            tracing::warn!(%server, "{warning}");
        }
        let (schema, deadline) = (config.schema.clone(), config.deadline);
        let shared = Shared {
            connections,
            replica,
            schema,
            deadline,
            listing_life: config.listing_life,
            connected: Instant::now(),
            prepares: !config.transaction_pooling,
            warnings,
        };
        Ok(Opened { postgres: Self { shared: Arc::new(shared), clock: None, until: None }, server, missing })
    }

    /// Makes the schema and its tables, or brings them up to this version. Needs the right to create; the program that sells
    /// does not. Many may migrate at once: one does it, the others find it done.
    ///
    /// # Errors
    /// [`Error`]; nothing is left half done.
    pub async fn migrate(config: &PostgresConfig) -> Result<Migrated, Error> {
        migrate::run(config).await
    }

    /// The same tables, with time told by this clock instead of the server's: for tests and simulations.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// What about the server may lose what was acknowledged.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.shared.warnings
    }

    /// The pool that connections come from, to look at its size. Those of [`connect`](Self::connect) are kept by this handle while
    /// there is work; the pool counts them as in use.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.shared.connections.pool()
    }

    /// Closes every connection, and the host's pool if it was handed in. Whoever asks afterwards is told `Unavailable`.
    pub async fn close(&self) {
        self.shared.connections.close().await;
        if let Some(replica) = &self.shared.replica {
            replica.close().await;
        }
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.shared.connections
    }

    /// Whether the server answers, and takes writes.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let row = self.read(|| sqlx::query("select pg_is_in_recovery() as standby")).await?;
        match row.first().map(|row| crate::codec::get(row, "standby")) {
            Some(Ok(false)) => Ok(()),
            _ => Err(StoreError::unavailable(STORE)),
        }
    }

    /// Where the catalogue is read: the replica, where there is one.
    pub(crate) fn replica(&self) -> &Connections {
        self.shared.replica.as_ref().unwrap_or(&self.shared.connections)
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.shared.schema
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.shared.deadline
    }

    /// The same for a call of several statements, with one deadline for all of them.
    pub(crate) fn for_one_call(&self) -> Self {
        self.by(self.until())
    }

    /// The same for a call that has to end by then.
    pub(crate) fn by(&self, until: Instant) -> Self {
        Self { until: Some(until), ..self.clone() }
    }

    /// When a statement that is asked for now has to end.
    pub(crate) fn until(&self) -> Instant {
        self.until.unwrap_or_else(|| Instant::now() + self.deadline())
    }

    /// For how long a show is sold as it was read.
    pub(crate) fn listing_life(&self) -> Duration {
        self.shared.listing_life
    }

    /// Tells how old something is that this process has read: by the clock that was given, else by one that nobody sets.
    pub(crate) fn moment(&self) -> Timestamp {
        let running = || i64::try_from(self.shared.connected.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.clock.as_ref().map_or_else(|| Timestamp::from_millis(running()), |clock| clock.now())
    }

    /// Whether statements are prepared ahead.
    pub(crate) fn prepares(&self) -> bool {
        self.shared.prepares
    }

    /// The caller's instant, which every statement takes as its first argument; none: the server tells the time.
    pub(crate) fn now(&self) -> Option<DateTime<Utc>> {
        self.clock.as_ref().map(|clock| clock.now().to_utc())
    }
}

async fn pool(config: &PostgresConfig, options: &sqlx::postgres::PgConnectOptions) -> Result<PgPool, Error> {
    let server = name_of(options);
    let options = config.session(options.clone());
    let pool = PgPoolOptions::new()
        .max_connections(config.connections)
        .acquire_timeout(config.patience())
        // Connections are asked before they are lent, after a pause.
        .test_before_acquire(false);
    // The pool tries again and again until its time is over, and then says only that: so the first connection is made by hand.
    let first = timeout(config.patience(), sqlx::PgConnection::connect_with(&options)).await;
    let first = first.map_err(|_| Error::NoAnswer { server: server.clone() })?.map_err(|error| Error::of(&server, error))?;
    let _ = first.close().await;
    Ok(pool.connect_lazy_with(options))
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        let server = name_of(&shared.connections.pool().connect_options());
        f.debug_struct("Postgres").field("server", &server).field("schema", &shared.schema).finish_non_exhaustive()
    }
}
