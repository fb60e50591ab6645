//! What the servers in here share: keys of tokens, limits, the log, and going down in good order.

pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod rate;
pub(crate) mod serve;

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
