//! Starts and stops private Redis servers: for tests and benchmarks (feature `testing`).
//!
//! Every server listens on loopback, on a port that nobody else has, keeps its files in a directory of its own, and is gone
//! with its handle, also when the test panics. `redis-server` 7.0 or later has to be installed, which on Debian and Ubuntu
//! `apt-get install -y redis-server` does.
//!
//! ```no_run
//! use bms_redis::testing::{Failure, Proxy, Server};
//!
//! # fn main() -> Result<(), Failure> {
//! let server = Server::builder().append_only().start()?;
//! let proxy = Proxy::start(&server)?;
//! // … give `proxy.url()` to a store, then lose an answer, and kill the server between two steps:
//! proxy.drop_reply_of("EVALSHA");
//! server.kill();
//! server.restart()?;
//! server.command::<()>(&["SCRIPT", "FLUSH"])?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Server`] is one process: killed, paused, restarted, with another clock;
//! - [`Replicated`] is a primary with two replicas and three Sentinels;
//! - [`Cluster`] is three shards with a replica each; its slots move while it is used;
//! - [`Proxy`] drops and holds replies, cuts and refuses connections;
//! - [`NotRedis`] answers, but not as Redis does;
//! - [`eventually`] waits for what another process does.
//!
//! What is not about Redis stands in `bms_domain::testing::servers`, for stores that need another server.
//!
//! Every other call blocks the thread until what it says has come about, or ends in [`Failure::Late`]: within async code, start servers
//! before the runtime has other work to do, or in `spawn_blocking`.

mod builder;
mod clock;
mod cluster;
mod cluster_view;
mod frames;
mod not_redis;
mod proxy;
mod replicated;
mod reshard;
mod server;
mod wait;

pub use bms_domain::testing::servers::Failure;
pub use builder::ServerBuilder;
pub use cluster::Cluster;
pub use not_redis::NotRedis;
pub use proxy::Proxy;
pub use replicated::Replicated;
pub use reshard::MoveStep;
pub use server::Server;
pub use wait::eventually;

/// The script that places a hold, as it is sent: for a benchmark that runs it without this library.
#[must_use]
pub fn place_script() -> &'static str {
    crate::lua::PLACE.text()
}
