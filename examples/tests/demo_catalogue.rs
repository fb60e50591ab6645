//! The demo catalogue and the example of `docs/catalogue-format.md` are what they claim to be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail the test")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bms_domain::catalogue::{CatalogueDocument, Existing, ScreenLayout, SeatPlan};
use bms_domain::id::LayoutId;
use bms_domain::layout::Layout;
use bms_domain::store::CatalogueWrite;
use bms_domain::time::Timestamp;

const DEMO: &str = include_str!("../demo/catalogue.json");
const FORMAT: &str = include_str!("../../docs/catalogue-format.md");

/// Late in the evening in New York and morning in Tokyo: the theatres are on different days.
fn now() -> Timestamp {
    Timestamp::parse("2030-01-07T03:00:00Z").unwrap()
}

fn demo() -> (CatalogueDocument, CatalogueWrite) {
    let document = CatalogueDocument::parse(DEMO).unwrap();
    let write = document.expand(now(), &Existing::default()).unwrap_or_else(|error| panic!("{error}"));
    (document, write)
}

fn plans(document: &CatalogueDocument) -> BTreeMap<LayoutId, &SeatPlan> {
    let screens = document.theatres.iter().flat_map(|theatre| &theatre.screens);
    let plans = screens.filter_map(|screen| match &screen.layout {
        ScreenLayout::Plan(plan) => Some((plan.layout_id, plan)),
        ScreenLayout::Reference { .. } => None,
    });
    plans.collect()
}

fn places(layout: &Layout) -> Vec<(f32, f32)> {
    let rows = layout.plan().sections.iter().flat_map(|section| &section.rows);
    rows.flat_map(|row| &row.seats).map(|seat| (seat.x, seat.y)).collect()
}

/// The smallest distance between any two seats, by looking at the neighbouring squares of a grid only.
fn smallest_distance(layout: &Layout) -> f32 {
    const SQUARE: f32 = 2.0;
    let square = |(x, y): (f32, f32)| ((x / SQUARE).floor() as i32, (y / SQUARE).floor() as i32);
    let mut grid: HashMap<(i32, i32), Vec<(f32, f32)>> = HashMap::new();
    let mut smallest = SQUARE;
    for place in places(layout) {
        let (column, line) = square(place);
        for near in (column - 1..=column + 1).flat_map(|column| (line - 1..=line + 1).map(move |line| (column, line))) {
            for other in grid.get(&near).into_iter().flatten() {
                smallest = smallest.min((place.0 - other.0).hypot(place.1 - other.1));
            }
        }
        grid.entry((column, line)).or_default().push(place);
    }
    smallest
}

#[test]
fn there_are_films_and_theatres_enough() {
    let (_, write) = demo();
    assert!(write.movies.len() >= 6, "{}", write.movies.len());
    assert_eq!(write.theatres.len(), 4);
    let shown: BTreeSet<_> = write.shows.iter().map(|show| show.movie_id).collect();
    assert_eq!(shown.len(), write.movies.len(), "every film is shown somewhere");
    let certificates: BTreeSet<_> = write.movies.iter().map(|movie| &movie.certificate).collect();
    let languages: BTreeSet<_> = write.movies.iter().map(|movie| &movie.language).collect();
    assert!(certificates.len() >= 3 && languages.len() >= 3, "{certificates:?} {languages:?}");
    let zones: BTreeSet<_> = write.theatres.iter().map(|theatre| theatre.time_zone.name()).collect();
    assert!(zones.len() >= 3, "{zones:?}");
    let currencies: BTreeSet<_> = write.shows.iter().flat_map(|show| &show.prices).map(|price| price.currency.code()).collect();
    assert_eq!(currencies.len(), zones.len(), "{currencies:?}");
}

#[test]
fn the_plans_have_exactly_the_seats_they_claim() {
    let (_, write) = demo();
    let counts: BTreeMap<_, _> = write.layouts.iter().map(|layout| (layout.id().to_string(), layout.seat_count())).collect();
    let expected = [("grand-union-v1", 248), ("harbour-dome-v1", 20_000), ("lantern-room-v1", 42), ("rangmahal-v1", 1_000)];
    assert_eq!(counts, expected.into_iter().map(|(id, seats)| (id.to_owned(), seats)).collect());
}

#[test]
fn no_two_seats_overlap() {
    for layout in demo().1.layouts {
        let distance = smallest_distance(&layout);
        assert!((0.9..2.0).contains(&distance), "{}: {distance}", layout.id());
    }
}

#[test]
fn the_plans_differ_as_promised() {
    let (_, write) = demo();
    let layout = |id: &str| write.layouts.iter().find(|layout| layout.id().as_str() == id).unwrap().plan();
    // The club's aisle is not at one place: it bends. Neighbours farther apart than 2 have an aisle between them.
    let aisles = |id: &str| {
        let rows = layout(id).sections.iter().flat_map(|section| &section.rows);
        let pairs = rows.flat_map(|row| row.seats.windows(2)).filter(|pair| pair[1].x - pair[0].x > 2.0);
        pairs.map(|pair| ((pair[0].x + pair[1].x) * 50.0).round() as i32).collect::<Vec<_>>()
    };
    assert_eq!(aisles("lantern-room-v1").len(), 6, "each row of the club has an aisle");
    assert!(aisles("lantern-room-v1").iter().collect::<BTreeSet<_>>().len() > 2);
    // The multiplex has one straight down the middle, through all of its 13 rows.
    assert_eq!(aisles("grand-union-v1"), [0; 13]);
    let wheelchairs = layout("grand-union-v1").sections.iter().flat_map(|section| &section.rows).flat_map(|row| &row.seats);
    assert!(wheelchairs.filter(|seat| seat.accessible).count() >= 2);
    let parts: Vec<_> = layout("rangmahal-v1").sections.iter().map(|section| section.section_id.as_str()).collect();
    assert_eq!(parts, ["stalls", "circle", "boxes"]);
}

#[test]
fn the_arena_is_short_to_write() {
    let (document, _) = demo();
    let plans = plans(&document);
    let arena = plans[&LayoutId::parse("harbour-dome-v1").unwrap()];
    let bytes = serde_json::to_string(arena).unwrap().len();
    assert!(bytes < 60 * 1_024, "{bytes}");
}

#[test]
fn every_theatre_has_shows_in_the_next_fourteen_days() {
    let (_, write) = demo();
    for theatre in &write.theatres {
        let shows = write.shows.iter().filter(|show| show.theatre_id == theatre.theatre_id);
        let local = |at: Timestamp| at.to_utc().with_timezone(&theatre.time_zone).date_naive();
        let days: BTreeSet<_> = shows.map(|show| local(show.start_time).signed_duration_since(local(now())).num_days()).collect();
        assert!((1..=14).all(|day| days.contains(&day)), "{}: {days:?}", theatre.theatre_id);
    }
}

#[test]
fn no_two_shows_of_a_screen_are_at_one_time() {
    let (_, write) = demo();
    let minutes: HashMap<_, _> = write.movies.iter().map(|movie| (movie.movie_id, i64::from(movie.duration_minutes))).collect();
    let mut screens: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for show in &write.shows {
        let end = show.start_time.as_millis() + minutes[&show.movie_id] * 60_000;
        screens.entry((show.theatre_id, show.screen)).or_default().push((show.start_time.as_millis(), end, show.show_id));
    }
    for shows in screens.values_mut() {
        shows.sort_unstable();
        assert!(shows.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{shows:?}");
    }
}

#[test]
fn the_example_of_the_format_is_a_whole_catalogue() {
    let example = FORMAT.split_once("```json\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let document = CatalogueDocument::parse(example).unwrap();
    let write = document.expand(now(), &Existing::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((write.movies.len(), write.theatres.len(), write.layouts.len()), (1, 1, 1));
    // What the text says of it.
    assert_eq!(write.layouts[0].seat_count(), 44);
    assert_eq!(write.shows.len(), 1 + 7 * 2);
}
