//! One private Postgres server.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bms_domain::testing::servers::{
    Account, Directory, Failure, Log, Port, Process, Signal, percent_encoded, run, until, while_doing,
};
use parking_lot::Mutex;

use super::{
    builder::ServerBuilder,
    family::Family,
    programs::{Programs, scrub},
    template::{SUPERUSER, Template},
};

/// How long a server may take to answer after its start: a second is usual, the rest is for recovery on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A private Postgres server on loopback, with a directory of its own; both are gone when this is dropped, or the program ends.
///
/// All methods take `&self`, so that a test can stop the server while others use it.
#[derive(Debug)]
pub struct Server {
    pub(super) parts: Parts,
    family: Mutex<Option<Family>>,
}

/// What stays the same when the server is started again.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) programs: Programs,
    pub(super) account: Option<Account>,
    pub(super) port: Port,
    pub(super) builder: ServerBuilder,
    pub(super) authority: Option<String>,
    /// Others may want a copy of it, too.
    pub(super) _template: Option<Arc<Template>>,
    pub(super) directory: Directory,
}

impl Server {
    /// A server that does not wait for the disk; see [`ServerBuilder`] for everything else.
    ///
    /// # Errors
    ///
    /// [`Failure::Missing`] with the line that installs Postgres; [`Failure::Start`] with the server's log.
    pub fn start() -> Result<Self, Failure> {
        Self::builder().start()
    }

    /// A server to be described.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The one server that the tests of this program share; nobody may stop it, or change its settings.
    ///
    /// # Panics
    ///
    /// If it does not start, with what [`Server::start`] fails with.
    #[expect(clippy::panic, reason = "a test that lacks its server has to fail, and every test would have to say so")]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| match Self::builder().setting("max_connections", "300").start() {
            Ok(server) => server,
            Err(failure) => panic!("{failure}"),
        })
    }

    pub(super) fn from_parts(parts: Parts) -> Result<Self, Failure> {
        let server = Self { parts, family: Mutex::new(None) };
        server.launch(&mut server.family.lock())?;
        Ok(server)
    }

    /// A program that comes with the server, such as `pgbench`.
    ///
    /// # Errors
    ///
    /// [`Failure::Missing`] with the line that installs it.
    pub fn program(&self, name: &'static str) -> Result<PathBuf, Failure> {
        self.parts.programs.path(name)
    }

    /// The TCP port on 127.0.0.1, the same for the server's whole life.
    pub fn port(&self) -> u16 {
        self.parts.port.number()
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The URL of the superuser in the database `postgres`, password included.
    pub fn url(&self) -> String {
        self.url_in("postgres")
    }

    /// The URL of the superuser in a database.
    pub fn url_in(&self, database: &str) -> String {
        self.url_of(SUPERUSER, SUPERUSER, database)
    }

    /// The URL of anybody; everybody needs a password.
    pub fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        let url = url(&self.address(), user, password, database);
        match &self.parts.authority {
            Some(_) => format!("{url}?sslmode=verify-full&sslrootcert={}", self.parts.data().join("ca.pem").display()),
            None => url,
        }
    }

    /// The certificate, as PEM, of the throwaway authority that vouches for a server with TLS.
    pub fn authority_pem(&self) -> Option<&str> {
        self.parts.authority.as_deref()
    }

    /// The server's private directory: its log, its data in `data`, and its Unix socket, which asks for no password.
    pub fn directory(&self) -> &Path {
        self.parts.directory.path()
    }

    /// What the server has written since its first start.
    pub fn log(&self) -> String {
        self.parts.log().after(0)
    }

    /// The number of the postmaster's process, if there is one.
    pub fn pid(&self) -> Option<u32> {
        self.family.lock().as_ref().map(|family| family.postmaster.id())
    }

    /// Kills all processes of the server with SIGKILL, paused or not, and waits until they are gone: what a machine that loses
    /// its power leaves, but for what the disk lost. Does nothing when they are gone.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] if the kernel does not end them.
    pub fn kill(&self) -> Result<(), Failure> {
        self.family.lock().take().map_or(Ok(()), |mut family| family.kill())
    }

    /// Ends the server with SIGINT: connections are closed, transactions rolled back, and everything is written. It is killed if
    /// it is paused or takes more than 30 s.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if the signal cannot be sent.
    pub fn stop(&self) -> Result<(), Failure> {
        self.family.lock().take().map_or(Ok(()), |mut family| family.end_by(Signal::INT))
    }

    /// Ends the server with SIGQUIT: its processes end where they stand, and the next start recovers as after a crash.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if the signal cannot be sent.
    pub fn stop_immediately(&self) -> Result<(), Failure> {
        self.family.lock().take().map_or(Ok(()), |mut family| family.end_by(Signal::QUIT))
    }

    /// Starts the server again on the same port, with the same settings and data, after stopping it if it still runs.
    ///
    /// # Errors
    ///
    /// [`Failure::Start`] with the server's log.
    pub fn restart(&self) -> Result<(), Failure> {
        let mut family = self.family.lock();
        if let Some(mut running) = family.take() {
            running.end_by(Signal::INT)?;
        }
        self.launch(&mut family)
    }

    /// Stops all processes with SIGSTOP: the kernel goes on taking connections and bytes, and nobody answers.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if the server does not run.
    pub fn pause(&self) -> Result<(), Failure> {
        self.with_family(Family::pause)
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if the server does not run.
    pub fn resume(&self) -> Result<(), Failure> {
        self.with_family(Family::resume)
    }

    /// Whether the server runs and is not paused.
    pub fn is_running(&self) -> bool {
        let is_up = |family: &mut Family| !family.postmaster.is_paused() && family.postmaster.ended().is_none();
        self.family.lock().as_mut().is_some_and(is_up)
    }

    fn with_family(&self, act: impl FnOnce(&mut Family) -> Result<(), Failure>) -> Result<(), Failure> {
        act(self
            .family
            .lock()
            .as_mut()
            .ok_or_else(|| Failure::State(format!("the server on port {} does not run", self.port())))?)
    }

    /// Starts the postmaster and waits until it takes connections.
    fn launch(&self, place: &mut Option<Family>) -> Result<(), Failure> {
        let log = self.parts.log();
        let logged = log.length();
        let family = place.insert(Family::new(self.parts.spawn()?));
        let ready = until("a server that is ready", START_LIMIT, || {
            if let Some(status) = family.postmaster.ended() {
                return Ok(Err(format!("the server on port {} ended at its start: {status}", self.port())));
            }
            self.parts.is_ready(family.postmaster.id()).map(Ok)
        });
        let what = match ready {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(what)) => what,
            Err(late) => late.to_string(),
        };
        *place = None;
        Err(log.failure(what, logged))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut family) = self.family.lock().take() {
            // If it does not end by itself it is killed, when the family is dropped.
            let _ = family.resume();
            let _ = family.end_by(Signal::QUIT);
        }
        self.parts.free_shared_memory();
    }
}

impl Parts {
    pub(super) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> Log {
        Log::at(self.directory.path().join("log"))
    }

    /// Keeps others from reading a file, as Postgres demands of a private key.
    pub(super) fn protect(&self, name: &str) -> Result<(), Failure> {
        let doing = while_doing("protecting a file of the server");
        fs::set_permissions(self.data().join(name), fs::Permissions::from_mode(0o600)).map_err(doing)
    }

    fn spawn(&self) -> Result<Process, Failure> {
        let log = self.log();
        // By this signal the postmaster takes its children along, and frees the memory that it shares with them.
        Process::spawn_to_end_by("QUIT", &self.programs.path("postgres")?, |command| {
            scrub(command);
            command.arg("-D").arg(self.data()).current_dir(self.directory.path());
            if let Some(account) = &self.account {
                account.run(command);
            }
            log.take_output_of(command)
        })
    }

    /// Whether the postmaster says that it takes connections; a file that another has left does not count.
    fn is_ready(&self, postmaster: u32) -> Result<(), String> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).map_err(|error| error.to_string())?;
        let lines: Vec<_> = file.lines().map(str::trim).collect();
        let is_its_own = lines.first().is_some_and(|number| *number == postmaster.to_string());
        if is_its_own && lines.get(7) == Some(&"ready") { Ok(()) } else { Err(format!("{lines:?}")) }
    }

    /// Frees what a killed postmaster could not: the kernel has room for a few thousand of these. The next start would do so.
    fn free_shared_memory(&self) {
        let left = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if let Some(number) = left.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let mut command = Command::new("ipcrm");
            command.args(["-m", number]);
            // Without the program it stays until the machine restarts, and is in nobody's way.
            let _ = run("ipcrm", START_LIMIT, command);
        }
    }
}

/// A URL of Postgres.
pub(super) fn url(address: &str, user: &str, password: &str, database: &str) -> String {
    let [user, password, database] = [user, password, database].map(percent_encoded);
    format!("postgres://{user}:{password}@{address}/{database}")
}
