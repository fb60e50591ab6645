//! Histories of eight clients of Redis and of Postgres, while a proxy loses answers and cuts connections.

use std::sync::Arc;

use bms_domain::testing::histories::{self, Config};
use bms_domain::testing::servers::Network;
use bms_domain::testing::{self, calls::Tally};

use crate::stage::{OnPostgres, OnRedis, Tokio, runs};

/// Seeds of their own for each test.
fn config(usual: u32, seed: u64) -> Config {
    Config { histories: runs(usual) as usize, seed, ..Config::default() }
}

/// The answer to whatever is called next is lost after it took effect; now and then all connections are.
fn disturb<N>(proxy: Arc<N>) -> impl Fn(u64) + Send + Sync + 'static
where
    N: std::ops::Deref<Target = Network> + Send + Sync + 'static,
{
    move |random| match random % 32 {
        0 => {
            proxy.cut();
        }
        _ => proxy.drop_reply_of(""),
    }
}

fn assert_tried(what: &str, tally: &Tally, expected: &[(&str, &[&str])]) {
    println!("{what}: {tally}");
    tally.assert_all(expected);
    assert!(tally.unknown * 2 >= tally.runs, "too few answers were lost: {tally}");
    assert!(tally.overlapping * 2 > tally.answered, "too few calls went on at the same time: {tally}");
    assert!(tally.answered > tally.unknown + tally.failed, "too few calls were answered: {tally}");
}

#[test]
fn holds_on_redis_are_linearizable() {
    let runtime = Tokio::new();
    let redis = OnRedis::start_lossy(&runtime, 8);
    let store = testing::on(runtime.handle(), redis.holds());
    let tally = histories::hold_store(&config(80, 10_000), store, disturb(redis.proxy()));
    assert_tried("holds on Redis", &tally, histories::HOLDS);
    assert!(tally.failed > 0, "no call failed: {tally}");
}

#[test]
fn holds_on_postgres_are_linearizable() {
    let runtime = Tokio::new();
    let postgres = OnPostgres::start_lossy(&runtime);
    let store = testing::on(runtime.handle(), postgres.holds());
    let tally = histories::hold_store(&config(60, 20_000), store, disturb(postgres.proxy()));
    assert_tried("holds on Postgres", &tally, histories::HOLDS);
}

#[test]
fn orders_on_postgres_are_linearizable() {
    let runtime = Tokio::new();
    let postgres = OnPostgres::start_lossy(&runtime);
    let store = testing::on(runtime.handle(), postgres.orders());
    let tally = histories::order_store(&config(80, 30_000), store, disturb(postgres.proxy()));
    assert_tried("orders on Postgres", &tally, histories::ORDERS);
}
