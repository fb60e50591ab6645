//! Lists from a replica, and what is sold from the primary.

use std::sync::Arc;

use bms_domain::catalogue::{Show, ShowStatus};
use bms_domain::store::{CatalogueStore as _, CatalogueWrite, MovieQuery};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::{Clock as _, Timestamp};
use bms_postgres::testing::Server;
use bms_postgres::{Postgres, PostgresCatalogue, PostgresConfig};

use super::movie_id;

/// The movies, and the statuses of the shows of the first, as lists tell them.
async fn listed(catalogue: &PostgresCatalogue) -> (usize, Vec<ShowStatus>) {
    let movies = catalogue.movies(&MovieQuery { limit: 10, ..MovieQuery::default() }).await.unwrap();
    let shows = catalogue.shows(&movie_id("film"), Timestamp::MIN, Timestamp::MAX, 10).await.unwrap();
    (movies.len(), shows.iter().map(|listing| listing.show().status).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_from_the_replica_and_what_is_sold_from_the_primary() {
    let primary = tokio::task::block_in_place(|| Server::start().unwrap());
    let clock = ManualClock::new();
    let config = PostgresConfig::new(&primary.url()).unwrap();
    Postgres::migrate(&config).await.unwrap();
    let replica = tokio::task::block_in_place(|| primary.replica().unwrap());
    let config = config.catalogue_replica(&replica.url()).unwrap();
    let postgres = Postgres::connect(&config).await.unwrap().with_clock(Arc::new(clock.clone()));
    let catalogue = PostgresCatalogue::new(postgres);
    let entries = sample::catalogue("s1", 10, clock.now());
    catalogue.write(&entries).await.unwrap();
    tokio::task::block_in_place(|| {
        replica.wait_for(&primary).unwrap();
        replica.psql("select pg_wal_replay_pause()").unwrap();
    });
    let closed = Show { status: ShowStatus::Closed, ..entries.shows[0].clone() };
    let write = CatalogueWrite { shows: vec![closed.clone()], movies: vec![sample::movie("other")], ..CatalogueWrite::default() };
    catalogue.write(&write).await.unwrap();
    // The replica has not heard of it.
    assert_eq!(listed(&catalogue).await, (1, vec![ShowStatus::OnSale]));
    assert!(catalogue.movie(&movie_id("other")).await.unwrap().is_some());
    assert_eq!(catalogue.show(&closed.show_id).await.unwrap().unwrap().show(), &closed);
    tokio::task::block_in_place(|| {
        replica.psql("select pg_wal_replay_resume()").unwrap();
        replica.wait_for(&primary).unwrap();
    });
    assert_eq!(listed(&catalogue).await, (2, vec![ShowStatus::Closed]));
}
