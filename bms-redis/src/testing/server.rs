//! One private Redis process.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bms_domain::testing::servers::{Directory, Failure, Log, Port, Process, percent_encoded, until};
use parking_lot::Mutex;
use redis::{
    Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, RedisConnectionInfo, RedisError, Value, from_redis_value,
};

use super::{
    builder::{HARNESS, ServerBuilder},
    clock::MovableClock,
};

/// How long a server may take to answer after its start: a second is usual, the rest is for a machine that is busy elsewhere.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long a server may take to answer a command of the harness.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// A private Redis process on loopback, with a directory of its own; both are gone when this is dropped.
///
/// All methods take `&self`, so that a test can stop the server while others use it. A server in a `static` is not dropped;
/// on Linux the kernel kills it when the program ends, but its directory stays.
#[derive(Debug)]
pub struct Server {
    pub(super) parts: Parts,
    process: Mutex<Option<Process>>,
}

/// What stays the same when the server is started again.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) program: PathBuf,
    pub(super) arguments: &'static [&'static str],
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: Directory,
    pub(super) port: Port,
    /// Whether the harness has a user of its own there; a sentinel has none.
    pub(super) has_harness_user: bool,
    pub(super) password: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) clock: Option<MovableClock>,
}

impl Server {
    /// A plain server without a password; see [`ServerBuilder`] for everything else.
    ///
    /// # Errors
    ///
    /// [`Failure::Missing`] with the line that installs Redis; [`Failure::Start`] with the server's log.
    pub fn start() -> Result<Self, Failure> {
        Self::builder().start()
    }

    /// A server to be described.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    pub(super) fn from_parts(parts: Parts) -> Result<Self, Failure> {
        let server = Self { parts, process: Mutex::new(None) };
        server.launch(&mut server.process.lock())?;
        Ok(server)
    }

    /// The TCP port on 127.0.0.1, the same for the server's whole life.
    pub fn port(&self) -> u16 {
        self.parts.port.number()
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The URL of the default user, password included: `redis://…`, with TLS `rediss://…`.
    pub fn url(&self) -> String {
        match &self.parts.password {
            Some(password) => self.url_of("", password),
            None => format!("{}://{}", self.scheme(), self.address()),
        }
    }

    /// The URL of the ACL user `name` (empty for the default user).
    pub fn url_of(&self, name: &str, password: &str) -> String {
        format!("{}://{}:{}@{}", self.scheme(), percent_encoded(name), percent_encoded(password), self.address())
    }

    fn scheme(&self) -> &'static str {
        if self.parts.authority.is_some() { "rediss" } else { "redis" }
    }

    /// The certificate, as PEM, of the throwaway authority that vouches for a server with TLS.
    pub fn authority_pem(&self) -> Option<&str> {
        self.parts.authority.as_deref()
    }

    /// The server's private directory: its configuration, log and data.
    pub fn directory(&self) -> &Path {
        self.parts.directory.path()
    }

    /// What the server has written since its first start.
    pub fn log(&self) -> String {
        self.parts.log().after(0)
    }

    /// The number of the process, if there is one.
    pub fn pid(&self) -> Option<u32> {
        self.process.lock().as_ref().map(Process::id)
    }

    /// Kills the process with SIGKILL, paused or not, and waits until it is gone. Does nothing when it is gone.
    pub fn kill(&self) {
        if let Some(mut process) = self.process.lock().take() {
            process.kill();
            self.parts.tidy_up(process.id());
        }
    }

    /// Ends the process with SIGTERM (SIGKILL if it is paused, or takes more than 5 s) and waits until it is gone.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if the signal cannot be sent.
    pub fn stop(&self) -> Result<(), Failure> {
        match self.process.lock().take() {
            Some(mut process) => self.parts.stop(&mut process),
            None => Ok(()),
        }
    }

    /// Starts the server again on the same port, with the same configuration and directory, after stopping it if it still runs.
    ///
    /// What it then knows is what it had written: nothing, unless it is append-only.
    ///
    /// # Errors
    ///
    /// [`Failure::Start`] with the server's log.
    pub fn restart(&self) -> Result<(), Failure> {
        let mut process = self.process.lock();
        if let Some(mut running) = process.take() {
            self.parts.stop(&mut running)?;
        }
        self.launch(&mut process)
    }

    /// Stops the process with SIGSTOP: the kernel goes on taking connections and bytes, and nobody answers.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if the server does not run.
    pub fn pause(&self) -> Result<(), Failure> {
        self.with_process(Process::pause)
    }

    /// Lets a paused process go on.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if the server does not run.
    pub fn resume(&self) -> Result<(), Failure> {
        self.with_process(Process::resume)
    }

    /// Whether the process runs and is not paused.
    pub fn is_running(&self) -> bool {
        self.process.lock().as_mut().is_some_and(|process| !process.is_paused() && process.ended().is_none())
    }

    /// Moves the server's wall clock: from now on it is `seconds` ahead of (or, negative, behind) this machine's.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if the server was built without [`ServerBuilder::movable_clock`].
    pub fn set_clock_offset(&self, seconds: i64) -> Result<(), Failure> {
        let clock = self.parts.clock.as_ref();
        clock.ok_or_else(|| Failure::State("this server was started without a movable clock".to_owned()))?.set(seconds)
    }

    /// Runs one command, whatever the ACL says of other users: `command::<String>(&["PING"])`. Blocks for at most 10 s.
    ///
    /// Each call is a connection of its own, through a socket in the server's directory; neither the port, nor TLS, nor
    /// anything in front of them is involved.
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if the server does not run, is paused, refuses, or answers with something that is no `T`.
    pub fn command<T: FromRedisValue>(&self, words: &[impl AsRef<[u8]>]) -> Result<T, Failure> {
        self.parts.command(words, COMMAND_LIMIT).map_err(|source| {
            let shown: Vec<_> = words.iter().take(2).map(|word| String::from_utf8_lossy(word.as_ref())).collect();
            Failure::Command { command: shown.join(" "), address: self.address(), source: Box::new(source) }
        })
    }

    /// A field of `INFO`, such as `role` or `master_link_status`.
    ///
    /// # Errors
    ///
    /// As [`Server::command`]; [`Failure::State`] if there is no such field.
    pub fn info(&self, field: &str) -> Result<String, Failure> {
        let all: String = self.command(&["INFO", "everything"])?;
        let value = all.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(str::to_owned).ok_or_else(|| Failure::State(format!("INFO has no field `{field}`")))
    }

    fn with_process(&self, act: impl FnOnce(&mut Process) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut process = self.process.lock();
        act(process.as_mut().ok_or_else(|| Failure::State(format!("the server on port {} does not run", self.port())))?)
    }

    /// Starts the process and waits until it answers.
    fn launch(&self, place: &mut Option<Process>) -> Result<(), Failure> {
        let log = self.parts.log();
        let logged = log.length();
        let process = place.insert(self.parts.spawn()?);
        let answered = until("an answer", START_LIMIT, || {
            if let Some(status) = process.ended() {
                return Ok(Err(format!("the server on port {} ended at its start: {status}", self.port())));
            }
            match self.parts.command::<Value>(&["PING"], COMMAND_LIMIT) {
                Ok(_) => Ok(Ok(())),
                Err(error) => Err(error.to_string()),
            }
        });
        let what = match answered {
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
        self.kill();
    }
}

impl Parts {
    fn log(&self) -> Log {
        Log::at(self.directory.path().join("log"))
    }

    /// Leaves nothing behind of a process that is gone.
    fn tidy_up(&self, process: u32) {
        if self.clock.is_some() {
            MovableClock::tidy_up_after(process);
        }
    }

    fn stop(&self, process: &mut Process) -> Result<(), Failure> {
        process.stop()?;
        self.tidy_up(process.id());
        Ok(())
    }

    fn spawn(&self) -> Result<Process, Failure> {
        // Left by a server that was killed, it would be in the way of none; but it must not look like an answer.
        let _ = fs::remove_file(self.socket());
        let log = self.log();
        Process::spawn(&self.program, |command| {
            command.arg(self.directory.path().join("redis.conf")).args(self.arguments);
            command.current_dir(self.directory.path()).envs(self.environment.iter().cloned());
            command.envs(self.clock.iter().flat_map(MovableClock::environment));
            log.take_output_of(command)
        })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn command<T: FromRedisValue>(&self, words: &[impl AsRef<[u8]>], limit: Duration) -> Result<T, RedisError> {
        let mut target = ConnectionAddr::Unix(self.socket()).into_connection_info()?;
        if self.has_harness_user {
            target = target.set_redis_settings(RedisConnectionInfo::default().set_username(HARNESS).set_password(HARNESS));
        }
        let mut connection = Client::open(target)?.get_connection_with_timeout(limit)?;
        connection.set_read_timeout(Some(limit))?;
        connection.set_write_timeout(Some(limit))?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word.as_ref());
        }
        Ok(from_redis_value(command.query(&mut connection)?)?)
    }
}
