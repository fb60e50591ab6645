//! Two servers, a Postgres and a Redis, with proxies where they are to be kept apart.

use std::process::{Command, Output};
use std::time::Duration;

use bms_domain::id::{Shard, ShowId};
use bms_domain::testing::servers::{Failure, Network, until};
use bms_postgres::testing::{Proxy as PostgresProxy, Server as Postgres};
use bms_redis::testing::{Cluster, Proxy as RedisProxy, Replicated, Server as Redis};
use tempfile::TempDir;

use crate::booth::Booth;
use crate::plan::{BOOTHS, Kind};
use crate::record::JWT_SECRET;
use crate::shows;

/// The secret of the payment provider.
pub(crate) const WEBHOOK_SECRET: &str = "the payment provider's own secret";

/// How long a hold lasts.
pub(crate) const HOLD_LASTS: Duration = Duration::from_secs(4);

/// So short that holds and orders end within a campaign, and payments come too late.
const TIMES: [(&str, Duration); 3] =
    [("--hold-ttl", HOLD_LASTS), ("--order-ttl", Duration::from_secs(3)), ("--sweep-every", Duration::from_secs(1))];

/// The superuser's password, derived in one step where 4,096 are usual. They take a millisecond each in a program that is not
/// optimised, as this server is: a dozen connections made anew at once would not be made in the time that each has.
const QUICK_PASSWORD: &str = "SCRAM-SHA-256$1:YSBzYWx0IG9mIHNpeHRlZQ==$umPHxSctedw7JWytgoEXemVl4XuBWRQHTAH6LGZufiI=:S/8poV+pyW+AI2BkmGQxVWEBrUSwQdt4J0nbMH3ygiA=";

/// How long processes may take for what takes them a second.
const LIMIT: Duration = Duration::from_secs(60);

/// All processes of a campaign.
pub(crate) struct Deployment {
    // Dropped first, lest they see the others go.
    pub(crate) booths: [Booth; BOOTHS],
    /// What stands between each server and Postgres.
    pub(crate) database_roads: [PostgresProxy; BOOTHS],
    pub(crate) postgres: Postgres,
    pub(crate) holds: Holds,
    /// The database's URL, without a proxy.
    pub(crate) database: String,
    _folder: TempDir,
}

/// Where the holds are.
#[expect(clippy::large_enum_variant, reason = "there is one in a campaign")]
pub(crate) enum Holds {
    Single { server: Redis, roads: [RedisProxy; BOOTHS] },
    Sentinel(Replicated),
    Cluster(Cluster),
}

impl Deployment {
    /// Starts everything; blocks for some seconds.
    pub(crate) fn start(kind: Kind) -> Result<Self, Failure> {
        let postgres = Postgres::start()?;
        postgres.psql(&format!("ALTER ROLE postgres PASSWORD '{QUICK_PASSWORD}'"))?;
        let database = postgres.fresh_database()?;
        let migrated = command(&database, &["migrate"]);
        if !migrated.status.success() {
            return Err(Failure::State(said(&migrated)));
        }
        let database_roads = both(|_| PostgresProxy::start(&postgres))?;
        let holds = Holds::start(kind)?;
        let folder = TempDir::new().map_err(|source| Failure::System { doing: "making a directory".to_owned(), source })?;
        let catalogue = folder.path().join("catalogue.json");
        std::fs::write(&catalogue, shows::catalogue().to_string())
            .map_err(|source| Failure::System { doing: "writing the catalogue".to_owned(), source })?;
        let booths = both(|number| {
            let (database, redis) = (database_roads[number].instead_of(&database), holds.url(number));
            let mut options: Vec<String> = [
                ["--database-url", &database],
                ["--redis-url", &redis],
                ["--jwt-secret", JWT_SECRET],
                ["--payment-webhook-secret", WEBHOOK_SECRET],
                ["--catalogue", &catalogue.to_string_lossy()],
            ]
            .as_flattened()
            .iter()
            .map(|option| (*option).to_owned())
            .collect();
            options.extend(TIMES.iter().flat_map(|(name, time)| [(*name).to_owned(), format!("{}s", time.as_secs())]));
            Booth::open(folder.path(), &format!("server-{number}.log"), options)
        })?;
        Ok(Self { booths, database_roads, postgres, holds, database, _folder: folder })
    }

    /// Runs a command of the server on the stores, without proxies.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        command(&self.database, arguments)
    }
}

impl Holds {
    fn start(kind: Kind) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::Single => {
                let server = Redis::builder().movable_clock().start()?;
                let roads = both(|_| RedisProxy::start(&server))?;
                Self::Single { server, roads }
            }
            Kind::Sentinel => Self::Sentinel(Replicated::start()?),
            Kind::Cluster => Self::Cluster(Cluster::start_behind_proxies(Redis::builder())?),
        })
    }

    /// What a server is told.
    pub(crate) fn url(&self, booth: usize) -> String {
        match self {
            Self::Single { roads, .. } => roads[booth].url().to_owned(),
            Self::Sentinel(group) => group.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// Every server with data.
    pub(crate) fn nodes(&self) -> Vec<&Redis> {
        match self {
            Self::Single { server, .. } => vec![server],
            Self::Sentinel(group) => group.nodes().iter().collect(),
            Self::Cluster(cluster) => cluster.nodes().iter().collect(),
        }
    }

    /// Those that take writes.
    pub(crate) fn primaries(&self) -> Result<Vec<&Redis>, Failure> {
        match self {
            Self::Single { server, .. } => Ok(vec![server]),
            Self::Sentinel(group) => Ok(vec![group.primary()?]),
            Self::Cluster(cluster) => cluster.primaries(),
        }
    }

    /// The one that has the holds of the large show.
    pub(crate) fn primary(&self) -> Result<&Redis, Failure> {
        match self {
            Self::Single { server, .. } => Ok(server),
            Self::Sentinel(group) => group.primary(),
            Self::Cluster(cluster) => cluster.owner_of(slot(cluster)?),
        }
    }

    /// Waits until another has taken over from it, which then says that it is a primary. Nothing to wait for with one server.
    pub(crate) fn wait_for_heir_of(&self, former: &Redis) -> Result<bool, Failure> {
        let heir = match self {
            Self::Single { .. } => return Ok(false),
            Self::Sentinel(group) => group.wait_for_primary_after(former)?,
            Self::Cluster(cluster) => cluster.wait_for_owner_after(slot(cluster)?, former)?,
        };
        until("a primary that says so", LIMIT, || match heir.info("role") {
            Ok(role) if role == "master" => Ok(true),
            other => Err(format!("{other:?}")),
        })
    }

    /// Lets a replica take over from the primary while both run.
    pub(crate) fn relieve(&self) -> Result<bool, Failure> {
        let former = self.primary()?.port();
        let heir = match self {
            Self::Single { .. } => return Ok(false),
            Self::Sentinel(group) => group.failover()?,
            Self::Cluster(cluster) => cluster.failover(slot(cluster)?)?,
        };
        Ok(heir.port() != former && heir.info("role")? == "master")
    }

    pub(crate) fn wait_until_whole(&self) -> Result<(), Failure> {
        match self {
            Self::Single { .. } => Ok(()),
            Self::Sentinel(group) => group.wait_until_whole(),
            Self::Cluster(cluster) => cluster.wait_until_whole(),
        }
    }

    /// What stands before Redis, as that server sees it; before the node with the large show, in a cluster.
    pub(crate) fn road(&self, booth: usize) -> Result<&Network, Failure> {
        let absent = || Failure::State("there is no proxy before Redis".to_owned());
        match self {
            Self::Single { roads, .. } => Ok(&roads[booth]),
            Self::Sentinel(_) => Err(absent()),
            Self::Cluster(cluster) => cluster.proxy_of(self.primary()?).map(|proxy| &**proxy).ok_or_else(absent),
        }
    }
}

fn slot(cluster: &Cluster) -> Result<u16, Failure> {
    let show = ShowId::parse(shows::LARGE).map_err(|error| Failure::State(error.to_string()))?;
    cluster.slot_of(&format!("{{{}}}", Shard::of(&show).number()))
}

/// Runs a command of the server on a database.
fn command(database: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bms-server"));
    command.args(arguments).env("DATABASE_URL", database).env_remove("REDIS_URL").env("RUST_LOG", "warn").output().unwrap()
}

/// All that a command printed.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn both<T>(mut make: impl FnMut(usize) -> Result<T, Failure>) -> Result<[T; BOOTHS], Failure> {
    Ok([make(0)?, make(1)?])
}
