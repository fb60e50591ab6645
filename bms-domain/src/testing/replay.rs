//! The line that runs a random test again.

use std::env;
use std::fmt;
use std::thread;

/// The command that runs the test of this thread again, with a variable that gives it its seed. Cargo says of which package the
/// test is, the test's thread is called like it, and its program like its target.
pub(crate) fn line(variable: &str, seed: u64) -> impl fmt::Display {
    let package = env::var("CARGO_PKG_NAME").unwrap_or_default();
    let program = env::current_exe().unwrap_or_default();
    let program = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let more = env::var("BMS_EVIDENCE").map_or_else(|_| String::new(), |times| format!("BMS_EVIDENCE={times} "));
    let command = command(&package, &program, thread::current().name().unwrap_or_default());
    format!("Replay it with: {more}{variable}={seed} {command}")
}

/// `program` has a hash at its end; the one test thread of a process that has no other is called `main`.
fn command(package: &str, program: &str, test: &str) -> String {
    let target = program.rsplit_once('-').map_or(program, |(target, _)| target);
    let target = if target == package.replace('-', "_") { "--lib".to_owned() } else { format!("--test {target}") };
    let test = if test == "main" { String::new() } else { format!(" {test} -- --exact") };
    format!("cargo test -p {package} --all-features {target}{test}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_by_package_target_and_name() {
        let one = command("bms-examples", "stores-0123456789abcdef", "agree::outboxes_agree");
        assert_eq!(one, "cargo test -p bms-examples --all-features --test stores agree::outboxes_agree -- --exact");
        assert_eq!(command("bms-redis", "bms_redis-01", "main"), "cargo test -p bms-redis --all-features --lib");
    }

    #[test]
    fn this_test_is_named() {
        let line = line("SEED", 7).to_string();
        assert!(line.contains("SEED=7 cargo test -p bms-domain --all-features --lib"), "{line}");
    }
}
