//! The data of a server that has never run: made once, then copied.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use bms_domain::testing::servers::{Account, Directory, Failure, run, while_doing};
use parking_lot::Mutex;

use super::programs::Programs;

/// The superuser, and his password.
pub(super) const SUPERUSER: &str = "postgres";

/// How long `initdb` may take: it takes a second where nothing else runs.
const LIMIT: Duration = Duration::from_secs(120);

/// An empty data directory; it is kept as long as a server of this program is.
#[derive(Debug)]
pub(super) struct Template {
    directory: Directory,
}

impl Template {
    /// That of this program.
    pub(super) fn get(programs: &Programs, account: Option<&Account>) -> Result<Arc<Self>, Failure> {
        static MADE: Mutex<Weak<Template>> = Mutex::new(Weak::new());
        let mut made = MADE.lock();
        if let Some(template) = made.upgrade() {
            return Ok(template);
        }
        let template = Arc::new(Self::make(programs, account)?);
        *made = Arc::downgrade(&template);
        Ok(template)
    }

    fn make(programs: &Programs, account: Option<&Account>) -> Result<Self, Failure> {
        let directory = Directory::new("bms-postgres-template-", account)?;
        let password = directory.path().join("password");
        fs::write(&password, SUPERUSER).map_err(while_doing("writing the superuser's password"))?;
        if let Some(account) = account {
            account.own(&password)?;
        }
        let template = Self { directory };
        let mut command = programs.command("initdb")?;
        command.arg("-D").arg(template.data()).arg("--pwfile").arg(password).args(["-U", SUPERUSER]);
        // The harness comes through the socket in the server's own directory, everybody else by TCP with a password.
        command.args(["--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        command.args(["--no-sync", "--no-instructions"]).current_dir("/");
        if let Some(account) = account {
            account.run(&mut command);
        }
        run("initdb", LIMIT, command)?;
        let settings = template.data().join("postgresql.conf");
        let text = fs::read_to_string(&settings).map_err(while_doing("reading the server's settings"))?;
        fs::write(&settings, text + "\ninclude 'harness.conf'\n").map_err(while_doing("writing the server's settings"))?;
        Ok(template)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Makes `data` a copy of it that belongs to the account.
    pub(super) fn copy_to(&self, data: &Path, account: Option<&Account>) -> Result<(), Failure> {
        copy(&self.data(), data, account)
    }
}

fn copy(from: &Path, to: &Path, account: Option<&Account>) -> Result<(), Failure> {
    let doing = || while_doing(format!("copying {}", from.display()));
    if from.is_dir() {
        fs::create_dir(to).map_err(doing())?;
        for entry in fs::read_dir(from).map_err(doing())? {
            let name = entry.map_err(doing())?.file_name();
            copy(&from.join(&name), &to.join(&name), account)?;
        }
        // Postgres refuses a directory that others could look into.
        fs::set_permissions(to, fs::metadata(from).map_err(doing())?.permissions()).map_err(doing())?;
    } else {
        fs::copy(from, to).map_err(doing())?;
    }
    account.map_or(Ok(()), |account| account.own(to))
}
