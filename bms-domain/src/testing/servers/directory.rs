//! A directory that never outlives its owner.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    account::Account,
    failure::{Failure, while_doing},
    heir::Heir,
};

/// A private directory for the files of a server; it is removed when this is dropped, and also when the program ends without
/// dropping it, as it does with what is in a `static`.
#[derive(Debug)]
pub struct Directory {
    /// Removes it first.
    _heir: Heir,
    folder: TempDir,
}

/// A server may still be dying in there, so it tries more than once.
const REMOVE: &str = r#"for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" 2>/dev/null && exit; sleep 0.2; done"#;

impl Directory {
    /// Makes one whose name begins with `prefix`, in the system's place for temporary files, or, if `account` could not get
    /// there, in `/tmp` or `/var/tmp`. It belongs to `account`, and nobody else looks into it.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if it cannot be made; [`Failure::State`] if there is no place that the account can reach.
    pub fn new(prefix: &str, account: Option<&Account>) -> Result<Self, Failure> {
        let place = match account {
            None => std::env::temp_dir(),
            Some(_) => reachable().ok_or_else(|| Failure::State("no temporary directory is open to other users".to_owned()))?,
        };
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(place).map_err(while_doing("making a directory"))?;
        if let Some(account) = account {
            account.own(folder.path())?;
        }
        let heir = Heir::new(REMOVE, &[folder.path().as_os_str()])?;
        Ok(Self { _heir: heir, folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The first place for temporary files that every user can enter, with all that is above it.
fn reachable() -> Option<PathBuf> {
    let open = |folder: &Path| fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 0o001 != 0);
    let usual = ["/tmp", "/var/tmp"].map(PathBuf::from);
    let mut places = std::iter::once(std::env::temp_dir()).chain(usual).filter_map(|place| place.canonicalize().ok());
    places.find(|place| place.ancestors().all(open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_gone_with_its_owner() {
        let directory = Directory::new("bms-directory-", None).unwrap();
        let path = directory.path().to_owned();
        fs::write(path.join("file"), "text").unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_is_gone_when_only_its_heir_could_remove_it() {
        let mut directory = Directory::new("bms-directory-", None).unwrap();
        directory.folder.disable_cleanup(true);
        let path = directory.path().to_owned();
        fs::write(path.join("file"), "text").unwrap();
        drop(directory);
        assert!(!path.exists());
    }
}
