//! Holds in Redis: how fast, what they cost the server, and what memory they take, beside `redis-benchmark` and beside the
//! layout that comes to mind first. Starts servers of its own; needs `redis-server` and `redis-benchmark`.
//!
//! `cargo bench -p bms-benches --bench redis_holds` measures everything and prints tables; with `-- rate`, `operations`, `maps`,
//! `growth` or `memory` only that part. Without `--bench`, as a test runs it, everything is done once with few holds.
//! Ends with an error if a number that does not depend on the machine is too large: bytes on the wire, and memory.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark, not a library"
)]

mod bench;
mod growth;
mod maps;
mod memory;
mod naive;
mod operations;
mod ours;
mod rate;
mod tool;

use std::process::ExitCode;

use bench::{Bench, MEASURED, TRIED};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let chosen: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wants = |part: &str| chosen.is_empty() || chosen.iter().any(|name| *name == part);

    let bench = Bench::start(if measured { MEASURED } else { TRIED });
    let holds = ours::connect(&bench);
    if wants("rate") {
        rate::print(&bench, &holds);
    }
    if wants("operations") {
        operations::print(&bench, &holds);
    }
    let mut within = !wants("maps") || maps::print(&bench, &holds);
    if wants("growth") {
        growth::print(&bench, &holds);
    }
    within &= !wants("memory") || memory::print(&bench, &holds);
    if within || !measured {
        ExitCode::SUCCESS
    } else {
        eprintln!("more bytes than wanted");
        ExitCode::FAILURE
    }
}
