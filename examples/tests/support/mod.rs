//! A `bms-server` of a test's own: a real process on a free port, ended with the test.

#![allow(clippy::expect_used, reason = "a test that cannot start its server has failed")]

pub(crate) mod office;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A running server.
pub(crate) struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts a server on a free port and waits for its greeting.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_bms-server")).args(options).env("RUST_LOG", "warn"))
    }

    /// Starts a server whose log nobody reads: writing to it fails.
    #[allow(dead_code, reason = "not every test file breaks the log")]
    pub(crate) fn start_with_broken_log() -> Self {
        let mut server =
            Self::spawn(Command::new(env!("CARGO_BIN_EXE_bms-server")).env("RUST_LOG", "info").stderr(Stdio::piped()));
        drop(server.process.stderr.take());
        server
    }

    /// Starts a server that logs everything it can into a file.
    #[allow(dead_code, reason = "not every test file reads the log")]
    pub(crate) fn start_logging(options: &[&str], log: std::fs::File) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_bms-server")).args(options).env("RUST_LOG", "trace").stderr(log))
    }

    fn spawn(command: &mut Command) -> Self {
        let command = command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("cargo builds bms-server for this test");
        let greeting = BufReader::new(process.stdout.take().expect("its output is piped")).lines().next();
        let greeting = greeting.expect("the server ended without a greeting").expect("its output is text");
        let url = greeting.rsplit(' ').next().expect("the greeting ends with the address").to_owned();
        Self { process, url }
    }

    /// Where it listens, such as `http://127.0.0.1:12345`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The address alone, such as `127.0.0.1:12345`.
    #[allow(dead_code, reason = "not every test file speaks to it by hand")]
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The process.
    #[allow(dead_code, reason = "not every test file ends its server by hand")]
    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.process
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
