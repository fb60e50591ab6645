//! A child process that never outlives its owner.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    failure::{Failure, while_doing},
    wait,
};

/// A running (or stopped) child; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    paused: bool,
}

impl Process {
    /// Starts `program` after `prepare` has added arguments and the like.
    ///
    /// The kernel kills the child should this program be killed, where `setpriv` can ask for that.
    pub(super) fn spawn(program: &Path, prepare: impl FnOnce(&mut Command)) -> Result<Self, Failure> {
        let mut command = match setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        prepare(&mut command);
        let child = in_nursery(command).map_err(while_doing(format!("starting {}", program.display())))?;
        Ok(Self { child, paused: false })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// How the process ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    pub(super) fn pause(&mut self) -> Result<(), Failure> {
        self.signal(Signal::STOP)?;
        self.paused = true;
        Ok(())
    }

    pub(super) fn resume(&mut self) -> Result<(), Failure> {
        self.signal(Signal::CONT)?;
        self.paused = false;
        Ok(())
    }

    /// Asks the process to end, and kills it when it does not.
    pub(super) fn stop(&mut self) -> Result<(), Failure> {
        if !self.paused && self.ended().is_none() {
            self.signal(Signal::TERM)?;
            let ended = wait::until("the end of the process", Duration::from_secs(5), || {
                self.ended().ok_or_else(|| "it still runs".to_owned())
            });
            if ended.is_ok() {
                return Ok(());
            }
        }
        self.kill();
        Ok(())
    }

    /// Kills the process and waits until it is gone.
    pub(super) fn kill(&mut self) {
        // Fails only if the process has been waited for, that is, if it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Failure> {
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

/// The first executable of that name on the search path, or where systems keep their servers.
pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|file| file.is_file())
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
