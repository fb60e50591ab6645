//! Whether what was held and sold of any show is right, by what was asked for and what was confirmed.

use bms_domain::hold::Hold;
use bms_domain::id::{HoldId, ShowId};
use bms_domain::order::Order;
use bms_domain::seat::SeatIndex;
use bms_domain::store::{Counts, HoldStore as _, Occupancy, OccupancyRead, OrderStore as _};

use super::rig::{Rig, SEATS};

impl Rig {
    /// What the hold store says of a show, which is primed.
    pub async fn occupancy(&self, show: &ShowId) -> Occupancy {
        match self.holds.occupancy(show).await.unwrap() {
            OccupancyRead::Known(known) => known,
            OccupancyRead::NotPrimed(_) => panic!("{show} is not primed"),
        }
    }

    /// The live holds among these.
    pub async fn live(&self, ids: &[HoldId]) -> Vec<Hold> {
        self.holds.get(ids).await.unwrap().into_iter().flatten().filter(|hold| hold.state.is_live()).collect()
    }

    /// Fails unless the marks of a show's seats are those of its live holds, which are all among `ids`, no seat is held
    /// twice, and the counts agree.
    pub async fn audit_holds(&self, show: &ShowId, ids: &[HoldId]) {
        let known = self.occupancy(show).await;
        let live = self.live(ids).await;
        let mut held: Vec<SeatIndex> = live.iter().filter(|hold| hold.show == *show).flat_map(|hold| hold.seats.iter()).collect();
        held.sort_unstable();
        assert_eq!(held, known.held.iter().collect::<Vec<_>>(), "{show}: the marks are those of the live holds (P2)");
        let counts = Counts { held: known.held.count(), sold: known.sold.count() };
        assert_eq!(self.holds.counts(&[*show]).await.unwrap(), [Some(counts)]);
    }

    /// Fails unless each seat of a show was sold once (P1), and the hold store, once it was told, knows all that were (P12).
    pub async fn audit_sales(&self, show: &ShowId, confirmed: &[Order]) {
        let confirmed = confirmed.iter().filter(|order| order.show == *show);
        let mut owned: Vec<SeatIndex> = confirmed.flat_map(|order| order.seats.indices().iter().collect::<Vec<_>>()).collect();
        owned.sort_unstable();
        let sold: Vec<SeatIndex> = self.orders.sold(show, SEATS).await.unwrap().iter().collect();
        assert_eq!(sold, owned, "{show}: P1, each seat that was sold was sold once");
        let map = self.service.seat_map_fresh(show).await.unwrap();
        assert_eq!(map.unavailable.iter().collect::<Vec<_>>(), owned, "{show}: P12");
        self.service.reconcile(show).await.unwrap();
        assert_eq!(self.occupancy(show).await.sold.iter().collect::<Vec<_>>(), owned, "{show}: P10");
    }
}
