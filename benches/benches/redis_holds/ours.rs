//! Shows and holds through the library.

use std::sync::Arc;
use std::time::Duration;

use bms_domain::id::{Caller, HoldId, LayoutId, ShowId, UserId};
use bms_domain::money::{Currency, Money};
use bms_domain::store::{Fence, HoldStore as _, OccupancyRead, PlaceHold, Placed, Restored, SeatLimits, ShowClaims, SoldSeats};
use bms_redis::{Redis, RedisConfig, RedisHolds};
use uuid::Uuid;

use crate::bench::{Bench, Run};

pub(crate) const PREFIX: &str = "bms";
pub(crate) const TTL: Duration = Duration::from_secs(600);
pub(crate) const MOST: u32 = 10;

pub(crate) fn connect(bench: &Bench) -> RedisHolds {
    let config = RedisConfig::new(&bench.server.url()).unwrap().prefix(PREFIX).unwrap();
    // 256 calls on a machine that is busy elsewhere may have to wait for a while.
    let config = config.deadline(Duration::from_secs(30)).unwrap();
    RedisHolds::new(bench.runtime.block_on(Redis::connect(config)).unwrap())
}

pub(crate) fn show(number: usize) -> ShowId {
    ShowId::parse(&format!("show-{number:06}")).unwrap()
}

pub(crate) fn layout() -> LayoutId {
    LayoutId::parse("arena").unwrap()
}

pub(crate) fn user(number: u64) -> UserId {
    UserId::parse(&format!("user-{number:012}")).unwrap()
}

pub(crate) fn price() -> Money {
    Money::new(4_500, Currency::EUR).unwrap()
}

/// An id as the service makes them: random, but for the time and the shard.
pub(crate) fn hold_id(show: &ShowId) -> HoldId {
    HoldId::of(show, Uuid::now_v7())
}

pub(crate) fn request(show: ShowId, owner: UserId, seats: impl IntoIterator<Item = u32>) -> PlaceHold {
    PlaceHold {
        id: hold_id(&show),
        show,
        layout: layout(),
        owner,
        seats: seats.into_iter().collect(),
        price: price(),
        ttl: TTL,
        limits: SeatLimits { per_hold: MOST, per_user_and_show: MOST },
    }
}

/// One pair of seats each, of as many users: pair after pair, taking turns between the shows.
pub(crate) fn pairs(shows: &[ShowId], holds: u64) -> Vec<PlaceHold> {
    let turns = shows.len() as u64;
    let request = |number: u64| {
        let (turn, show) = (u32::try_from(number / turns).unwrap(), shows[usize::try_from(number % turns).unwrap()]);
        request(show, user(number), [2 * turn, 2 * turn + 1])
    };
    (0..holds).map(request).collect()
}

pub(crate) async fn prime(holds: &RedisHolds, show: ShowId, seats: u32, sold: Vec<SoldSeats>) {
    let fence = match holds.occupancy(&show).await.unwrap() {
        OccupancyRead::NotPrimed(fence) => fence,
        OccupancyRead::Known(known) => known.fence,
    };
    let claims = ShowClaims { show, layout: layout(), seats, sold, pending: Vec::new(), grace: Duration::ZERO };
    let restored = holds.restore(&claims, Fence { ..fence }).await.unwrap();
    assert!(matches!(restored, Restored::Done { .. }), "{restored:?}");
}

/// Primes shows of which nothing is sold.
pub(crate) fn prime_all(bench: &Bench, holds: &RedisHolds, shows: &[ShowId], seats: u32) {
    let (holds, shows) = (holds.clone(), Arc::<[ShowId]>::from(shows));
    bench.run(shows.len() as u64, move |number| {
        let (holds, show) = (holds.clone(), shows[usize::try_from(number).unwrap()]);
        async move { prime(&holds, show, seats, Vec::new()).await }
    });
}

/// What comes of every request is as expected.
pub(crate) fn place(bench: &Bench, holds: &RedisHolds, requests: &Arc<[PlaceHold]>, expected: fn(&Placed) -> bool) -> Run {
    let (holds, requests) = (holds.clone(), Arc::clone(requests));
    bench.run(requests.len() as u64, move |number| {
        let (holds, requests) = (holds.clone(), Arc::clone(&requests));
        async move {
            let placed = holds.place(&requests[usize::try_from(number).unwrap()]).await.unwrap();
            assert!(expected(&placed), "{placed:?}");
        }
    })
}

pub(crate) fn granted(placed: &Placed) -> bool {
    matches!(placed, Placed::Placed(_))
}

pub(crate) fn refused(placed: &Placed) -> bool {
    matches!(placed, Placed::Taken(seats) if seats.len() == 2)
}

pub(crate) fn owner(request: &PlaceHold) -> Caller {
    Caller::user(request.owner.clone())
}
