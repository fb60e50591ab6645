//! Orders by the library: two seats each, spread over a thousand shows.

use std::time::Duration;

use bms_domain::id::{HoldId, LayoutId, OrderId, SeatId, ShowId, UserId};
use bms_domain::money::{Currency, Money};
use bms_domain::order::{Customer, Ticket, TicketCode, TicketSecret};
use bms_domain::payment::{PaymentKey, PaymentReference, PaymentReport, PaymentStatus};
use bms_domain::seat::SeatIndex;
use bms_domain::store::{Creation, NewOrder, OrderStore as _, Settled};
use bms_postgres::PostgresOrders;
use uuid::Uuid;

/// How many shows the orders are spread over.
pub(crate) const SHOWS: u64 = 1_000;

pub(crate) fn layout() -> LayoutId {
    LayoutId::parse("plan-1").unwrap()
}

pub(crate) fn show(n: u64) -> ShowId {
    ShowId::parse(&format!("ours-{}", n % SHOWS)).unwrap()
}

fn uuid(n: u64) -> Uuid {
    Uuid::from_u128((0x0190_0000_0000_u128 + u128::from(n)) << 80 | 7 << 76 | 0b10 << 62 | u128::from(n))
}

pub(crate) fn price() -> Money {
    Money::new(2_500, Currency::EUR).unwrap()
}

/// The `n`-th order: seats that no other of its show has.
pub(crate) fn wish(n: u64) -> NewOrder {
    let first = SeatIndex::try_from(n / SHOWS * 2).unwrap();
    wish_of(show(n), n, [first, first + 1])
}

pub(crate) fn wish_of(show: ShowId, n: u64, seats: impl IntoIterator<Item = SeatIndex>) -> NewOrder {
    let named = |seat: SeatIndex| (seat, SeatId::parse(&format!("S{seat}")).unwrap());
    NewOrder {
        id: OrderId::new(show.shard(), uuid(n)),
        hold: HoldId::new(show.shard(), uuid(n)),
        show,
        layout: layout(),
        owner: UserId::parse(&format!("user-{n}")).unwrap(),
        seats: seats.into_iter().map(named).collect(),
        price: price(),
        customer: Customer { name: "Ann Example".to_owned(), email: "ann@example.org".to_owned() },
        ttl: Duration::from_hours(10),
    }
}

fn report(n: u64, order: OrderId) -> PaymentReport {
    let reference = PaymentReference::parse(&format!("pay-{n}")).unwrap();
    PaymentReport {
        order,
        key: PaymentKey::of(&reference),
        reference,
        notice: None,
        status: PaymentStatus::Succeeded,
        amount: price(),
    }
}

/// A code and a secret; other codes begin with another letter than 0.
fn ticket(n: u64) -> Ticket {
    let letter = |place: u32| char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[usize::try_from(n >> (5 * place) & 31).unwrap()]);
    let code: String = (0..5).map(letter).collect();
    Ticket {
        code: TicketCode::parse(&format!("BMS-0{code}")).unwrap(),
        secret: TicketSecret::parse(&format!("{n:032}")).unwrap(),
    }
}

pub(crate) async fn create(store: &PostgresOrders, wish: &NewOrder) {
    assert!(matches!(store.create(wish).await.unwrap(), Creation::Created(_)));
}

pub(crate) async fn confirm(store: &PostgresOrders, n: u64, order: OrderId) {
    assert_eq!(store.settle(&report(n, order), &ticket(n)).await.unwrap().settled, Settled::Confirmed);
}
