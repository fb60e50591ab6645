//! Where Postgres is, and how it is used.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::error::Error;

/// How long a call may take by default.
const DEADLINE: Duration = Duration::from_secs(3);
/// The deadlines that make sense.
const DEADLINES: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(60);
/// How many connections a process opens by default.
const CONNECTIONS: u32 = 16;
/// For how long a show is sold as it was read, by default.
const LISTING_LIFE: Duration = Duration::from_secs(2);
/// The longest time that makes sense for that.
const LONGEST_LISTING_LIFE: Duration = Duration::from_mins(1);
const SCHEMA: &str = "bms";
/// The longest name that Postgres keeps whole, in bytes.
const MAX_NAME: usize = 63;

/// Where Postgres is, and how this library uses it.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(crate) options: PgConnectOptions,
    pub(crate) replica: Option<PgConnectOptions>,
    ca: Option<PathBuf>,
    pub(crate) schema: Schema,
    pub(crate) deadline: Duration,
    pub(crate) connections: u32,
    pub(crate) listing_life: Duration,
    pub(crate) transaction_pooling: bool,
    pub(crate) strict: bool,
}

impl PostgresConfig {
    /// Reads a URL: `postgres://user:password@host:port/database`, user and password percent-encoded, with libpq's
    /// parameters such as `?sslmode=verify-full&sslrootcert=…`.
    ///
    /// # Errors
    /// [`Error::Config`] for anything else; its text does not repeat the URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        let options = parse(url, "the URL must be postgres://user:password@host:port/database")?;
        Ok(Self {
            options,
            replica: None,
            ca: None,
            schema: Schema::default(),
            deadline: DEADLINE,
            connections: CONNECTIONS,
            listing_life: LISTING_LIFE,
            transaction_pooling: false,
            strict: false,
        })
    }

    /// The schema that the tables are in: 1–63 of `a–z 0–9 _`, not beginning with a digit or `pg_`; `bms` by default.
    ///
    /// # Errors
    /// [`Error::Config`] for another name.
    pub fn schema(mut self, name: &str) -> Result<Self, Error> {
        self.schema = Schema::parse(name)?;
        Ok(self)
    }

    /// How long a call may take, 50 ms to 60 s; 3 s by default. It covers everything: waiting for a connection, for a lock,
    /// and being repeated after a deadlock. The server is told to give up a statement then, too.
    ///
    /// # Errors
    /// [`Error::Config`] outside of that range.
    pub fn deadline(mut self, deadline: Duration) -> Result<Self, Error> {
        if !DEADLINES.contains(&deadline) {
            return Err(Error::Config { reason: "the deadline of a call must be 50 ms to 60 s" });
        }
        self.deadline = deadline;
        Ok(self)
    }

    /// The most connections that this process opens to each server, 1 to 1,000; 16 by default.
    ///
    /// # Errors
    /// [`Error::Config`] outside of that range.
    pub fn connections(mut self, connections: u32) -> Result<Self, Error> {
        if !(1..=1_000).contains(&connections) {
            return Err(Error::Config { reason: "a process opens 1 to 1000 connections" });
        }
        self.connections = connections;
        Ok(self)
    }

    /// Whether a pooler hands each transaction another connection of the server, as PgBouncer does in transaction mode.
    /// Then a statement is parsed and executed in a transaction of four round trips, and no settings are made for the
    /// session: give the role its own `statement_timeout` and `lock_timeout`.
    #[must_use]
    pub fn transaction_pooling(mut self, pooling: bool) -> Self {
        self.transaction_pooling = pooling;
        self
    }

    /// For how long a show is sold as it was read, at most 60 s; 2 s by default, and zero reads it for every call. For so long
    /// this process may sell by prices that another has changed, and go on after another has closed or cancelled the show.
    /// What this process changes it sees at once; and a seat plan that has changed is found out when an order is made.
    ///
    /// # Errors
    /// [`Error::Config`] for more.
    pub fn listing_life(mut self, life: Duration) -> Result<Self, Error> {
        if life > LONGEST_LISTING_LIFE {
            return Err(Error::Config { reason: "a show is sold as it was read for 60 s at most" });
        }
        self.listing_life = life;
        Ok(self)
    }

    /// A replica to read lists of movies and shows from. It lags behind: what was just changed may be shown as it was. What
    /// is sold is read from the primary.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL makes no sense.
    pub fn catalogue_replica(mut self, url: &str) -> Result<Self, Error> {
        self.replica = Some(parse(url, "the replica's URL must be postgres://user:password@host:port/database")?);
        Ok(self)
    }

    /// The CA certificates, as a PEM file, that the server's certificate is checked against. Implies `sslmode=verify-full`.
    #[must_use]
    pub fn ca_certificate(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Whether to refuse a server that may lose what it acknowledged, instead of only warning (promise P14).
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Host, port and database, for people.
    pub(crate) fn server(&self) -> Arc<str> {
        name_of(&self.options)
    }

    /// How long it may take to connect: longer than a call, since logging in takes several round trips and a process of the server.
    pub(crate) fn patience(&self) -> Duration {
        self.deadline.max(Duration::from_secs(5))
    }

    /// How a server is spoken to.
    pub(crate) fn wire(&self, options: PgConnectOptions) -> PgConnectOptions {
        let options = match &self.ca {
            Some(file) => options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(file),
            None => options,
        };
        // A pooler refuses what it would have to set anew for each transaction.
        if self.transaction_pooling { options.extra_float_digits(None) } else { options }
    }

    /// What each connection asks the server for.
    pub(crate) fn session(&self, options: PgConnectOptions) -> PgConnectOptions {
        let options = self.wire(options).application_name("bms");
        if self.transaction_pooling {
            return options;
        }
        let patience = servers_patience(self.deadline).as_millis().to_string();
        options.options([
            ("statement_timeout", patience.as_str()),
            ("lock_timeout", patience.as_str()),
            ("idle_in_transaction_session_timeout", "10000"),
            ("default_transaction_isolation", "read committed"),
        ])
    }
}

/// How long a server may try what has to be done in so long. Less, so that its refusal, which says that nothing was done, comes before
/// the caller has stopped waiting.
pub(crate) fn servers_patience(left: Duration) -> Duration {
    // None at all would mean for ever.
    (left * 9 / 10).max(Duration::from_millis(1))
}

pub(crate) fn name_of(options: &PgConnectOptions) -> Arc<str> {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()).into(),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()).into(),
    }
}

fn parse(url: &str, reason: &'static str) -> Result<PgConnectOptions, Error> {
    let url = url.trim();
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Config { reason });
    }
    PgConnectOptions::from_str(url).map_err(|_| Error::Config { reason })
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig").field("server", &self.server()).field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// The name of a schema, which stands in statements as it is.
#[derive(Clone, Debug)]
pub(crate) struct Schema(Arc<str>);

impl Default for Schema {
    fn default() -> Self {
        Self(SCHEMA.into())
    }
}

impl Schema {
    pub(crate) fn parse(name: &str) -> Result<Self, Error> {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !(1..=MAX_NAME).contains(&name.len())
            || !plain
            || name.starts_with(|c: char| c.is_ascii_digit())
            || name.starts_with("pg_")
        {
            return Err(Error::Config {
                reason: "a schema's name is 1 to 63 of a-z, 0-9 and _, and begins with neither a digit nor pg_",
            });
        }
        Ok(Self(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A statement as it is written here, for tables in this schema.
    pub(crate) fn expand(&self, statement: &str) -> Arc<str> {
        let own = format!("\"{}\".", self.0);
        statement.replace("bms.", &own).replace("{now}", NOW).into()
    }
}

/// The instant by which a statement decides: the caller's, where a clock was given, else the server's. Whole milliseconds, so
/// that what is read is what was written.
const NOW: &str = "coalesce($1::timestamptz, date_trunc('milliseconds', statement_timestamp()))";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_never_shown() {
        let config = PostgresConfig::new("postgres://ann:s%40cret@db.example:6432/shop").unwrap();
        assert_eq!(&*config.server(), "db.example:6432/shop");
        assert!(!format!("{config:?}").contains("cret"));
        for wrong in ["", "redis://localhost", "localhost:5432", "postgres://[", "postgres://u:p@h:99999/d"] {
            let error = PostgresConfig::new(wrong).unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{wrong}");
        }
    }

    /// Whether the certificate is named before the replica or after it.
    #[test]
    fn a_ca_certificate_is_for_the_replica_too() {
        let (primary, replica) = ("postgres://db.example/shop", "postgres://replica.example/shop?sslmode=prefer");
        let new = || PostgresConfig::new(primary).unwrap();
        for config in [
            new().ca_certificate("ca.pem").catalogue_replica(replica).unwrap(),
            new().catalogue_replica(replica).unwrap().ca_certificate("ca.pem"),
        ] {
            for options in [config.options.clone(), config.replica.clone().unwrap()] {
                let options = config.session(options);
                assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull), "{}", options.get_host());
                assert!(format!("{options:?}").contains("ca.pem"), "{}", options.get_host());
            }
        }
    }

    #[test]
    fn schema_names_are_plain() {
        for good in ["bms", "_", "shop_2"] {
            assert!(Schema::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Bms", "2nd", "pg_bms", "a b", "a\"b", "a.b", "ü", &"x".repeat(64)] {
            assert!(Schema::parse(bad).is_err(), "{bad}");
        }
    }
}
