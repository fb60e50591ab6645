//! `bms-load`: an open-loop load on the booking library, over HTTP or in the process, that checks the promises as it goes.
//!
//! ```console
//! $ cargo build --release -p bms-examples --bin bms-server
//! $ cargo run --release -p bms-benches --features load --bin bms-load -- flash --stores redis-postgres --svg flash.svg
//! ```

mod arrivals;
mod book;
mod cli;
mod crowd;
mod hall;
mod loopback;
mod machine;
mod office;
mod plot;
mod progress;
mod report;
mod run;
mod scenario;
mod stage;
mod tally;
mod through;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use bms_domain::time::{Clock as _, SystemClock, Timestamp};
use clap::Parser as _;
use secrecy::SecretString;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use book::Book;
use cli::{Cli, TargetOptions, Through};
use crowd::Crowd;
use hall::Hall;
use office::BoxOffice;
use progress::Progress;
use report::{Report, Target};
use run::Bounds;
use scenario::Scenario;
use stage::{Server, StoreSet, Stores};
use tally::Tally;
use through::{Http, Library};

/// Why there was no run, and what to do about it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Servers(#[from] bms_domain::testing::servers::Failure),
    #[error("{0}")]
    Service(#[from] bms_domain::Error),
    #[error("{0}")]
    Redis(#[from] bms_redis::Error),
    #[error("{0}")]
    Postgres(#[from] bms_postgres::Error),
    #[error("{0}")]
    Network(#[from] reqwest::Error),
    #[error("{0}")]
    Name(#[from] bms_domain::id::ParseIdError),
    #[error("{0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("the report cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the report cannot be drawn: {0}")]
    Drawing(String),
    #[error("{path} cannot be written: {source}")]
    File { path: String, source: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What the load is put on, and what has to stay until it is over.
struct Stage {
    office: Arc<dyn BoxOffice>,
    target: Target,
    versions: BTreeMap<&'static str, String>,
    // In the order in which they are to end.
    _server: Option<Server>,
    _stores: Stores,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let loaded = Builder::new_multi_thread().enable_all().build().map_err(Failure::from).and_then(|runtime| {
        // Ctrl-C ends the run, and what was started for it: dropped, servers end.
        runtime.block_on(async {
            tokio::select! {
                loaded = load(cli) => loaded,
                _ = tokio::signal::ctrl_c() => Err(Failure::Refused("interrupted".to_owned())),
            }
        })
    });
    match loaded {
        Ok(report) if report.broken.is_empty() => ExitCode::SUCCESS,
        Ok(report) => {
            eprintln!("bms-load: {} promises were broken:\n{}", report.broken.len(), report.broken.join("\n"));
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("bms-load: {failure}");
            ExitCode::from(2)
        }
    }
}

async fn load(cli: Cli) -> Result<Report, Failure> {
    cli.target.check().map_err(Failure::Refused)?;
    let scenario = cli.changes.of(cli.scenario).map_err(Failure::Refused)?;
    let started_at = SystemClock.now();
    let hall = Hall::of(&scenario, &name_of_run(started_at))?;
    let stage = set(&cli.target, &hall).await?;
    let crowd = crowd(scenario, hall, &stage, &cli)?;
    let progress = Arc::new(Progress::of(crowd.scenario.users, crowd.hall.seats()));
    let bounds = Bounds { arrivals: cli.bounds.duration, finish: cli.bounds.finish };
    let shown = Arc::clone(&progress);
    let ended = run::play(&crowd, bounds, move |sample| shown.show(sample)).await;
    progress.end();

    let report = Report::of(&crowd, ended, stage.target.clone(), stage.versions.clone(), started_at);
    println!("{}", report.summary());
    if let Some(path) = &cli.json {
        write(path, &serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &cli.svg {
        write(path, &plot::svg(&report).map_err(Failure::Drawing)?)?;
    }
    Ok(report)
}

fn crowd(scenario: Scenario, hall: Hall, stage: &Stage, cli: &Cli) -> Result<Arc<Crowd>, Failure> {
    let gate = Semaphore::new(stage.target.at_once);
    let (office, seed) = (Arc::clone(&stage.office), cli.changes.seed);
    Ok(Arc::new(Crowd { scenario, hall, office, book: Book::default(), tally: Tally::new()?, gate, seed }))
}

/// Starts what is to be loaded, or finds it, and puts the shows on sale.
async fn set(options: &TargetOptions, hall: &Hall) -> Result<Stage, Failure> {
    let catalogue = hall.document().map_err(Failure::Refused)?;
    let mut versions = BTreeMap::from([("bms-load", env!("CARGO_PKG_VERSION").to_owned())]);
    let at_once = options.at_once as usize;
    if let (Some(url), Some(secret)) = (&options.url, &options.jwt_secret) {
        let http = Http::new(url, secret.clone())?;
        http.load(&catalogue).await?;
        let target = Target { through: "http", stores: "those of the server".to_owned(), at_once };
        return Ok(Stage { office: Arc::new(http), target, versions, _server: None, _stores: Stores::default() });
    }
    let stores = stores(options).await?;
    versions.extend(stores.versions().clone());
    let (office, server, through): (Arc<dyn BoxOffice>, _, _) = match options.through {
        Through::Library => (Arc::new(Library::open(stores.redis(), stores.database(), &catalogue).await?), None, "library"),
        Through::Http => {
            let program = options.server.clone().map_or_else(Server::built, Ok)?;
            let secret = SecretString::from(format!("{}{}", Uuid::new_v4(), Uuid::new_v4()));
            let server = Server::start(&program, &stores, &secret).await?;
            let http = Http::new(server.url(), secret)?;
            http.load(&catalogue).await?;
            (Arc::new(http), Some(server), "http")
        }
    };
    let target = Target { through, stores: name_of(options), at_once };
    Ok(Stage { office, target, versions, _server: server, _stores: stores })
}

async fn stores(options: &TargetOptions) -> Result<Stores, Failure> {
    if options.database_url.is_some() {
        return Ok(Stores::named(options.redis_url.clone(), options.database_url.clone()));
    }
    let set = options.stores;
    let started = spawn_blocking(move || Stores::start(set)).await;
    Ok(started.map_err(|error| Failure::Refused(error.to_string()))??)
}

fn name_of(options: &TargetOptions) -> String {
    let name = match (&options.redis_url, &options.database_url, options.stores) {
        (Some(urls), Some(_), _) if urls.contains(',') => "cluster-postgres",
        (Some(_), Some(_), _) | (_, None, StoreSet::RedisPostgres) => "redis-postgres",
        (None, Some(_), _) | (_, None, StoreSet::Postgres) => "postgres",
        (_, None, StoreSet::ClusterPostgres) => "cluster-postgres",
        (_, None, StoreSet::Embedded) => "embedded",
    };
    name.to_owned()
}

/// Other than that of any run before, on stores that keep things.
fn name_of_run(started_at: Timestamp) -> String {
    format!("load-{:x}", started_at.as_millis())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|source| Failure::File { path: path.display().to_string(), source })
}
