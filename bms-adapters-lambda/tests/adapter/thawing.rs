//! After a pause the stores are asked first.

use std::sync::Arc;
use std::time::Duration;

use bms_adapters_http::{HttpConfig, TokioTimer};
use bms_adapters_lambda::{Function, Handler};
use bms_domain::BookingService;
use bms_domain::memory::SandboxGateway;
use bms_domain::service::Ports;
use bms_domain::testing::{Fault, Faults, Faulty};
use bms_domain::time::SystemClock;
use tokio::time::Instant;

use crate::support::{ask, event, jwt};

/// P13: what does not need the store that is down does not wait for it.
#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_at_once_is_asked_twice_more_and_not_waited_for() {
    let faults = Faults::new();
    let mut ports = Ports::in_memory(Arc::new(SystemClock), Arc::new(SandboxGateway));
    ports.holds = Arc::new(Faulty::new(ports.holds, faults.clone()));
    ports.orders = Arc::new(Faulty::new(ports.orders, faults.clone()));
    let service = BookingService::builder(ports).deadline(Duration::from_millis(400), Arc::new(TokioTimer)).build().unwrap();
    let movies = Handler::new(Function::Movies, service, HttpConfig::new(jwt()));
    faults.at_every("holds.ping", Fault::Unavailable);
    for (frozen, asked) in [(0, 0), (2, 3)] {
        tokio::time::advance(Duration::from_secs(frozen)).await;
        let begun = Instant::now();
        ask(&movies, &event("GET", "/movies")).await.is(200);
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
        assert_eq!((faults.count("holds.ping"), faults.count("orders.ping")), (asked, asked));
    }
    // It is there: once is enough.
    faults.heal();
    tokio::time::advance(Duration::from_secs(2)).await;
    ask(&movies, &event("GET", "/movies")).await.is(200);
    assert_eq!((faults.count("holds.ping"), faults.count("orders.ping")), (1, 1));
}
