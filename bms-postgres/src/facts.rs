//! What is looked at before a server is used (promise P14).

use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::config::Schema;
use crate::connection::Warning;
use crate::error::Error;
use crate::migrate;

/// The oldest version that will do: 15.0.
const OLDEST: i32 = 150_000;

/// The constraints, indexes and triggers without which a promise could be broken.
const GUARDS: [&str; 33] = [
    "seat_claims_pkey",
    "seat_claims_order",
    "show_plans_pkey",
    "orders_pkey",
    "orders_shard",
    "orders_state_check",
    "orders_payment",
    "orders_plan",
    "orders_one_open_a_hold",
    "orders_all_seats_sold",
    "payments_pkey",
    "payments_once",
    "payments_one_an_order",
    "payment_notices_pkey",
    "tickets_pkey",
    "tickets_one_an_order",
    "order_changes_pkey",
    "only_added_to",
    "outbox_pkey",
    "idempotency_keys_pkey",
    "layouts_pkey",
    "layouts_never_change",
    "theatres_as_read",
    "shows_movie",
    "shows_screen",
    "shows_layout",
    "shows_amounts",
    "hold_shows_pkey",
    "hold_seats_pkey",
    "hold_seats_held_or_sold",
    "holds_pkey",
    "hold_sales_pkey",
    "hold_changes_pkey",
];

/// Refuses a server that cannot be used, and says what is unsafe about one that can.
pub(crate) async fn check(pool: &PgPool, server: &Arc<str>, schema: &Schema) -> Result<Vec<Warning>, Error> {
    let refused = |error| Error::of(server, error);
    let mut connection = pool.acquire().await.map_err(refused)?;
    // One transaction, because a pooler may hand each another connection. Dropped half-way, the connection is closed.
    connection.close_on_drop();
    sqlx::raw_sql("begin").execute(&mut *connection).await.map_err(refused)?;
    let facts = check_server(&mut connection, server).await?;
    migrate::check(&mut connection, server, schema).await?;
    check_guards(&mut connection, server, schema).await?;
    let off = |column: usize| facts.try_get::<&str, _>(column).map(|value| value == "off").map_err(refused);
    let mut warnings = Vec::new();
    if off(3)? {
        warnings.push(Warning::SynchronousCommitOff);
    }
    if off(4)? {
        warnings.push(Warning::FsyncOff);
    }
    if off(5)? {
        warnings.push(Warning::FullPageWritesOff);
    }
    sqlx::raw_sql("commit").execute(&mut *connection).await.map_err(refused)?;
    Ok(warnings)
}

/// Refuses a server that is too old, or takes no writes. Gives back its settings, from the fourth column on.
pub(crate) async fn check_server(connection: &mut PgConnection, server: &Arc<str>) -> Result<PgRow, Error> {
    let refused = |error| Error::of(server, error);
    let facts = sqlx::query(
        "select current_setting('server_version_num')::integer, current_setting('server_version'), \
         pg_is_in_recovery() or current_setting('transaction_read_only') = 'on', current_setting('synchronous_commit'), \
         current_setting('fsync'), current_setting('full_page_writes')",
    );
    let facts = facts.persistent(false).fetch_one(connection).await.map_err(refused)?;
    if is_too_old(facts.try_get(0).map_err(refused)?) {
        return Err(Error::TooOld { server: server.clone(), version: facts.try_get(1).map_err(refused)? });
    }
    if facts.try_get(2).map_err(refused)? {
        return Err(Error::ReadOnly { server: server.clone() });
    }
    Ok(facts)
}

async fn check_guards(connection: &mut PgConnection, server: &Arc<str>, schema: &Schema) -> Result<(), Error> {
    let there = sqlx::query_scalar(AssertSqlSafe(
        "select conname::text from pg_constraint where connamespace = $1::text::regnamespace and convalidated \
         union select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid \
         where c.relnamespace = $1::text::regnamespace and i.indisvalid and i.indisunique \
         union select t.tgname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid \
         where c.relnamespace = $1::text::regnamespace and not t.tgisinternal and t.tgenabled <> 'D'",
    ));
    let there: Vec<String> =
        there.bind(schema.as_str()).persistent(false).fetch_all(connection).await.map_err(|error| Error::of(server, error))?;
    let missing: Vec<String> =
        GUARDS.iter().filter(|guard| !there.iter().any(|found| found == *guard)).map(|guard| (*guard).to_owned()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Damaged { server: server.clone(), schema: schema.as_str().to_owned(), missing })
}

/// Whether a `server_version_num` is of a server that lacks what the statements need.
fn is_too_old(version: i32) -> bool {
    version < OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_15_is_the_oldest_that_will_do() {
        // 9.6.24, 13.4, 14.99; 15.0, 15.18, 18.1
        assert!([90_624, 130_004, 140_099].into_iter().all(is_too_old));
        assert!(![150_000, 150_018, 180_001].into_iter().any(is_too_old));
    }
}
