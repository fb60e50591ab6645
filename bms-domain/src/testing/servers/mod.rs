//! What starts and stops private servers for tests and benchmarks (feature `servers`).
//!
//! Whoever writes a store that talks to a server tests it against a real one, which is killed, paused and restarted on the way.
//! `bms_redis::testing` and `bms_postgres::testing` do so for theirs, and stand on these parts, as the harness of another
//! store can:
//!
//! - [`Process`] is a child process that never outlives its owner, as another [`Account`] when the tests run as root;
//! - [`Directory`] is a place for its files, removed with its owner, however that ends;
//! - [`Heir`] does what has to be done when the program ends, whatever ends it;
//! - [`Port`] is a TCP port that nobody else gets, also while the server is down;
//! - [`until`] waits for another process, with an end; [`Deadline`] is that end;
//! - [`Network`] is a proxy that loses and holds answers, told by a [`Wire`] where messages end; [`Listener`] takes connections;
//! - [`Certificate`] lets a server speak TLS;
//! - [`Failure`] says what was missing, or what the server wrote when it did not start.
//!
//! Every call blocks the thread. Nothing here needs a runtime.

mod account;
mod certificate;
mod directory;
mod failure;
mod heir;
mod listener;
mod log;
mod network;
mod port;
mod process;
mod wait;

pub use account::Account;
pub use certificate::Certificate;
pub use directory::Directory;
pub use failure::{Failure, while_doing};
pub use heir::Heir;
pub use listener::Listener;
pub use log::Log;
pub use network::{Answered, Foreign, Network, Sent, Wire};
pub use port::Port;
pub use process::{Process, find_program, percent_encoded, run};
pub use rustix::process::Signal;
pub use wait::{Deadline, until};
