//! A server that follows another.

use std::time::Duration;

use bms_domain::testing::servers::{Failure, run, until};

use super::{server::Server, template::SUPERUSER};

/// How long a copy of the data may take, or the way of a change to the replica.
const LIMIT: Duration = Duration::from_secs(60);

impl Server {
    /// Starts a replica: it copies everything from this server and follows its changes, and takes none of its own. It has the same
    /// users and settings, its own port and directory, and goes on with this server when that is restarted.
    ///
    /// # Errors
    ///
    /// As [`Server::start`]; [`Failure::Command`] if this server does not run.
    pub fn replica(&self) -> Result<Self, Failure> {
        let mut builder = self.parts.builder.clone();
        builder.forget_port();
        let replica = builder.start_on(|programs, account, directory| {
            let mut command = programs.command("pg_basebackup")?;
            command.arg("--pgdata").arg(directory.path().join("data"));
            command.arg("--host").arg(self.directory()).args(["--port", &self.port().to_string(), "--username", SUPERUSER]);
            command.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]).current_dir("/");
            if let Some(account) = account {
                account.run(&mut command);
            }
            run("pg_basebackup", LIMIT, command)?;
            Ok(None)
        })?;
        replica.wait_for(self)?;
        Ok(replica)
    }

    /// Waits until this replica has everything that is on `primary` now.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] after a minute; [`Failure::Command`] if the primary does not run.
    pub fn wait_for(&self, primary: &Self) -> Result<(), Failure> {
        let written = primary.psql("SELECT pg_current_wal_lsn()")?;
        let reached = format!("SELECT pg_last_wal_replay_lsn() >= '{written}', pg_last_wal_replay_lsn()");
        until("the changes on the replica", LIMIT, || match self.psql(&reached) {
            Ok(answer) if answer.starts_with('t') => Ok(()),
            Ok(answer) => Err(format!("{answer} instead of {written}")),
            Err(failure) => Err(failure.to_string()),
        })
    }
}
