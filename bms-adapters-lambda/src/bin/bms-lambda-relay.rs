//! The function that publishes events, woken by a schedule.

#[allow(dead_code, reason = "each function uses its part of it")]
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    wiring::relay()
}
