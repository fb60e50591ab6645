//! One `bms-server`, and somebody who starts it again when it has ended.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use bms_domain::testing::servers::{Failure, Log, Port, Process, Signal, until};
use parking_lot::Mutex;

/// How long a server may take until it serves; without its database it cannot be started, and is started again.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a server that was told to end may take: it finishes what runs, and each request has 10 s.
const END_LIMIT: Duration = Duration::from_secs(45);

/// A server process on a port of its own.
pub(crate) struct Booth {
    port: Port,
    options: Vec<String>,
    log: Log,
    process: Mutex<Option<Process>>,
}

impl Booth {
    /// Starts a server, which logs into `folder`.
    pub(crate) fn open(folder: &Path, name: &str, options: Vec<String>) -> Result<Self, Failure> {
        let (port, log) = (Port::free()?, Log::at(folder.join(name)));
        let booth = Self { port, options, log, process: Mutex::default() };
        booth.start()?;
        Ok(booth)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// What it has written.
    pub(crate) fn log(&self) -> String {
        self.log.after(0)
    }

    /// Starts it, again and again until it serves.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let logged = self.log.length();
        let mut process = self.process.lock();
        let served = until("a server that serves", START_LIMIT, || {
            if process.as_mut().is_none_or(|process| process.ended().is_some()) {
                *process = Some(self.spawn().map_err(|failure| failure.to_string())?);
            }
            self.is_alive().map_err(|error| error.to_string())
        });
        served.map_err(|late| self.log.failure(late.to_string(), logged))
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) -> Result<(), String> {
        let mut process = self.process.lock();
        runs(&mut process)?.kill();
        *process = None;
        Ok(())
    }

    /// SIGTERM, after which it has to end in good order.
    pub(crate) fn end(&self) -> Result<(), String> {
        let mut process = self.process.lock();
        let running = runs(&mut process)?;
        running.signal(Signal::TERM).map_err(|failure| failure.to_string())?;
        running.wait(END_LIMIT).map_err(|late| format!("after SIGTERM: {late}"))?;
        match running.ended() {
            Some(status) if status == "exit status: 0" => {
                *process = None;
                Ok(())
            }
            status => Err(format!("after SIGTERM a server ended with {status:?}")),
        }
    }

    pub(crate) fn pause(&self) -> Result<(), String> {
        runs(&mut self.process.lock())?.pause().map_err(|failure| failure.to_string())
    }

    pub(crate) fn resume(&self) -> Result<(), String> {
        runs(&mut self.process.lock())?.resume().map_err(|failure| failure.to_string())
    }

    /// Fails if it has ended though nobody wanted it to.
    pub(crate) fn still_runs(&self) -> Result<(), String> {
        runs(&mut self.process.lock()).map(|_| ())
    }

    fn spawn(&self) -> Result<Process, Failure> {
        Process::spawn(Path::new(env!("CARGO_BIN_EXE_bms-server")), |command| {
            command.args(["--listen", &format!("127.0.0.1:{}", self.port.number())]).args(&self.options);
            command.env_remove("REDIS_URL").env_remove("DATABASE_URL").env("RUST_LOG", "warn");
            self.log.take_output_of(command)
        })
    }

    fn is_alive(&self) -> std::io::Result<()> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port.number()))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(connection, "GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other(answer)) }
    }
}

fn runs(process: &mut Option<Process>) -> Result<&mut Process, String> {
    let running = process.as_mut().ok_or("there is no server")?;
    match running.ended() {
        None => Ok(running),
        Some(status) => Err(format!("a server ended by itself: {status}")),
    }
}
