//! Whose processes servers are: some refuse to run as root.

use std::{
    fs,
    os::unix::{fs as unix, process::CommandExt as _},
    path::Path,
    process::Command,
};

use super::failure::{Failure, while_doing};

/// A user of this machine.
#[derive(Clone, Debug)]
pub struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// The account that servers are to run as: none if this program is not run by root, who alone can choose; else the first
    /// of `names` that there is, and last `nobody`.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if root finds none of them.
    pub fn instead_of_root(names: &[&str]) -> Result<Option<Self>, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").map_err(while_doing("reading the users of this machine"))?;
        let found = names.iter().chain(&["nobody"]).find_map(|name| users.lines().find_map(|line| account(line, name)));
        found.map(Some).ok_or_else(|| Failure::State(format!("there is no user {names:?}, nor `nobody`")))
    }

    /// Lets `command` run as this user.
    pub fn run(&self, command: &mut Command) {
        // Takes the groups of root away as well.
        command.uid(self.user).gid(self.group);
    }

    /// Gives a file or directory to this user.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if it cannot be given away.
    pub fn own(&self, file: &Path) -> Result<(), Failure> {
        let doing = || format!("giving {} to the server's user", file.display());
        unix::lchown(file, Some(self.user), Some(self.group)).map_err(while_doing(doing()))
    }
}

/// The account in a line of `/etc/passwd`, if it is that of `name`.
fn account(line: &str, name: &str) -> Option<Account> {
    let mut fields = line.split(':');
    if fields.next()? != name {
        return None;
    }
    let mut numbers = fields.skip(1).map(|field| field.parse().ok());
    Some(Account { user: numbers.next()??, group: numbers.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_its_own_line() {
        let found = account("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash", "postgres");
        assert!(matches!(found, Some(Account { user: 101, group: 104 })));
        assert!(account("postgres2:x:101:104::/:/bin/sh", "postgres").is_none());
        assert!(account("postgres:x", "postgres").is_none());
    }
}
