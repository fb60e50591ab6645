//! The function of films, shows and the catalogue.

#[allow(dead_code, reason = "each function uses its part of it")]
mod wiring;

use std::process::ExitCode;

use bms_adapters_lambda::Function;

fn main() -> ExitCode {
    wiring::serve(Function::Movies)
}
