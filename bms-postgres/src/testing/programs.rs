//! Where Postgres is on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use bms_domain::testing::servers::{Failure, find_program};

/// The oldest major version that will do.
const OLDEST: u32 = 15;

/// The programs of one version, the newest that there is.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Looks on the search path and where Debian keeps its versions, once for the whole program.
    pub(super) fn find() -> Result<Self, Failure> {
        static FOUND: OnceLock<Option<Programs>> = OnceLock::new();
        let missing = Failure::Missing { program: "postgres, 15 or later", install: "apt-get install -y postgresql" };
        FOUND.get_or_init(newest).clone().ok_or(missing)
    }

    /// One of them; clients may be installed apart from the server.
    pub(super) fn path(&self, name: &'static str) -> Result<PathBuf, Failure> {
        let beside = Some(self.folder.join(name)).filter(|file| file.is_file());
        let missing = Failure::Missing { program: name, install: "apt-get install -y postgresql" };
        beside.or_else(|| find_program(name)).ok_or(missing)
    }

    /// A command of one of them, free of what the environment would tell a client.
    pub(super) fn command(&self, name: &'static str) -> Result<Command, Failure> {
        let mut command = Command::new(self.path(name)?);
        scrub(&mut command);
        Ok(command)
    }
}

/// Takes away what the environment says about a server and the language of its messages.
pub(super) fn scrub(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
}

fn newest() -> Option<Programs> {
    // The path may have a link to the program alone.
    let on_path = find_program("postgres").and_then(|file| file.canonicalize().ok()?.parent().map(Path::to_owned));
    let packages = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let versions = on_path.into_iter().chain(packages).filter_map(|folder| Some((major_version(&folder)?, folder)));
    let (_, folder) = versions.filter(|(version, _)| *version >= OLDEST).max_by_key(|(version, _)| *version)?;
    Some(Programs { folder })
}

fn major_version(folder: &Path) -> Option<u32> {
    let mut command = Command::new(folder.join("postgres"));
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
    version_in(&String::from_utf8_lossy(&command.output().ok()?.stdout))
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version_in(line: &str) -> Option<u32> {
    let (_, version) = line.split_once("(PostgreSQL) ")?;
    let end = version.find(|character: char| !character.is_ascii_digit()).unwrap_or(version.len());
    version.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(version_in("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(version_in("postgres 9.6"), None);
    }
}
