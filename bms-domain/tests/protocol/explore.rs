//! Explores the model of the booking protocol, as far as one likes.
//!
//! ```console
//! $ cargo run --release -p bms-domain --features testing --example protocol -- users=4 seats=3
//! $ cargo run --release -p bms-domain --features testing --example protocol -- users=2 seats=1 without=CheckoutProlongs
//! ```
//!
//! Any other number of `Bounds` can be given the same way. Ends with an error when a promise is broken, or when something
//! never came about that has to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool of the tests, which share its modules")]
#![allow(dead_code, reason = "the tests use the rest")]

mod calls;
mod checking;
mod guards;
mod holds;
mod orders;
mod promises;
mod protocol;
mod real;
mod state;
mod step;

use std::process::ExitCode;

use protocol::{Bounds, Protocol};

const USAGE: &str = "usage: protocol [users=N] [seats=N] [hold_ttl=1|2] [orders=1|2] [payments=N] [cancels=N] [losses=N] [failovers=N] \
                     [calls=N] [readers=0|1] [threads=N] [without=GUARD]";

fn parse(arguments: impl Iterator<Item = String>) -> Result<(Protocol, usize), String> {
    let mut world = Protocol { bounds: Bounds::default(), off: None };
    let mut threads = 2;
    for argument in arguments {
        let (name, value) = argument.split_once('=').ok_or(USAGE)?;
        if name == "without" {
            world.off = Some(value.parse()?);
            continue;
        }
        let number: u8 = value.parse().map_err(|_| USAGE)?;
        let (count, bounds) = (usize::from(number), &mut world.bounds);
        match name {
            "users" if (1..=4).contains(&number) => bounds.users = count,
            "seats" if (1..=3).contains(&number) => bounds.seats = number,
            "hold_ttl" if (1..=2).contains(&number) => bounds.hold_ttl = number,
            "orders" if (1..=2).contains(&number) => bounds.orders = count,
            "payments" => bounds.payments = count,
            "cancels" => bounds.cancels = count,
            "losses" => bounds.losses = number,
            "failovers" => bounds.failovers = number,
            "calls" => bounds.calls = count,
            "readers" => bounds.readers = number > 0,
            "threads" if number > 0 => threads = count,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok((world, threads))
}

fn main() -> ExitCode {
    let (world, threads) = match parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    println!("{:?}{}", world.bounds, world.off.map_or_else(String::new, |guard| format!(" without {guard:?}")));
    let found = checking::explore(world, threads);
    println!("{} states, {} steps deep, {:.1} s", found.states, found.depth, found.took.as_secs_f64());
    for broken in found.broken.values() {
        println!("\n{broken}");
    }
    for missing in &found.missing {
        println!("\nin no state: {missing}");
    }
    if found.broken.is_empty() && found.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
