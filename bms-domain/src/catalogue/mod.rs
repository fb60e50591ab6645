//! What is on sale: movies, theatres and shows.

mod check;
pub mod document;
mod numbers;
pub mod plan;

use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::id::{CategoryId, LayoutId, MovieId, ScreenId, SeatId, ShowId, TheatreId};
use crate::layout::Layout;
use crate::money::{Currency, Money, MoneyError};
use crate::seat::{SeatBits, SeatSet};
use crate::time::Timestamp;

pub use document::{
    CatalogueDocument, Days, DocumentError, Existing, MovieEntry, References, Schedule, ScreenEntry, ScreenLayout, ShowEntry,
    TheatreEntry,
};
pub use plan::{ArcPlan, LinePlan, ListError, PlacedSeat, PlanError, Repeat, RowFault, RowPlan, SeatPlan, SectionPlan, Step};

/// A film, play or concert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Movie {
    /// Its id.
    pub movie_id: MovieId,
    /// Its title.
    pub title: String,
    /// Its length in minutes.
    pub duration_minutes: u32,
    /// The language that is spoken, as a BCP 47 tag such as `en`.
    pub language: String,
    /// Its genres.
    pub genres: Vec<String>,
    /// The age certificate, such as `PG-13`.
    pub certificate: String,
    /// Where its poster is.
    pub poster_url: Option<String>,
    /// What it is about.
    pub synopsis: String,
}

/// A venue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Theatre {
    /// Its id.
    pub theatre_id: TheatreId,
    /// Its name.
    pub name: String,
    /// Its city.
    pub city: String,
    /// Its IANA time zone: a day of its programme is a day there.
    pub time_zone: Tz,
    /// Its screens.
    pub screens: Vec<Screen>,
}

/// A screen (hall, stage) of a theatre, with the seat plan that new shows get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Screen {
    /// Its id, unique in its theatre.
    pub screen: ScreenId,
    /// Its name.
    pub name: String,
    /// The seat plan that new shows are put on sale with.
    pub layout_id: LayoutId,
}

/// Whether a show's seats can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ShowStatus {
    /// Announced; sales have not been opened.
    Scheduled,
    /// On sale until it starts.
    OnSale,
    /// Sales were closed by hand.
    Closed,
    /// It will not take place.
    Cancelled,
}

/// One screening or performance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Show {
    /// Its id.
    pub show_id: ShowId,
    /// What is shown.
    pub movie_id: MovieId,
    /// Where.
    pub theatre_id: TheatreId,
    /// On which screen.
    pub screen: ScreenId,
    /// The seat plan it is sold with.
    pub layout_id: LayoutId,
    /// When it starts. Sales end then.
    pub start_time: Timestamp,
    /// When sales open, if not at once.
    pub sales_open_at: Option<Timestamp>,
    /// Whether its seats can be had.
    pub status: ShowStatus,
    /// A price for each category of the layout, all in one currency.
    pub prices: Vec<Price>,
    /// Seats that are not for sale (house seats, broken ones).
    pub blocked_seats: Vec<SeatId>,
}

/// What a seat of a category costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    /// The category.
    pub category: CategoryId,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: Currency,
}

/// Why a show's seats cannot be had now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SalesClosed {
    /// Sales have not been opened yet.
    #[error("sales have not opened yet")]
    NotOpenYet,
    /// Sales were closed by hand.
    #[error("sales are closed")]
    Closed,
    /// The show was cancelled.
    #[error("the show is cancelled")]
    Cancelled,
    /// The show has started.
    #[error("the show has started")]
    Started,
}

/// Why a show does not fit its theatre, its layout or itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
    /// The theatre has no such screen.
    #[error("the theatre has no screen {0}")]
    UnknownScreen(ScreenId),
    /// A category of the layout has no price.
    #[error("category {0} has no price")]
    NoPrice(CategoryId),
    /// A price for a category that the layout does not have, or a second one.
    #[error("the price of category {0} is for no category of the layout, or is there twice")]
    StrayPrice(CategoryId),
    /// A price that is no amount, or prices in two currencies.
    #[error("category {0}: {1}")]
    BadPrice(CategoryId, MoneyError),
    /// A blocked seat that the layout does not have.
    #[error("blocked seat {0} is not in the layout")]
    UnknownBlockedSeat(SeatId),
}

/// A show with all that is needed to sell it: its theatre, its layout and its prices, checked against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    show: Show,
    theatre: Arc<Theatre>,
    layout: Arc<Layout>,
    /// By position of the layout's category.
    prices: Vec<Money>,
    blocked: SeatBits,
}

impl Listing {
    /// Puts a show together with its theatre and its layout.
    ///
    /// # Errors
    /// [`ShowError`] names what does not fit.
    pub fn new(show: Show, theatre: Arc<Theatre>, layout: Arc<Layout>) -> Result<Self, ShowError> {
        if !theatre.screens.iter().any(|screen| screen.screen == show.screen) {
            return Err(ShowError::UnknownScreen(show.screen));
        }
        let categories = &layout.plan().categories;
        let mut prices: Vec<Option<Money>> = vec![None; categories.len()];
        let mut first: Option<Money> = None;
        for price in &show.prices {
            let money = Money::new(price.amount, price.currency).map_err(|error| ShowError::BadPrice(price.category, error))?;
            if let Some(first) = first
                && first.currency() != money.currency()
            {
                let mixed = MoneyError::MixedCurrencies(first.currency(), money.currency());
                return Err(ShowError::BadPrice(price.category, mixed));
            }
            first = Some(money);
            let slot = categories.iter().position(|category| category.category == price.category);
            match slot.and_then(|slot| prices.get_mut(slot)) {
                Some(slot @ None) => *slot = Some(money),
                _ => return Err(ShowError::StrayPrice(price.category)),
            }
        }
        let prices = categories
            .iter()
            .zip(prices)
            .map(|(category, price)| price.ok_or(ShowError::NoPrice(category.category)))
            .collect::<Result<_, _>>()?;
        let mut blocked = SeatBits::new(layout.seat_count());
        for seat in &show.blocked_seats {
            blocked.insert(layout.index_of(seat).ok_or(ShowError::UnknownBlockedSeat(*seat))?);
        }
        Ok(Self { show, theatre, layout, prices, blocked })
    }

    /// The show.
    #[must_use]
    pub fn show(&self) -> &Show {
        &self.show
    }

    /// Its theatre.
    #[must_use]
    pub fn theatre(&self) -> &Arc<Theatre> {
        &self.theatre
    }

    /// Its seat plan.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The seats that are not for sale.
    #[must_use]
    pub fn blocked(&self) -> &SeatBits {
        &self.blocked
    }

    /// What seats cost together, by the price list. `None` for no seats, for a seat that the layout does not have, and
    /// for a sum above [`Money::MAX_AMOUNT`].
    #[must_use]
    pub fn price_of(&self, seats: &SeatSet) -> Option<Money> {
        let mut prices = seats.iter().map(|seat| self.prices.get(self.layout.category_of(seat)?).copied());
        let first = prices.next()??;
        prices.try_fold(first, |sum, price| sum.plus(price?).ok())
    }

    /// Whether seats can be had at `now`.
    ///
    /// # Errors
    /// [`SalesClosed`] says why not.
    pub fn check_sales(&self, now: Timestamp) -> Result<(), SalesClosed> {
        match self.show.status {
            ShowStatus::Scheduled => Err(SalesClosed::NotOpenYet),
            ShowStatus::Closed => Err(SalesClosed::Closed),
            ShowStatus::Cancelled => Err(SalesClosed::Cancelled),
            ShowStatus::OnSale if self.show.start_time.has_passed(now) => Err(SalesClosed::Started),
            ShowStatus::OnSale if self.show.sales_open_at.is_some_and(|open| !open.has_passed(now)) => {
                Err(SalesClosed::NotOpenYet)
            }
            ShowStatus::OnSale => Ok(()),
        }
    }

    /// The day on which the show starts, in its theatre's time zone.
    #[must_use]
    pub fn local_date(&self) -> NaiveDate {
        self.show.start_time.to_utc().with_timezone(&self.theatre.time_zone).date_naive()
    }
}
