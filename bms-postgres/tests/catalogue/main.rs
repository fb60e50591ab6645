//! What only this catalogue can get wrong, on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod constraints;
mod import;
mod listings;
mod replica;
#[path = "../support/mod.rs"]
mod support;
mod values;
mod writers;

use bms_domain::id::{MovieId, TheatreId};
use bms_domain::store::{CatalogueStore as _, CatalogueWrite, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_postgres::PostgresCatalogue;

use support::{Case, case};

fn movie_id(id: &str) -> MovieId {
    MovieId::parse(id).unwrap()
}

fn theatre_id(id: &str) -> TheatreId {
    TheatreId::parse(id).unwrap()
}

/// A catalogue with the show `s1` of ten seats.
async fn a_catalogue(clock: &ManualClock) -> (Case, PostgresCatalogue, CatalogueWrite) {
    let case = case(clock).await;
    let catalogue = PostgresCatalogue::new(case.postgres.clone());
    let entries = sample::catalogue("s1", 10, bms_domain::time::Clock::now(clock));
    catalogue.write(&entries).await.unwrap();
    (case, catalogue, entries)
}

/// What a refusal says, which has to name what is wrong.
fn refusal(written: Result<(), StoreError>) -> String {
    match written.unwrap_err() {
        StoreError::Broken { detail, .. } => detail,
        other => unreachable!("{other:?}"),
    }
}
