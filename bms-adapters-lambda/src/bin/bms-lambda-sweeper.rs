//! The function that tidies up, woken by a schedule.

#[allow(dead_code, reason = "each function uses its part of it")]
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    wiring::sweep()
}
