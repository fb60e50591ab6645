//! What a server writes.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
};

use super::failure::{Failure, while_doing};

/// The file that a server's output goes to, over all its restarts.
#[derive(Debug)]
pub struct Log {
    file: PathBuf,
}

impl Log {
    /// A log that is kept in `file`.
    pub fn at(file: PathBuf) -> Self {
        Self { file }
    }

    /// Sends everything that `command` prints here, after what is there already.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if the file cannot be opened.
    pub fn take_output_of(&self, command: &mut Command) -> Result<(), Failure> {
        let open = || File::options().create(true).append(true).open(&self.file);
        let (output, errors) =
            open().and_then(|file| Ok((file.try_clone()?, file))).map_err(while_doing("opening the server's log"))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        Ok(())
    }

    /// How long it is, in bytes; nothing if there is none yet.
    pub fn length(&self) -> usize {
        fs::metadata(&self.file).map_or(0, |file| file.len() as usize)
    }

    /// What was written after the first `start` bytes.
    pub fn after(&self, start: usize) -> String {
        let log = fs::read(&self.file).unwrap_or_default();
        String::from_utf8_lossy(log.get(start..).unwrap_or_default()).into_owned()
    }

    /// The failure of a server that did not start: what happened, and the last lines after the first `start` bytes.
    pub fn failure(&self, what: String, start: usize) -> Failure {
        let log = self.after(start);
        let lines: Vec<_> = log.lines().collect();
        Failure::Start { what, log: lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n") }
    }
}
