//! A network that misbehaves on command.

use std::{borrow::Cow, ops::Deref};

use bms_domain::testing::servers::{Answered, Failure, Foreign, Network, Sent, Wire};

use super::{
    frames::{command_name, first_message},
    server::Server,
};

/// A loopback TCP proxy in front of a server: it drops and holds replies, cuts and refuses connections, as [`Network`] says.
///
/// It reads the Redis protocol to find out which reply belongs to which command; a connection that speaks something else
/// (TLS, replication, `MONITOR`) is passed on, and can be held and cut as well. Subscriptions need RESP3 to be told from
/// replies. When the proxy is dropped, its connections end.
#[derive(Debug)]
pub struct Proxy {
    network: Network,
    url: String,
}

impl Proxy {
    /// Starts a proxy in front of `server`, which may be restarted behind it.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if no port is free.
    pub fn start(server: &Server) -> Result<Self, Failure> {
        let network = Network::before::<Redis>(server.port())?;
        let url = server.url().replace(&server.address(), &network.address());
        Ok(Self { network, url })
    }

    /// The server's URL, by way of the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Deref for Proxy {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
    }
}

#[derive(Default)]
struct Redis;

impl Wire for Redis {
    fn sent<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(usize, Sent<'a>)>, Foreign> {
        let Some(length) = first_message(bytes)? else { return Ok(None) };
        let request = bytes.get(..length).unwrap_or_default();
        let name = command_name(request);
        match name.as_str() {
            "PSYNC" | "SYNC" | "MONITOR" => Err(Foreign),
            // Answered by messages that belong to no command.
            name if name.ends_with("SUBSCRIBE") => Ok(Some((length, Sent::Aside))),
            _ => Ok(Some((length, Sent::Whole(Some(Cow::Borrowed(request)))))),
        }
    }

    fn answered(&mut self, bytes: &[u8]) -> Result<Option<(usize, Answered)>, Foreign> {
        let meaning = if bytes.first() == Some(&b'>') { Answered::Aside } else { Answered::Whole };
        Ok(first_message(bytes)?.map(|length| (length, meaning)))
    }
}
