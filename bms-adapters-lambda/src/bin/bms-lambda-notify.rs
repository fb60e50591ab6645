//! The function that tells of confirmed orders, invoked by a queue.

#[allow(dead_code, reason = "each function uses its part of it")]
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    wiring::notify()
}
