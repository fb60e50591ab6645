//! The stores: private servers, started for a run and ended with it, or those that somebody names.

use std::collections::BTreeMap;

use bms_domain::testing::servers::Failure;
use bms_postgres::testing::Server as Postgres;
use bms_redis::testing::{Cluster, Server as Redis};
use clap::ValueEnum;
use serde::Serialize;

/// Where holds and orders are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StoreSet {
    /// In the memory of the process that sells.
    Embedded,
    /// In a private Postgres.
    Postgres,
    /// Holds in a private Redis, orders in a private Postgres.
    RedisPostgres,
    /// Holds in a private Redis Cluster of three primaries and their replicas, orders in a private Postgres.
    ClusterPostgres,
}

/// Stores that run.
#[derive(Default)]
pub(crate) struct Stores {
    redis_url: Option<String>,
    database_url: Option<String>,
    versions: BTreeMap<&'static str, String>,
    // Ended with this.
    _redis: Option<Redis>,
    _cluster: Option<Cluster>,
    _postgres: Option<Postgres>,
}

impl Stores {
    /// Starts private servers; blocks for some seconds. They write to disk as those in production do.
    pub(crate) fn start(set: StoreSet) -> Result<Self, Failure> {
        let mut stores = Self::default();
        match set {
            StoreSet::Embedded => return Ok(stores),
            StoreSet::Postgres => {}
            StoreSet::RedisPostgres => {
                let redis = Redis::builder().append_only().start()?;
                stores.redis_url = Some(redis.url());
                stores.versions.insert("redis", redis.info("redis_version")?);
                stores._redis = Some(redis);
            }
            StoreSet::ClusterPostgres => {
                let cluster = Cluster::start_with(Redis::builder().append_only())?;
                stores.redis_url = Some(cluster.url());
                if let Some(node) = cluster.nodes().first() {
                    stores.versions.insert("redis", node.info("redis_version")?);
                }
                stores._cluster = Some(cluster);
            }
        }
        let postgres = Postgres::builder().durable().setting("shared_buffers", "256MB").start()?;
        stores.database_url = Some(postgres.fresh_database()?);
        stores.versions.insert("postgres", postgres.psql("SHOW server_version")?.trim().to_owned());
        stores._postgres = Some(postgres);
        Ok(stores)
    }

    /// Stores that run already. Of what version they are nobody asks.
    pub(crate) fn named(redis_url: Option<String>, database_url: Option<String>) -> Self {
        Self { redis_url, database_url, ..Self::default() }
    }

    /// The URL of Redis, if there is one.
    pub(crate) fn redis(&self) -> Option<&str> {
        self.redis_url.as_deref()
    }

    /// The URL of the database, if there is one.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    /// The versions of the servers, by name.
    pub(crate) fn versions(&self) -> &BTreeMap<&'static str, String> {
        &self.versions
    }
}
