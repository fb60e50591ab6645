//! What the servers in here share: keys of tokens, limits, the log, and going down in good order.

pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod rate;
pub(crate) mod serve;

use std::fmt::Display;
use std::process::ExitCode;

/// Runs a program to its end. What ends it before that is said on stderr, after the program's name, and decides its exit code.
pub(crate) fn run<E: Display + From<std::io::Error>>(
    name: &str,
    program: impl Future<Output = Result<(), E>>,
    exit_code: impl FnOnce(&E) -> ExitCode,
) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(E::from).and_then(|runtime| runtime.block_on(program)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            exit_code(&failure)
        }
    }
}

/// What ends a server, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Refused(String),
    #[error("{what} {path}: {source}")]
    File { what: &'static str, path: String, source: std::io::Error },
    #[error("the key set could not be fetched: {0}; look at --jwks")]
    Keys(reqwest::Error),
    #[error("{0}")]
    Network(#[from] reqwest::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
