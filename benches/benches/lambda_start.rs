//! How fast an instance of each function starts, from the start of its program to the first byte of its first answer, with what
//! that is made of, and what memory it takes while fifty answer at once. Both stores are up, and hold the contract's catalogue.
//!
//! ```console
//! $ cargo build --locked --profile lambda -p bms-adapters-lambda --features functions
//! $ cargo bench -p bms-benches --bench lambda_start
//! ```
//!
//! The programs are those in the folder that it is given, or in `target/lambda`. Starts servers of its own, and needs Linux to see
//! the memory. Ends with an error if a program, or its memory, is larger than wanted; times depend on the machine. Without
//! `--bench`, as a test runs it, the programs beside it, which are not made small, are each started once.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark, not a library")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bms_adapters_http::auth::mint_hs256;
use bms_adapters_http::testing::catalogue;
use bms_adapters_lambda::testing::Emulator;
use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{Caller, UserId};
use bms_domain::memory::SandboxGateway;
use bms_domain::service::Ports;
use bms_domain::testing::servers::Process;
use bms_domain::time::{Clock as _, SystemClock};
use bms_postgres::{Postgres, PostgresCatalogue, PostgresConfig, PostgresHolds, PostgresIdempotency, PostgresOrders};
use bms_redis::{Redis, RedisConfig};
use futures::future::join_all;
use secrecy::SecretString;
use serde_json::{Value, json};

const SECRET: &str = "a secret of at least thirty-two bytes";
const TIME: Duration = Duration::from_secs(15);

/// How much is done.
struct Extent {
    /// How often each function is started, one instance after the other.
    starts: usize,
    /// How many instances answer at once: each takes one event at a time, so that fifty requests at once are fifty instances.
    at_once: usize,
    /// How many requests each of them has while the memory is looked at.
    requests: usize,
}

const MEASURED: Extent = Extent { starts: 21, at_once: 50, requests: 20 };
const TRIED: Extent = Extent { starts: 1, at_once: 2, requests: 1 };

/// Bytes that a program may have.
const LARGEST: u64 = 15_000_000;
/// Bytes that an instance may take.
const MOST_MEMORY: u64 = 64_000_000;

/// A function, and what it is asked: method, path and body; nothing if it is only started.
const FUNCTIONS: [(&str, Option<[&str; 3]>); 5] = [
    ("movies", Some(["GET", "/movies", ""])),
    ("holds", Some(["POST", "/api/v1/holds", r#"{"showId":"tonight","seatIds":["A1"]}"#])),
    ("orders", Some(["GET", "/api/v1/orders", ""])),
    ("seats", Some(["GET", "/api/v1/shows/tonight/seatmap", ""])),
    ("notify", None),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let folder = arguments.iter().find(|argument| !argument.starts_with('-')).map_or_else(
        || if measured { Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lambda") } else { beside() },
        PathBuf::from,
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let within = runtime.block_on(measure(&folder, if measured { &MEASURED } else { &TRIED }));
    if within || !measured {
        ExitCode::SUCCESS
    } else {
        eprintln!("a function is larger, or takes more memory, than wanted");
        ExitCode::FAILURE
    }
}

/// Where cargo puts the programs of the profile that this is built in: this one is in `deps`, a folder deeper.
fn beside() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// Whether all sizes are as wanted.
async fn measure(folder: &Path, extent: &Extent) -> bool {
    let stores = Stores::start().await;
    let (starts, at_once) = (extent.starts, extent.at_once);
    println!("{starts} starts each, medians (and the slowest); memory while {at_once} instances answer at once\n");
    println!("| function | program | ready | first answer | together | later answers | memory, the most |");
    println!("|---|---|---|---|---|---|---|");
    let mut within = true;
    for (name, request) in FUNCTIONS {
        let program = folder.join(format!("bms-lambda-{name}"));
        let size = match fs::metadata(&program) {
            Ok(file) => file.len(),
            Err(error) => panic!(
                "{}: {error}; build the functions first: cargo build --locked -p bms-adapters-lambda --features functions",
                program.display()
            ),
        };
        let event = request.map(|[method, path, body]| event(method, path, body));
        let mut starts = Vec::new();
        for _ in 0..extent.starts {
            starts.push(start(&program, &stores, event.as_deref()).await);
        }
        let memory = memory(&program, &stores, event.as_deref(), extent).await;
        within &= size <= LARGEST && memory <= MOST_MEMORY;
        let [ready, first, together, later] =
            [|it: &Start| it.ready, |it: &Start| it.first, |it: &Start| it.ready + it.first, |it: &Start| it.later]
                .map(|part| told(starts.iter().map(part).collect()));
        let (size, memory) = (size as f64 / 1e6, memory as f64 / 1e6);
        println!("| {name} | {size:.1} MB | {ready} | {first} | {together} | {later} | {memory:.1} MB |");
    }
    println!("\n| part of “ready” | |\n|---|---|");
    let (mut database, mut redis) = (Vec::new(), Vec::new());
    for _ in 0..extent.starts {
        let began = Instant::now();
        let postgres = Postgres::connect(&PostgresConfig::new(&stores.database).unwrap()).await.unwrap();
        database.push(began.elapsed());
        postgres.close().await;
        let began = Instant::now();
        Redis::connect(RedisConfig::new(&stores.redis.url()).unwrap()).await.unwrap();
        redis.push(began.elapsed());
    }
    println!("| connecting with Postgres, and looking whether its tables can be relied on | {} |", told(database));
    println!("| connecting with Redis, and giving it the scripts | {} |", told(redis));
    within
}

/// How long the parts of a start took, and an answer afterwards.
struct Start {
    /// From the start of the program until it asks for its first event.
    ready: Duration,
    first: Duration,
    later: Duration,
}

async fn start(program: &Path, stores: &Stores, event: Option<&str>) -> Start {
    let emulator = Emulator::start().await.unwrap();
    let began = Instant::now();
    let _instance = stores.instance(program, &emulator);
    emulator.is_idle().await;
    let ready = began.elapsed();
    let (mut first, mut later) = (Duration::ZERO, Duration::ZERO);
    if let Some(event) = event {
        for answered in [&mut first, &mut later] {
            let began = Instant::now();
            ask(&emulator, event).await;
            *answered = began.elapsed();
        }
    }
    Start { ready, first, later }
}

/// The most memory that one of the instances had, in bytes.
async fn memory(program: &Path, stores: &Stores, event: Option<&str>, extent: &Extent) -> u64 {
    let emulator = Emulator::start().await.unwrap();
    let instances: Vec<_> = (0..extent.at_once).map(|_| stores.instance(program, &emulator)).collect();
    emulator.is_idle().await;
    if let Some(event) = event {
        join_all((0..extent.at_once * extent.requests).map(|_| ask(&emulator, event))).await;
    }
    instances.iter().map(|instance| most_memory(instance.id())).max().unwrap()
}

/// The most memory that a process ever had, in bytes.
fn most_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    kilobytes.trim().parse::<u64>().unwrap() * 1_024
}

async fn ask(emulator: &Emulator, event: &str) {
    let answer = emulator.invoke_within(event, TIME).await.unwrap();
    assert!(answer["statusCode"].as_u64().is_some_and(|status| status < 500), "{answer}");
}

/// A request as an HTTP API tells it, of a user with a token.
fn event(method: &str, path: &str, body: &str) -> String {
    let end = SystemClock.now().plus(Duration::from_hours(1));
    let token = mint_hs256(&SecretString::from(SECRET), &UserId::parse("alice").unwrap(), false, end).unwrap();
    let headers = json!({"authorization": format!("Bearer {token}"), "content-type": "application/json", "host": "localhost"});
    let body = if body.is_empty() { Value::Null } else { body.into() };
    json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers, "body": body,
        "isBase64Encoded": false, "requestContext": {"stage": "$default", "requestId": "JKJaXmPLvHcESHA=",
        "http": {"method": method, "path": path, "sourceIp": "198.51.100.7"}}})
    .to_string()
}

/// The median of these times, and the longest.
fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let [median, most] = [times[times.len() / 2], times[times.len() - 1]].map(|time| time.as_secs_f64() * 1_000.0);
    if most == 0.0 { "—".to_owned() } else { format!("{median:.1} ms ({most:.0})") }
}

/// Both servers, with a migrated database that has the catalogue of the contract.
struct Stores {
    redis: bms_redis::testing::Server,
    _postgres: bms_postgres::testing::Server,
    database: String,
}

impl Stores {
    async fn start() -> Self {
        let postgres = bms_postgres::testing::Server::builder().start().unwrap();
        let database = postgres.fresh_database().unwrap();
        let stores = Self { redis: bms_redis::testing::Server::start().unwrap(), _postgres: postgres, database };
        let config = PostgresConfig::new(&stores.database).unwrap();
        Postgres::migrate(&config).await.unwrap();
        let postgres = Postgres::connect(&config).await.unwrap();
        let orders = Arc::new(PostgresOrders::new(postgres.clone()));
        let ports = Ports {
            holds: Arc::new(PostgresHolds::new(postgres.clone())),
            orders: orders.clone(),
            outbox: orders,
            catalogue: Arc::new(PostgresCatalogue::new(postgres.clone())),
            idempotency: Arc::new(PostgresIdempotency::new(postgres.clone())),
            gateway: Arc::new(SandboxGateway),
        };
        let boss = Caller::admin(UserId::parse("the boss").unwrap());
        let document = CatalogueDocument::parse(catalogue().to_string()).unwrap();
        BookingService::builder(ports).build().unwrap().import(&boss, &document).await.unwrap();
        postgres.close().await;
        stores
    }

    /// An instance of a function; it is ended when it is dropped.
    fn instance(&self, program: &Path, emulator: &Emulator) -> Process {
        let settings = [
            ("DATABASE_URL", self.database.clone()),
            ("BMS_DATABASE_CONNECTIONS", "1".to_owned()),
            ("REDIS_URL", self.redis.url()),
            ("BMS_JWT_SECRET", SECRET.to_owned()),
            ("BMS_PAYMENTS", "sandbox".to_owned()),
            ("RUST_LOG", "error".to_owned()),
        ];
        Process::spawn(program, |command| {
            command.env_clear().envs(emulator.variables()).envs(settings);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            Ok(())
        })
        .unwrap()
    }
}
