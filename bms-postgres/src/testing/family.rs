//! The postmaster and its children: stopped, woken and killed as one.

use std::{ffi::OsString, fs, io, process::Command, time::Duration};

use bms_domain::testing::servers::{Failure, Heir, Process, Signal, run, until, while_doing};
use rustix::process::{Pid, kill_process};

/// How long the kernel may take to act on a signal.
const SIGNAL_LIMIT: Duration = Duration::from_secs(20);

/// A running postmaster.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) postmaster: Process,
    /// While the family is paused: wakes it if this program ends, or it would stay for ever.
    alarm: Option<Heir>,
}

/// A line of the table of processes.
struct Member {
    process: i32,
    parent: i32,
    state: char,
}

impl Family {
    pub(super) fn new(postmaster: Process) -> Self {
        Self { postmaster, alarm: None }
    }

    /// Stops the postmaster, and then the children, which it can no longer add to.
    pub(super) fn pause(&mut self) -> Result<(), Failure> {
        if self.postmaster.is_paused() {
            return Ok(());
        }
        let children = self.freeze()?;
        let all: Vec<OsString> = children.iter().chain([&self.number()]).map(|number| number.to_string().into()).collect();
        let arguments: Vec<_> = all.iter().map(OsString::as_os_str).collect();
        self.alarm = Some(Heir::new(r#"kill -CONT "$@""#, &arguments)?);
        send(&children, Signal::STOP)?;
        wait_until_all("stopped processes", &children, |state| matches!(state, 'T' | 'Z'))
    }

    pub(super) fn resume(&mut self) -> Result<(), Failure> {
        let children = self.children()?;
        send(&children, Signal::CONT)?;
        self.postmaster.resume()?;
        self.alarm = None;
        Ok(())
    }

    /// Kills them all. The children go first, while the postmaster is stopped and cannot see it: their numbers stay their own.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        if self.postmaster.ended().is_none() {
            let children = self.freeze()?;
            send(&children, Signal::KILL)?;
            wait_until_all("dead processes", &children, |state| state == 'Z')?;
        }
        self.postmaster.kill();
        Ok(())
    }

    /// Ends them by a signal to the postmaster, or kills them if they are paused or take too long.
    pub(super) fn end_by(&mut self, signal: Signal) -> Result<(), Failure> {
        if !self.postmaster.is_paused() && self.postmaster.ended().is_none() {
            self.postmaster.signal(signal)?;
            if self.postmaster.wait(Duration::from_secs(30)).is_ok() {
                return Ok(());
            }
        }
        self.kill()
    }

    /// Stops the postmaster and returns its children.
    fn freeze(&mut self) -> Result<Vec<i32>, Failure> {
        self.postmaster.pause()?;
        wait_until_all("a stopped postmaster", &[self.number()], |state| matches!(state, 'T' | 'Z'))?;
        self.children()
    }

    fn children(&self) -> Result<Vec<i32>, Failure> {
        let number = self.number();
        let children = table()?.into_iter().filter(|member| member.parent == number && member.state != 'Z');
        Ok(children.map(|child| child.process).collect())
    }

    fn number(&self) -> i32 {
        self.postmaster.id().cast_signed()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // The postmaster goes with its handle; its children then end by themselves, if they could not be killed.
        let _ = self.kill();
    }
}

fn send(processes: &[i32], signal: Signal) -> Result<(), Failure> {
    for process in processes.iter().filter_map(|number| Pid::from_raw(*number)) {
        match kill_process(process, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(while_doing("sending a signal to a server's process")(io::Error::from(error))),
        }
    }
    Ok(())
}

/// Waits until each of the processes is in such a state, or gone.
fn wait_until_all(what: &str, processes: &[i32], reached: impl Fn(char) -> bool) -> Result<(), Failure> {
    until(what, SIGNAL_LIMIT, || {
        let table = table().map_err(|failure| failure.to_string())?;
        match table.iter().find(|member| processes.contains(&member.process) && !reached(member.state)) {
            Some(member) => Err(format!("process {} is in state {}", member.process, member.state)),
            None => Ok(()),
        }
    })
}

/// All processes: from the kernel where it tells, else from `ps`.
fn table() -> Result<Vec<Member>, Failure> {
    let Ok(entries) = fs::read_dir("/proc/self").and_then(|_| fs::read_dir("/proc")) else {
        let mut command = Command::new("ps");
        command.args(["-A", "-o", "pid=,stat=,ppid="]);
        return Ok(run("ps", SIGNAL_LIMIT, command)?.lines().filter_map(|line| member(line.split_whitespace())).collect());
    };
    let lines = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    Ok(lines.filter_map(|line| from_kernel(&line)).collect())
}

/// `1234 (any (name)) S 1 …`
fn from_kernel(line: &str) -> Option<Member> {
    let (process, rest) = line.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    member(std::iter::once(process).chain(rest.split(' ')))
}

fn member<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Member> {
    let process = fields.next()?.parse().ok()?;
    let state = fields.next()?.chars().next()?;
    Some(Member { process, state, parent: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let member = from_kernel("123 (a) S 9 (b) T 77 123 0 -1").unwrap();
        assert_eq!((member.process, member.state, member.parent), (123, 'T', 77));
        assert!(table().unwrap().iter().any(|member| member.process == std::process::id().cast_signed()));
    }
}
