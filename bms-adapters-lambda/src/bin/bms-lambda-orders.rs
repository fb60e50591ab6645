//! The function of orders, payments and tickets.

#[allow(dead_code, reason = "each function uses its part of it")]
mod wiring;

use std::process::ExitCode;

use bms_adapters_lambda::Function;

fn main() -> ExitCode {
    wiring::serve(Function::Orders)
}
