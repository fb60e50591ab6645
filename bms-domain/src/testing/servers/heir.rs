//! What is to be done when the program ends, also when it is killed.

use std::{
    ffi::OsStr,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use super::failure::{Failure, while_doing};

/// A shell that waits for the end of this program, or of this value, and then runs a script.
#[derive(Debug)]
pub struct Heir(Child);

impl Heir {
    /// Runs `script` with the arguments `$1`, `$2` … as soon as this is dropped, or the program ends without dropping it, as it
    /// does with what is in a `static`.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if there is no shell.
    pub fn new(script: &str, arguments: &[&OsStr]) -> Result<Self, Failure> {
        let mut shell = Command::new("sh");
        // Its input ends with whoever holds the other end of the pipe.
        shell.arg("-c").arg(format!("read -r _; {script}")).arg("sh").args(arguments).current_dir("/");
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // What interrupts the program must not interrupt its heir.
        shell.process_group(0).spawn().map(Self).map_err(while_doing("starting a shell"))
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        // Waiting closes the shell's input first. Nobody is left to be told of a failure.
        let _ = self.0.wait();
    }
}
