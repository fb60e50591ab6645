//! A `bms-server` of the run's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bms_domain::testing::servers::{Log, Port, Process, run};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::Stores;
use crate::Failure;
use crate::through::Http;

/// How long it may take until it serves.
const READY_IN: Duration = Duration::from_secs(60);

/// How long a command of the server may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// A server on a port of its own, ended with this.
pub(crate) struct Server {
    url: String,
    _process: Process,
    _port: Port,
    _folder: TempDir,
}

impl Server {
    /// Starts a server on these stores, and waits until it serves.
    pub(crate) async fn start(program: &Path, stores: &Stores, secret: &SecretString) -> Result<Self, Failure> {
        if let Some(database) = stores.database() {
            migrate(program.to_owned(), database.to_owned()).await?;
        }
        let (port, folder) = (Port::free()?, TempDir::new()?);
        let address = format!("127.0.0.1:{}", port.number());
        let log = Log::at(folder.path().join("server.log"));
        let mut process = Process::spawn(program, |command| {
            command.args(["--listen", &address]).env("BMS_JWT_SECRET", secret.expose_secret());
            // What the caller's environment says of stores is not meant for this one.
            command.env_remove("REDIS_URL").env_remove("DATABASE_URL").env("RUST_LOG", "warn");
            command.envs(stores.redis().map(|url| ("REDIS_URL", url))).envs(stores.database().map(|url| ("DATABASE_URL", url)));
            log.take_output_of(command)
        })?;
        let url = format!("http://{address}");
        let client = Http::new(&url, secret.clone())?;
        let until = Instant::now() + READY_IN;
        while let Err(said) = client.is_alive().await {
            if let Some(status) = process.ended() {
                return Err(log.failure(format!("{} ended: {status}", program.display()), 0).into());
            }
            if Instant::now() > until {
                return Err(log.failure(format!("{} does not serve: {said}", program.display()), 0).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { url, _process: process, _port: port, _folder: folder })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The server that was built beside this program.
    pub(crate) fn built() -> Result<PathBuf, Failure> {
        let own = std::env::current_exe()?;
        let beside = own.with_file_name(format!("bms-server{}", std::env::consts::EXE_SUFFIX));
        if beside.is_file() {
            return Ok(beside);
        }
        let reason = format!(
            "there is no {}; build it with: cargo build -p bms-examples --bin bms-server (with --release, if this program was), \
             or name one with --server",
            beside.display()
        );
        Err(Failure::Refused(reason))
    }
}

async fn migrate(program: PathBuf, database: String) -> Result<(), Failure> {
    let migrated = spawn_blocking(move || {
        let mut command = std::process::Command::new(&program);
        command.arg("migrate").env("DATABASE_URL", database).env("RUST_LOG", "warn");
        run("bms-server migrate", COMMAND_LIMIT, command)
    });
    migrated.await.map_err(|error| Failure::Refused(error.to_string()))??;
    Ok(())
}
