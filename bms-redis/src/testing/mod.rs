//! Private Redis servers.
mod builder;
mod certificate;
mod clock;
mod failure;
mod port;
mod process;
mod server;
mod wait;

pub use builder::ServerBuilder;
pub use failure::Failure;
pub use server::Server;
