//! A network that misbehaves on command.

use std::ops::Deref;

use bms_domain::testing::servers::{Failure, Network};

use super::{
    frames::Postgres,
    server::{Server, url},
    template::SUPERUSER,
};

/// A loopback TCP proxy in front of a server: it drops and holds answers, cuts and refuses connections, and counts round trips,
/// as [`Network`] says.
///
/// It reads the Postgres protocol: an answer is everything up to `ReadyForQuery`, and a statement is known by its text, also when
/// it was prepared before. [`Network::drop_reply_of`]`("COMMIT")` loses the answer to a commit that has taken effect. A
/// connection with TLS is passed on, and can be held and cut as well.
#[derive(Debug)]
pub struct Proxy {
    network: Network,
    /// The server's address.
    server: String,
}

impl Proxy {
    /// Starts a proxy in front of `server`, which may be restarted behind it.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if no port is free.
    pub fn start(server: &Server) -> Result<Self, Failure> {
        Ok(Self { network: Network::before::<Postgres>(server.port())?, server: server.address() })
    }

    /// The superuser's URL of a database, by way of the proxy.
    pub fn url_in(&self, database: &str) -> String {
        self.url_of(SUPERUSER, SUPERUSER, database)
    }

    /// The URL of anybody, by way of the proxy.
    pub fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        url(&self.address(), user, password, database)
    }

    /// A URL of the server, as [`Server::fresh_database`] gives one, by way of the proxy.
    pub fn instead_of(&self, url: &str) -> String {
        url.replace(&self.server, &self.address())
    }
}

impl Deref for Proxy {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
    }
}
