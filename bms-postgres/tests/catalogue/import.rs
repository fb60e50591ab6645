//! A whole season in one write.

use std::time::{Duration, Instant};

use bms_domain::store::{CatalogueStore as _, CatalogueWrite, MovieQuery};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::{Clock as _, Timestamp};
use bms_postgres::PostgresCatalogue;

use super::movie_id;
use super::support::case;

const MOVIES: usize = 50;
const THEATRES: usize = 20;
const SHOWS: usize = 5_000;

fn season(now: Timestamp) -> CatalogueWrite {
    let layouts: Vec<_> = (0..THEATRES).map(|n| sample::layout(&format!("hall-{n}"), 200)).collect();
    let arena = sample::layout("arena", 20_000);
    let theatre = |n: usize| sample::theatre(&format!("house-{n}"), "Łódź", layouts[n].id());
    let show = |n: usize| {
        let start = now.plus(Duration::from_mins(u64::try_from(n).unwrap()));
        let layout = if n.is_multiple_of(100) { arena.id() } else { layouts[n % THEATRES].id() };
        sample::listed_show(&format!("s{n}"), &format!("m{}", n % MOVIES), &format!("house-{}", n % THEATRES), layout, start)
    };
    CatalogueWrite {
        movies: (0..MOVIES).map(|n| sample::movie(&format!("m{n}"))).collect(),
        theatres: (0..THEATRES).map(theatre).collect(),
        shows: (0..SHOWS).map(show).collect(),
        layouts: layouts.iter().cloned().chain([arena.clone()]).collect(),
    }
}

#[tokio::test]
async fn thousands_of_shows_are_written_in_one_step() {
    let clock = ManualClock::new();
    let case = case(&clock).await;
    let catalogue = PostgresCatalogue::new(case.postgres.clone());
    let mut season = season(clock.now());
    season.shows[SHOWS - 1].prices.clear();
    assert!(super::refusal(catalogue.write(&season).await).contains(&format!("s{}:", SHOWS - 1)));
    assert_eq!(case.sql("select from bms.shows").await, Ok(0));
    season.shows[SHOWS - 1].prices = season.shows[0].prices.clone();

    let began = Instant::now();
    catalogue.write(&season).await.unwrap();
    println!("{SHOWS} shows in {:?}", began.elapsed());
    let began = Instant::now();
    catalogue.write(&season).await.unwrap();
    println!("the same again in {:?}", began.elapsed());

    let other = PostgresCatalogue::new(case.postgres.clone());
    let began = Instant::now();
    let listed = other.shows(&movie_id("m7"), clock.now(), Timestamp::MAX, 1_000).await.unwrap();
    println!("{} shows of a movie in {:?}", listed.len(), began.elapsed());
    assert_eq!(listed.len(), SHOWS / MOVIES);
    for listing in &listed {
        assert_eq!(Some(listing.show()), season.shows.iter().find(|show| show.show_id == listing.show().show_id));
    }
    let query = MovieQuery { city: Some(("łÓDŹ".to_owned(), clock.now())), after: Some(movie_id("m5")), limit: 100 };
    // By bytes: m5 is before m6 and m50.
    assert_eq!(other.movies(&query).await.unwrap().len(), 4);
}
