//! The machine that a run was made on: figures mean little without it.

use std::fs;

use serde::Serialize;

/// What a reader of figures wants to know of a machine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    /// The operating system, and the kernel's release where it tells.
    pub(crate) system: String,
    /// The architecture, such as `x86_64`.
    pub(crate) architecture: &'static str,
    /// What the processor calls itself; null where it does not say.
    pub(crate) processor: Option<String>,
    /// How many of its cores this program may use.
    pub(crate) cores: usize,
    /// In bytes; null where it is not told.
    pub(crate) memory_bytes: Option<u64>,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kilobytes = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Self {
            system: format!("{} {}", std::env::consts::OS, release.trim()).trim().to_owned(),
            architecture: std::env::consts::ARCH,
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kilobytes.map(|kilobytes| kilobytes * 1024),
        }
    }
}

/// What stands after a name and a colon in a file.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(|value| value.trim().to_owned()))
}
