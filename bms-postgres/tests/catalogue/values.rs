//! Every value that the domain lets through comes back as it was.

use std::sync::Arc;
use std::time::Duration;

use bms_domain::catalogue::{Movie, Price, Show, ShowStatus, Theatre};
use bms_domain::id::{CategoryId, SeatId};
use bms_domain::layout::{Category, Layout, LayoutDraft, Row, Seat, Section};
use bms_domain::money::{Currency, Money};
use bms_domain::store::{CatalogueStore as _, CatalogueWrite, MovieQuery};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::Timestamp;
use bms_postgres::PostgresCatalogue;

use super::support::case;
use super::{a_catalogue, movie_id};

/// Texts that a store gets wrong which escapes badly.
const HOSTILE: &str = "\0 \\ \\0 ' \" {} \u{1f600} \n ümläut";

fn category(n: usize) -> CategoryId {
    CategoryId::parse(&format!("c{n}")).unwrap()
}

/// A plan with a seat at each of these places, in a category each.
fn plan(id: &str, places: &[(f32, f32)]) -> Arc<Layout> {
    let seat = |(n, (x, y)): (usize, &(f32, f32))| Seat {
        seat_id: SeatId::parse(&format!("S{n}")).unwrap(),
        index: u32::try_from(n).unwrap(),
        category: category(n),
        x: *x,
        y: *y,
        accessible: n % 2 == 1,
    };
    let row = Row { row_id: HOSTILE.to_owned(), seats: places.iter().enumerate().map(seat).collect() };
    let categories = (0..places.len()).map(|n| Category { category: category(n), name: HOSTILE.to_owned() }).collect();
    let sections = vec![Section { section_id: HOSTILE.to_owned(), name: HOSTILE.to_owned(), rows: vec![row] }];
    Arc::new(
        Layout::parse(LayoutDraft { layout_id: sample::layout_id(id), name: HOSTILE.to_owned(), categories, sections }).unwrap(),
    )
}

#[tokio::test]
async fn prices_instants_and_texts_at_their_limits_come_back() {
    let case = case(&ManualClock::new()).await;
    let places =
        [(0.0, -0.0), (f32::MAX, f32::MIN), (f32::MIN_POSITIVE, f32::EPSILON), (0.1, 1.0 / 3.0), (16_777_217.0, 9.007_2e15)];
    let layout = plan("limits", &places);
    let amounts = [0, 1, Money::MAX_AMOUNT, Money::MAX_AMOUNT - 1, 1_250];
    // Not in the order of the categories, and all of a currency without minor units.
    let prices: Vec<Price> =
        (0..places.len()).rev().map(|n| Price { category: category(n), amount: amounts[n], currency: Currency::JPY }).collect();
    let mut theatre = sample::theatre("odeon", HOSTILE, sample::layout_id("not-there-yet"));
    theatre.name = HOSTILE.to_owned();
    for n in (0..20).rev() {
        let mut screen = theatre.screens[0].clone();
        screen.screen = bms_domain::id::ScreenId::parse(&format!("x{n}")).unwrap();
        screen.name = format!("{n}{HOSTILE}");
        theatre.screens.push(screen);
    }
    let movie = Movie {
        title: HOSTILE.to_owned(),
        duration_minutes: u32::MAX,
        language: HOSTILE.to_owned(),
        genres: vec![HOSTILE.to_owned(), String::new(), "{a,b}".to_owned(), "NULL".to_owned()],
        certificate: String::new(),
        poster_url: Some(HOSTILE.to_owned()),
        synopsis: HOSTILE.repeat(100),
        ..sample::movie("film")
    };
    let statuses = [ShowStatus::Scheduled, ShowStatus::OnSale, ShowStatus::Closed, ShowStatus::Cancelled];
    let instants = [Timestamp::MIN, Timestamp::MAX, Timestamp::from_millis(-1), Timestamp::from_millis(1_893_456_000_001)];
    let show = |n: usize| Show {
        prices: prices.clone(),
        status: statuses[n],
        sales_open_at: (n > 0).then(|| instants[n - 1]),
        blocked_seats: (0..n).rev().map(|seat| SeatId::parse(&format!("S{seat}")).unwrap()).collect(),
        ..sample::listed_show(&format!("s{n}"), "film", "odeon", layout.id(), instants[n])
    };
    let shows: Vec<Show> = (0..statuses.len()).map(show).collect();
    let entries = CatalogueWrite {
        movies: vec![movie.clone()],
        layouts: vec![layout.clone()],
        theatres: vec![theatre.clone()],
        shows: shows.clone(),
    };
    PostgresCatalogue::new(case.postgres.clone()).write(&entries).await.unwrap();
    // Another one, which has kept nothing of what it wrote.
    let catalogue = PostgresCatalogue::new(case.postgres.clone());
    assert_eq!(catalogue.movie(&movie.movie_id).await.unwrap().as_deref(), Some(&movie));
    assert_eq!(catalogue.theatre(&theatre.theatre_id).await.unwrap().as_deref(), Some(&theatre));
    assert_eq!(catalogue.layout(&layout.id()).await.unwrap().as_ref(), Some(&layout));
    for show in &shows {
        let listing = catalogue.show(&show.show_id).await.unwrap().unwrap();
        assert_eq!((listing.show(), &**listing.theatre(), listing.layout()), (show, &theatre, &layout));
        assert_eq!(listing.price_of(&sample::seats(&[2])), Some(Money::new(Money::MAX_AMOUNT, Currency::JPY).unwrap()));
    }
    let query = MovieQuery { city: Some((HOSTILE.to_uppercase(), Timestamp::MAX)), after: None, limit: 9 };
    assert_eq!(catalogue.movies(&query).await.unwrap().len(), 1);
    // The same again is no change, whichever way it was read.
    catalogue.write(&entries).await.unwrap();
}

#[tokio::test]
async fn every_place_of_a_plan_comes_back() {
    let case = case(&ManualClock::new()).await;
    // A walk through all of the numbers that a place may be.
    let places: Vec<(f32, f32)> = (0..100_000_u32)
        .map(|n| (f32::from_bits(n.wrapping_mul(2_654_435_761)), f32::from_bits(n.wrapping_mul(40_503).wrapping_add(n << 15))))
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .take(20_000)
        .collect();
    let layout = plan("places", &places);
    let write = CatalogueWrite { layouts: vec![layout.clone()], ..CatalogueWrite::default() };
    PostgresCatalogue::new(case.postgres.clone()).write(&write).await.unwrap();
    let read = PostgresCatalogue::new(case.postgres.clone()).layout(&layout.id()).await.unwrap().unwrap();
    assert!(*read == *layout);
}

#[tokio::test]
async fn what_is_wrong_with_a_write_is_named() {
    let clock = ManualClock::new();
    let (_case, catalogue, entries) = a_catalogue(&clock).await;
    let start = entries.shows[0].start_time.plus(Duration::from_hours(1));
    let hall = entries.layouts[0].id();
    let other = CatalogueWrite { layouts: vec![sample::layout("hall-1", 11)], ..CatalogueWrite::default() };
    assert!(super::refusal(catalogue.write(&other).await).contains("hall-1"));
    let twice = CatalogueWrite { layouts: vec![sample::layout("new", 1), sample::layout("new", 2)], ..CatalogueWrite::default() };
    assert!(super::refusal(catalogue.write(&twice).await).contains("new"));
    for (show, what) in [
        (sample::listed_show("gala", "no-movie", "odeon", hall, start), "movie"),
        (sample::listed_show("gala", "film", "no-theatre", hall, start), "theatre"),
        (sample::listed_show("gala", "film", "odeon", sample::layout_id("no-layout"), start), "layout"),
        (Show { prices: vec![], ..sample::listed_show("gala", "film", "odeon", hall, start) }, "stalls"),
    ] {
        let write = CatalogueWrite { shows: vec![show], movies: vec![sample::movie("new")], ..CatalogueWrite::default() };
        let refusal = super::refusal(catalogue.write(&write).await);
        assert!(refusal.contains("gala") && refusal.contains(what), "{refusal}");
        assert_eq!(catalogue.movie(&movie_id("new")).await.unwrap(), None);
    }
    let theatre = Theatre {
        screens: [entries.theatres[0].screens.clone(), entries.theatres[0].screens.clone()].concat(),
        ..entries.theatres[0].clone()
    };
    let refusal = super::refusal(catalogue.write(&CatalogueWrite { theatres: vec![theatre], ..CatalogueWrite::default() }).await);
    assert!(refusal.contains("odeon") && refusal.contains("one"), "{refusal}");
}
