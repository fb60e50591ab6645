//! Makes the tables, in a schema of their own beside the host application's.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlSafeStr as _};
use tokio::time::timeout;

use crate::config::{PostgresConfig, Schema};
use crate::error::Error;
use crate::facts;

macro_rules! migrations {
    ($(($version:literal, $name:literal)),+ $(,)?) => {
        [$(($version, $name, include_str!(concat!("../migrations/", $name, ".sql")))),+]
    };
}

/// Every migration: number, name, text.
const MIGRATIONS: [(i64, &str, &str); 4] =
    migrations![(1, "0001_orders"), (2, "0002_idempotency"), (3, "0003_catalogue"), (4, "0004_holds")];

/// What migrating did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// The migrations that were applied now; none when all of them had been.
    pub applied: Vec<i64>,
    /// The newest migration that is in the schema.
    pub version: i64,
}

pub(crate) fn newest() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

fn all(schema: &Schema) -> Vec<Migration> {
    let of = |(version, name, text): &(i64, &'static str, &'static str)| {
        let text = AssertSqlSafe(schema.expand(text)).into_sql_str();
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, text, false)
    };
    MIGRATIONS.iter().map(of).collect()
}

/// The table that remembers which migrations were applied.
fn table(schema: &Schema) -> String {
    format!("\"{}\".migrations", schema.as_str())
}

/// Applies the migrations that are missing, all in one transaction, while others who migrate wait.
pub(crate) async fn run(config: &PostgresConfig) -> Result<Migrated, Error> {
    let server = config.server();
    // A connection of its own, not the pool's, without the deadlines of calls. Nothing is prepared: a pooler may hand out what was.
    let options = config.wire(config.options.clone()).application_name("bms migrate").statement_cache_capacity(0);
    let connect = timeout(config.patience(), PgConnection::connect_with(&options)).await;
    let mut connection =
        connect.map_err(|_| Error::NoAnswer { server: server.clone() })?.map_err(|error| Error::of(&server, error))?;
    let migrated = migrate(&mut connection, &server, &config.schema).await;
    let _ = connection.close().await;
    migrated
}

async fn migrate(connection: &mut PgConnection, server: &Arc<str>, schema: &Schema) -> Result<Migrated, Error> {
    facts::check_server(connection, server).await?;
    // The lock and the settings go with the transaction, so that a pooler hands neither to anybody else.
    let mut transaction = connection.begin().await.map_err(|error| Error::of(server, error))?;
    wait_for_others(&mut transaction).await.map_err(|error| Error::of(server, error))?;
    let before = applied_of(&mut transaction, schema).await.map_err(|error| Error::of(server, error))?;
    compare(&before, server, schema)?;
    let mut migrator = Migrator::with_migrations(all(schema));
    migrator.dangerous_set_table_name(table(schema));
    migrator.create_schema(format!("\"{}\"", schema.as_str()));
    migrator.set_locking(false);
    migrator.run_direct(None, &mut *transaction, false).await.map_err(|error| failed(error, server, schema))?;
    forget_statements(&mut transaction).await.map_err(|error| Error::of(server, error))?;
    transaction.commit().await.map_err(|error| Error::of(server, error))?;
    let applied = MIGRATIONS.iter().map(|(version, ..)| *version).filter(|version| !before.contains_key(version)).collect();
    Ok(Migrated { applied, version: newest() })
}

/// Waits until nobody else migrates, for a minute at most, and keeps others waiting until the transaction ends.
async fn wait_for_others(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Checks and defaults are bound to functions now, for good: to those of Postgres, wherever the host's names lead.
    sqlx::raw_sql("set local search_path = pg_catalog; set local lock_timeout = '60s'").execute(&mut *connection).await?;
    sqlx::raw_sql("select pg_advisory_xact_lock(hashtext('bms.migrate'))").execute(connection).await?;
    Ok(())
}

/// Drops the statements that the migrator has prepared: of the connection that a pooler lent, they would be in another's way.
async fn forget_statements(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let forget = "do $$ declare prepared text; begin
        for prepared in select name from pg_catalog.pg_prepared_statements where name like 'sqlx\\_s\\_%' loop
            execute format('deallocate %I', prepared);
        end loop;
    end $$";
    sqlx::raw_sql(forget).execute(connection).await.map(drop)
}

fn failed(error: MigrateError, server: &Arc<str>, schema: &Schema) -> Error {
    let schema = schema.as_str().to_owned();
    let server = server.clone();
    match error {
        MigrateError::ExecuteMigration(source, version) => Error::Migration { server, schema, version, source },
        MigrateError::Execute(source) => Error::of(&server, source),
        MigrateError::VersionMismatch(version) => Error::Altered { server, schema, version },
        MigrateError::VersionMissing(found) => Error::TooNew { server, schema, found, known: newest() },
        other => Error::of(&server, sqlx::Error::Migrate(Box::new(other))),
    }
}

/// Refuses a schema that is not exactly as this library has made it.
pub(crate) async fn check(connection: &mut PgConnection, server: &Arc<str>, schema: &Schema) -> Result<(), Error> {
    let applied = applied_of(connection, schema).await.map_err(|error| Error::of(server, error))?;
    compare(&applied, server, schema)?;
    let missing: Vec<i64> =
        MIGRATIONS.iter().map(|(version, ..)| *version).filter(|version| !applied.contains_key(version)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::NotMigrated { server: server.clone(), schema: schema.as_str().to_owned(), missing })
}

/// The migrations that were applied, with what their texts add up to.
async fn applied_of(connection: &mut PgConnection, schema: &Schema) -> Result<BTreeMap<i64, Vec<u8>>, sqlx::Error> {
    let there: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(table(schema))
        .persistent(false)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as(AssertSqlSafe(format!("select version, checksum from {} where success", table(schema))))
            .persistent(false)
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().collect())
}

fn compare(applied: &BTreeMap<i64, Vec<u8>>, server: &Arc<str>, schema: &Schema) -> Result<(), Error> {
    let (server, name) = (server.clone(), schema.as_str().to_owned());
    if let Some((found, _)) = applied.last_key_value().filter(|(version, _)| **version > newest()) {
        return Err(Error::TooNew { server, schema: name, found: *found, known: newest() });
    }
    for migration in all(schema) {
        if applied.get(&migration.version).is_some_and(|checksum| checksum[..] != *migration.checksum) {
            return Err(Error::Altered { server, schema: name, version: migration.version });
        }
    }
    Ok(())
}
