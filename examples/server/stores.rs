//! Chooses the stores: embedded ones, and Redis for holds and idempotency keys.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bms_adapters_http::TokioTimer;
use bms_domain::BookingService;
use bms_domain::memory::SandboxGateway;
use bms_domain::service::{Policy, Ports};
use bms_domain::time::SystemClock;
use bms_redis::{Redis, RedisConfig, RedisHolds, RedisIdempotency};
use secrecy::{ExposeSecret, SecretString};

use crate::Failure;
use crate::cli::StoreOptions;

/// How long a call of a store may take.
const STORE_DEADLINE: Duration = Duration::from_secs(2);

/// A service on the stores that the options name.
pub(crate) async fn service(options: &StoreOptions, policy: Policy) -> Result<BookingService, Failure> {
    let builder = BookingService::builder(connect(options).await?).policy(policy);
    let built = builder.deadline(STORE_DEADLINE, Arc::new(TokioTimer)).build();
    built.map_err(|error| Failure::Refused(format!("the limits and times: {error}")))
}

/// The same, for a command that runs beside servers or without them: refused unless the orders outlive a process.
pub(crate) async fn durable_service(options: &StoreOptions, policy: Policy) -> Result<BookingService, Failure> {
    if given(&options.database_url).is_none() {
        let reason = "this command works on orders that outlive a process: name their database with --database-url (DATABASE_URL). \
                      Orders in memory are known to the server that made them alone, which sweeps and publishes by itself";
        return Err(Failure::Refused(reason.to_owned()));
    }
    service(options, policy).await
}

/// Connects to what the options name.
async fn connect(options: &StoreOptions) -> Result<Ports, Failure> {
    check(options)?;
    let mut ports = Ports::in_memory(Arc::new(SystemClock), Arc::new(SandboxGateway));
    if let Some(url) = given(&options.redis_url) {
        let redis = Redis::connect(redis_config(url, options)?).await?;
        ports.holds = Arc::new(RedisHolds::new(redis.clone()));
        ports.idempotency = Arc::new(RedisIdempotency::new(redis));
        tracing::warn!(
            "VOLATILE ORDERS: orders, payments and tickets are kept in the memory of this process alone; they are gone when \
             it ends, and another process that shares the holds knows nothing of them and may sell their seats again"
        );
    }
    Ok(ports)
}

/// Refuses what this version cannot do, rather than to forget orders that the caller believes durable.
fn check(options: &StoreOptions) -> Result<(), Failure> {
    let reason = match (given(&options.redis_url), given(&options.database_url)) {
        (None, None) => return check_unused(options),
        (Some(_), None) if options.volatile_orders => return Ok(()),
        (Some(_), None) => {
            "--redis-url (REDIS_URL) alone is refused: orders must be durable, so Redis needs a database beside it; to try it \
             with orders that are gone when the server ends, add --volatile-orders"
        }
        (_, Some(_)) => {
            "--database-url (DATABASE_URL) is refused: this version keeps orders in memory only, and forgets them when the \
             server ends; start it without a database to try it"
        }
    };
    Err(Failure::Refused(reason.to_owned()))
}

/// Refuses what is about Redis where there is none: whoever set it believes that his holds are there.
fn check_unused(options: &StoreOptions) -> Result<(), Failure> {
    let set = [
        ("--redis-prefix (BMS_REDIS_PREFIX)", text(&options.redis_prefix).is_some()),
        ("--redis-ca (BMS_REDIS_CA)", text(&options.redis_ca).is_some()),
        ("--redis-sentinel-user (BMS_REDIS_SENTINEL_USER)", text(&options.redis_sentinel_user).is_some()),
        ("--redis-sentinel-password (BMS_REDIS_SENTINEL_PASSWORD)", given(&options.redis_sentinel_password).is_some()),
        ("--volatile-orders (BMS_VOLATILE_ORDERS)", options.volatile_orders),
        ("--strict (BMS_STRICT)", options.strict),
    ];
    let unused: Vec<&str> = set.into_iter().filter_map(|(name, is_set)| is_set.then_some(name)).collect();
    if unused.is_empty() {
        return Ok(());
    }
    let unused = unused.join(", ");
    Err(Failure::Refused(format!(
        "{unused}: this needs --redis-url (REDIS_URL); without it all is in the memory of this process"
    )))
}

fn redis_config(url: &SecretString, options: &StoreOptions) -> Result<RedisConfig, Failure> {
    let mut config = RedisConfig::new(url.expose_secret())?.strict(options.strict);
    if let Some(prefix) = text(&options.redis_prefix) {
        config = config.prefix(prefix)?;
    }
    match (text(&options.redis_sentinel_user), given(&options.redis_sentinel_password)) {
        (user, Some(password)) => config = config.sentinel_login(user, password.expose_secret())?,
        (Some(_), None) => {
            let reason = "--redis-sentinel-user (BMS_REDIS_SENTINEL_USER) needs --redis-sentinel-password as well";
            return Err(Failure::Refused(reason.to_owned()));
        }
        (None, None) => {}
    }
    match text(&options.redis_ca) {
        Some(path) => Ok(config.ca_certificate(read_certificate(Path::new(path))?)),
        None => Ok(config),
    }
}

/// An option that is there and not empty, as [`given`].
fn text(option: &Option<String>) -> Option<&str> {
    option.as_deref().filter(|text| !text.is_empty())
}

fn read_certificate(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = std::fs::read(path);
    read.map_err(|source| Failure::File { what: "the certificate", path: path.display().to_string(), source })
}

/// An option that is there and not empty: environment files often set what they do not use to nothing.
pub(crate) fn given(option: &Option<SecretString>) -> Option<&SecretString> {
    option.as_ref().filter(|secret| !secret.expose_secret().is_empty())
}
