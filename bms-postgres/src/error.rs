//! What can go wrong between this program and Postgres.

use std::sync::Arc;

use bms_domain::store::StoreError;

/// The name of this store in a [`StoreError`].
pub(crate) const STORE: &str = "postgres";

/// What went wrong when connecting or migrating, and what to do about it.
///
/// A server is named by its host, port and database. No user, no password and no URL as it was given is part of any text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration makes no sense.
    #[error("the configuration of Postgres is wrong: {reason}")]
    Config {
        /// What is wrong, and how it should be.
        reason: &'static str,
    },
    /// No connection could be made.
    #[error(
        "{server} cannot be reached; check host and port, and that the server runs and the network lets this program through"
    )]
    Unreachable {
        /// Host, port and database.
        server: Arc<str>,
        /// What the client library said.
        #[source]
        source: sqlx::Error,
    },
    /// Nothing came back in time.
    #[error("{server} did not answer in time; it is stalled, overloaded or cut off")]
    NoAnswer {
        /// Host, port and database.
        server: Arc<str>,
    },
    /// TLS could not be agreed on.
    #[error("TLS with {server} failed; check sslmode, that its certificate is for this host, and that its CA is trusted here")]
    Tls {
        /// Host, port and database.
        server: Arc<str>,
        /// What the client library said.
        #[source]
        source: sqlx::Error,
    },
    /// The user or the password is wrong or missing.
    #[error(
        "{server} does not accept the user and password; put them into the URL, percent-encoded: postgres://user:password@host:port/database"
    )]
    Unauthenticated {
        /// Host, port and database.
        server: Arc<str>,
    },
    /// There is no such database.
    #[error("{server}: there is no such database; make it with `createdb`")]
    NoDatabase {
        /// Host, port and database.
        server: Arc<str>,
    },
    /// What answers does not speak Postgres' protocol.
    #[error("{server} does not answer as Postgres does; check the port")]
    NotPostgres {
        /// Host, port and database.
        server: Arc<str>,
        /// What the client library said.
        #[source]
        source: sqlx::Error,
    },
    /// The server is too old.
    #[error("{server} is Postgres {version}; 15 or later is needed")]
    TooOld {
        /// Host, port and database.
        server: Arc<str>,
        /// What it is.
        version: String,
    },
    /// The server is a standby, or set to read only.
    #[error("{server} takes no writes; connect to the primary")]
    ReadOnly {
        /// Host, port and database.
        server: Arc<str>,
    },
    /// Tables are missing, or an older version's.
    #[error("{server}: schema {schema} lacks migrations {missing:?}; run the migrations first (`bms-server migrate`)")]
    NotMigrated {
        /// Host, port and database.
        server: Arc<str>,
        /// The schema.
        schema: String,
        /// The migrations that are not in it.
        missing: Vec<i64>,
    },
    /// A newer version of this library has migrated the schema.
    #[error("{server}: schema {schema} is at migration {found}, and this program knows {known} at most; use the newer program")]
    TooNew {
        /// Host, port and database.
        server: Arc<str>,
        /// The schema.
        schema: String,
        /// The newest migration that is in it.
        found: i64,
        /// The newest that this library knows.
        known: i64,
    },
    /// A migration was applied with another text than this library has.
    #[error(
        "{server}: migration {version} of schema {schema} was applied with another text; it is another version's, or was changed by hand"
    )]
    Altered {
        /// Host, port and database.
        server: Arc<str>,
        /// The schema.
        schema: String,
        /// The migration.
        version: i64,
    },
    /// What keeps a seat from being sold twice is not in the database.
    #[error("{server}: schema {schema} lacks {missing:?}, which keep its promises; restore them, or migrate into a new schema")]
    Damaged {
        /// Host, port and database.
        server: Arc<str>,
        /// The schema.
        schema: String,
        /// The constraints and indexes that are missing.
        missing: Vec<String>,
    },
    /// Something may lose what was acknowledged, and `strict` was asked for.
    #[error("{server} is not set up safely: {}", warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unsafe {
        /// Host, port and database.
        server: Arc<str>,
        /// What.
        warnings: Vec<crate::Warning>,
    },
    /// A migration failed; nothing was done, of it or of those before it that were missing too.
    #[error("{server}: migration {version} of schema {schema} failed, and nothing was done")]
    Migration {
        /// Host, port and database.
        server: Arc<str>,
        /// The schema.
        schema: String,
        /// The migration.
        version: i64,
        /// What the server said.
        #[source]
        source: sqlx::Error,
    },
    /// The server refused a question.
    #[error("{server} refused what was asked of it (SQLSTATE {code})")]
    Refused {
        /// Host, port and database.
        server: Arc<str>,
        /// Its code for the reason.
        code: String,
        /// What the client library said.
        #[source]
        source: sqlx::Error,
    },
}

impl Error {
    /// What kept a connection from being made, or a question from being answered.
    pub(crate) fn of(server: &Arc<str>, source: sqlx::Error) -> Self {
        let server = server.clone();
        match &source {
            sqlx::Error::Database(said) => match said.code().as_deref().unwrap_or_default() {
                "28P01" | "28000" => Self::Unauthenticated { server },
                "3D000" => Self::NoDatabase { server },
                "25006" => Self::ReadOnly { server },
                "57P03" | "53300" => Self::Unreachable { server, source },
                code => Self::Refused { server, code: code.to_owned(), source },
            },
            sqlx::Error::Tls(_) => Self::Tls { server, source },
            sqlx::Error::Protocol(_) => Self::NotPostgres { server, source },
            sqlx::Error::PoolTimedOut => Self::NoAnswer { server },
            _ => Self::Unreachable { server, source },
        }
    }
}

/// What is in the database, or was asked of it, makes no sense.
pub(crate) fn broken(detail: impl Into<String>) -> StoreError {
    StoreError::Broken { store: STORE, detail: detail.into() }
}
