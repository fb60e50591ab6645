//! Ways to the service: the library in this process, and HTTP.

mod http;
mod library;

pub(crate) use http::Http;
pub(crate) use library::Library;
