//! The seat map: which seats of a show can be had.

mod cache;
mod primes;

use std::sync::Arc;

use futures::FutureExt as _;

use super::BookingService;
use super::holds::PRIME_ATTEMPTS;
use crate::catalogue::Listing;
use crate::error::Error;
use crate::id::ShowId;
use crate::seat::SeatBits;
use crate::store::{Changes, Fence, Occupancy, OccupancyRead, Restored, ShowClaims};
pub(super) use cache::MapCache;
pub use cache::SeatMapReads;
use cache::{Found, Reading, Wanted};
pub(super) use primes::Primes;

/// A show's seats at one moment. Says nothing of who holds or owns a seat.
#[derive(Clone, Debug, PartialEq)]
pub struct SeatMap {
    /// The show's listing.
    pub listing: Arc<Listing>,
    /// Grows with every change of the occupancy.
    pub version: u64,
    /// Seats that are sold, or not for sale.
    pub unavailable: SeatBits,
    /// Seats under a live hold. Never one that is unavailable.
    pub held: SeatBits,
}

impl SeatMap {
    /// How many seats can be had.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.listing.layout().seat_count().saturating_sub(self.unavailable.count() + self.held.count())
    }

    fn shows_the_same_as(&self, other: &Self) -> bool {
        self.version == other.version && self.unavailable == other.unavailable && self.held == other.held
    }
}

impl BookingService {
    /// Which seats of a show can be had, perhaps as they were read a moment ago: for a show whose seats change no longer
    /// than [`Policy::busy_map_life`](super::Policy::busy_map_life), for a quiet one no longer than
    /// [`Policy::quiet_map_life`](super::Policy::quiet_map_life), counted from the beginning of the reading. What was
    /// changed through this service, and what the hold store has been [told](crate::store::HoldStore::newest) of, is
    /// never missing. Callers who come together share one reading, and its error.
    ///
    /// # Errors
    /// `NotFound` (the show), `Unavailable`.
    pub async fn seat_map(&self, show: &ShowId) -> Result<Arc<SeatMap>, Error> {
        let maps = &self.shared.maps;
        if maps.is_off() {
            return self.seat_map_fresh(show).await;
        }
        // Only what is kept can be out of date: nobody has the hold store listen for shows that do not exist.
        let newest = if maps.keeps(show) { self.holds().newest(show) } else { None };
        let wanted = maps.wanted(show, self.shared.clock.now(), newest);
        if let Some(map) = maps.find(show, &wanted) {
            maps.count_shared();
            return Ok(map);
        }
        self.read_for(show, &wanted).await
    }

    /// Which seats of a show can be had now. The hold store is read first and the durable store second, and the durable
    /// store wins: a seat that was confirmed before this call began is never shown free (promise P12). Callers who come
    /// together share a reading that began after all of them had called, and its error.
    ///
    /// # Errors
    /// `NotFound` (the show), `Unavailable`.
    pub async fn seat_map_fresh(&self, show: &ShowId) -> Result<Arc<SeatMap>, Error> {
        self.read_for(show, &self.shared.maps.fresh()).await
    }

    /// How often seat maps were asked for, and how often the stores were read for them.
    #[must_use]
    pub fn seat_map_reads(&self) -> SeatMapReads {
        self.shared.maps.reads()
    }

    async fn read_for(&self, show: &ShowId, wanted: &Wanted) -> Result<Arc<SeatMap>, Error> {
        let mut began = false;
        // Twice at most: a reading that was under way may have begun too early to have seen what is wanted; the next one
        // began after this call.
        let map = loop {
            match self.find_or_fly(show, wanted) {
                Found::Kept(map) => break map,
                Found::Flight { flight, is_new } => {
                    began |= is_new;
                    let reading = flight.await.map_err(Error::of_all)?;
                    if wanted.is_met_by(&reading) {
                        break reading.map.clone();
                    }
                }
            }
        };
        if !began {
            self.shared.maps.count_shared();
        }
        Ok(map)
    }

    fn find_or_fly(&self, show: &ShowId, wanted: &Wanted) -> Found {
        self.shared.maps.find_or_fly(show, wanted, |number| {
            let landing = Landing { service: self.clone(), show: *show, number };
            async move { landing.service.read_and_keep(&landing.show).await.map_err(Arc::new) }.boxed()
        })
    }

    async fn read_and_keep(&self, show: &ShowId) -> Result<Arc<Reading>, Error> {
        let maps = &self.shared.maps;
        let began = maps.begin(show, self.shared.clock.now());
        let map = self.read_seats(show).await?;
        // From now on the hold store may listen for changes.
        self.holds().newest(show);
        Ok(maps.keep(show, began, map))
    }

    async fn read_seats(&self, show: &ShowId) -> Result<SeatMap, Error> {
        let listing = self.listing(show).await?;
        let mut occupancy = self.occupancy(&listing).await?;
        let mut unavailable = self.of_orders(self.orders().sold(show, listing.layout().seat_count())).await?;
        let mut stray = occupancy.sold.clone();
        stray.subtract(&unavailable);
        if stray.count() > 0 {
            // Cancelled, and the hold store has missed it: nobody could have these seats, so it is told now.
            self.reconcile(show).await?;
            occupancy = self.occupancy(&listing).await?;
            unavailable.union_with(&occupancy.sold);
        }
        unavailable.union_with(listing.blocked());
        let mut held = occupancy.held;
        held.subtract(&unavailable);
        Ok(SeatMap { listing, version: occupancy.version, unavailable, held })
    }

    /// The changes of a show's occupancy after a version, for live maps. Waits until there is one, without a deadline: the
    /// caller bounds it, and calls again now and then to see what has expired meanwhile.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn seat_changes(&self, show: &ShowId, after: u64) -> Result<Changes, Error> {
        Ok(self.holds().changes(show, after).await?)
    }

    /// The hold store's word on a show, after priming it if it must be.
    async fn occupancy(&self, listing: &Arc<Listing>) -> Result<Occupancy, Error> {
        let show = &listing.show().show_id;
        for _ in 0..PRIME_ATTEMPTS {
            match self.of_holds(self.holds().occupancy(show)).await? {
                // A map of another plan: the catalogue has moved on, and nothing of the old plan was sold.
                OccupancyRead::Known(known) if known.layout != listing.layout().id() => {
                    self.prime_together(listing, known.fence).await?;
                }
                OccupancyRead::Known(known) => return Ok(known),
                OccupancyRead::NotPrimed(fence) => self.prime_together(listing, fence).await?,
            }
        }
        Err(Error::Unavailable { dependency: "the hold store", source: None })
    }

    /// Restores what the durable store knows of a show, which the hold store does not. Everybody finds that out at once, and
    /// for a show that is nearly sold out it is much: callers who come together share one restoring, and its error.
    pub(super) async fn prime_together(&self, listing: &Arc<Listing>, fence: Fence) -> Result<(), Error> {
        let plan = (listing.show().show_id, listing.layout().id());
        let priming = self.shared.primes.find_or_begin(plan, || {
            let (service, listing) = (self.clone(), listing.clone());
            async move { service.prime(&listing, fence).await.map(|_| ()).map_err(Arc::new) }.boxed()
        });
        priming.await.map_err(Error::of_all)
    }

    /// Restores what the durable store knows of a show into the hold store (promise P10). Says what that added and freed.
    pub(super) async fn prime(&self, listing: &Listing, mut fence: Fence) -> Result<(u32, u32), Error> {
        let show = &listing.show().show_id;
        for _ in 0..PRIME_ATTEMPTS {
            let (sold, pending) = self.of_orders(self.orders().claims(show)).await?;
            let claims = ShowClaims {
                show: *show,
                layout: listing.layout().id(),
                seats: listing.layout().seat_count(),
                sold,
                pending,
                grace: self.policy().checkout_grace,
            };
            match self.of_holds(self.holds().restore(&claims, fence)).await? {
                Restored::Done { added, freed } => return Ok((added, freed)),
                Restored::Stale(newer) => fence = newer,
            }
        }
        Err(Error::Unavailable { dependency: "the hold store", source: None })
    }
}

/// Takes a flight off the list when it has ended, however that is.
struct Landing {
    service: BookingService,
    show: ShowId,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.service.shared.maps.land(&self.show, self.number);
    }
}
