//! A server that is not Redis.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use bms_domain::testing::servers::{Failure, Listener};

/// A loopback server that answers whatever it is told with HTTP 400 and hangs up.
#[derive(Debug)]
pub struct NotRedis {
    listener: Listener,
}

impl NotRedis {
    /// Starts it on a free port.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if no port is free.
    pub fn start() -> Result<Self, Failure> {
        Ok(Self { listener: Listener::open(refuse)? })
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// The URL of somebody who takes it for Redis: `redis://…`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }
}

fn refuse(mut client: TcpStream) {
    let mut request = [0; 4096];
    if client.read(&mut request).is_ok_and(|length| length > 0) {
        // A client that does not want the answer is not owed one.
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = client.shutdown(Shutdown::Write);
        // Whatever else it says is read, or the kernel would take back the answer.
        while client.read(&mut request).is_ok_and(|length| length > 0) {}
    }
}
