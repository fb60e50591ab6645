//! Chooses the stores: embedded ones; Postgres for what must last; Redis for holds and idempotency keys.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_adapters_http::TokioTimer;
use bms_domain::BookingService;
use bms_domain::memory::SandboxGateway;
use bms_domain::money::Money;
use bms_domain::order::Order;
use bms_domain::payment::{GatewayError, PaymentGateway, PaymentReference, PaymentStatus};
use bms_domain::service::{Policy, Ports};
use bms_domain::time::SystemClock;
use bms_postgres::{Postgres, PostgresCatalogue, PostgresConfig, PostgresHolds, PostgresIdempotency, PostgresOrders};
use bms_redis::{Redis, RedisConfig, RedisHolds, RedisIdempotency};
use secrecy::{ExposeSecret, SecretString};

use crate::Failure;
use crate::cli::{DatabaseOptions, Provider, StoreOptions};

/// How long a call of a store may take.
const STORE_DEADLINE: Duration = Duration::from_secs(2);

/// A service on the stores that the options name.
pub(crate) async fn service(options: &StoreOptions, policy: Policy) -> Result<BookingService, Failure> {
    with_gateway(options, policy, Arc::new(SandboxGateway)).await
}

async fn with_gateway(
    options: &StoreOptions,
    policy: Policy,
    gateway: Arc<dyn PaymentGateway>,
) -> Result<BookingService, Failure> {
    let builder = BookingService::builder(connect(options, gateway).await?).policy(policy);
    let built = builder.deadline(STORE_DEADLINE, Arc::new(TokioTimer)).build();
    built.map_err(|error| Failure::Refused(format!("the limits and times: {error}")))
}

/// The same, for a command that runs beside servers or without them: refused unless the orders outlive a process. Without a
/// provider it asks none about payments: the servers beside it may know another one than this program does.
pub(crate) async fn durable_service(
    options: &StoreOptions,
    policy: Policy,
    provider: Option<Provider>,
) -> Result<BookingService, Failure> {
    if given(&options.database_url).is_none() {
        let reason = "this command works on orders that outlive a process: name their database with --database-url (DATABASE_URL). \
                      Orders in memory are known to the server that made them alone, which sweeps and publishes by itself";
        return Err(Failure::Refused(reason.to_owned()));
    }
    let gateway: Arc<dyn PaymentGateway> = match provider {
        Some(Provider::Sandbox) => Arc::new(SandboxGateway),
        None => Arc::new(NoProvider),
    };
    with_gateway(options, policy, gateway).await
}

/// Leaves payments that are under way to the programs that know their provider.
struct NoProvider;

#[async_trait]
impl PaymentGateway for NoProvider {
    fn is_there(&self) -> bool {
        false
    }

    async fn verify(&self, _: &Order, _: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError> {
        Err(GatewayError::Unavailable { source: Some("this command was told of no payment provider".into()) })
    }
}

/// Connects to what the options name.
async fn connect(options: &StoreOptions, gateway: Arc<dyn PaymentGateway>) -> Result<Ports, Failure> {
    check_unused(options)?;
    let mut ports = Ports::in_memory(Arc::new(SystemClock), gateway);
    if let Some(url) = given(&options.database_url) {
        // The store knows what was sent, and what was not: it is the one to say so.
        let config = database_config(url, &options.database)?.strict(options.strict).deadline(STORE_DEADLINE * 8 / 10)?;
        let postgres = Postgres::connect(&config).await?;
        let orders = Arc::new(PostgresOrders::new(postgres.clone()));
        ports.orders = orders.clone();
        ports.outbox = orders;
        ports.catalogue = Arc::new(PostgresCatalogue::new(postgres.clone()));
        ports.idempotency = Arc::new(PostgresIdempotency::new(postgres.clone()));
        ports.holds = Arc::new(PostgresHolds::new(postgres));
    } else if given(&options.redis_url).is_some() {
        warn_of_volatile_orders(options)?;
    }
    if let Some(url) = given(&options.redis_url) {
        let config = redis_config(url, options)?;
        // With a database payments can be confirmed while Redis is away (P13), also by a server that was started meanwhile.
        let redis = match given(&options.database_url) {
            Some(_) => Redis::connect_or_wait(config).await?,
            None => Redis::connect(config).await?,
        };
        ports.holds = Arc::new(RedisHolds::new(redis.clone()));
        ports.idempotency = Arc::new(RedisIdempotency::new(redis));
    }
    Ok(ports)
}

/// Refuses to forget orders that the caller believes durable, unless he says so.
fn warn_of_volatile_orders(options: &StoreOptions) -> Result<(), Failure> {
    if !options.volatile_orders {
        let reason = "--redis-url (REDIS_URL) alone is refused: orders must be durable, so Redis needs a database beside it \
                      (--database-url); to try it with orders that are gone when the server ends, add --volatile-orders";
        return Err(Failure::Refused(reason.to_owned()));
    }
    tracing::warn!(
        "VOLATILE ORDERS: orders, payments and tickets are kept in the memory of this process alone; they are gone when \
         it ends, and another process that shares the holds knows nothing of them and may sell their seats again"
    );
    Ok(())
}

/// How the options say that the database is used.
pub(crate) fn database_config(url: &SecretString, options: &DatabaseOptions) -> Result<PostgresConfig, Failure> {
    let mut config = PostgresConfig::new(url.expose_secret())?.transaction_pooling(options.database_transaction_pooling);
    if let Some(schema) = text(&options.database_schema) {
        config = config.schema(schema)?;
    }
    if let Some(connections) = options.database_connections {
        config = config.connections(connections)?;
    }
    if let Some(replica) = given(&options.database_replica_url) {
        config = config.catalogue_replica(replica.expose_secret())?;
    }
    if let Some(path) = text(&options.database_ca) {
        // Read here only to say so if it cannot be.
        read_certificate(Path::new(path))?;
        config = config.ca_certificate(path);
    }
    Ok(config)
}

/// Refuses what is about a server that is not named: whoever set it believes that it is used.
fn check_unused(options: &StoreOptions) -> Result<(), Failure> {
    let of_redis = [
        ("--redis-prefix (BMS_REDIS_PREFIX)", text(&options.redis_prefix).is_some()),
        ("--redis-ca (BMS_REDIS_CA)", text(&options.redis_ca).is_some()),
        ("--redis-sentinel-user (BMS_REDIS_SENTINEL_USER)", text(&options.redis_sentinel_user).is_some()),
        ("--redis-sentinel-password (BMS_REDIS_SENTINEL_PASSWORD)", given(&options.redis_sentinel_password).is_some()),
        ("--volatile-orders (BMS_VOLATILE_ORDERS)", options.volatile_orders),
    ];
    let database = &options.database;
    let of_database = [
        ("--database-schema (BMS_DATABASE_SCHEMA)", text(&database.database_schema).is_some()),
        ("--database-ca (BMS_DATABASE_CA)", text(&database.database_ca).is_some()),
        ("--database-connections (BMS_DATABASE_CONNECTIONS)", database.database_connections.is_some()),
        ("--database-replica-url (BMS_DATABASE_REPLICA_URL)", given(&database.database_replica_url).is_some()),
        ("--database-transaction-pooling (BMS_DATABASE_TRANSACTION_POOLING)", database.database_transaction_pooling),
    ];
    let (redis, postgres) = (given(&options.redis_url).is_some(), given(&options.database_url).is_some());
    refuse_unused(&of_redis, redis, "--redis-url (REDIS_URL)")?;
    refuse_unused(&of_database, postgres, "--database-url (DATABASE_URL)")?;
    let strict = [("--strict (BMS_STRICT)", options.strict)];
    refuse_unused(&strict, redis || postgres, "--redis-url (REDIS_URL) or --database-url (DATABASE_URL)")?;
    let volatile = [("--volatile-orders (BMS_VOLATILE_ORDERS)", options.volatile_orders)];
    refuse_unused(&volatile, !postgres, "orders in memory: they are in the database that --database-url (DATABASE_URL) names")
}

fn refuse_unused(options: &[(&str, bool)], used: bool, needed: &str) -> Result<(), Failure> {
    let unused: Vec<&str> = options.iter().filter_map(|(name, is_set)| is_set.then_some(*name)).collect();
    if used || unused.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(format!("{}: this needs {needed}", unused.join(", "))))
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
