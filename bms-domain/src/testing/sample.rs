//! Shows, users, layouts and catalogues to test with. What is made of a text or a number is always the same.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::catalogue::{Movie, Price, Screen, Show, ShowStatus, Theatre};
use crate::id::{CategoryId, HoldId, LayoutId, MovieId, OrderId, ScreenId, SeatId, ShowId, TheatreId, UserId};
use crate::layout::{Category, Layout, LayoutDraft, Row, Seat, Section};
use crate::money::{Currency, Money};
use crate::order::{Customer, Ticket, TicketCode, TicketSecret};
use crate::payment::{NoticeId, PaymentKey, PaymentReference, PaymentReport, PaymentStatus};
use crate::seat::{SeatIndex, SeatList, SeatSet};
use crate::store::CatalogueWrite;
use crate::time::Timestamp;

/// A show.
#[must_use]
pub fn show(id: &str) -> ShowId {
    ShowId::parse(id).unwrap()
}

/// A layout id.
#[must_use]
pub fn layout_id(id: &str) -> LayoutId {
    LayoutId::parse(id).unwrap()
}

/// A user.
#[must_use]
pub fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

/// User ids that would break a store which splits text, or escapes it badly: separators, braces, wildcards, quotes,
/// control characters, NUL, 255 bytes, other scripts.
#[must_use]
pub fn hostile_users() -> Vec<UserId> {
    let long = "x".repeat(UserId::MAX_LEN);
    [
        "a:b", "a", "b:a", "{a}", "}{", "*", "a*", "?", "[a]", "a\nb", "\u{0}", "a\u{0}b", "'; --", "\"", "\\", "%", "日本", " ",
        "a ", &long,
    ]
    .into_iter()
    .map(user)
    .collect()
}

/// Two shows that share a shard, so that a store which looks at the shard alone mixes them up.
#[must_use]
pub fn shows_of_one_shard() -> (ShowId, ShowId) {
    let first = show("shared-0");
    let second = (1..).map(|n| show(&format!("shared-{n}"))).find(|other| other.shard() == first.shard());
    (first, second.expect("4,096 shards are few"))
}

/// Seats by their indices.
#[must_use]
pub fn seats(indices: &[SeatIndex]) -> SeatSet {
    indices.iter().copied().collect()
}

/// The seats of an order: seat `n` is called `S<n>`.
#[must_use]
pub fn seat_list(seats: &SeatSet) -> SeatList {
    seats.iter().map(|seat| (seat, seat_name(seat))).collect()
}

/// The name of a seat in [`layout`]: `S<n>`.
#[must_use]
pub fn seat_name(seat: SeatIndex) -> SeatId {
    SeatId::parse(&format!("S{seat}")).unwrap()
}

/// Euro cents.
#[must_use]
pub fn euro(amount: i64) -> Money {
    Money::new(amount, Currency::EUR).unwrap()
}

/// The `n`-th hold id of a show.
#[must_use]
pub fn hold_id(show: &ShowId, n: u32) -> HoldId {
    HoldId::new(show.shard(), uuid(n))
}

/// The `n`-th order id of a show; a greater `n` is a newer order.
#[must_use]
pub fn order_id(show: &ShowId, n: u32) -> OrderId {
    OrderId::new(show.shard(), uuid(n))
}

/// The `n`-th UUID, of the `n`-th millisecond of 2030.
#[must_use]
pub fn uuid(n: u32) -> Uuid {
    Uuid::from_u128((1_893_456_000_000 + u128::from(n)) << 80 | 7 << 76 | 0b10 << 62 | u128::from(n))
}

/// A customer.
#[must_use]
pub fn customer() -> Customer {
    Customer { name: "Ann O'Neil".to_owned(), email: "ann@example.org".to_owned() }
}

/// A payment reference.
#[must_use]
pub fn reference(text: &str) -> PaymentReference {
    PaymentReference::parse(text).unwrap()
}

/// The `n`-th ticket.
#[must_use]
pub fn ticket(n: u32) -> Ticket {
    Ticket { code: TicketCode::parse(&format!("BMS-{n:06}")).unwrap(), secret: TicketSecret::parse(&format!("{n:032}")).unwrap() }
}

/// A provider's answer about a payment, without a notice.
#[must_use]
pub fn report(order: OrderId, payment: &str, status: PaymentStatus, amount: Money) -> PaymentReport {
    let reference = reference(payment);
    PaymentReport { order, key: PaymentKey::of(&reference), reference, notice: None, status, amount }
}

/// A provider's notice of a payment.
#[must_use]
pub fn notice(id: &str, report: PaymentReport) -> PaymentReport {
    PaymentReport { notice: Some(NoticeId::parse(id).unwrap()), ..report }
}

/// A plan of one row of `count` seats, `S0` and so on, all of category `stalls`.
#[must_use]
pub fn layout(id: &str, count: u32) -> Arc<Layout> {
    let category = CategoryId::parse("stalls").unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a plan's coordinates need not be exact")]
    let seat = |index: u32| Seat { seat_id: seat_name(index), index, category, x: index as f32, y: 0.0, accessible: false };
    let row = Row { row_id: "A".to_owned(), seats: (0..count).map(seat).collect() };
    let draft = LayoutDraft {
        layout_id: layout_id(id),
        name: id.to_owned(),
        categories: vec![Category { category, name: "Stalls".to_owned() }],
        sections: vec![Section { section_id: "stalls".to_owned(), name: "Stalls".to_owned(), rows: vec![row] }],
    };
    Arc::new(Layout::parse(draft).unwrap())
}

/// A movie.
#[must_use]
pub fn movie(id: &str) -> Movie {
    Movie {
        movie_id: MovieId::parse(id).unwrap(),
        title: format!("The {id}"),
        duration_minutes: 101,
        language: "en".to_owned(),
        genres: vec!["Drama".to_owned()],
        certificate: "PG".to_owned(),
        poster_url: None,
        synopsis: String::new(),
    }
}

/// A theatre with one screen, `one`.
#[must_use]
pub fn theatre(id: &str, city: &str, layout: LayoutId) -> Theatre {
    let screen = Screen { screen: ScreenId::parse("one").unwrap(), name: "One".to_owned(), layout_id: layout };
    Theatre {
        theatre_id: TheatreId::parse(id).unwrap(),
        name: id.to_owned(),
        city: city.to_owned(),
        time_zone: chrono_tz::Europe::Madrid,
        screens: vec![screen],
    }
}

/// What a seat costs in a [`listed_show`].
pub const SEAT_PRICE: i64 = 1_250;

/// A show that is on sale, each seat at [`SEAT_PRICE`].
#[must_use]
pub fn listed_show(id: &str, movie: &str, theatre: &str, layout: LayoutId, start_time: Timestamp) -> Show {
    let price = Price { category: CategoryId::parse("stalls").unwrap(), amount: SEAT_PRICE, currency: Currency::EUR };
    Show {
        show_id: show(id),
        movie_id: MovieId::parse(movie).unwrap(),
        theatre_id: TheatreId::parse(theatre).unwrap(),
        screen: ScreenId::parse("one").unwrap(),
        layout_id: layout,
        start_time,
        sales_open_at: None,
        status: ShowStatus::OnSale,
        prices: vec![price],
        blocked_seats: Vec::new(),
    }
}

/// A whole catalogue with one show, `id`, of `count` seats, that starts a week after `now`.
#[must_use]
pub fn catalogue(id: &str, count: u32, now: Timestamp) -> CatalogueWrite {
    let layout = layout("hall-1", count);
    let start = now.plus(Duration::from_hours(7 * 24));
    CatalogueWrite {
        movies: vec![movie("film")],
        theatres: vec![theatre("odeon", "Madrid", layout.id())],
        shows: vec![listed_show(id, "film", "odeon", layout.id(), start)],
        layouts: vec![layout],
    }
}
