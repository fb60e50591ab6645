//! Audits the promises on a live database: what is written is held against itself, in one snapshot.

use bms_domain::store::{BoxError, StoreError};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::timeout;

use crate::codec::get;
use crate::connection::Postgres;
use crate::error::{STORE, broken};
use crate::facts;
use crate::statements::query;

/// How many examples a finding names.
const EXAMPLES: usize = 10;

/// One thing that must never be found.
struct Rule {
    promise: &'static str,
    what: &'static str,
    statement: &'static str,
}

macro_rules! rules {
    ($(($promise:literal, $file:literal, $what:literal)),+ $(,)?) => {
        [$(Rule {
            promise: $promise,
            what: $what,
            statement: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/audit/", $file, ".sql")),
        }),+]
    };
}

/// What no statement of this library leaves behind.
const RULES: [Rule; 14] = rules![
    ("P1", "seat_sold_twice", "a seat belongs to two confirmed orders"),
    ("P1", "place_sold_twice", "one place of a seat plan is claimed under two names"),
    ("P1", "confirmed_without_claims", "a confirmed order lacks the claim of one of its seats"),
    ("P1", "claim_without_sale", "a claim does not fit its order"),
    ("P4", "confirmed_without_payment", "a confirmed order was not paid, or not with its price"),
    ("P4", "payment_without_order", "a payment was counted for an order that is not confirmed"),
    ("P4", "cancelled_without_refund", "a cancelled order's payment is not to be given back"),
    ("P4", "notice_not_accounted", "a payment that was told of is neither counted nor to be given back"),
    ("P3", "order_without_ticket", "a confirmed order has no ticket, or another has one"),
    ("P7", "history_with_gaps", "an order's history lacks a change"),
    ("P7", "history_of_another_state", "an order is not in the last state of its history"),
    ("P7", "illegal_move", "an order's history has a move that the table does not allow"),
    ("P6", "event_that_never_happened", "an event waits that never happened"),
    ("P6", "shard_of_another_show", "an order lies where its id does not lead"),
];

const TOTALS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/audit/totals.sql"));
const COUNTS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/audit/counts.sql"));

/// Something that a promise forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The promise that is broken, such as `P1`.
    pub promise: &'static str,
    /// What was found.
    pub what: &'static str,
    /// How often.
    pub count: u64,
    /// Ten of them at most, by their ids. No personal data.
    pub examples: Vec<String>,
}

/// The money of one currency, in minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Total {
    /// ISO 4217.
    pub currency: String,
    /// The prices of all confirmed orders.
    pub sold: i64,
    /// The payments that were counted for orders. The same, or that is a finding.
    pub counted: i64,
    /// The payments that are to be given back.
    pub refunds: i64,
}

/// What an audit saw.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Audit {
    /// What must not be. Nothing, on a database that only this library wrote to.
    pub findings: Vec<Finding>,
    /// How many things were held against each other.
    pub rules: usize,
    /// Money by currency.
    pub totals: Vec<Total>,
    /// Orders.
    pub orders: u64,
    /// Orders that are confirmed.
    pub confirmed: u64,
    /// Seats that are sold.
    pub seats_sold: u64,
    /// Payments whose end is not known yet.
    pub payments_under_way: u64,
    /// Payments that are to be given back.
    pub refunds_due: u64,
    /// Orders that have expired and are not swept yet: harmless.
    pub overdue: u64,
    /// Events that wait to be published.
    pub events_waiting: u64,
    /// Events that are not tried any more, until they are replayed.
    pub dead_letters: u64,
}

impl Postgres {
    /// Audits the promises: holds orders, claims, payments, tickets, histories and totals against each other, in one snapshot,
    /// while the sale goes on. Reads every order, on a connection of its own: seconds for a million orders. Has no deadline; to
    /// drop it ends it.
    ///
    /// # Errors
    /// [`StoreError`] when the server does not answer.
    pub async fn audit(&self) -> Result<Audit, StoreError> {
        let unavailable =
            |error: sqlx::Error| StoreError::Unavailable { store: STORE, source: Some(Box::new(error) as BoxError) };
        let connect = timeout(self.deadline(), PgConnection::connect_with(&self.pool().connect_options())).await;
        let mut connection = connect.map_err(|_| StoreError::unavailable(STORE))?.map_err(unavailable)?;
        let audit = self.audit_on(&mut connection).await;
        let _ = connection.close().await;
        audit.map_err(|error| match error {
            AuditError::Said(error) => unavailable(error),
            AuditError::Store(error) => error,
        })
    }

    async fn audit_on(&self, connection: &mut PgConnection) -> Result<Audit, AuditError> {
        for statement in
            ["begin isolation level repeatable read read only", "set local statement_timeout = 0", "set local lock_timeout = 0"]
        {
            sqlx::raw_sql(statement).execute(&mut *connection).await?;
        }
        let mut audit = Audit { rules: RULES.len() + 2, ..Audit::default() };
        let missing = facts::missing_guards(connection, self.schema()).await?;
        if !missing.is_empty() {
            let (count, examples) = (number(missing.len()), missing.into_iter().take(EXAMPLES).collect());
            audit.findings.push(Finding { promise: "P1", what: "the tables lack a guard", count, examples });
        }
        for rule in &RULES {
            audit.findings.extend(self.find(rule, connection).await?);
        }
        for row in query(&self.schema().expand(TOTALS)).persistent(false).fetch_all(&mut *connection).await? {
            audit.totals.push(total(&row)?);
        }
        let unequal: Vec<String> =
            audit.totals.iter().filter(|total| total.sold != total.counted).map(|total| total.currency.clone()).collect();
        if !unequal.is_empty() {
            let count = number(unequal.len());
            audit.findings.push(Finding {
                promise: "P4",
                what: "what was sold and what was paid differ",
                count,
                examples: unequal,
            });
        }
        let counts = query(&self.schema().expand(COUNTS)).bind(self.now()).persistent(false).fetch_one(&mut *connection).await?;
        let count = |column| get::<i64>(&counts, column).map(|count| u64::try_from(count).unwrap_or(0));
        audit.orders = count("orders")?;
        audit.confirmed = count("confirmed")?;
        audit.seats_sold = count("seats_sold")?;
        audit.payments_under_way = count("payments_under_way")?;
        audit.refunds_due = count("refunds_due")?;
        audit.overdue = count("overdue")?;
        audit.events_waiting = count("events_waiting")?;
        audit.dead_letters = count("dead_letters")?;
        sqlx::raw_sql("commit").execute(&mut *connection).await?;
        Ok(audit)
    }

    async fn find(&self, rule: &Rule, connection: &mut PgConnection) -> Result<Option<Finding>, AuditError> {
        let all = self.schema().expand(rule.statement);
        let some = format!(
            "select count(*) as count, coalesce((array_agg(example order by example))[1:{EXAMPLES}], '{{}}') as examples from ({all}) as found"
        );
        let row = sqlx::query(AssertSqlSafe(some)).persistent(false).fetch_one(connection).await?;
        let count: i64 = get(&row, "count")?;
        if count == 0 {
            return Ok(None);
        }
        let (count, examples) = (u64::try_from(count).unwrap_or(0), get(&row, "examples")?);
        Ok(Some(Finding { promise: rule.promise, what: rule.what, count, examples }))
    }
}

fn total(row: &PgRow) -> Result<Total, StoreError> {
    Ok(Total {
        currency: get(row, "currency")?,
        sold: get(row, "sold")?,
        counted: get(row, "counted")?,
        refunds: get(row, "refunds")?,
    })
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

enum AuditError {
    Said(sqlx::Error),
    Store(StoreError),
}

impl From<sqlx::Error> for AuditError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(said) if said.code().is_some_and(|code| code.starts_with("42")) => {
                Self::Store(broken(format!("the audit was refused (SQLSTATE {})", said.code().unwrap_or_default())))
            }
            other => Self::Said(other),
        }
    }
}

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
