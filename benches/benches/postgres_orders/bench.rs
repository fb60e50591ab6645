//! A private server that writes to disk as one in production does, and tasks that call it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bms_postgres::testing::Server;
use bms_postgres::{Postgres, PostgresConfig};
use hdrhistogram::Histogram;
use tokio::runtime::{Builder, Runtime};

/// How much is done: enough to measure, or just enough to see that all of it works.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// Orders of a round.
    pub(crate) orders: u64,
    /// Seats of the arena.
    pub(crate) seats: u32,
    pub(crate) reads: u64,
    /// Purchases of a round.
    pub(crate) purchases: u64,
    /// How many orders there are before each measurement of growth.
    pub(crate) growth: &'static [u64],
}

pub(crate) const MEASURED: Scale = Scale {
    rounds: 5,
    orders: 8_000,
    seats: 20_000,
    reads: 200,
    purchases: 8_000,
    growth: &[10_000, 100_000, 1_000_000, 5_000_000],
};
pub(crate) const TRIED: Scale = Scale { rounds: 1, orders: 320, seats: 200, reads: 5, purchases: 100, growth: &[100, 1_000] };

/// How many connections, and callers.
pub(crate) const CONNECTIONS: u32 = 16;
/// How many callers are a crowd, whose orders go to the server together.
pub(crate) const CROWD: u32 = 256;

pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) runtime: Runtime,
    pub(crate) scale: Scale,
}

/// How long the operations of a load took: all of them, and each.
pub(crate) struct Run {
    pub(crate) rate: f64,
    pub(crate) each: Histogram<u64>,
}

impl Bench {
    pub(crate) fn start(scale: Scale) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = Server::builder()
            .durable()
            .setting("shared_buffers", "1GB")
            .setting("max_wal_size", "16GB")
            .setting("checkpoint_timeout", "30min")
            .setting("autovacuum", "off")
            .start()
            .unwrap();
        Self { server, runtime, scale }
    }

    /// A migrated database of its own, and its name.
    pub(crate) fn database(&self) -> (String, Postgres) {
        let url = self.server.fresh_database().unwrap();
        let name = url.rsplit('/').next().unwrap().to_owned();
        let config = PostgresConfig::new(&url).unwrap().connections(CONNECTIONS).unwrap();
        let connect = async {
            Postgres::migrate(&config).await.unwrap();
            Postgres::connect(&config.deadline(Duration::from_secs(30)).unwrap()).await.unwrap()
        };
        (name, self.runtime.block_on(connect))
    }

    /// Does `operations`, each once, so many at a time, and times them.
    pub(crate) fn run<F>(&self, tasks: u32, operations: u64, operation: impl Fn(u64) -> F + Send + Sync + 'static) -> Run
    where
        F: Future<Output = ()> + Send,
    {
        let (next, operation) = (Arc::new(AtomicU64::new(0)), Arc::new(operation));
        self.runtime.block_on(async {
            let start = Instant::now();
            let tasks = (0..tasks).map(|_| {
                let (next, operation) = (Arc::clone(&next), Arc::clone(&operation));
                tokio::spawn(async move {
                    let mut each = Histogram::<u64>::new(3).unwrap();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= operations {
                            return each;
                        }
                        let start = Instant::now();
                        operation(number).await;
                        each.record(u64::try_from(start.elapsed().as_micros()).unwrap()).unwrap();
                    }
                })
            });
            let tasks: Vec<_> = tasks.collect();
            let mut each = Histogram::<u64>::new(3).unwrap();
            for task in tasks {
                each.add(task.await.unwrap()).unwrap();
            }
            Run { rate: operations as f64 / start.elapsed().as_secs_f64(), each }
        })
    }
}

/// The middle of some numbers.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A line of a table.
pub(crate) fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// The head of a table.
pub(crate) fn head(cells: &[&str]) {
    println!("\n| {} |\n|---{}", cells.join(" | "), "|---:".repeat(cells.len() - 1) + "|");
}

/// The 99th of a hundred, in milliseconds.
pub(crate) fn p99_ms(run: &Run) -> f64 {
    run.each.value_at_quantile(0.99) as f64 / 1_000.0
}
