//! Starts and stops private Postgres servers: for tests and benchmarks (feature `testing`).
//!
//! Every server listens on loopback, on a port that nobody else has, keeps its data in a directory of its own, and is gone
//! with its handle, also when the test panics. Postgres 15 or later has to be installed, which on Debian and Ubuntu
//! `apt-get install -y postgresql` does; the cluster that the package makes is never touched. When the tests run as root, the
//! server runs as `postgres` or `nobody`.
//!
//! ```no_run
//! use bms_postgres::testing::{Failure, Server};
//!
//! # fn main() -> Result<(), Failure> {
//! let server = Server::builder().durable().start()?;
//! let url = server.database("shop")?;
//! // … give `url` to a store, then kill the server between two steps:
//! server.kill()?;
//! server.restart()?;
//! assert_eq!(server.psql_in("shop", "SELECT 1 + 1")?, "2");
//! # Ok(())
//! # }
//! ```
//!
//! - [`Server`] is one server: killed, paused, restarted, with databases for each test case, and with a [`Server::replica`];
//! - [`Server::shared`] is one for all tests of a program, which take a [`Server::fresh_database`] each;
//! - [`PgBouncer`] stands before a server and shares its connections out by transaction;
//! - [`Proxy`] drops and holds answers, cuts and refuses connections, and counts round trips.
//!
//! What is not about Postgres stands in `bms_domain::testing::servers`, for stores that need another server.
//!
//! Every call blocks the thread until what it says has come about, or ends in [`Failure::Late`]: within async code, start servers
//! before the runtime has other work to do, or in `spawn_blocking`.

mod builder;
mod family;
mod frames;
mod pgbouncer;
mod programs;
mod proxy;
mod replica;
mod server;
mod sql;
mod template;

pub use bms_domain::testing::servers::Failure;
pub use builder::ServerBuilder;
pub use pgbouncer::PgBouncer;
pub use proxy::Proxy;
pub use server::Server;

/// The statement that makes an order, as it is sent: for a benchmark that runs it without this library. Schema `bms`.
#[must_use]
pub fn create_statement() -> String {
    crate::orders::own_statement(|sql| &sql.create)
}

/// The statement that confirms an order, as it is sent. Schema `bms`.
#[must_use]
pub fn confirm_statement() -> String {
    crate::orders::own_statement(|sql| &sql.confirm)
}
