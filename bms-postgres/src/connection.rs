//! A handle to one schema of one database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::store::StoreError;
use bms_domain::time::Clock;
use chrono::{DateTime, Utc};
use sqlx::Connection as _;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::timeout;

use crate::config::{PostgresConfig, Schema, name_of};
use crate::error::{Error, STORE};
use crate::facts;
use crate::migrate::{self, Migrated};

/// A connection that was idle for longer is asked whether it is still there before it is used.
const FRESH: Duration = Duration::from_secs(1);

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
}

struct Shared {
    pool: PgPool,
    replica: Option<PgPool>,
    schema: Schema,
    deadline: Duration,
    prepares: bool,
    warnings: Vec<Warning>,
}

impl Postgres {
    /// Connects, and looks at what it is connected to: version, role, migrations, constraints, settings.
    ///
    /// # Errors
    /// [`Error`] when the server cannot be reached or used, or the schema is not migrated; with
    /// [`strict`](PostgresConfig::strict) also when something may lose what was acknowledged.
    pub async fn connect(config: &PostgresConfig) -> Result<Self, Error> {
        let pool = pool(config, &config.options).await?;
        let replica = match &config.replica {
            Some(options) => Some(self::pool(config, options).await?),
            None => None,
        };
        Self::checked(pool, replica, config.server(), config).await
    }

    /// Uses a pool of the host program, whose own settings hold: how long is waited for a connection, how many there are,
    /// and `statement_timeout`. Of `config` only what has nothing to do with connecting counts.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn with_pool(pool: PgPool, config: &PostgresConfig) -> Result<Self, Error> {
        let server = name_of(&pool.connect_options());
        Self::checked(pool, None, server, config).await
    }

    async fn checked(pool: PgPool, replica: Option<PgPool>, server: Arc<str>, config: &PostgresConfig) -> Result<Self, Error> {
        let checked = timeout(config.deadline.max(Duration::from_secs(5)), facts::check(&pool, &server, &config.schema)).await;
        let warnings = checked.map_err(|_| Error::NoAnswer { server: server.clone() })??;
        if config.strict && !warnings.is_empty() {
            return Err(Error::Unsafe { server, warnings });
        }
        for warning in &warnings {
            tracing::warn!(%server, "{warning}");
        }
        let (schema, deadline) = (config.schema.clone(), config.deadline);
        let shared = Shared { pool, replica, schema, deadline, prepares: !config.transaction_pooling, warnings };
        Ok(Self { shared: Arc::new(shared), clock: None })
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

    /// The pool of connections, to look at its size or to close it.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.shared.pool
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
    pub(crate) fn replica(&self) -> &PgPool {
        self.shared.replica.as_ref().unwrap_or(&self.shared.pool)
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.shared.schema
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.shared.deadline
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
        .acquire_timeout(config.deadline)
        // Only after a pause: asking every time is a round trip for each statement.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
    // The pool tries again and again until its time is over, and then says only that: so the first connection is made by hand.
    let first = timeout(config.deadline, sqlx::PgConnection::connect_with(&options)).await;
    let first = first.map_err(|_| Error::NoAnswer { server: server.clone() })?.map_err(|error| Error::of(&server, error))?;
    let _ = first.close().await;
    Ok(pool.connect_lazy_with(options))
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        let server = name_of(&shared.pool.connect_options());
        f.debug_struct("Postgres").field("server", &server).field("schema", &shared.schema).finish_non_exhaustive()
    }
}
