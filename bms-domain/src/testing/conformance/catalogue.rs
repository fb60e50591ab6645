//! The catalogue.

use std::sync::Arc;
use std::time::Duration;

use super::Case;
use crate::catalogue::{Movie, Show, ShowStatus};
use crate::id::MovieId;
use crate::layout::Layout;
use crate::store::{CatalogueStore, CatalogueWrite, MovieQuery, StoreError};
use crate::testing::sample;
use crate::time::Timestamp;

type Catalogue = Case<dyn CatalogueStore>;

fn movie_id(id: &str) -> MovieId {
    MovieId::parse(id).unwrap()
}

impl Catalogue {
    async fn write(&self, entries: &CatalogueWrite) {
        self.store.write(entries).await.unwrap();
    }

    async fn movies_of(&self, city: Option<(&str, Timestamp)>, after: Option<&str>, limit: usize) -> Vec<String> {
        let city = city.map(|(city, from)| (city.to_owned(), from));
        let query = MovieQuery { city, after: after.map(movie_id), limit };
        self.store.movies(&query).await.unwrap().iter().map(|movie| movie.movie_id.to_string()).collect()
    }

    async fn shows_of(&self, movie: &str, from: Timestamp, until: Timestamp, limit: usize) -> Vec<String> {
        let shows = self.store.shows(&movie_id(movie), from, until, limit).await.unwrap();
        shows.iter().map(|listing| listing.show().show_id.to_string()).collect()
    }
}

/// What was written is read, whole.
pub(crate) async fn what_was_written_is_read(case: Catalogue) {
    let mut entries = sample::catalogue("s1", 42, case.now());
    entries.movies[0].title = "Zoë's \"Film\" {1}:*\n".to_owned();
    entries.movies[0].poster_url = Some("https://example.org/p.png".to_owned());
    entries.shows[0].blocked_seats = vec![sample::seat_name(3)];
    entries.shows[0].sales_open_at = Some(case.now());
    case.write(&entries).await;
    let (movie, theatre, layout, show) = (&entries.movies[0], &entries.theatres[0], &entries.layouts[0], &entries.shows[0]);
    assert_eq!(case.store.movie(&movie.movie_id).await.unwrap().as_deref(), Some(movie));
    assert_eq!(case.store.theatre(&theatre.theatre_id).await.unwrap().as_deref(), Some(theatre));
    assert_eq!(case.store.layout(&layout.id()).await.unwrap().as_ref(), Some(layout));
    let listing = case.store.show(&show.show_id).await.unwrap().expect("the show");
    assert_eq!((listing.show(), listing.theatre().as_ref(), listing.layout()), (show, theatre, layout));
    assert!(listing.blocked().contains(3));
    assert_eq!(case.store.movie(&movie_id("none")).await.unwrap(), None);
    assert_eq!(case.store.show(&sample::show("none")).await.unwrap(), None);
    assert_eq!(case.store.layout(&sample::layout_id("none")).await.unwrap(), None);
}

/// An entry that is written again is replaced; the others stay.
pub(crate) async fn an_entry_is_replaced(case: Catalogue) {
    let entries = sample::catalogue("s1", 10, case.now());
    case.write(&entries).await;
    let closed = Show { status: ShowStatus::Closed, ..entries.shows[0].clone() };
    let renamed = Movie { title: "Renamed".to_owned(), ..entries.movies[0].clone() };
    case.write(&CatalogueWrite { shows: vec![closed.clone()], movies: vec![renamed.clone()], ..CatalogueWrite::default() }).await;
    let listing = case.store.show(&closed.show_id).await.unwrap().expect("the show");
    assert_eq!((listing.show(), listing.layout()), (&closed, &entries.layouts[0]));
    assert_eq!(case.store.movie(&renamed.movie_id).await.unwrap().as_deref(), Some(&renamed));
}

/// A layout that exists is never replaced: what was sold with it stays where it was.
pub(crate) async fn a_layout_never_changes(case: Catalogue) {
    let entries = sample::catalogue("s1", 10, case.now());
    case.write(&entries).await;
    let other: Arc<Layout> = sample::layout(entries.layouts[0].id().as_str(), 11);
    // Refused or left out: both keep the first.
    let _ = case.store.write(&CatalogueWrite { layouts: vec![other], ..CatalogueWrite::default() }).await;
    assert_eq!(case.store.layout(&entries.layouts[0].id()).await.unwrap().as_ref(), Some(&entries.layouts[0]));
    let listing = case.store.show(&sample::show("s1")).await.unwrap().expect("the show");
    assert_eq!(listing.layout().seat_count(), 10);
    // The same plan again is no change, so that an import can be repeated.
    case.write(&entries).await;
}

/// P3: a write that names what is not there, or does not fit, is refused whole.
pub(crate) async fn a_broken_write_changes_nothing(case: Catalogue) {
    let good = sample::catalogue("s1", 10, case.now());
    let start = case.now().plus(Duration::from_hours(1));
    let layout = good.layouts[0].id();
    let mut unpriced = good.shows[0].clone();
    unpriced.prices.clear();
    let broken = [
        sample::listed_show("s1", "no-movie", "odeon", layout, start),
        sample::listed_show("s1", "film", "no-theatre", layout, start),
        sample::listed_show("s1", "film", "odeon", sample::layout_id("no-layout"), start),
        unpriced,
    ];
    for show in broken {
        let entries = CatalogueWrite { shows: vec![show.clone()], ..good.clone() };
        let error = case.store.write(&entries).await.expect_err("a show that does not fit");
        assert!(matches!(error, StoreError::Broken { .. }), "{error:?} for {show:?}");
        assert_eq!(case.store.movie(&movie_id("film")).await.unwrap(), None);
        assert_eq!(case.store.layout(&layout).await.unwrap(), None);
        assert_eq!(case.store.theatre(&good.theatres[0].theatre_id).await.unwrap(), None);
        assert_eq!(case.store.show(&sample::show("s1")).await.unwrap(), None);
    }
    case.write(&good).await;
    let worse = CatalogueWrite { movies: vec![sample::movie("other")], ..CatalogueWrite::default() };
    let show = sample::listed_show("s2", "other", "no-theatre", layout, start);
    assert!(case.store.write(&CatalogueWrite { shows: vec![show], ..worse }).await.is_err());
    assert_eq!(case.store.movie(&movie_id("other")).await.unwrap(), None);
}

/// A listing shows the theatre as it is now.
pub(crate) async fn a_replaced_theatre_shows_in_its_listings(case: Catalogue) {
    let entries = sample::catalogue("s1", 10, case.now());
    case.write(&entries).await;
    let mut theatre = entries.theatres[0].clone();
    theatre.name = "The New Odeon".to_owned();
    theatre.city = "Toledo".to_owned();
    case.write(&CatalogueWrite { theatres: vec![theatre.clone()], ..CatalogueWrite::default() }).await;
    let listing = case.store.show(&sample::show("s1")).await.unwrap().expect("the show");
    assert_eq!(listing.theatre().as_ref(), &theatre);
    let listed = case.store.shows(&movie_id("film"), Timestamp::MIN, Timestamp::MAX, 10).await.unwrap();
    assert_eq!(listed[0].theatre().as_ref(), &theatre);
    assert_eq!(case.movies_of(Some(("toledo", case.now())), None, 10).await, ["film"]);
    assert_eq!(case.movies_of(Some(("Madrid", case.now())), None, 10).await, Vec::<String>::new());
}

/// Movies come by id, in parts that neither repeat nor leave out.
pub(crate) async fn movies_come_by_id_in_parts(case: Catalogue) {
    let movies = ["d", "a", "c", "b", "B", "a-1"].map(sample::movie).to_vec();
    case.write(&CatalogueWrite { movies, ..CatalogueWrite::default() }).await;
    let all = case.movies_of(None, None, 10).await;
    assert_eq!(all, ["B", "a", "a-1", "b", "c", "d"], "ascending, by bytes");
    assert_eq!(case.movies_of(None, None, 2).await, all[..2]);
    assert_eq!(case.movies_of(None, Some(&all[1]), 3).await, all[2..5]);
    assert_eq!(case.movies_of(None, Some(&all[5]), 3).await, Vec::<String>::new());
}

/// A city's movies are those with a show there that starts at the instant or later; letter case aside.
pub(crate) async fn movies_of_a_city_are_those_with_a_show_there(case: Catalogue) {
    let layout = sample::layout("hall", 10);
    let (now, hour) = (case.now(), Duration::from_hours(1));
    case.write(&CatalogueWrite {
        movies: ["past", "now", "later", "elsewhere", "nowhere"].map(sample::movie).to_vec(),
        theatres: vec![sample::theatre("odeon", "São Paulo", layout.id()), sample::theatre("rex", "Lyon", layout.id())],
        shows: vec![
            sample::listed_show("s1", "past", "odeon", layout.id(), now.minus(Duration::from_millis(1))),
            sample::listed_show("s2", "now", "odeon", layout.id(), now),
            sample::listed_show("s3", "later", "odeon", layout.id(), now.plus(hour)),
            sample::listed_show("s4", "later", "odeon", layout.id(), now.plus(hour * 2)),
            sample::listed_show("s5", "elsewhere", "rex", layout.id(), now.plus(hour)),
        ],
        layouts: vec![layout],
    })
    .await;
    assert_eq!(case.movies_of(Some(("São Paulo", now)), None, 10).await, ["later", "now"]);
    assert_eq!(case.movies_of(Some(("SÃO PAULO", now)), None, 1).await, ["later"]);
    assert_eq!(case.movies_of(Some(("são paulo", now)), Some("later"), 10).await, ["now"]);
    assert_eq!(case.movies_of(Some(("lyon", now)), None, 10).await, ["elsewhere"]);
    assert_eq!(case.movies_of(Some(("Lyo", now)), None, 10).await, Vec::<String>::new());
}

/// A movie's shows come by start and then by id, from an instant on and before another.
pub(crate) async fn shows_come_by_start_within_a_time(case: Catalogue) {
    let layout = sample::layout("hall", 10);
    let (now, hour) = (case.now(), Duration::from_hours(1));
    let show = |id, movie, hours| sample::listed_show(id, movie, "odeon", layout.id(), now.plus(hour * hours));
    case.write(&CatalogueWrite {
        movies: ["film", "other"].map(sample::movie).to_vec(),
        theatres: vec![sample::theatre("odeon", "Madrid", layout.id())],
        shows: vec![
            show("z", "film", 1),
            show("b", "film", 2),
            show("a", "film", 2),
            show("y", "film", 3),
            show("x", "other", 2),
        ],
        layouts: vec![layout.clone()],
    })
    .await;
    assert_eq!(case.shows_of("film", Timestamp::MIN, Timestamp::MAX, 10).await, ["z", "a", "b", "y"]);
    assert_eq!(case.shows_of("film", now.plus(hour * 2), now.plus(hour * 3), 10).await, ["a", "b"]);
    assert_eq!(case.shows_of("film", now.plus(hour), now.plus(hour), 10).await, Vec::<String>::new());
    assert_eq!(case.shows_of("film", Timestamp::MIN, Timestamp::MAX, 2).await, ["z", "a"]);
    // A show that is moved is found where it is now, and only there.
    case.write(&CatalogueWrite { shows: vec![show("z", "film", 9)], ..CatalogueWrite::default() }).await;
    assert_eq!(case.shows_of("film", Timestamp::MIN, Timestamp::MAX, 10).await, ["a", "b", "y", "z"]);
    case.write(&CatalogueWrite { shows: vec![show("z", "other", 9)], ..CatalogueWrite::default() }).await;
    assert_eq!(case.shows_of("film", Timestamp::MIN, Timestamp::MAX, 10).await, ["a", "b", "y"]);
}

/// The store answers.
pub(crate) async fn the_store_answers(case: Catalogue) {
    case.store.ping().await.unwrap();
}
