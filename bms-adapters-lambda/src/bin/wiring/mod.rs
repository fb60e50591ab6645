//! What the functions' programs share: they run on Postgres and Redis, as their environment says.

mod keys;
mod notifiers;
mod settings;
mod sinks;
mod stores;

use std::process::ExitCode;

use bms_adapters_http::HttpConfig;
use bms_adapters_lambda::aws_lambda_events::sqs::SqsEvent;
use bms_adapters_lambda::lambda_runtime::{self, LambdaEvent, service_fn};
use bms_adapters_lambda::{Function, Handler, Notify, ScheduledEvent, Upkeep};
use tracing_subscriber::EnvFilter;

use settings::{ApiSettings, NotifySettings, RelaySettings, Settings};

/// What ends a function, or keeps it from working.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something about its environment.
    #[error("{0}")]
    Refused(String),
    /// A file that it was told to read.
    #[error("{name}: {source}")]
    File { name: &'static str, source: std::io::Error },
    #[error("{0}{why}", why = because(.0))]
    Redis(#[from] bms_redis::Error),
    #[error("{0}{why}", why = because(.0))]
    Postgres(#[from] bms_postgres::Error),
    #[error("the key set could not be fetched: {0}")]
    Keys(reqwest::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Runtime(#[from] lambda_runtime::Error),
}

impl Failure {
    /// Whether it may work later: a server is down, or not migrated yet.
    fn may_pass(&self) -> bool {
        match self {
            Self::Redis(error) => !matches!(error, bms_redis::Error::Config { .. }),
            Self::Postgres(error) => !matches!(error, bms_postgres::Error::Config { .. }),
            Self::Keys(error) => !error.is_builder(),
            _ => false,
        }
    }
}

/// What stands behind an error, after a colon each.
fn because(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source()).map(|source| format!(": {source}")).collect()
}

/// Serves a part of the API.
pub(crate) fn serve(function: Function) -> ExitCode {
    run(ApiSettings::read, async |settings| {
        let make = async || match make(function, &settings).await {
            Ok(handler) => Ok(Some(handler)),
            Err(failure) if failure.may_pass() => {
                tracing::error!("this function cannot work yet: {failure}");
                Ok(None)
            }
            Err(failure) => Err(failure),
        };
        Ok(bms_adapters_lambda::serve(make).await?)
    })
}

/// The function that the settings describe. What makes no sense in them is found before a server is waited for.
async fn make(function: Function, settings: &ApiSettings) -> Result<Handler, Failure> {
    let config = async {
        let config = HttpConfig::new(keys::authenticator(&settings.keys).await?);
        match &settings.payment_webhook_secret {
            Some(secret) => config
                .payment_webhook_secret(secret.clone())
                .map_err(|error| Failure::Refused(format!("BMS_PAYMENT_WEBHOOK_SECRET: {error}"))),
            None => Ok(config),
        }
    };
    // Both wait for the network, and not for each other.
    let (config, service) = tokio::try_join!(config, stores::service(&settings.service))?;
    Ok(Handler::new(function, service, config))
}

/// Tidies up when it is told to.
pub(crate) fn sweep() -> ExitCode {
    run(Settings::read, async |settings| {
        let upkeep = Upkeep::new(stores::service(&settings).await?);
        Ok(lambda_runtime::run(service_fn(async |event: LambdaEvent<ScheduledEvent>| upkeep.sweep(&event.context).await)).await?)
    })
}

/// Publishes events when it is told to.
pub(crate) fn relay() -> ExitCode {
    run(RelaySettings::read, async |settings| {
        let sink = sinks::Sinks::of(&settings.events).await?;
        let upkeep = Upkeep::new(stores::service(&settings.service).await?);
        Ok(lambda_runtime::run(service_fn(async |event: LambdaEvent<ScheduledEvent>| upkeep.relay(&sink, &event.context).await))
            .await?)
    })
}

/// Tells of confirmed orders when a queue has some.
pub(crate) fn notify() -> ExitCode {
    run(NotifySettings::read, async |settings| {
        let notify = Notify::new(notifiers::of(&settings).await?);
        Ok(lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| notify.handle(event).await)).await?)
    })
}

/// Reads the settings and runs until the end of the instance, on one thread: an instance has little more than one processor.
fn run<S>(
    read: impl FnOnce(fn(&str) -> Option<String>) -> Result<S, Failure>,
    program: impl AsyncFnOnce(S) -> Result<(), Failure>,
) -> ExitCode {
    log_to_stderr();
    let done = read(|name| std::env::var(name).ok()).and_then(|settings| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(program(settings))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// One JSON object a line, which is what CloudWatch can search; `BMS_LOG_FORMAT=text` is for people.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).log_internal_errors(false);
    let log = log.with_writer(std::io::stderr);
    match std::env::var("BMS_LOG_FORMAT").as_deref() {
        Ok("text") => log.init(),
        _ => log.json().init(),
    }
}
