//! Rows of the catalogue.

use std::sync::Arc;

use bms_domain::catalogue::{Listing, Movie, Price, Screen, Show, ShowStatus, Theatre};
use bms_domain::id::{CategoryId, LayoutId, MovieId, ScreenId, SeatId, ShowId, TheatreId};
use bms_domain::layout::{Layout, LayoutDraft};
use bms_domain::money::Currency;
use bms_domain::store::StoreError;
use bms_domain::time::Timestamp;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;

use crate::codec::{get, instant, parsed, unescaped};
use crate::error::broken;

pub(super) fn movie(row: &PgRow) -> Result<Movie, StoreError> {
    let genres: Vec<String> = get(row, "genres")?;
    Ok(Movie {
        movie_id: parsed(row, "id", MovieId::parse)?,
        title: text(row, "title")?,
        duration_minutes: parsed_number(row, "duration_minutes")?,
        language: text(row, "language")?,
        genres: genres.iter().map(|genre| unescaped(genre).into_owned()).collect(),
        certificate: text(row, "certificate")?,
        poster_url: get::<Option<&str>>(row, "poster_url")?.map(|url| unescaped(url).into_owned()),
        synopsis: text(row, "synopsis")?,
    })
}

/// The theatre of a row of `theatre_records` or `show_records`.
pub(super) fn theatre(row: &PgRow) -> Result<Theatre, StoreError> {
    let ids: Vec<String> = get(row, "screen_ids")?;
    let names: Vec<String> = get(row, "screen_names")?;
    let layouts: Vec<String> = get(row, "screen_layouts")?;
    let screen = |((id, name), layout): ((&String, &String), &String)| {
        Ok(Screen {
            screen: each("screen_ids", id, ScreenId::parse)?,
            name: unescaped(name).into_owned(),
            layout_id: each("screen_layouts", layout, LayoutId::parse)?,
        })
    };
    Ok(Theatre {
        theatre_id: theatre_id(row)?,
        name: text(row, "theatre_name")?,
        city: text(row, "city")?,
        time_zone: parsed(row, "time_zone", str::parse)?,
        screens: ids.iter().zip(&names).zip(&layouts).map(screen).collect::<Result<_, StoreError>>()?,
    })
}

pub(super) fn theatre_id(row: &PgRow) -> Result<TheatreId, StoreError> {
    parsed(row, "theatre_id", TheatreId::parse)
}

pub(super) fn layout(row: &PgRow) -> Result<Layout, StoreError> {
    let id = parsed(row, "id", LayoutId::parse)?;
    let draft: LayoutDraft = serde_json::from_str(get(row, "plan")?).map_err(|error| broken(format!("layout {id}: {error}")))?;
    let layout = Layout::parse(draft).map_err(|error| broken(format!("layout {id}: {error}")))?;
    if layout.id() == id { Ok(layout) } else { Err(broken(format!("layout {id}: its plan is another's"))) }
}

pub(super) fn layout_id(row: &PgRow) -> Result<LayoutId, StoreError> {
    parsed(row, "layout_id", LayoutId::parse)
}

/// The show of a row of `show_records`, ready to be sold.
pub(super) fn listing(row: &PgRow, theatre: Arc<Theatre>, layout: Arc<Layout>) -> Result<Listing, StoreError> {
    let show = show(row)?;
    let id = show.show_id;
    Listing::new(show, theatre, layout).map_err(|error| broken(format!("show {id}: {error}")))
}

fn show(row: &PgRow) -> Result<Show, StoreError> {
    let currency = parsed(row, "currency", |text| Currency::from_code(text).ok_or(()))?;
    let categories: Vec<String> = get(row, "price_categories")?;
    let amounts: Vec<i64> = get(row, "price_amounts")?;
    let price = |(category, amount): (&String, i64)| {
        Ok(Price { category: each("price_categories", category, CategoryId::parse)?, amount, currency })
    };
    let blocked: Vec<String> = get(row, "blocked_seats")?;
    Ok(Show {
        show_id: parsed(row, "show_id", ShowId::parse)?,
        movie_id: parsed(row, "movie_id", MovieId::parse)?,
        theatre_id: theatre_id(row)?,
        screen: parsed(row, "screen_id", ScreenId::parse)?,
        layout_id: layout_id(row)?,
        start_time: instant(row, "start_time")?,
        sales_open_at: get::<Option<DateTime<Utc>>>(row, "sales_open_at")?.map(Timestamp::from),
        status: parsed(row, "status", ShowStatus::parse)?,
        prices: categories.iter().zip(amounts).map(price).collect::<Result<_, StoreError>>()?,
        blocked_seats: blocked.iter().map(|seat| each("blocked_seats", seat, SeatId::parse)).collect::<Result<_, _>>()?,
    })
}

/// A text of somebody's choice.
fn text(row: &PgRow, column: &str) -> Result<String, StoreError> {
    get::<&str>(row, column).map(|text| unescaped(text).into_owned())
}

/// One of the texts of a column.
fn each<T, E>(column: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, StoreError> {
    parse(text).map_err(|_| broken(format!("column {column} makes no sense")))
}

fn parsed_number(row: &PgRow, column: &str) -> Result<u32, StoreError> {
    u32::try_from(get::<i64>(row, column)?).map_err(|_| broken(format!("column {column} is out of range")))
}
