//! Catalogues: what is refused changes nothing and says where it is wrong, what is taken is there, and comes back as it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use bms_domain::BookingService;
use bms_domain::catalogue::{
    CatalogueDocument, Listing, Movie, MovieEntry, PlacedSeat, RowPlan, ScreenEntry, ScreenLayout, SeatPlan, SectionPlan, Show,
    ShowEntry, Theatre, TheatreEntry,
};
use bms_domain::error::{Error, Violation};
use bms_domain::id::{Caller, LayoutId, MovieId, ScreenId, ShowId, TheatreId, UserId};
use bms_domain::layout::Layout;
use bms_domain::memory::SandboxGateway;
use bms_domain::service::Ports;
use bms_domain::store::{CatalogueStore, CatalogueWrite};
use bms_domain::testing::ManualClock;
use bms_domain::testing::fuzz::{Target, TestCaseError};
use bms_domain::time::Timestamp;
use futures::executor::block_on;
use proptest::{prop_assert, prop_assert_eq};
use serde_json::Value;

/// What was there before: the documents of the corpus refer to it, replace some of it, and clash with it.
const BEFORE: &str = include_str!("corpus/catalogue/complete.json");

/// The most seats that are written out one by one again, which takes its time.
const SEATS: u32 = 2_000;

/// A box office, with what stands in its catalogue.
struct Office {
    service: BookingService,
    catalogue: Arc<dyn CatalogueStore>,
}

impl Office {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::parse("2030-01-07T09:00:00Z").unwrap()));
        let ports = Ports::in_memory(clock.clone(), Arc::new(SandboxGateway));
        let catalogue = ports.catalogue.clone();
        Self { service: BookingService::builder(ports).clock(clock).build().unwrap(), catalogue }
    }

    fn import(&self, document: &CatalogueDocument) -> Result<CatalogueWrite, Error> {
        let boss = Caller::admin(UserId::parse("the boss").unwrap());
        block_on(self.service.import(&boss, document))
    }

    fn seen(&self, ids: &Ids) -> Seen {
        block_on(async {
            let mut seen = Seen::default();
            for id in &ids.movies {
                seen.movies.push(self.catalogue.movie(id).await.unwrap());
            }
            for id in &ids.theatres {
                seen.theatres.push(self.catalogue.theatre(id).await.unwrap());
            }
            for id in &ids.layouts {
                seen.layouts.push(self.catalogue.layout(id).await.unwrap());
            }
            for id in &ids.shows {
                seen.shows.push(self.catalogue.show(id).await.unwrap());
            }
            seen
        })
    }
}

/// Whatever is looked at, before and after.
#[derive(Clone, Default)]
struct Ids {
    movies: BTreeSet<MovieId>,
    theatres: BTreeSet<TheatreId>,
    layouts: BTreeSet<LayoutId>,
    shows: BTreeSet<ShowId>,
}

impl Ids {
    /// Those that a document brings or mentions. The shows of schedules come with what was written.
    fn add(&mut self, document: &CatalogueDocument) {
        self.movies.extend(document.movies.iter().map(|movie| movie.movie_id));
        self.theatres.extend(document.theatres.iter().map(|theatre| theatre.theatre_id));
        self.layouts.extend(document.references().layouts);
        self.shows.extend(document.shows.iter().map(|show| show.show_id));
    }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    movies: Vec<Option<Arc<Movie>>>,
    theatres: Vec<Option<Arc<Theatre>>>,
    layouts: Vec<Option<Arc<Layout>>>,
    shows: Vec<Option<Arc<Listing>>>,
}

impl Seen {
    /// All of it as one document, with every seat and every show by itself.
    fn exported(&self) -> CatalogueDocument {
        let layouts = self.layouts.iter().flatten();
        let plans: Vec<SeatPlan> = layouts.map(|layout| seat_by_seat(layout)).collect();
        let plan_of = |id: LayoutId| plans.iter().find(|plan| plan.layout_id == id).unwrap().clone();
        let entry = |theatre: &Theatre| TheatreEntry {
            theatre_id: theatre.theatre_id,
            name: theatre.name.clone(),
            city: theatre.city.clone(),
            time_zone: theatre.time_zone,
            screens: (theatre.screens.iter())
                .map(|it| ScreenEntry {
                    screen: it.screen,
                    name: it.name.clone(),
                    layout: ScreenLayout::Plan(plan_of(it.layout_id)),
                })
                .collect(),
        };
        let mut theatres: Vec<TheatreEntry> = self.theatres.iter().flatten().map(|theatre| entry(theatre)).collect();
        // A plan comes with a screen. Shows may be sold by one whose screen has another by now.
        theatres.extend(plans.iter().zip(0..).map(|(plan, number)| TheatreEntry {
            theatre_id: TheatreId::parse(&format!("archive.{number}")).unwrap(),
            name: "Archive".to_owned(),
            city: "Leeds".to_owned(),
            time_zone: "UTC".parse().unwrap(),
            screens: vec![ScreenEntry {
                screen: ScreenId::parse("1").unwrap(),
                name: "Archive".to_owned(),
                layout: ScreenLayout::Plan(plan.clone()),
            }],
        }));
        CatalogueDocument {
            movies: self.movies.iter().flatten().map(|movie| movie_entry(movie)).collect(),
            theatres,
            shows: self.shows.iter().flatten().map(|listing| show_entry(listing.show())).collect(),
            schedules: Vec::new(),
        }
    }
}

fn movie_entry(movie: &Movie) -> MovieEntry {
    let Movie { movie_id, title, duration_minutes, language, genres, certificate, poster_url, synopsis } = movie.clone();
    MovieEntry { movie_id, title, duration_minutes, language, genres, certificate, poster_url, synopsis }
}

fn show_entry(show: &Show) -> ShowEntry {
    let Show { show_id, movie_id, theatre_id, screen, layout_id, start_time, sales_open_at, status, prices, blocked_seats } =
        show.clone();
    let layout_id = Some(layout_id);
    ShowEntry { show_id, movie_id, theatre_id, screen, layout_id, start_time, sales_open_at, status, prices, blocked_seats }
}

fn seat_by_seat(layout: &Layout) -> SeatPlan {
    let plan = layout.plan().clone();
    let sections = plan.sections.into_iter().map(|section| SectionPlan {
        section_id: section.section_id,
        name: section.name,
        rows: (section.rows.into_iter())
            .map(|row| RowPlan {
                row_id: row.row_id,
                seats: (row.seats.into_iter())
                    .map(|seat| PlacedSeat {
                        seat_id: seat.seat_id,
                        category: Some(seat.category),
                        x: seat.x.into(),
                        y: seat.y.into(),
                        accessible: seat.accessible,
                    })
                    .collect(),
                ..RowPlan::default()
            })
            .collect(),
    });
    SeatPlan { layout_id: plan.layout_id, name: plan.name, categories: plan.categories, sections: sections.collect() }
}

/// Whether a fault says where it is: at a place of the document, or where something is missing there. What is wrong with a show that
/// the document does not have, but takes its screen from, has no place but its id.
fn is_told(document: &Value, shows: &BTreeSet<ShowId>, Violation { pointer, detail }: &Violation) -> bool {
    match pointer.rsplit_once('/') {
        Some((parent, _)) => document.pointer(pointer).is_some() || document.pointer(parent).is_some(),
        None => shows.iter().any(|show| detail.starts_with(&format!("show {show}: "))),
    }
}

fn round_trip(office: &Office, ids: &Ids) -> Result<(), TestCaseError> {
    let seen = office.seen(ids);
    let text = serde_json::to_string(&seen.exported()).unwrap();
    let read = CatalogueDocument::parse(&text);
    prop_assert!(read.is_ok(), "what was exported cannot be read: {:?}", read.err());
    let again = Office::new();
    let imported = again.import(&read.unwrap());
    prop_assert!(imported.is_ok(), "what was exported cannot be imported: {:?}", imported.err());
    prop_assert_eq!(again.seen(ids), seen);
    Ok(())
}

#[test]
fn fuzz() {
    let before = CatalogueDocument::parse(BEFORE).unwrap();
    Target::new(env!("CARGO_MANIFEST_DIR"), "catalogue").check(&["unreadable", "refused", "taken"], |input| {
        let document = match CatalogueDocument::parse(input) {
            Ok(document) => document,
            Err(error) => {
                prop_assert!(error.detail().contains("line "), "{error}");
                return Ok("unreadable");
            }
        };
        let office = Office::new();
        let written = office.import(&before).unwrap();
        let mut ids = Ids::default();
        ids.add(&before);
        ids.shows.extend(written.shows.iter().map(|show| show.show_id));
        ids.add(&document);
        let as_it_was = office.seen(&ids);
        let written = match office.import(&document) {
            Ok(written) => written,
            Err(Error::Invalid(violations)) => {
                prop_assert_eq!(office.seen(&ids), as_it_was);
                prop_assert!(!violations.is_empty());
                let value: Value = serde_json::from_slice(input).unwrap();
                let lost = violations.iter().find(|violation| !is_told(&value, &ids.shows, violation));
                prop_assert!(lost.is_none(), "no such place: {:?}", lost);
                return Ok("refused");
            }
            Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        ids.shows.extend(written.shows.iter().map(|show| show.show_id));
        let now = office.seen(&ids);
        prop_assert!(written.movies.iter().all(|it| now.movies.iter().flatten().any(|movie| **movie == *it)));
        prop_assert!(written.theatres.iter().all(|it| now.theatres.iter().flatten().any(|theatre| **theatre == *it)));
        prop_assert!(written.layouts.iter().all(|it| now.layouts.contains(&Some(it.clone()))));
        prop_assert!(written.shows.iter().all(|it| now.shows.iter().flatten().any(|listing| listing.show() == it)));
        office.import(&document).map_err(|error| TestCaseError::fail(format!("not a second time: {error}")))?;
        prop_assert!(office.seen(&ids) == now, "a second time changes something");
        if now.layouts.iter().flatten().map(|layout| layout.seat_count()).sum::<u32>() <= SEATS {
            round_trip(&office, &ids)?;
        }
        Ok("taken")
    });
}
