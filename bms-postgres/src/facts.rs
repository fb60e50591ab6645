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

/// The constraints, indexes and triggers without which a promise could be broken, each with its table.
const GUARDS: [&str; 37] = [
    "seat_claims.seat_claims_pkey",
    "seat_claims.seat_claims_order",
    "seat_claims.seat_claims_stay_sold",
    "seat_claims.never_emptied",
    "show_plans.show_plans_pkey",
    "orders.orders_pkey",
    "orders.orders_shard",
    "orders.orders_state_check",
    "orders.orders_payment",
    "orders.orders_plan",
    "orders.orders_one_open_a_hold",
    "orders.orders_all_seats_sold",
    "payments.payments_pkey",
    "payments.payments_once",
    "payments.payments_one_an_order",
    "payment_notices.payment_notices_pkey",
    "tickets.tickets_pkey",
    "tickets.tickets_one_an_order",
    "order_changes.order_changes_pkey",
    "order_changes.only_added_to",
    "order_changes.never_emptied",
    "outbox.outbox_pkey",
    "idempotency_keys.idempotency_keys_pkey",
    "layouts.layouts_pkey",
    "layouts.layouts_never_change",
    "layouts.never_emptied",
    "theatres.theatres_as_read",
    "shows.shows_movie",
    "shows.shows_screen",
    "shows.shows_layout",
    "shows.shows_amounts",
    "hold_shows.hold_shows_pkey",
    "hold_seats.hold_seats_pkey",
    "hold_seats.hold_seats_held_or_sold",
    "holds.holds_pkey",
    "hold_sales.hold_sales_pkey",
    "hold_changes.hold_changes_pkey",
];

/// What was seen of a server that can be used.
pub(crate) struct Facts {
    pub(crate) warnings: Vec<Warning>,
    /// The guards that the schema lacks.
    pub(crate) missing: Vec<String>,
}

/// Refuses a server that cannot be used, and says what is unsafe about one that can.
pub(crate) async fn check(pool: &PgPool, server: &Arc<str>, schema: &Schema) -> Result<Facts, Error> {
    let refused = |error| Error::of(server, error);
    let mut connection = pool.acquire().await.map_err(refused)?;
    // One transaction, because a pooler may hand each another connection. Dropped half-way, the connection is closed.
    connection.close_on_drop();
    sqlx::raw_sql("begin").execute(&mut *connection).await.map_err(refused)?;
    let facts = check_server(&mut connection, server).await?;
    migrate::check(&mut connection, server, schema).await?;
    let missing = missing_guards(&mut connection, schema).await.map_err(refused)?;
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
    Ok(Facts { warnings, missing })
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

/// The guards that the schema lacks: those that are not there, are not valid, or are switched off.
pub(crate) async fn missing_guards(connection: &mut PgConnection, schema: &Schema) -> Result<Vec<String>, sqlx::Error> {
    // A foreign key, and a constraint trigger, is kept up by triggers.
    let there = sqlx::query_scalar(AssertSqlSafe(
        "select r.relname || '.' || k.conname from pg_constraint k join pg_class r on r.oid = k.conrelid
         where r.relnamespace = $1::text::regnamespace and k.convalidated
             and not exists (select from pg_trigger t where t.tgconstraint = k.oid and t.tgenabled not in ('O', 'A'))
         union select r.relname || '.' || c.relname
         from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class r on r.oid = i.indrelid
         where r.relnamespace = $1::text::regnamespace and i.indisvalid and i.indisunique
         union select r.relname || '.' || t.tgname from pg_trigger t join pg_class r on r.oid = t.tgrelid
         where r.relnamespace = $1::text::regnamespace and t.tgconstraint = 0 and not t.tgisinternal and t.tgenabled in ('O', 'A')",
    ));
    let there: Vec<String> = there.bind(schema.as_str()).persistent(false).fetch_all(connection).await?;
    Ok(GUARDS.iter().filter(|guard| !there.iter().any(|found| found == *guard)).map(|guard| (*guard).to_owned()).collect())
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
