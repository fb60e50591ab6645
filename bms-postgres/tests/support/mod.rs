//! What the tests of the stores share: a server for the program, and a migrated schema for each case.
#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses some of it; a test fails by panicking")]

pub(crate) mod shop;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bms_domain::testing::{ManualClock, Runtime};
use bms_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use bms_postgres::sqlx::{AssertSqlSafe, Executor as _, PgPool, Transaction};
use bms_postgres::testing::Server;
use bms_postgres::{Postgres, PostgresConfig};
use futures::future::BoxFuture;
use tokio::runtime::Handle;

/// Runs the tasks of a suite on tokio.
pub(crate) struct Tokio(pub(crate) Handle);

impl Runtime for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn block_on(&self, task: BoxFuture<'_, ()>) {
        self.0.block_on(task);
    }
}

/// The URL of the database that the cases of this program share.
pub(crate) fn database() -> &'static str {
    static DATABASE: OnceLock<String> = OnceLock::new();
    DATABASE.get_or_init(|| by_socket(Server::shared(), &Server::shared().fresh_database().unwrap()))
}

/// The URL of the same database by the server's socket, which asks for no password: to check one takes longer than a case.
fn by_socket(server: &Server, url: &str) -> String {
    let (_, database) = url.rsplit_once('/').unwrap();
    format!("postgres:///{database}?host={}&port={}&user=postgres", server.directory().display(), server.port())
}

/// How a host of its own asks for a database of a pooler.
pub(crate) fn behind(url: &str) -> PgConnectOptions {
    url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None)
}

/// A schema of its own, migrated.
pub(crate) async fn schema() -> PostgresConfig {
    schema_in(database()).await
}

/// A schema of its own in the database of a URL, migrated.
pub(crate) async fn schema_in(url: &str) -> PostgresConfig {
    migrated(url, &fresh_name()).await
}

async fn migrated(url: &str, schema: &str) -> PostgresConfig {
    let config = PostgresConfig::new(url).unwrap().schema(schema).unwrap();
    Postgres::migrate(&config).await.unwrap();
    config
}

fn fresh_name() -> String {
    static CASES: AtomicU32 = AtomicU32::new(0);
    format!("case_{}", CASES.fetch_add(1, Ordering::Relaxed))
}

/// A migrated schema of its own, whose time is told by a clock.
pub(crate) async fn postgres(clock: ManualClock) -> Postgres {
    Postgres::connect(&schema().await).await.unwrap().with_clock(Arc::new(clock))
}

/// Asks again and again until something has come about elsewhere, for 20 s at most.
pub(crate) async fn until(what: &str, mut asks: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !asks().await {
        assert!(Instant::now() < end, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A migrated schema of its own, which goes with it.
pub(crate) struct Case {
    pub(crate) postgres: Postgres,
    pub(crate) config: PostgresConfig,
    pub(crate) schema: Schema,
}

/// A schema that is dropped with this, by and by: at the latest with its server. It has connections of its own.
pub(crate) struct Schema {
    name: String,
    pool: PgPool,
}

/// A case whose time is told by a clock.
pub(crate) async fn case(clock: &ManualClock) -> Case {
    case_with(clock, |config| config).await
}

/// A case with settings of its own.
pub(crate) async fn case_with(clock: &ManualClock, set: impl FnOnce(PostgresConfig) -> PostgresConfig) -> Case {
    case_in(database(), clock, set).await
}

/// A case in the database of a URL.
pub(crate) async fn case_in(url: &str, clock: &ManualClock, set: impl FnOnce(PostgresConfig) -> PostgresConfig) -> Case {
    let name = fresh_name();
    let config = set(migrated(url, &name).await);
    let postgres = Postgres::connect(&config).await.unwrap().with_clock(Arc::new(clock.clone()));
    let pool = PgPoolOptions::new().max_connections(2).connect_lazy(url).unwrap();
    Case { postgres, config, schema: Schema { name, pool } }
}

impl Case {
    /// Runs SQL as a person at a prompt does; `bms.` is the case's schema. Tells how many rows it was, or the constraint that
    /// it would break, or else the SQLSTATE.
    pub(crate) async fn sql(&self, sql: &str) -> Result<u64, String> {
        let done = self.schema.pool.execute(AssertSqlSafe(self.schema.named(sql))).await;
        done.map(|done| done.rows_affected()).map_err(|error| {
            let said = error.as_database_error().unwrap();
            said.constraint().map_or_else(|| said.code().unwrap().into_owned(), str::to_owned)
        })
    }
}

impl Schema {
    /// Runs SQL, and keeps its transaction open with all of its locks. `bms.` is the schema.
    pub(crate) async fn open(&self, sql: &str) -> Transaction<'static, bms_postgres::sqlx::Postgres> {
        let mut transaction = self.pool.begin().await.unwrap();
        transaction.execute(AssertSqlSafe(self.named(sql))).await.unwrap();
        transaction
    }

    fn named(&self, sql: &str) -> String {
        sql.replace("bms.", &format!("{}.", self.name))
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop = format!("drop schema {} cascade", self.name);
        let pool = self.pool.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { pool.execute(AssertSqlSafe(drop)).await.map(|_| ()) });
        }
    }
}
