//! Orders to test with: the `n`-th order of a show has seats `2n` and `2n + 1`, and costs 25 euros.

use std::time::Duration;

use bms_domain::id::{Caller, OrderId, ShowId};
use bms_domain::money::Money;
use bms_domain::payment::{PaymentReport, PaymentStatus};
use bms_domain::seat::SeatIndex;
use bms_domain::store::NewOrder;
use bms_domain::testing::sample;
use bms_postgres::{Postgres, PostgresOrders};

/// How long an order waits for payment.
pub(crate) const TTL: Duration = Duration::from_mins(5);

pub(crate) fn show() -> ShowId {
    sample::show("show-1")
}

pub(crate) fn id(n: u32) -> OrderId {
    sample::order_id(&show(), n)
}

pub(crate) fn price() -> Money {
    sample::euro(2_500)
}

pub(crate) fn ann() -> Caller {
    Caller::user(sample::user("ann"))
}

pub(crate) fn wish(n: u32) -> NewOrder {
    wish_for(n, &[n * 2, n * 2 + 1])
}

pub(crate) fn wish_for(n: u32, seats: &[SeatIndex]) -> NewOrder {
    NewOrder {
        id: id(n),
        hold: sample::hold_id(&show(), n),
        show: show(),
        layout: sample::layout_id("plan-1"),
        owner: sample::user("ann"),
        seats: sample::seat_list(&sample::seats(seats)),
        price: price(),
        customer: sample::customer(),
        ttl: TTL,
    }
}

pub(crate) fn report(n: u32, payment: &str, status: PaymentStatus, amount: Money) -> PaymentReport {
    sample::report(id(n), payment, status, amount)
}

pub(crate) fn paid(n: u32) -> PaymentReport {
    report(n, &format!("pay-{n}"), PaymentStatus::Succeeded, price())
}

/// Fails with what the audit found, if it found anything.
pub(crate) async fn assert_sound(postgres: &Postgres) {
    let audit = postgres.audit().await.unwrap();
    assert_eq!(audit.findings, []);
}

pub(crate) fn orders(postgres: &Postgres) -> PostgresOrders {
    PostgresOrders::new(postgres.clone())
}
