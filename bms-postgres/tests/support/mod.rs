//! What the tests of the stores share: a server for the program, and a migrated schema for each case.
#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses some of it; a test fails by panicking")]

pub(crate) mod shop;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bms_domain::testing::{ManualClock, Runtime};
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
    DATABASE.get_or_init(|| Server::shared().fresh_database().unwrap())
}

/// A schema of its own, migrated.
pub(crate) async fn schema() -> PostgresConfig {
    schema_in(database()).await
}

/// A schema of its own in the database of a URL, migrated.
pub(crate) async fn schema_in(url: &str) -> PostgresConfig {
    static CASES: AtomicU32 = AtomicU32::new(0);
    let name = format!("case_{}", CASES.fetch_add(1, Ordering::Relaxed));
    let config = PostgresConfig::new(url).unwrap().schema(&name).unwrap();
    Postgres::migrate(&config).await.unwrap();
    config
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
