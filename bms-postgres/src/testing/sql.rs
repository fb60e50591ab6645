//! What the harness tells a server in SQL.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bms_domain::testing::servers::{Failure, run, until};

use super::{server::Server, template::SUPERUSER};

/// How long a statement of the harness may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Nothing that a test changes for everybody reaches the harness.
const OPTIONS: &str = "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 \
                       -c idle_in_transaction_session_timeout=0 -c synchronous_commit=local";

impl Server {
    /// Runs SQL as the superuser in the database `postgres`: `psql("SHOW fsync")`. Blocks for at most 30 s.
    ///
    /// Returns the rows, a line each, their columns separated by `|`. Each call is a connection of its own, through a socket in
    /// the server's directory; neither the port, nor TLS, nor anything in front of them is involved.
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if the server does not run or refuses; [`Failure::Late`] if it is paused;
    /// [`Failure::Missing`] without the program `psql`.
    pub fn psql(&self, sql: &str) -> Result<String, Failure> {
        self.psql_in("postgres", sql)
    }

    /// The same in another database.
    ///
    /// # Errors
    ///
    /// As [`Server::psql`].
    pub fn psql_in(&self, database: &str, sql: &str) -> Result<String, Failure> {
        let mut command = self.parts.programs.command("psql")?;
        command.args([
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--set",
            "ON_ERROR_STOP=1",
            "--username",
            SUPERUSER,
        ]);
        command.arg("--host").arg(self.directory()).args(["--port", &self.port().to_string(), "--dbname", database]);
        command.args(["--command", sql]).env("PGOPTIONS", OPTIONS).current_dir("/");
        run("psql", LIMIT, command).map(|output| output.trim_end().to_owned()).map_err(|failure| match failure {
            Failure::Command { source, .. } => Failure::Command { command: words(sql), address: self.address(), source },
            other => other,
        })
    }

    /// Makes an empty database and returns the superuser's URL of it.
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if there is one of that name, or the server does not run.
    pub fn database(&self, name: &str) -> Result<String, Failure> {
        self.psql(&format!("CREATE DATABASE {}", identifier(name)))?;
        Ok(self.url_in(name))
    }

    /// Makes an empty database of a name that nobody has, for one test, and returns the superuser's URL of it.
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if the server does not run.
    pub fn fresh_database(&self) -> Result<String, Failure> {
        self.database(&fresh_name())
    }

    /// As [`Server::fresh_database`], but with everything that is in `database`, which nobody may be connected to: quicker than
    /// to migrate each anew.
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if there is no such database, or it is in use.
    pub fn copy_of(&self, database: &str) -> Result<String, Failure> {
        let name = fresh_name();
        self.psql(&format!("CREATE DATABASE {} TEMPLATE {}", identifier(&name), identifier(database)))?;
        Ok(self.url_in(&name))
    }

    /// Makes a role that can log in and nothing else; returns its URL in `database`.
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if there is one of that name, or the server does not run.
    pub fn role(&self, name: &str, password: &str, database: &str) -> Result<String, Failure> {
        self.psql(&format!("CREATE ROLE {} LOGIN PASSWORD {}", identifier(name), literal(password)))?;
        Ok(self.url_of(name, password, database))
    }

    /// Changes a setting of the running server, and returns when every new connection has it; those that there are have it from
    /// their next statement on. Some settings wait for a [`Server::restart`].
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if the server refuses, or does not run.
    pub fn setting(&self, name: &str, value: &str) -> Result<(), Failure> {
        self.psql(&format!("ALTER SYSTEM SET {} = {}", identifier(name), literal(value)))?;
        let before = self.psql("SELECT pg_conf_load_time()")?;
        self.psql("SELECT pg_reload_conf()")?;
        until("the new settings", LIMIT, || match self.psql("SELECT pg_conf_load_time()") {
            Ok(loaded) if loaded != before => Ok(()),
            Ok(loaded) => Err(format!("settings of {loaded}")),
            Err(failure) => Err(failure.to_string()),
        })
    }

    /// Ends the connections of clients for which `condition` holds in `pg_stat_activity` (`usename = 'app'`, `true`), waits until
    /// they are gone, and returns how many there were.
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if the condition is no SQL, or the server does not run; [`Failure::Late`] if one stays.
    pub fn terminate_backends(&self, condition: &str) -> Result<usize, Failure> {
        // Chosen before the first is ended: else the planner might ask for the end before it has looked at the condition.
        let ended = self.psql(&format!(
            "WITH chosen AS MATERIALIZED (SELECT pid FROM pg_stat_activity \
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND ({condition})) \
             SELECT pid FROM chosen WHERE pg_terminate_backend(pid)"
        ))?;
        let pids: Vec<_> = ended.lines().collect();
        if !pids.is_empty() {
            let left = format!("SELECT count(*) FROM pg_stat_activity WHERE pid IN ({})", pids.join(","));
            until("the end of the connections", LIMIT, || match self.psql(&left) {
                Ok(count) if count == "0" => Ok(()),
                Ok(count) => Err(format!("{count} are left")),
                Err(failure) => Err(failure.to_string()),
            })?;
        }
        Ok(pids.len())
    }
}

/// A name in SQL, whatever is in it.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL, whatever is in it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn fresh_name() -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    format!("case_{}", MADE.fetch_add(1, Ordering::Relaxed))
}

/// As much of a statement as is no secret.
fn words(sql: &str) -> String {
    sql.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
