//! PgBouncer before a server.

use std::{fs, net::TcpStream, time::Duration};

use bms_domain::testing::servers::{Account, Directory, Failure, Log, Port, Process, find_program, until, while_doing};

use super::{
    programs::scrub,
    server::{Server, url},
    template::SUPERUSER,
};

/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A private PgBouncer on loopback, in transaction mode: a client has a connection of the server only while its transaction
/// lasts. It is gone when this is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    port: Port,
    log: Log,
    /// Ends before its directory goes.
    _process: Process,
    _directory: Directory,
}

impl PgBouncer {
    /// Starts one before `server`, whose users and databases it knows, those that are made later too. `settings` are lines of
    /// its configuration, such as `("default_pool_size", "2")`; they win over those of the harness.
    ///
    /// # Errors
    ///
    /// [`Failure::Missing`] with the line that installs it; [`Failure::Start`] with its log.
    pub fn start(server: &Server, settings: &[(&str, &str)]) -> Result<Self, Failure> {
        let install = "apt-get install -y pgbouncer";
        let program = find_program("pgbouncer").ok_or(Failure::Missing { program: "pgbouncer", install })?;
        let account = Account::instead_of_root(&["postgres"])?;
        let directory = Directory::new("bms-pgbouncer-", account.as_ref())?;
        let port = Port::free()?;
        let file = |name: &str| directory.path().join(name);
        let written = [
            ("pgbouncer.ini", document(server.port(), port.number(), settings)),
            ("users.txt", format!("\"{SUPERUSER}\" \"{SUPERUSER}\"\n")),
        ];
        for (name, text) in written {
            fs::write(file(name), text).map_err(while_doing("writing the configuration of PgBouncer"))?;
            account.iter().try_for_each(|account| account.own(&file(name)))?;
        }
        let log = Log::at(file("log"));
        let mut process = Process::spawn(&program, |command| {
            scrub(command);
            command.arg("pgbouncer.ini").current_dir(directory.path());
            if let Some(account) = &account {
                account.run(command);
            }
            log.take_output_of(command)
        })?;
        let answers = until("an open port of PgBouncer", START_LIMIT, || match process.ended() {
            Some(status) => Ok(Err(format!("PgBouncer ended at its start: {status}"))),
            None => TcpStream::connect(("127.0.0.1", port.number())).map(|_| Ok(())).map_err(|error| error.to_string()),
        });
        match answers {
            Ok(Ok(())) => Ok(Self { port, log, _process: process, _directory: directory }),
            Ok(Err(what)) => Err(log.failure(what, 0)),
            Err(late) => Err(log.failure(late.to_string(), 0)),
        }
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The superuser's URL of a database; the one called `pgbouncer` answers `SHOW POOLS` and the like.
    pub fn url_in(&self, database: &str) -> String {
        self.url_of(SUPERUSER, SUPERUSER, database)
    }

    /// The URL of anybody that the server knows.
    pub fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        url(&format!("127.0.0.1:{}", self.port()), user, password, database)
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.log.after(0)
    }
}

fn document(server: u16, own: u16, settings: &[(&str, &str)]) -> String {
    let own = own.to_string();
    let harness = [
        ("listen_addr", "127.0.0.1"),
        ("listen_port", &own),
        // Without a socket for the whole machine.
        ("unix_socket_dir", ""),
        ("pool_mode", "transaction"),
        ("max_client_conn", "1000"),
        ("auth_type", "scram-sha-256"),
        ("auth_file", "users.txt"),
        // Everybody else is asked for at the server.
        ("auth_user", SUPERUSER),
        ("admin_users", SUPERUSER),
    ];
    let lines: String = harness.iter().chain(settings).map(|(name, value)| format!("{name} = {value}\n")).collect();
    format!("[databases]\n* = host=127.0.0.1 port={server}\n[pgbouncer]\n{lines}")
}
