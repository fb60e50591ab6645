//! The harness itself: servers that come, go and come back, and what a network between them loses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod network;
mod node;
mod replica;

use bms_postgres::sqlx::{Connection as _, Error, FromRow, PgConnection, postgres::PgRow, query_scalar};

/// What a client reads by TCP.
fn ask<T>(url: &str, sql: &'static str) -> Result<T, Error>
where
    T: Send + Unpin,
    (T,): for<'r> FromRow<'r, PgRow>,
{
    block_on(async {
        let mut connection = PgConnection::connect(url).await?;
        query_scalar(sql).fetch_one(&mut connection).await
    })
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
