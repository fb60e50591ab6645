//! Orders in Postgres: how fast beside `pgbench` with the same statements, how fast a seat map's truth is read, whether the cost
//! stays as the tables grow, and whole purchases with Redis in front. Starts servers of its own; needs `postgresql` (with
//! `pgbench`) and `redis-server`.
//!
//! `cargo bench -p bms-benches --bench postgres_orders` measures and prints tables; with `-- rate`, `sold`, `purchases` or `growth`
//! only that part. `growth` fills a table with five million orders, which takes a quarter of an hour, and is left out unless it is
//! named. Without `--bench`, as a test runs it, everything is done once with few orders.
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
mod ours;
mod pgbench;
mod purchases;
mod rate;
mod sold;

use bench::{Bench, MEASURED, TRIED};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let chosen: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let named = |part: &str| chosen.iter().any(|name| *name == part);
    let wants = |part: &str| chosen.is_empty() || named(part);

    let bench = Bench::start(if measured { MEASURED } else { TRIED });
    if wants("rate") {
        rate::print(&bench);
    }
    if wants("sold") {
        sold::print(&bench);
    }
    if wants("purchases") {
        purchases::print(&bench);
    }
    if named("growth") || !measured && chosen.is_empty() {
        growth::print(&bench);
    }
}
