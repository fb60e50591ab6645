//! What the benchmarks share: services on the embedded stores, with shows of any number of seats.

use std::sync::Arc;

use bms_domain::catalogue::{Movie, Price, Screen, Show, ShowStatus, Theatre};
use bms_domain::id::{Caller, CategoryId, LayoutId, MovieId, ParseIdError, ScreenId, SeatId, ShowId, TheatreId, UserId};
use bms_domain::layout::{Category, Layout, LayoutDraft, Row, Seat, Section};
use bms_domain::memory::SandboxGateway;
use bms_domain::money::Currency;
use bms_domain::service::Ports;
use bms_domain::store::CatalogueWrite;
use bms_domain::time::{SystemClock, Timestamp};
use bms_domain::{BookingService, service::Policy};
use futures::executor::block_on;

/// What a benchmark's preparation can fail with.
pub type Failure = Box<dyn std::error::Error>;

/// A service on the embedded stores and its shows.
pub struct Venue {
    /// The service.
    pub service: BookingService,
    /// Its shows, `show-0` first.
    pub shows: Vec<ShowId>,
    /// The seats of each, by index.
    pub seats: Vec<SeatId>,
}

/// A service that sells `shows` shows of `seats` seats each, with no limit a user and show.
///
/// # Errors
/// When the made-up catalogue is refused, which would be a bug here.
pub fn venue(shows: usize, seats: u32) -> Result<Venue, Failure> {
    block_on(venue_on(Ports::in_memory(Arc::new(SystemClock), Arc::new(SandboxGateway)), shows, seats))
}

/// A service on other stores, with the same catalogue.
///
/// # Errors
/// When a store does not take the catalogue.
pub async fn venue_on(ports: Ports, shows: usize, seats: u32) -> Result<Venue, Failure> {
    let layout = Layout::parse(plan(seats)?)?;
    let names = layout.names(&(0..seats).collect()).ids().collect();
    let ids = (0..shows).map(|n| ShowId::parse(&format!("show-{n}"))).collect::<Result<Vec<_>, _>>()?;
    let theatre = Theatre {
        theatre_id: TheatreId::parse("house")?,
        name: "House".to_owned(),
        city: "London".to_owned(),
        time_zone: "Europe/London".parse()?,
        screens: vec![Screen { screen: ScreenId::parse("1")?, name: "1".to_owned(), layout_id: layout.id() }],
    };
    let movie = Movie {
        movie_id: MovieId::parse("film")?,
        title: "Film".to_owned(),
        duration_minutes: 90,
        language: "en".to_owned(),
        genres: Vec::new(),
        certificate: "U".to_owned(),
        poster_url: None,
        synopsis: String::new(),
    };
    let show = |id: &ShowId| -> Result<Show, ParseIdError> {
        Ok(Show {
            show_id: *id,
            movie_id: movie.movie_id,
            theatre_id: theatre.theatre_id,
            screen: ScreenId::parse("1")?,
            layout_id: layout.id(),
            start_time: Timestamp::MAX,
            sales_open_at: None,
            status: ShowStatus::OnSale,
            prices: vec![Price { category: CategoryId::parse("seat")?, amount: 1_000, currency: Currency::EUR }],
            blocked_seats: Vec::new(),
        })
    };
    let shows = ids.iter().map(show).collect::<Result<Vec<_>, _>>()?;
    let entries =
        CatalogueWrite { movies: vec![movie.clone()], layouts: vec![Arc::new(layout)], theatres: vec![theatre.clone()], shows };
    ports.catalogue.write(&entries).await?;
    let mut policy = Policy::default();
    policy.limits.per_user_and_show = u32::MAX;
    let service = BookingService::builder(ports).policy(policy).build()?;
    Ok(Venue { service, shows: ids, seats: names })
}

/// A user.
///
/// # Errors
/// Never for a number.
pub fn user(number: usize) -> Result<Caller, Failure> {
    Ok(Caller::user(UserId::parse(&format!("user-{number}"))?))
}

fn plan(seats: u32) -> Result<LayoutDraft, ParseIdError> {
    let category = CategoryId::parse("seat")?;
    let seats = (0..seats).map(|index| {
        let seat_id = SeatId::parse(&format!("S{index}"))?;
        Ok(Seat { seat_id, index, category, x: index as f32, y: 0.0, accessible: false })
    });
    let row = Row { row_id: "1".to_owned(), seats: seats.collect::<Result<_, ParseIdError>>()? };
    Ok(LayoutDraft {
        layout_id: LayoutId::parse(&format!("row-{}", row.seats.len()))?,
        name: "Row".to_owned(),
        categories: vec![Category { category, name: "Seat".to_owned() }],
        sections: vec![Section { section_id: "1".to_owned(), name: "1".to_owned(), rows: vec![row] }],
    })
}
