//! Whole purchases through the service: hold, order, pay, each seen to its end, with holds in Redis and orders in Postgres, and with
//! Postgres alone.

use std::sync::Arc;

use bms_benches::{Venue, user, venue_on};
use bms_domain::id::HoldId;
use bms_domain::memory::SandboxGateway;
use bms_domain::order::Customer;
use bms_domain::payment::PaymentReference;
use bms_domain::service::{Payment, Ports};
use bms_domain::store::HoldStore;
use bms_postgres::{Postgres, PostgresCatalogue, PostgresHolds, PostgresIdempotency, PostgresOrders};
use bms_redis::testing::Server as RedisServer;
use bms_redis::{Redis, RedisConfig, RedisHolds};

use crate::bench::{Bench, Run, head, median, p99_ms, row};

/// How many buyers at once.
const BUYERS: [u32; 2] = [64, 256];
/// How many shows they buy of.
const SHOWS: usize = 100;

fn ports(postgres: &Postgres, holds: Arc<dyn HoldStore>) -> Ports {
    let orders = Arc::new(PostgresOrders::new(postgres.clone()));
    Ports {
        holds,
        orders: orders.clone(),
        outbox: orders,
        catalogue: Arc::new(PostgresCatalogue::new(postgres.clone())),
        idempotency: Arc::new(PostgresIdempotency::new(postgres.clone())),
        gateway: Arc::new(SandboxGateway),
    }
}

/// Buys two seats.
async fn buy(venue: &Venue, number: usize) {
    let show = venue.shows[number % SHOWS];
    let first = number / SHOWS * 2;
    let buyer = user(number).unwrap();
    let seats = [venue.seats[first], venue.seats[first + 1]];
    let service = &venue.service;
    let hold: HoldId = service.place_hold(&buyer, &show, &seats, service.new_seed()).await.unwrap().hold.id;
    let customer = Customer { name: "Ann Example".to_owned(), email: "ann@example.org".to_owned() };
    let order = service.create_order(&buyer, hold, customer).await.unwrap().order.id;
    let payment = PaymentReference::parse(&format!("pay_ok_{number}")).unwrap();
    assert!(matches!(service.confirm_order(&buyer, order, &payment).await.unwrap(), Payment::Confirmed(_)));
}

fn round(bench: &Bench, with_redis: bool, buyers: u32) -> Run {
    let (_, postgres) = bench.database();
    let redis = with_redis.then(|| RedisServer::start().unwrap());
    let count = bench.scale.purchases;
    let seats = u32::try_from(count / SHOWS as u64 * 2 + 2).unwrap();
    let venue = bench.runtime.block_on(async {
        let holds: Arc<dyn HoldStore> = match &redis {
            Some(server) => Arc::new(RedisHolds::new(Redis::connect(RedisConfig::new(&server.url()).unwrap()).await.unwrap())),
            None => Arc::new(PostgresHolds::new(postgres.clone())),
        };
        venue_on(ports(&postgres, holds), SHOWS, seats).await.unwrap()
    });
    let venue = Arc::new(venue);
    let run = bench.run(buyers, count, move |n| {
        let venue = venue.clone();
        async move { buy(&venue, usize::try_from(n).unwrap()).await }
    });
    let audit = bench.runtime.block_on(postgres.audit()).unwrap();
    assert!(audit.findings.is_empty() && audit.confirmed == count, "{audit:?}");
    run
}

pub(crate) fn print(bench: &Bench) {
    println!("\n{} purchases of two seats (hold, order, pay), {SHOWS} shows", bench.scale.purchases);
    head(&["holds in", "buyers at once", "purchases /s", "p50 ms", "p99 ms"]);
    for (what, with_redis) in [("Redis", true), ("Postgres", false)] {
        for buyers in BUYERS {
            let runs: Vec<Run> = (0..bench.scale.rounds.min(3)).map(|_| round(bench, with_redis, buyers)).collect();
            row(&[
                what.to_owned(),
                buyers.to_string(),
                format!("{:.0}", median(runs.iter().map(|run| run.rate))),
                format!("{:.1}", median(runs.iter().map(|run| run.each.value_at_quantile(0.5) as f64 / 1_000.0))),
                format!("{:.1}", median(runs.iter().map(p99_ms))),
            ]);
        }
    }
}
