//! A private server, what it says of itself, and tasks that call it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bms_redis::testing::Server;
use hdrhistogram::Histogram;
use tokio::runtime::{Builder, Runtime};

/// How many calls are under way at the same time.
const TASKS: usize = 256;

/// How much is done: enough to measure, or just enough to see that all of it works.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// Two-seat holds in a round.
    pub(crate) holds: u64,
    /// Seats of the arena.
    pub(crate) seats: u32,
    pub(crate) many_shows: usize,
    pub(crate) maps: u64,
}

pub(crate) const MEASURED: Scale = Scale { rounds: 5, holds: 100_000, seats: 20_000, many_shows: 100_000, maps: 2_000 };
pub(crate) const TRIED: Scale = Scale { rounds: 1, holds: 400, seats: 200, many_shows: 300, maps: 10 };

/// A server and the runtime of the one process that uses it.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) runtime: Runtime,
    pub(crate) scale: Scale,
}

/// What the server has done so far.
#[derive(Clone, Copy, Default)]
struct Counters {
    client_us: f64,
    main_thread_us: f64,
    scripts: f64,
    script_us: f64,
    bytes_in: f64,
    bytes_out: f64,
}

/// What a load cost, per operation where it is not said otherwise.
#[derive(Clone)]
pub(crate) struct Cost {
    /// Operations a second.
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// CPU of this process and of the programs that it ran; 0 where the system does not tell.
    pub(crate) client_us: f64,
    pub(crate) main_thread_us: f64,
    pub(crate) scripts: f64,
    pub(crate) script_us: f64,
    pub(crate) bytes_in: f64,
    pub(crate) bytes_out: f64,
}

/// How long the operations of a load took: all of them, and each.
pub(crate) struct Run {
    pub(crate) operations: u64,
    pub(crate) rate: f64,
    pub(crate) each: Histogram<u64>,
}

impl Bench {
    pub(crate) fn start(scale: Scale) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { server: Server::start().unwrap(), runtime, scale }
    }

    /// Forgets everything but the scripts.
    pub(crate) fn flush(&self) {
        self.server.command::<()>(&["FLUSHALL", "SYNC"]).unwrap();
    }

    fn counters(&self) -> Counters {
        let info: String = self.server.command(&["INFO", "everything"]).unwrap();
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("0");
        let number = |name: &str| field(name).parse::<f64>().unwrap();
        let scripts = field("cmdstat_evalsha");
        let of_scripts = |name: &str| {
            let value = scripts.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.map_or(0.0, |value| value.parse().unwrap())
        };
        Counters {
            client_us: client_us(),
            main_thread_us: 1e6 * (number("used_cpu_user_main_thread") + number("used_cpu_sys_main_thread")),
            scripts: of_scripts("calls"),
            script_us: of_scripts("usec"),
            bytes_in: number("total_net_input_bytes"),
            bytes_out: number("total_net_output_bytes"),
        }
    }

    /// What a load costs this server.
    pub(crate) fn cost(&self, load: impl FnOnce() -> Run) -> Cost {
        let before = self.counters();
        // The answer to the question itself is counted with the next one.
        let between = self.counters();
        let run = load();
        let after = self.counters();
        let each = |of: fn(&Counters) -> f64| {
            let asking = of(&between) - of(&before);
            (of(&after) - of(&between) - asking).max(0.0) / run.operations as f64
        };
        Cost {
            rate: run.rate,
            p50: Duration::from_micros(run.each.value_at_quantile(0.5)),
            p99: Duration::from_micros(run.each.value_at_quantile(0.99)),
            client_us: each(|counters| counters.client_us),
            main_thread_us: each(|counters| counters.main_thread_us),
            scripts: each(|counters| counters.scripts),
            script_us: each(|counters| counters.script_us),
            bytes_in: each(|counters| counters.bytes_in),
            bytes_out: each(|counters| counters.bytes_out),
        }
    }

    /// Does `operations`, each once, 256 at a time, and times them.
    pub(crate) fn run<F>(&self, operations: u64, operation: impl Fn(u64) -> F + Send + Sync + 'static) -> Run
    where
        F: Future<Output = ()> + Send,
    {
        self.run_with(TASKS, operations, operation)
    }

    /// As [`Bench::run`], so many at a time.
    pub(crate) fn run_with<F>(&self, tasks: usize, operations: u64, operation: impl Fn(u64) -> F + Send + Sync + 'static) -> Run
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
            Run { operations, rate: operations as f64 / start.elapsed().as_secs_f64(), each }
        })
    }

    /// Bytes that the server's data take, without what its connections buffer, once that has come to rest.
    pub(crate) fn memory(&self) -> f64 {
        let now = || {
            let of = |field| self.server.info(field).unwrap().parse::<f64>().unwrap();
            of("used_memory") - of("mem_clients_normal")
        };
        let mut last = now();
        // The server moves entries to a larger table in the background.
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(100));
            let next = now();
            if (next - last).abs() < 4096.0 {
                return next;
            }
            last = next;
        }
        last
    }
}

/// CPU time of this process and of those that it waited for. Linux counts it in hundredths of a second.
fn client_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name comes before, in brackets, and may hold anything; user and system time are the 12th to 15th field after it.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok());
    10_000.0 * ticks.sum::<f64>()
}

/// The middle of some numbers.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The middle of each part of some costs.
pub(crate) fn medians(costs: &[Cost]) -> Cost {
    let of = |part: fn(&Cost) -> f64| median(costs.iter().map(part));
    Cost {
        rate: of(|cost| cost.rate),
        p50: Duration::from_secs_f64(of(|cost| cost.p50.as_secs_f64())),
        p99: Duration::from_secs_f64(of(|cost| cost.p99.as_secs_f64())),
        client_us: of(|cost| cost.client_us),
        main_thread_us: of(|cost| cost.main_thread_us),
        scripts: of(|cost| cost.scripts),
        script_us: of(|cost| cost.script_us),
        bytes_in: of(|cost| cost.bytes_in),
        bytes_out: of(|cost| cost.bytes_out),
    }
}

/// A line of a table.
pub(crate) fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// The head of a table.
pub(crate) fn head(cells: &[&str]) {
    println!("\n| {} |\n|---{}", cells.join(" | "), "|---:".repeat(cells.len() - 1) + "|");
}
