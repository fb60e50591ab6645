//! Writers at the same time.

use bms_domain::catalogue::{Screen, Theatre};
use bms_domain::id::ScreenId;
use bms_domain::store::{CatalogueStore as _, CatalogueWrite, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::Clock as _;
use bms_postgres::PostgresCatalogue;
use futures::future::join_all;

use super::support::case;
use super::{a_catalogue, theatre_id};

fn screen(id: &str) -> Screen {
    Screen { screen: ScreenId::parse(id).unwrap(), name: id.to_owned(), layout_id: sample::layout_id("hall-1") }
}

/// Writes each from a process of its own, all at once.
async fn race(catalogues: &[PostgresCatalogue], writes: Vec<CatalogueWrite>) -> Vec<Result<(), StoreError>> {
    let tasks = writes.into_iter().zip(catalogues.iter().cycle().cloned());
    let tasks = tasks.map(|(write, catalogue)| tokio::spawn(async move { catalogue.write(&write).await }));
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_plan_wins_when_many_write_one_id() {
    let case = case(&ManualClock::new()).await;
    for round in 0..10 {
        let catalogues: Vec<_> = (0..8).map(|_| PostgresCatalogue::new(case.postgres.clone())).collect();
        let id = format!("hall-{round}");
        let write = |n: u32| CatalogueWrite {
            // Two of them bring the same plan.
            layouts: vec![sample::layout(&id, 1 + n / 2)],
            movies: vec![sample::movie(&format!("m{}", n / 2))],
            ..CatalogueWrite::default()
        };
        let written = race(&catalogues, (0..8).map(write).collect()).await;
        let kept = PostgresCatalogue::new(case.postgres.clone()).layout(&sample::layout_id(&id)).await.unwrap().unwrap();
        for (n, written) in (0_u32..).zip(written) {
            if 1 + n / 2 == kept.seat_count() {
                written.unwrap();
            } else {
                assert!(super::refusal(written).contains(&id));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_theatre_has_the_screens_of_one_writer() {
    let (case, _, entries) = a_catalogue(&ManualClock::new()).await;
    let catalogues: Vec<_> = (0..6).map(|_| PostgresCatalogue::new(case.postgres.clone())).collect();
    for round in 0..20 {
        let house = |n: usize| Theatre {
            name: format!("{round}-{n}"),
            screens: vec![screen("one"), screen(&format!("x{n}"))],
            ..entries.theatres[0].clone()
        };
        let write = |n| CatalogueWrite { theatres: vec![house(n)], ..CatalogueWrite::default() };
        race(&catalogues, (0..6).map(write).collect()).await.into_iter().for_each(|written| written.unwrap());
        let theatre = catalogues[0].theatre(&theatre_id("odeon")).await.unwrap().unwrap();
        assert!((0..6).any(|n| *theatre == house(n)), "{theatre:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_show_is_put_on_a_screen_that_goes() {
    let clock = ManualClock::new();
    let (case, catalogue, entries) = a_catalogue(&clock).await;
    let catalogues: Vec<_> = (0..2).map(|_| PostgresCatalogue::new(case.postgres.clone())).collect();
    for round in 0..30 {
        let two = Theatre { screens: vec![screen("one"), screen("two")], ..entries.theatres[0].clone() };
        catalogue.write(&CatalogueWrite { theatres: vec![two.clone()], ..CatalogueWrite::default() }).await.unwrap();
        let mut show = entries.shows[0].clone();
        show.screen = ScreenId::parse("two").unwrap();
        show.show_id = sample::show(&format!("r{round}"));
        let put = CatalogueWrite { shows: vec![show.clone()], ..CatalogueWrite::default() };
        let close = CatalogueWrite { theatres: vec![entries.theatres[0].clone()], ..CatalogueWrite::default() };
        let written = race(&catalogues, vec![put, close]).await;
        let (put, closed) = (written[0].is_ok(), written[1].is_ok());
        assert!(put != closed, "{written:?}");
        for refused in written.into_iter().filter(Result::is_err) {
            let refusal = super::refusal(refused);
            assert!(refusal.contains(&format!("r{round}")) && refusal.contains("two"), "{refusal}");
        }
        // Whoever won, every show that is there can be sold.
        let listed = catalogue.shows(&super::movie_id("film"), clock.now(), bms_domain::time::Timestamp::MAX, 100).await.unwrap();
        assert_eq!(listed.iter().any(|listing| listing.show().show_id == show.show_id), put);
        if put {
            show.screen = ScreenId::parse("one").unwrap();
            catalogue.write(&CatalogueWrite { shows: vec![show], ..CatalogueWrite::default() }).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_show_may_leave_a_screen_as_it_goes() {
    let (_case, catalogue, entries) = a_catalogue(&ManualClock::new()).await;
    let mut theatre = entries.theatres[0].clone();
    theatre.screens = vec![screen("two")];
    let alone = CatalogueWrite { theatres: vec![theatre.clone()], ..CatalogueWrite::default() };
    let refusal = super::refusal(catalogue.write(&alone).await);
    assert!(refusal.contains("s1") && refusal.contains("one"), "{refusal}");
    let mut show = entries.shows[0].clone();
    show.screen = ScreenId::parse("two").unwrap();
    catalogue.write(&CatalogueWrite { shows: vec![show.clone()], ..alone }).await.unwrap();
    let listing = catalogue.show(&show.show_id).await.unwrap().unwrap();
    assert_eq!((listing.show(), &**listing.theatre()), (&show, &theatre));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_waits_for_is_done_or_not_done() {
    let clock = ManualClock::new();
    let (case, _, entries) = a_catalogue(&clock).await;
    let halves = "select from bms.movies m where not exists (select from bms.shows s where s.movie_id = m.id)";
    for polls in 1..40 {
        let catalogue = PostgresCatalogue::new(case.postgres.clone());
        let movie = sample::movie(&format!("m{polls}"));
        let mut show = entries.shows[0].clone();
        show.show_id = sample::show(&format!("p{polls}"));
        show.movie_id = movie.movie_id;
        let write = CatalogueWrite { movies: vec![movie.clone()], shows: vec![show.clone()], ..CatalogueWrite::default() };
        {
            let mut writing = std::pin::pin!(catalogue.write(&write));
            for _ in 0..polls {
                if futures::poll!(&mut writing).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // In one snapshot, whatever is still under way on the server: both or neither.
        assert_eq!(case.sql(halves).await, Ok(0));
        catalogue.write(&write).await.unwrap();
        assert!(catalogue.movie(&movie.movie_id).await.unwrap().is_some());
        assert_eq!(catalogue.show(&show.show_id).await.unwrap().unwrap().show(), &show);
    }
}
