//! `bms-gateway`: stands in front of the functions of a deployment. It authenticates, limits the rate, and hands each request to
//! the function that serves it.

mod answer;
mod arrival;
mod body;
mod cli;
#[path = "../common/mod.rs"]
mod common;
mod routes;
mod upstream;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use axum::middleware::from_fn;
use axum::{Extension, Router};
use bms_adapters_http::{HttpConfig, Shutdown, around};
use clap::Parser as _;

use cli::Cli;
use common::serve::{listen, serve};
use common::{Failure, keys, log};
use upstream::Upstream;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::to_stderr(cli.log_format);
    common::run("bms-gateway", run(cli), |_| ExitCode::FAILURE)
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let Some(authenticator) = keys::authenticator(&cli.keys).await? else {
        return Err(Failure::Refused("set --jwt-secret or --jwks: a gateway has to know who is asking".to_owned()));
    };
    let shutdown = Shutdown::new();
    let upstream = Upstream::new(&cli, shutdown.clone())?;
    // An answer that is late is told by who waited for it; this ends what nobody else would.
    let mut config = HttpConfig::new(authenticator)
        .shutdown(shutdown.clone())
        .request_deadline(cli.answer_timeout.saturating_add(cli.connect_timeout));
    if let Some(limit) = cli.rate_limit {
        config = config.rate_limit(limit);
    }
    let listener = listen(cli.listen).await?;
    // Whether anybody reads it makes no difference.
    _ = writeln!(std::io::stdout(), "bms-gateway listens on http://{}", listener.local_addr()?);
    serve(listener, app(upstream, &config, cli.trusted_proxies), shutdown).await
}

/// What a client meets first is outermost: who it is decides how much it may ask.
fn app(upstream: Upstream, config: &HttpConfig, trusted_proxies: usize) -> Router {
    around(routes::router(Arc::new(upstream)), config)
        .layer(from_fn(arrival::arrive))
        .layer(Extension(arrival::TrustedProxies(trusted_proxies)))
}
