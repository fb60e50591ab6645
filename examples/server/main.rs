//! `bms-server`: the booking library behind HTTP, on the embedded stores, or with orders in Postgres and holds in Redis.

mod cli;
#[path = "../common/mod.rs"]
mod common;
mod database;
mod demo;
mod import;
mod serve;
mod stores;
mod upkeep;

use std::process::ExitCode;

use bms_domain::id::{Caller, UserId};
use clap::Parser;

use cli::{Cli, Command};

/// What ends the program, and what to do about it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Common(#[from] common::Failure),
    #[error("{0}")]
    Refused(String),
    #[error("{what} {path}: {source}")]
    File { what: &'static str, path: String, source: std::io::Error },
    #[error("{path} is not a catalogue that can be loaded; nothing was loaded:\n{faults}")]
    Catalogue { path: String, faults: String },
    #[error("{0}{why}", why = because(.0))]
    Redis(#[from] bms_redis::Error),
    #[error("{0}{why}", why = because(.0))]
    Postgres(#[from] bms_postgres::Error),
    #[error("{0}{why}", why = because(.0))]
    Store(#[from] bms_domain::store::StoreError),
    #[error("{0} things are wrong in this database")]
    Unsound(usize),
    #[error("{0}")]
    Network(#[from] reqwest::Error),
    #[error("{0}")]
    Service(#[from] bms_domain::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What stands behind an error, after a colon each.
fn because(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source()).map(|source| format!(": {source}")).collect()
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    common::log::to_stderr(cli.log_format);
    let program = async {
        match cli.command {
            Some(Command::Import(import)) => import::run(import).await,
            Some(Command::Migrate(command)) => database::migrate(command).await,
            Some(Command::Doctor(command)) => database::doctor(command).await,
            Some(Command::Sweep(options)) => upkeep::sweep(options).await,
            Some(Command::Replay(options)) => upkeep::replay(options).await,
            None => serve::run(cli.options).await,
        }
    };
    common::run("bms-server", program, exit_code)
}

/// The program itself, as an administrator.
fn system() -> Result<Caller, Failure> {
    let name = UserId::parse("bms-server").map_err(|error| Failure::Refused(error.to_string()))?;
    Ok(Caller::admin(name))
}

fn exit_code(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Unsound(_) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
