//! `bms-cloud`: the deployment on AWS, all of it on this machine, until Ctrl-C: the functions under an emulator of Lambda, the
//! gateway, Postgres, Redis, and a local SQS and SNS.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "the gateway, a program of its own, uses the rest")]
mod common;
mod functions;
mod queue;
mod stores;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use bms_adapters_http::auth::mint_hs256;
use bms_adapters_lambda::Function;
use bms_domain::id::UserId;
use bms_domain::testing::servers::{self, Process};
use bms_domain::time::{Clock as _, SystemClock};
use clap::Parser;
use secrecy::{ExposeSecret as _, SecretString};

use functions::{Functions, Settings};
use queue::Queue;
use stores::Stores;

/// How long the printed tokens are good for.
const TOKEN_TTL: Duration = Duration::from_hours(12);
/// How long everything may take to be ready.
const READY_IN: Duration = Duration::from_secs(60);
/// How often it is looked whether everything still runs.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs the deployment on AWS on this machine: functions, gateway, Postgres, Redis, SQS and SNS. Ctrl-C ends all of it, and
/// nothing is kept.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Where the gateway listens.
    #[arg(long, env = "BMS_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The catalogue to sell; the demo catalogue without it.
    #[arg(long, env = "BMS_CATALOGUE", value_name = "FILE")]
    catalogue: Option<PathBuf>,

    /// The secret of tokens; one that nobody knows without it.
    #[arg(long, env = "BMS_JWT_SECRET", value_name = "SECRET", hide_env_values = true)]
    jwt_secret: Option<SecretString>,

    /// The secret that the payment provider signs its notices with. Without it no notices are taken.
    #[arg(long, env = "BMS_PAYMENT_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true)]
    payment_webhook_secret: Option<SecretString>,

    /// The local SQS and SNS: moto's server. Looked for in the Python environment `venv` of the target folder without it.
    #[arg(long, env = "BMS_MOTO", value_name = "PROGRAM")]
    moto: Option<PathBuf>,

    /// Do without SQS and SNS: events go to the log.
    #[arg(long, conflicts_with = "moto")]
    without_queue: bool,
}

/// What ends the program, and what to do about it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Server(#[from] servers::Failure),
    #[error("{0}")]
    Postgres(#[from] bms_postgres::Error),
    #[error("the catalogue: {0}")]
    Catalogue(bms_domain::Error),
    #[error("{0}")]
    Network(#[from] reqwest::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn main() -> ExitCode {
    common::run("bms-cloud", run(Cli::parse()), |_| ExitCode::FAILURE)
}

async fn run(cli: Cli) -> Result<(), Failure> {
    // Whatever runs is ended when it is dropped, however this ends.
    tokio::select! {
        done = up(cli) => done,
        () = common::serve::asked_to_end() => Ok(()),
    }
}

/// Starts everything, says so, and watches it.
async fn up(cli: Cli) -> Result<(), Failure> {
    let catalogue = stores::catalogue(cli.catalogue.as_deref())?;
    let moto = if cli.without_queue { None } else { Some(queue::program(cli.moto)?) };
    let (stores, queue) = blocking(move || {
        let stores = Stores::start()?;
        let queue = moto.map(|program| Queue::start(&program)).transpose()?;
        Ok((stores, queue))
    })
    .await?;
    stores.fill(&catalogue).await?;
    if let Some(queue) = &queue {
        queue.fill().await?;
    }

    let secret = cli.jwt_secret.map_or_else(random_secret, Ok)?;
    let notices = cli.payment_webhook_secret.as_ref();
    let settings = Settings { stores: &stores, secret: &secret, notices, queue: queue.as_ref() };
    let mut functions = Functions::start(&settings).await?;
    let (mut gateway, address) = gateway(cli.listen, &secret, &functions).await?;
    is_ready(&address).await?;
    let alice = UserId::parse("alice").map_err(|error| Failure::Refused(error.to_string()))?;
    let token = mint_hs256(&secret, &alice, false, SystemClock.now().plus(TOKEN_TTL))
        .map_err(|error| Failure::Refused(format!("the secret of tokens: {error}")))?;
    // Whether anybody reads it makes no difference.
    _ = std::io::stdout().write_all(greeting(&address, &token, &functions, &stores, queue.as_ref()).as_bytes());

    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let gone = functions.ended().or_else(|| gateway.ended().map(|status| format!("the gateway has ended: {status}")));
        if let Some(gone) = gone {
            // A Ctrl-C in a terminal reaches everything at once, and its end is the other branch's.
            tokio::time::sleep(LOOK_EVERY).await;
            return Err(Failure::Refused(gone));
        }
    }
}

/// Runs what blocks its thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::Refused(error.to_string()))?
}

fn random_secret() -> Result<SecretString, Failure> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| Failure::Refused(format!("no randomness for a secret: {error}")))?;
    Ok(SecretString::from(random.map(|byte| format!("{byte:02x}")).concat()))
}

/// A program that is built together with this one.
fn program(name: &str) -> Result<PathBuf, Failure> {
    let folder = std::env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default();
    let program = folder.join(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::Refused(format!(
        "{} is missing; build it with: cargo build -p bms-examples -p bms-adapters-lambda --features \
         bms-examples/cloud,bms-adapters-lambda/functions --bins (scripts/local-cloud.sh does)",
        program.display()
    )))
}

/// The gateway before the functions, and its address.
async fn gateway(listen: SocketAddr, secret: &SecretString, functions: &Functions) -> Result<(Process, String), Failure> {
    let program = program("bms-gateway")?;
    let (mut output, input) = std::io::pipe()?;
    let mut variables = vec![
        ("BMS_LISTEN", listen.to_string()),
        ("BMS_JWT_SECRET", secret.expose_secret().to_owned()),
        ("RUST_LOG", functions::log_filter()),
    ];
    for (function, name) in [
        (Function::Movies, "LAMBDA_MOVIES_URL"),
        (Function::Holds, "LAMBDA_HOLDS_URL"),
        (Function::Orders, "LAMBDA_ORDERS_URL"),
        (Function::Seats, "LAMBDA_SEATS_URL"),
    ] {
        variables.push((name, functions.url(function)));
    }
    let process = Process::spawn_to_end_by("TERM", &program, |command| {
        command.env_clear().envs(variables).stdin(Stdio::null()).stdout(input);
        Ok(())
    })?;
    let greeting = blocking(move || {
        let mut line = String::new();
        BufReader::new(&mut output).read_line(&mut line)?;
        Ok(line)
    })
    .await?;
    match greeting.trim_end().rsplit_once(' ') {
        Some((_, address)) => Ok((process, address.to_owned())),
        None => Err(Failure::Refused("the gateway did not start (see above)".to_owned())),
    }
}

async fn is_ready(address: &str) -> Result<(), Failure> {
    let ready = async {
        while !reqwest::get(format!("{address}/readyz")).await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let late = |_| Failure::Refused("not every function was ready in time (see above)".to_owned());
    tokio::time::timeout(READY_IN, ready).await.map_err(late)
}

fn greeting(address: &str, token: &str, functions: &Functions, stores: &Stores, queue: Option<&Queue>) -> String {
    let urls: String = functions.all().map(|(name, url)| format!("  {name:<9} {url}\n")).collect();
    let (queue, notices) = match queue {
        Some(queue) => (queue.told(), format!("See the notice of it, a few seconds later:\n\n{}\n", queue.lines())),
        None => ("  events    in the log\n".to_owned(), String::new()),
    };
    format!(
        r#"bms-cloud runs the deployment on AWS on this machine
  gateway   {address}
{urls}  Postgres  {postgres}
  Redis     {redis}
{queue}
Buy a seat, with curl and jq:

BMS_URL={address}
ALICE={token}
post() {{ curl -sS "$BMS_URL$1" -H "Authorization: Bearer $ALICE" -H 'Content-Type: application/json' -d "$2"; }}
MOVIE=$(curl -sS "$BMS_URL/movies" | jq -er '.movies[0].movieId')
SHOW=$(curl -sS "$BMS_URL/movies/$MOVIE/shows" | jq -er '[.shows[] | select(.status == "ON_SALE")][0].showId')
SEAT=$(curl -sS "$BMS_URL/api/v1/shows/$SHOW/seatmap" | jq -er '(.unavailableSeatIds + .heldSeatIds) as $taken
  | [.layout.sections[].rows[].seats[].seatId | select(IN($taken[]) | not)][0]')
HOLD=$(post /api/v1/holds "{{\"showId\": \"$SHOW\", \"seatIds\": [\"$SEAT\"]}}" | jq -er .holdId)
ORDER=$(post /api/v1/orders "{{\"holdId\": \"$HOLD\", \"customer\": {{\"name\": \"Alice\", \"email\": \"alice@example.org\"}}}}" | jq -er .orderId)
post "/api/v1/orders/$ORDER/confirm" '{{"paymentReference": "pay_ok_1"}}' | jq -er .ticketCode

{notices}Ctrl-C ends everything, and nothing is kept.
"#,
        postgres = stores.database(),
        redis = stores.redis(),
    )
}
