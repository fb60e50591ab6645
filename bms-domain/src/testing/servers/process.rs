//! A child process that never outlives its owner.

use std::{
    ffi::OsStr,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    failure::{Failure, while_doing},
    wait::until,
};

/// A running (or stopped) child; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    paused: bool,
}

impl Process {
    /// Starts `program` after `prepare` has added arguments and the like.
    ///
    /// The kernel kills the child should this program be killed, where `setpriv` can ask for that.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if it cannot be started; what `prepare` fails with.
    pub fn spawn(program: &Path, prepare: impl FnOnce(&mut Command) -> Result<(), Failure>) -> Result<Self, Failure> {
        Self::spawn_to_end_by("KILL", program, prepare)
    }

    /// As [`Process::spawn`], for a server that tidies up after itself when it gets the signal `QUIT`, say.
    ///
    /// # Errors
    ///
    /// As [`Process::spawn`].
    pub fn spawn_to_end_by(
        signal: &str,
        program: &Path,
        prepare: impl FnOnce(&mut Command) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut command = match setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", signal]).arg(program);
                command
            }
            None => Command::new(program),
        };
        prepare(&mut command)?;
        let child = in_nursery(command).map_err(while_doing(format!("starting {}", program.display())))?;
        Ok(Self { child, paused: false })
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Stops the process with SIGSTOP.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if it has ended.
    pub fn pause(&mut self) -> Result<(), Failure> {
        self.signal(Signal::STOP)?;
        self.paused = true;
        Ok(())
    }

    /// Lets a paused process go on.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if it has ended.
    pub fn resume(&mut self) -> Result<(), Failure> {
        self.signal(Signal::CONT)?;
        self.paused = false;
        Ok(())
    }

    /// Asks the process to end with SIGTERM, and kills it when it is paused or takes more than 5 s.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if the signal cannot be sent.
    pub fn stop(&mut self) -> Result<(), Failure> {
        if !self.paused && self.ended().is_none() {
            self.signal(Signal::TERM)?;
            if self.wait(Duration::from_secs(5)).is_ok() {
                return Ok(());
            }
        }
        self.kill();
        Ok(())
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] if it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<(), Failure> {
        until("the end of the process", limit, || self.ended().map(|_| ()).ok_or_else(|| "it still runs".to_owned()))
    }

    /// Kills the process and waits until it is gone.
    pub fn kill(&mut self) {
        // Fails only if the process has been waited for, that is, if it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if the process has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Failure> {
        if let Some(status) = self.ended() {
            return Err(Failure::State(format!("process {} has ended: {status}", self.id())));
        }
        // Nobody else has waited for the child, so its number is still its own.
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(io::Error::from)
            .map_err(while_doing(format!("sending {signal:?} to process {}", self.child.id())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
///
/// [`Failure::Command`] with what it wrote to its standard error, if it fails; [`Failure::Late`] if it takes longer than `limit`,
/// and is killed; [`Failure::System`] if it cannot be started.
pub fn run(what: &str, limit: Duration, mut command: Command) -> Result<String, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = in_nursery(command).map_err(while_doing(format!("starting {what}")))?;
    let (output, errors) = (child.stdout.take().map(read_all), child.stderr.take().map(read_all));
    let mut process = Process { child, paused: false };
    process.wait(limit)?;
    let status = process.child.wait().map_err(while_doing(format!("waiting for {what}")))?;
    let text = |reader: Option<JoinHandle<String>>| reader.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let (output, errors) = (text(output), text(errors));
    if status.success() {
        return Ok(output);
    }
    let source = format!("{status}: {}", errors.trim_end()).into();
    Err(Failure::Command { command: what.to_owned(), address: "this machine".to_owned(), source })
}

/// Reads what a child prints, so that it never waits for a reader.
fn read_all(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is all there will be.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The first executable of that name on the search path, or where systems keep their servers.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A user's name or password as it stands in a URL.
pub fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// `setpriv`, if it is the one that knows `--pdeathsig`.
fn setpriv() -> Option<&'static OsStr> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let setpriv = find_program("setpriv")?;
        let mut trial = Command::new(&setpriv);
        trial.args(["--pdeathsig", "KILL", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        trial.status().is_ok_and(|status| status.success()).then_some(setpriv)
    });
    found.as_deref().map(Path::as_os_str)
}

type Birth = (Command, Sender<io::Result<Child>>);

/// Starts a child from a thread that lives as long as the program: `--pdeathsig` means the death of the thread that started the
/// child, and a test's thread ends before the server that it shares with other tests.
fn in_nursery(command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<Sender<Birth>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, births) = channel::<Birth>();
        thread::spawn(move || {
            for (mut command, answer) in births {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = channel();
    let gone = || io::Error::other("the thread that starts servers is gone");
    nursery.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}
