//! A Redis and a Postgres of their own for each test, emptied for each run.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::memory::{MemoryHolds, MemoryOrders};
use bms_domain::store::{HoldStore as _, StoreError};
use bms_domain::testing::calls::{Answers, Call};
use bms_domain::testing::{Backend, Fresh, ManualClock, Runtime};
use bms_postgres::sqlx::{AssertSqlSafe, Executor as _};
use bms_postgres::testing::{Proxy as PostgresProxy, Server as PostgresServer};
use bms_postgres::{Postgres, PostgresConfig, PostgresHolds, PostgresOrders, sqlx};
use bms_redis::testing::{Proxy as RedisProxy, Server as RedisServer, eventually};
use bms_redis::{Redis, RedisConfig, RedisHolds};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Handle};

/// A call may take as long as a machine lets it that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many runs: so many, times `BMS_EVIDENCE`, by which `scripts/verify.sh` asks for more.
pub(crate) fn runs(usual: u32) -> u32 {
    let times = env::var("BMS_EVIDENCE").map_or(1, |times| times.parse().expect("BMS_EVIDENCE is a number of times"));
    usual * times
}

/// Runs the suites' tasks on tokio.
pub(crate) struct Tokio(tokio::runtime::Runtime);

impl Tokio {
    pub(crate) fn new() -> Self {
        Self(Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
    }

    pub(crate) fn handle(&self) -> OnHandle {
        OnHandle(self.0.handle().clone())
    }
}

/// The same for a suite that keeps it.
pub(crate) struct OnHandle(Handle);

impl Runtime for OnHandle {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn block_on(&self, task: BoxFuture<'_, ()>) {
        self.0.block_on(task);
    }
}

pub(crate) fn embedded_holds() -> impl Backend<Store = MemoryHolds> {
    |clock| async move { Fresh::new(MemoryHolds::new(Arc::new(clock))) }
}

pub(crate) fn embedded_orders() -> impl Backend<Store = MemoryOrders> {
    |clock| async move { Fresh::new(MemoryOrders::new(Arc::new(clock))) }
}

/// A Redis.
pub(crate) struct OnRedis {
    server: RedisServer,
    connections: Vec<Redis>,
    proxy: Option<Arc<RedisProxy>>,
}

impl OnRedis {
    pub(crate) fn start(runtime: &Tokio) -> Self {
        let server = RedisServer::start().unwrap();
        let connections = vec![Self::connect(runtime, &server.url())];
        Self { server, connections, proxy: None }
    }

    /// So many connections, through a proxy that loses answers.
    pub(crate) fn start_lossy(runtime: &Tokio, connections: usize) -> Self {
        let server = RedisServer::start().unwrap();
        let proxy = RedisProxy::start(&server).unwrap();
        let connections = (0..connections).map(|_| Self::connect(runtime, proxy.url())).collect();
        Self { server, connections, proxy: Some(Arc::new(proxy)) }
    }

    fn connect(runtime: &Tokio, url: &str) -> Redis {
        let config = RedisConfig::new(url).unwrap().deadline(PATIENCE).unwrap();
        runtime.0.block_on(Redis::connect(config)).unwrap()
    }

    pub(crate) fn proxy(&self) -> Arc<RedisProxy> {
        self.proxy.clone().expect("it was started with a proxy")
    }

    /// A store that knows nothing: whatever the server knew is gone.
    pub(crate) fn holds(&self) -> impl Backend<Store = InTurn<RedisHolds>> {
        move |clock: ManualClock| async move {
            let clock = Arc::new(clock);
            let store = |redis: &Redis| RedisHolds::new(redis.clone()).with_clock(clock.clone());
            let stores: Vec<RedisHolds> = self.connections.iter().map(store).collect();
            for store in &stores {
                answering(|| store.ping()).await;
            }
            self.server.command::<()>(&["FLUSHALL"]).unwrap();
            Fresh::new(InTurn::new(stores))
        }
    }
}

/// Waits until a store answers: it may have no connection yet after the last history, nor an answer that is still to be lost.
async fn answering<Ping: Future<Output = Result<(), StoreError>>>(mut ping: impl FnMut() -> Ping) {
    eventually("a store that answers", || ping().map(|answer| answer.is_ok())).await.unwrap();
}

/// Several processes that share a store: each call is made by another. One that has lost its connection says so at once, until
/// it has another; the others go on.
pub(crate) struct InTurn<S> {
    stores: Vec<S>,
    calls: AtomicUsize,
}

impl<S> InTurn<S> {
    fn new(stores: Vec<S>) -> Self {
        Self { stores, calls: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl<C: Call, S: Answers<C>> Answers<C> for InTurn<S> {
    async fn answer(&self, call: &C) -> Result<C::Answer, StoreError> {
        let turn = self.calls.fetch_add(1, Ordering::Relaxed) % self.stores.len();
        self.stores[turn].answer(call).await
    }
}

/// What traces and histories leave behind, children first.
const TABLES: [&str; 13] = [
    "outbox",
    "order_changes",
    "tickets",
    "seat_claims",
    "payment_notices",
    "payments",
    "orders",
    "show_plans",
    "hold_changes",
    "hold_sales",
    "holds",
    "hold_seats",
    "hold_shows",
];

/// A Postgres.
pub(crate) struct OnPostgres {
    postgres: Postgres,
    config: PostgresConfig,
    proxy: Option<Arc<PostgresProxy>>,
    /// For what no store does.
    direct: sqlx::PgPool,
    _server: PostgresServer,
}

impl OnPostgres {
    pub(crate) fn start(runtime: &Tokio) -> Self {
        Self::start_behind(runtime, |_| None)
    }

    /// The same, through a proxy that loses answers.
    pub(crate) fn start_lossy(runtime: &Tokio) -> Self {
        Self::start_behind(runtime, |server| Some(PostgresProxy::start(server).unwrap()))
    }

    fn start_behind(runtime: &Tokio, proxy: impl FnOnce(&PostgresServer) -> Option<PostgresProxy>) -> Self {
        let server = PostgresServer::start().unwrap();
        let direct = server.fresh_database().unwrap();
        let proxy = proxy(&server).map(Arc::new);
        let url = proxy.as_ref().map_or_else(|| direct.clone(), |proxy| proxy.instead_of(&direct));
        let told = |url: &str| PostgresConfig::new(url).unwrap().deadline(PATIENCE).unwrap();
        let config = told(&url);
        let (postgres, direct) = runtime.0.block_on(async {
            Postgres::migrate(&told(&direct)).await.unwrap();
            let direct = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&direct).await.unwrap();
            (Postgres::connect(&config).await.unwrap(), direct)
        });
        Self { postgres, config, proxy, direct, _server: server }
    }

    pub(crate) fn proxy(&self) -> Arc<PostgresProxy> {
        self.proxy.clone().expect("it was started with a proxy")
    }

    /// The same tables, emptied, by a clock.
    async fn emptied(&self, clock: ManualClock) -> Postgres {
        if let Some(proxy) = &self.proxy {
            // What was cut off may be carried out still, and is none of the next history's.
            proxy.drop_no_more();
            let end = "select pg_terminate_backend(pid, 30000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
            self.direct.execute(end).await.unwrap();
        }
        // Some of what is kept is guarded against being deleted, for good reasons.
        let guards_off = "set session_replication_role = replica;";
        let empty: String = TABLES.iter().map(|table| format!("delete from bms.{table};")).collect();
        self.direct.execute(AssertSqlSafe(format!("{guards_off}{empty}"))).await.unwrap();
        let postgres = match self.proxy {
            Some(_) => Postgres::connect(&self.config).await.unwrap(),
            None => self.postgres.clone(),
        };
        postgres.with_clock(Arc::new(clock))
    }

    pub(crate) fn holds(&self) -> impl Backend<Store = PostgresHolds> {
        move |clock| async move { Fresh::new(PostgresHolds::new(self.emptied(clock).await)) }
    }

    pub(crate) fn orders(&self) -> impl Backend<Store = PostgresOrders> {
        move |clock| async move { Fresh::new(PostgresOrders::new(self.emptied(clock).await)) }
    }
}
