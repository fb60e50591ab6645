//! The stores: Postgres for what must last, Redis for holds and idempotency keys; Postgres for those, too, without Redis.

use std::sync::Arc;
use std::time::Duration;

use bms_adapters_http::TokioTimer;
use bms_domain::BookingService;
use bms_domain::memory::SandboxGateway;
use bms_domain::service::Ports;
use bms_postgres::{Postgres, PostgresCatalogue, PostgresConfig, PostgresHolds, PostgresIdempotency, PostgresOrders};
use bms_redis::{Redis, RedisConfig, RedisHolds, RedisIdempotency};
use secrecy::{ExposeSecret as _, SecretString};

use super::Failure;
use super::settings::{Settings, StoreSettings};

/// How long a call of a store may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// A service on the stores that the settings name. Connects to both at once; without Redis it begins all the same, for payments
/// are confirmed without it.
pub(crate) async fn service(Settings { stores, policy }: &Settings) -> Result<BookingService, Failure> {
    let database = database_config(stores)?;
    let redis = stores.redis_url.as_ref().map(|url| redis_config(url, stores)).transpose()?;
    let connect_to_redis = async {
        match redis {
            Some(config) => Ok(Some(Redis::connect_or_wait(config).await?)),
            None => Ok::<_, Failure>(None),
        }
    };
    let connect_to_database = async { Ok::<_, Failure>(Postgres::connect(&database).await?) };
    let (postgres, redis) = tokio::try_join!(connect_to_database, connect_to_redis)?;
    let builder = BookingService::builder(ports(postgres, redis)).policy(*policy).deadline(DEADLINE, Arc::new(TokioTimer));
    builder.build().map_err(|error| Failure::Refused(format!("the limits and times: {error}")))
}

fn ports(postgres: Postgres, redis: Option<Redis>) -> Ports {
    let orders = Arc::new(PostgresOrders::new(postgres.clone()));
    let catalogue = Arc::new(PostgresCatalogue::new(postgres.clone()));
    let gateway = Arc::new(SandboxGateway);
    match redis {
        Some(redis) => Ports {
            holds: Arc::new(RedisHolds::new(redis.clone())),
            idempotency: Arc::new(RedisIdempotency::new(redis)),
            outbox: orders.clone(),
            orders,
            catalogue,
            gateway,
        },
        None => Ports {
            holds: Arc::new(PostgresHolds::new(postgres.clone())),
            idempotency: Arc::new(PostgresIdempotency::new(postgres)),
            outbox: orders.clone(),
            orders,
            catalogue,
            gateway,
        },
    }
}

fn database_config(settings: &StoreSettings) -> Result<PostgresConfig, Failure> {
    let mut config = PostgresConfig::new(settings.database_url.expose_secret())?
        .transaction_pooling(settings.database_transaction_pooling)
        .connections(settings.database_connections)?
        // The store knows what was sent, and what was not: it is the one to say so.
        .deadline(DEADLINE * 8 / 10)?
        .strict(settings.strict);
    if let Some(schema) = &settings.database_schema {
        config = config.schema(schema)?;
    }
    if let Some(replica) = &settings.database_replica_url {
        config = config.catalogue_replica(replica.expose_secret())?;
    }
    if let Some(path) = &settings.database_ca {
        // Read here only to say so if it cannot be.
        read_certificate("BMS_DATABASE_CA", path)?;
        config = config.ca_certificate(path);
    }
    Ok(config)
}

fn redis_config(url: &SecretString, settings: &StoreSettings) -> Result<RedisConfig, Failure> {
    let mut config = RedisConfig::new(url.expose_secret())?.strict(settings.strict);
    if let Some(prefix) = &settings.redis_prefix {
        config = config.prefix(prefix)?;
    }
    if let Some(password) = &settings.redis_sentinel_password {
        config = config.sentinel_login(settings.redis_sentinel_user.as_deref(), password.expose_secret())?;
    }
    match &settings.redis_ca {
        Some(path) => Ok(config.ca_certificate(read_certificate("BMS_REDIS_CA", path)?)),
        None => Ok(config),
    }
}

fn read_certificate(name: &'static str, path: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::File { name, source })
}
