//! What a fixture ends with when it cannot do what it was asked.

use std::{error::Error, fmt, io, time::Duration};

/// Why a server could not be started, reached or moved.
///
/// Its `Debug` form is its text, logs of the server included, so that `unwrap` in a test shows all of it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A program or library that the fixture needs is not on this machine.
    #[error("`{program}` is not installed; install it with: {install}")]
    Missing {
        /// What was looked for.
        program: &'static str,
        /// The line that installs it on Debian and Ubuntu.
        install: &'static str,
    },
    /// The operating system refused.
    #[error("{doing}: {source}")]
    System {
        /// What was tried.
        doing: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A server ended, or did not answer in time, when it was started.
    #[error("{what}\n--- end of its log ---\n{log}\n----------------------")]
    Start {
        /// What happened.
        what: String,
        /// The last lines that the server wrote.
        log: String,
    },
    /// What was waited for did not come about in time.
    #[error("{what} did not come about within {limit:?}; last seen: {seen}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long it was waited for.
        limit: Duration,
        /// How things stood at the last look.
        seen: String,
    },
    /// A server refused a command, or did not answer it.
    #[error("{command} on {address}: {source}")]
    Command {
        /// As much of the command as is no secret.
        command: String,
        /// The server's address.
        address: String,
        /// The error of the client that was used.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The fixture is not in the state that the call needs.
    #[error("{0}")]
    State(String),
    /// No certificate could be made.
    #[error("no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Names what was tried, for an error of the operating system.
pub fn while_doing(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::System { doing: doing.into(), source }
}
