//! Shows that are sold as they were read a moment ago.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bms_domain::catalogue::{Show, ShowStatus};
use bms_domain::store::{CatalogueStore as _, CatalogueWrite, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::Clock as _;
use bms_postgres::PostgresCatalogue;
use futures::future::join_all;

use super::a_catalogue;
use super::support::case_with;

/// For how long a show is sold as it was read, by default.
const LIFE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(1);
/// Lets nobody else read a show.
const LOCK: &str = "lock table bms.shows in access exclusive mode";

async fn status(catalogue: &PostgresCatalogue) -> ShowStatus {
    catalogue.show(&sample::show("s1")).await.unwrap().unwrap().show().status
}

fn with_status(entries: &CatalogueWrite, status: ShowStatus) -> CatalogueWrite {
    CatalogueWrite { shows: vec![Show { status, ..entries.shows[0].clone() }], ..CatalogueWrite::default() }
}

#[tokio::test]
async fn another_processes_change_is_seen_when_the_time_is_over() {
    let clock = ManualClock::new();
    let (case, catalogue, entries) = a_catalogue(&clock).await;
    let other = PostgresCatalogue::new(case.postgres.clone());
    assert_eq!(status(&catalogue).await, ShowStatus::OnSale);
    other.write(&with_status(&entries, ShowStatus::Closed)).await.unwrap();
    clock.advance(LIFE - TICK);
    assert_eq!(status(&catalogue).await, ShowStatus::OnSale);
    clock.advance(TICK);
    assert_eq!(status(&catalogue).await, ShowStatus::Closed);
    // Hand-written SQL is another process too.
    case.sql("update bms.shows set status = 'CANCELLED'").await.unwrap();
    assert_eq!(status(&catalogue).await, ShowStatus::Closed);
    clock.set(clock.now().minus(TICK));
    assert_eq!(status(&catalogue).await, ShowStatus::Cancelled, "the clock was set back: nobody knows how old it is");
}

#[tokio::test]
async fn ones_own_change_is_seen_at_once() {
    let (_case, catalogue, entries) = a_catalogue(&ManualClock::new()).await;
    assert_eq!(status(&catalogue).await, ShowStatus::OnSale);
    catalogue.clone().write(&with_status(&entries, ShowStatus::Closed)).await.unwrap();
    assert_eq!(status(&catalogue).await, ShowStatus::Closed);
    let mut theatre = entries.theatres[0].clone();
    theatre.name = "The New Odeon".to_owned();
    catalogue.write(&CatalogueWrite { theatres: vec![theatre.clone()], ..CatalogueWrite::default() }).await.unwrap();
    assert_eq!(**catalogue.show(&sample::show("s1")).await.unwrap().unwrap().theatre(), theatre);
}

#[tokio::test]
async fn a_show_is_read_once_for_all_who_ask_within_its_time() {
    let clock = ManualClock::new();
    let (case, ..) = a_catalogue(&clock).await;
    let catalogue = PostgresCatalogue::new(case.postgres.clone());
    let id = sample::show("s1");
    let lock = case.schema.open(LOCK).await;
    let mut asked = Box::pin(join_all((0..20).map(|_| catalogue.show(&id))));
    assert!(futures::poll!(&mut asked).is_pending());
    lock.rollback().await.unwrap();
    let listings: Vec<_> = asked.await.into_iter().map(|listing| listing.unwrap().unwrap()).collect();
    assert!(listings.iter().all(|listing| Arc::ptr_eq(listing, &listings[0])));
    clock.advance(LIFE - TICK);
    // Nobody could read it now.
    let _lock = case.schema.open(LOCK).await;
    assert!(Arc::ptr_eq(&catalogue.show(&id).await.unwrap().unwrap(), &listings[0]));
}

#[tokio::test]
async fn he_who_waits_reads_when_he_who_reads_goes_away() {
    let (case, ..) = a_catalogue(&ManualClock::new()).await;
    let catalogue = PostgresCatalogue::new(case.postgres.clone());
    let id = sample::show("s1");
    let lock = case.schema.open(LOCK).await;
    let (mut first, mut second) = (Box::pin(catalogue.show(&id)), Box::pin(catalogue.show(&id)));
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
    drop(first);
    lock.rollback().await.unwrap();
    assert!(second.await.unwrap().is_some());
}

#[tokio::test]
async fn nobody_waits_longer_than_his_deadline_for_another() {
    let clock = ManualClock::new();
    let deadline = Duration::from_millis(300);
    let case = case_with(&clock, |config| config.deadline(deadline).unwrap()).await;
    let catalogue = PostgresCatalogue::new(case.postgres.clone());
    catalogue.write(&sample::catalogue("s1", 10, clock.now())).await.unwrap();
    let id = sample::show("s1");
    let lock = case.schema.open(LOCK).await;
    let began = Instant::now();
    let asked = join_all((0..20).map(|_| catalogue.show(&id))).await;
    assert!(asked.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable { .. }))), "{asked:?}");
    assert!(began.elapsed() < deadline * 10, "20 waited one after the other: {:?}", began.elapsed());
    lock.rollback().await.unwrap();
    assert!(catalogue.show(&id).await.unwrap().is_some(), "a failure is not remembered");
}

#[tokio::test]
async fn that_there_is_no_such_show_is_not_remembered() {
    let clock = ManualClock::new();
    let (case, catalogue, entries) = a_catalogue(&clock).await;
    assert_eq!(catalogue.show(&sample::show("s2")).await.unwrap(), None);
    let show = Show { show_id: sample::show("s2"), ..entries.shows[0].clone() };
    let write = CatalogueWrite { shows: vec![show], ..CatalogueWrite::default() };
    PostgresCatalogue::new(case.postgres.clone()).write(&write).await.unwrap();
    assert!(catalogue.show(&sample::show("s2")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_reading_that_began_before_ones_own_write_answers_nobody_after_it() {
    let (case, _, entries) = a_catalogue(&ManualClock::new()).await;
    let catalogue = PostgresCatalogue::new(case.postgres.clone());
    let id = sample::show("s1");
    // Before there is a connection for it.
    let mut early = Box::pin(catalogue.show(&id));
    let lock = case.schema.open(LOCK).await;
    assert!(futures::poll!(&mut early).is_pending());
    lock.rollback().await.unwrap();
    catalogue.write(&with_status(&entries, ShowStatus::Closed)).await.unwrap();
    let early = early.await.unwrap().unwrap();
    let late = catalogue.show(&id).await.unwrap().unwrap();
    assert_eq!(late.show().status, ShowStatus::Closed);
    assert!(!Arc::ptr_eq(&early, &late));
}

#[tokio::test]
async fn with_no_time_every_call_reads() {
    let clock = ManualClock::new();
    let case = case_with(&clock, |config| config.listing_life(Duration::ZERO).unwrap()).await;
    let catalogue = PostgresCatalogue::new(case.postgres.clone());
    catalogue.write(&sample::catalogue("s1", 10, clock.now())).await.unwrap();
    assert_eq!(status(&catalogue).await, ShowStatus::OnSale);
    case.sql("update bms.shows set status = 'CLOSED'").await.unwrap();
    assert_eq!(status(&catalogue).await, ShowStatus::Closed);
    // The seat plan is kept all the same.
    let layout = sample::layout_id("hall-1");
    let (once, again) = (catalogue.layout(&layout).await.unwrap(), catalogue.layout(&layout).await.unwrap());
    assert!(Arc::ptr_eq(&once.unwrap(), &again.unwrap()));
}
