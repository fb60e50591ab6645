//! Sends statements, one round trip each.
//!
//! Each is a transaction of its own, so that a caller who goes away leaves nothing half done. The connection of an answer
//! that nobody waited for is closed and never used again.

use std::time::Duration;

use bms_domain::store::{BoxError, StoreError};
use sqlx::postgres::{PgConnection, PgDatabaseError, PgRow, PgSeverity};
use tokio::time::timeout_at;

use crate::connection::Postgres;
use crate::connections::{Connections, unavailable};
use crate::error::{STORE, broken};
use crate::statements::Query;

/// How often a statement is repeated that the server gave up for another's sake.
const REPEATS: u32 = 8;

/// What a statement does when its answer is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it may be asked again.
    Reads,
    /// It may have been done.
    Writes,
}

/// Why a statement did nothing.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It would have broken this constraint.
    Violates(String),
    /// The server could not do it.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failed {
    /// A broken constraint that no caller of this statement expects.
    pub(crate) fn unexpected(self) -> StoreError {
        match self {
            Self::Violates(constraint) => broken(format!("a statement broke {constraint}")),
            Self::Store(error) => error,
        }
    }
}

/// What an error of the server means.
enum Verdict {
    /// Given up for another's sake; nothing was done.
    Repeat,
    /// It would have broken a constraint; nothing was done.
    Violates(String),
    /// Refused for now; nothing was done.
    Unavailable,
    /// The server takes no writes now; nothing was done. Another one may, at the same address.
    ReadOnly,
    /// Refused for good; nothing was done.
    Broken(String),
    /// The connection is gone: nobody knows.
    Lost,
}

impl Verdict {
    fn of(error: &sqlx::Error) -> Self {
        let sqlx::Error::Database(said) = error else {
            return match error {
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Self::Lost,
                sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::Unavailable,
                other => Self::Broken(format!("an answer could not be read: {other}")),
            };
        };
        // An error that ends the session comes at any time, also just after the commit: the server ends or crashes, the disk
        // fails, or a pooler has lost the server, which it calls a violation of the protocol.
        let severity = said.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
        if matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic)) {
            return Self::Lost;
        }
        let code = said.code().unwrap_or_default();
        match code.as_ref() {
            "40001" | "40P01" => Self::Repeat,
            "57P01" | "57P02" | "57P05" => Self::Lost,
            "25006" => Self::ReadOnly,
            "57014" | "57P03" | "55P03" | "25P03" => Self::Unavailable,
            "42P01" | "3F000" | "42883" | "42703" => {
                Self::Broken(format!("tables are missing or another version's (SQLSTATE {code}): run the migrations"))
            }
            "42501" => Self::Broken("the role lacks a right on the tables (SQLSTATE 42501)".to_owned()),
            "26000" | "42P05" | "08P01" => Self::Broken(format!(
                "the server forgot a prepared statement (SQLSTATE {code}): a pooler in transaction mode needs the option for it"
            )),
            _ if code.starts_with("23") => Self::Violates(said.constraint().unwrap_or("a constraint").to_owned()),
            _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("58") => Self::Unavailable,
            _ => Self::Broken(format!("refused with SQLSTATE {code}")),
        }
    }
}

impl Postgres {
    /// Asks for rows. Asked again, once, when the connection was lost.
    pub(crate) async fn read<'q>(&self, statement: impl Fn() -> Query<'q>) -> Result<Vec<PgRow>, StoreError> {
        self.run(self.connections(), Effect::Reads, || Some(statement())).await.map_err(Failed::unexpected)
    }

    /// Asks the replica for rows, where there is one.
    pub(crate) async fn read_replica<'q>(&self, statement: impl Fn() -> Query<'q>) -> Result<Vec<PgRow>, StoreError> {
        self.run(self.replica(), Effect::Reads, || Some(statement())).await.map_err(Failed::unexpected)
    }

    /// Changes something, in one step. Never sent again when it may have been done.
    pub(crate) async fn write<'q>(&self, statement: impl Fn() -> Query<'q>) -> Result<Vec<PgRow>, Failed> {
        self.run(self.connections(), Effect::Writes, || Some(statement())).await
    }

    /// Either of these, unless there is nothing to be asked for any more when there is a connection for it.
    pub(crate) async fn ask_if<'q>(
        &self,
        effect: Effect,
        statement: impl Fn() -> Option<Query<'q>>,
    ) -> Result<Vec<PgRow>, Failed> {
        self.run(self.connections(), effect, statement).await
    }

    async fn run<'q>(
        &self,
        connections: &Connections,
        effect: Effect,
        statement: impl Fn() -> Option<Query<'q>>,
    ) -> Result<Vec<PgRow>, Failed> {
        let until = self.until();
        let mut repeats = 0;
        loop {
            let mut lent = connections.lend(until).await?;
            let Some(connection) = lent.get() else { return Err(StoreError::unavailable(STORE).into()) };
            let mut sent = false;
            let answer = timeout_at(until, self.send(connection, &statement, &mut sent)).await;
            let effect = if sent { effect } else { Effect::Reads };
            let error = match answer {
                Ok(Ok(rows)) => {
                    lent.give_back();
                    return Ok(rows);
                }
                Ok(Err(error)) => error,
                Err(_) => return Err(effect.lost(None).into()),
            };
            let verdict = Verdict::of(&error);
            match verdict {
                Verdict::Lost | Verdict::ReadOnly => drop(lent),
                _ => lent.give_back(),
            }
            repeats += 1;
            match verdict {
                Verdict::Repeat if repeats <= REPEATS => {}
                Verdict::Lost if effect == Effect::Reads && repeats == 1 => {}
                Verdict::Repeat | Verdict::Unavailable | Verdict::ReadOnly => return Err(unavailable(error).into()),
                Verdict::Violates(constraint) => return Err(Failed::Violates(constraint)),
                Verdict::Broken(detail) => return Err(broken(detail).into()),
                Verdict::Lost => return Err(effect.lost(Some(error)).into()),
            }
        }
    }
}

impl Postgres {
    /// Sends a statement. Behind a pooler that hands each transaction another connection, parsing and executing must be one
    /// transaction, or the statement is another's by then. The statement is made, and `sent` set, when it goes: while a pooler has
    /// no connection to spare, all that was sent is `begin`.
    async fn send<'q>(
        &self,
        connection: &mut PgConnection,
        statement: impl Fn() -> Option<Query<'q>>,
        sent: &mut bool,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        if self.prepares() {
            let Some(statement) = statement() else { return Ok(Vec::new()) };
            *sent = true;
            return statement.fetch_all(connection).await;
        }
        sqlx::raw_sql("begin").execute(&mut *connection).await?;
        let answer = match statement() {
            Some(statement) => {
                *sent = true;
                statement.persistent(false).fetch_all(&mut *connection).await
            }
            None => Ok(Vec::new()),
        };
        let end = if answer.is_ok() { "commit" } else { "rollback" };
        sqlx::raw_sql(end).execute(connection).await?;
        answer
    }
}

impl Effect {
    pub(crate) fn lost(self, source: Option<sqlx::Error>) -> StoreError {
        let source = source.map(|error| Box::new(error) as BoxError);
        match self {
            Self::Reads => StoreError::Unavailable { store: STORE, source },
            Self::Writes => StoreError::OutcomeUnknown { store: STORE, source },
        }
    }
}

/// Whether a refusal may be for what one statement wants: it waited too long, or gave way too often. Otherwise the server, or the
/// lack of one, refuses whatever is asked of it.
pub(crate) fn is_for_its_own_sake(source: Option<&BoxError>) -> bool {
    let code = source.and_then(|source| source.downcast_ref::<sqlx::Error>()?.as_database_error()?.code());
    code.is_some_and(|code| matches!(code.as_ref(), "55P03" | "57014" | "40001" | "40P01"))
}

/// A span as Postgres is told of it: whole milliseconds, a hundred years at most.
pub(crate) fn millis(span: Duration) -> i64 {
    const CENTURY: i64 = 100 * 366 * 24 * 3_600 * 1_000;
    i64::try_from(span.as_millis()).unwrap_or(CENTURY).min(CENTURY)
}

/// A number of rows, as Postgres is told of it.
pub(crate) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
