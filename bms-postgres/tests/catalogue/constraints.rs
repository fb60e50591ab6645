//! Hand-written SQL cannot break what the catalogue promises; and what it can break is not sold.

use bms_domain::store::{CatalogueStore as _, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_postgres::{Error, Postgres, PostgresCatalogue};

use super::a_catalogue;

#[tokio::test]
async fn hand_written_sql_is_refused_by_a_constraint() {
    let (case, catalogue, entries) = a_catalogue(&ManualClock::new()).await;
    for (sql, constraint) in [
        ("update bms.shows set price_amounts = array[-1]", "shows_amounts"),
        ("update bms.shows set price_amounts = array[9007199254740992]", "shows_amounts"),
        ("update bms.shows set price_amounts = array[null::bigint]", "shows_prices"),
        ("update bms.shows set price_amounts = '{}'", "shows_prices"),
        ("update bms.shows set price_amounts = '{1,2}'", "shows_prices"),
        ("update bms.shows set currency = 'eur'", "shows_currency_check"),
        ("update bms.shows set status = 'OPEN'", "shows_status_check"),
        ("update bms.shows set movie_id = 'none'", "shows_movie"),
        ("update bms.shows set screen_id = 'none'", "shows_screen"),
        ("update bms.shows set theatre_id = 'none'", "shows_screen"),
        ("update bms.shows set layout_id = 'none'", "shows_layout"),
        ("update bms.shows set id = 'a b'", "shows_id_check"),
        ("delete from bms.movies", "shows_movie"),
        ("delete from bms.screens", "shows_screen"),
        ("delete from bms.theatres", "screens_theatre"),
        ("update bms.screens set id = 'two'", "shows_screen"),
        ("update bms.layouts set plan = plan", "23000"),
        ("delete from bms.layouts", "shows_layout"),
        ("truncate bms.layouts cascade", "23000"),
        ("update bms.theatres set version = 0", "theatres_as_read"),
    ] {
        assert_eq!(case.sql(sql).await.unwrap_err(), constraint, "{sql}");
    }
    assert_eq!(case.sql("delete from bms.shows").await, Ok(1));
    assert_eq!(case.sql("delete from bms.layouts").await.unwrap_err(), "23000", "a plan that no show has is kept too");
    catalogue.write(&entries).await.unwrap();
    assert_eq!(catalogue.show(&sample::show("s1")).await.unwrap().unwrap().show(), &entries.shows[0]);
}

#[tokio::test]
async fn a_show_that_does_not_fit_its_plan_is_not_sold() {
    let (case, ..) = a_catalogue(&ManualClock::new()).await;
    for sql in ["update bms.shows set price_categories = '{moon}'", "update bms.shows set blocked_seats = '{Z9}'"] {
        case.sql(sql).await.unwrap();
        let read = PostgresCatalogue::new(case.postgres.clone()).show(&sample::show("s1")).await;
        assert!(matches!(&read, Err(StoreError::Broken { detail, .. }) if detail.contains("s1")), "{read:?}");
    }
}

#[tokio::test]
async fn a_schema_without_a_guard_of_the_catalogue_is_refused() {
    for (sql, guard) in [
        ("alter table bms.shows drop constraint shows_screen", "shows.shows_screen"),
        ("alter table bms.theatres drop constraint theatres_as_read", "theatres.theatres_as_read"),
        ("drop trigger layouts_never_change on bms.layouts", "layouts.layouts_never_change"),
    ] {
        let (case, ..) = a_catalogue(&ManualClock::new()).await;
        case.sql(sql).await.unwrap();
        let refused = Postgres::connect(&case.config).await.unwrap_err();
        assert!(matches!(&refused, Error::Damaged { missing, .. } if missing[..] == [guard]), "{refused:?}");
    }
}
