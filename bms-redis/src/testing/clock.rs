//! The wall clock of a server, moved by libfaketime while the server runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bms_domain::testing::servers::{Failure, while_doing};

/// The file that libfaketime reads the offset from, and the library itself.
#[derive(Debug)]
pub(super) struct MovableClock {
    library: PathBuf,
    file: PathBuf,
}

impl MovableClock {
    /// A clock that is right, with its file in `folder`.
    pub(super) fn in_folder(folder: &Path) -> Result<Self, Failure> {
        let install = "apt-get install -y libfaketime";
        let library = find_library().ok_or(Failure::Missing { program: "libfaketime.so.1", install })?;
        let clock = Self { library, file: folder.join("clock") };
        clock.set(0)?;
        Ok(clock)
    }

    /// Moves the clock: from now on it is `seconds` ahead of (or, negative, behind) the machine's.
    pub(super) fn set(&self, seconds: i64) -> Result<(), Failure> {
        // The server reads the file at every look at its clock, so it must never see half of it.
        let draft = self.file.with_extension("draft");
        fs::write(&draft, format!("{seconds:+}\n"))
            .and_then(|()| fs::rename(&draft, &self.file))
            .map_err(while_doing("setting the server's clock"))
    }

    /// What has to stand in the server's environment.
    pub(super) fn environment(&self) -> [(&'static str, String); 4] {
        [
            // jemalloc looks at the clock from within malloc, and libfaketime allocates when it is asked for the first time: the
            // two wait for each other for ever. The C library before jemalloc takes the latter out of the game.
            ("LD_PRELOAD", format!("{} libc.so.6", self.library.display())),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // When a machine's clock is set, its monotonic clock goes on.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// Removes what libfaketime leaves in shared memory when its process is killed.
    pub(super) fn tidy_up_after(process: u32) {
        for name in [format!("faketime_shm_{process}"), format!("sem.faketime_sem_{process}")] {
            // Absent when the process has ended by itself.
            let _ = fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }
}

fn find_library() -> Option<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64"), PathBuf::from("/usr/local/lib")];
    folders.extend(fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path()));
    folders.into_iter().map(|folder| folder.join("faketime/libfaketime.so.1")).find(|file| file.is_file())
}
