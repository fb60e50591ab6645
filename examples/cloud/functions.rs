//! The functions: their programs under the emulator, behind an address each, or woken as a schedule and a queue would.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use bms_adapters_lambda::Function;
use bms_adapters_lambda::testing::Emulator;
use bms_domain::testing::servers::Process;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::queue::{self, Queue};
use crate::stores::Stores;
use crate::{Failure, program};

/// How many instances of each function there are: each serves one request at a time, and a live map takes a second.
const INSTANCES: usize = 2;
/// How long an invocation may take.
const TIME: Duration = Duration::from_secs(15);
/// How often the scheduled functions are woken.
const SCHEDULE: Duration = Duration::from_secs(2);

/// What the functions are told.
pub(crate) struct Settings<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) secret: &'a SecretString,
    /// What payment notices are signed with.
    pub(crate) notices: Option<&'a SecretString>,
    pub(crate) queue: Option<&'a Queue>,
}

impl Settings<'_> {
    /// What every function is told.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("DATABASE_URL", self.stores.database().to_owned()),
            ("REDIS_URL", self.stores.redis()),
            ("BMS_JWT_SECRET", self.secret.expose_secret().to_owned()),
            ("BMS_PAYMENTS", "sandbox".to_owned()),
            ("BMS_LOG_FORMAT", "text".to_owned()),
            ("RUST_LOG", log_filter()),
        ];
        let notices = self.notices.map(|secret| ("BMS_PAYMENT_WEBHOOK_SECRET", secret.expose_secret().to_owned()));
        variables.extend(notices);
        variables.extend(self.queue.into_iter().flat_map(Queue::variables));
        variables
    }
}

/// Which lines of the log are written; those that tell of trouble unless the caller wants others.
pub(crate) fn log_filter() -> String {
    std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned())
}

/// All functions; they are ended when this is dropped.
pub(crate) struct Functions {
    urls: Vec<(Function, &'static str, String)>,
    instances: Vec<(&'static str, Process)>,
    /// What serves the addresses and wakes the others.
    tasks: JoinSet<()>,
}

impl Functions {
    pub(crate) async fn start(settings: &Settings<'_>) -> Result<Self, Failure> {
        let variables = settings.variables();
        let mut started = Self { urls: Vec::new(), instances: Vec::new(), tasks: JoinSet::new() };
        for (function, name) in [
            (Function::Movies, "bms-lambda-movies"),
            (Function::Holds, "bms-lambda-holds"),
            (Function::Orders, "bms-lambda-orders"),
            (Function::Seats, "bms-lambda-seats"),
        ] {
            let emulator = started.instances_of(name, INSTANCES, &variables).await?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            started.urls.push((function, name, format!("http://{}", listener.local_addr()?)));
            started.tasks.spawn(async move {
                let served = axum::serve(listener, emulator.url(TIME)).await;
                eprintln!("bms-cloud: the address of {name} has ended: {served:?}");
            });
        }
        for name in ["bms-lambda-sweeper", "bms-lambda-relay"] {
            let emulator = started.instances_of(name, 1, &variables).await?;
            started.tasks.spawn(async move { wake(name, &emulator).await });
        }
        if let Some(queue) = settings.queue.cloned() {
            let emulator = started.instances_of(queue::CONSUMER, 1, &variables).await?;
            started.tasks.spawn(async move { queue.feed(&emulator, TIME).await });
        }
        Ok(started)
    }

    async fn instances_of(
        &mut self,
        name: &'static str,
        count: usize,
        variables: &[(&'static str, String)],
    ) -> Result<Emulator, Failure> {
        let program = program(name)?;
        let emulator = Emulator::start().await?;
        for _ in 0..count {
            let process = Process::spawn(&program, |command| {
                command.env_clear().envs(emulator.variables()).envs(variables.iter().cloned());
                command.stdin(Stdio::null()).stdout(Stdio::null());
                Ok(())
            })?;
            self.instances.push((name, process));
        }
        Ok(emulator)
    }

    /// Where a function of the API is.
    pub(crate) fn url(&self, function: Function) -> String {
        self.urls.iter().find(|(known, ..)| *known == function).map(|(.., url)| url.clone()).unwrap_or_default()
    }

    /// The functions of the API, without what all their names begin with, and their addresses.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.urls.iter().map(|(_, name, url)| (name.trim_start_matches("bms-lambda-"), url.as_str()))
    }

    /// What has ended that should run, if anything has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.instances.iter_mut().find_map(|(name, process)| process.ended().map(|status| format!("{name} has ended: {status}")))
    }
}

/// Wakes a function now and then, as a schedule does.
async fn wake(name: &str, emulator: &Emulator) {
    let mut schedule = tokio::time::interval(SCHEDULE);
    schedule.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        schedule.tick().await;
        if let Err(error) = emulator.invoke_within("{}", TIME).await {
            eprintln!("bms-cloud: {name} failed: {error}");
        }
    }
}
