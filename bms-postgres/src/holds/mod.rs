//! Holds.
//!
//! Each operation is a function of the schema (`migrations/0004_holds.sql`), which locks the show, decides by the table of
//! [`bms_domain::hold`] and writes: one round trip, one transaction.

mod feed;
mod restore;
mod row;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use bms_domain::hold::{self, Hold, HoldCommand, HoldLife, HoldState};
use bms_domain::id::{Caller, HoldId, LayoutId, OrderId, ShowId};
use bms_domain::seat::SeatBits;
use bms_domain::store::{
    Changes, Checkout, Counts, HoldChange, HoldStore, Occupancy, OccupancyChange, OccupancyRead, PlaceHold, Placed, Restored,
    ShowClaims, SoldSeats, StoreError,
};
use bms_domain::time::Timestamp;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use tokio::time::timeout_at;

use crate::codec::{escaped, get, instant, number, parsed, seats, shard};
use crate::connection::Postgres;
use crate::error::broken;
use crate::run::{Failed, millis};
use crate::statements::{Query, query, statements};
use feed::{Feeds, Log, Step};
use restore::Told;
use row::{Bits, indices};

/// The most holds that one statement of a sweep retires: it locks their shows meanwhile.
const RETIRED_AT_ONCE: usize = 500;

/// Keeps holds in Postgres, for those who run no Redis (promises P2, P3, P5, P6, P9). Cheap to clone.
///
/// The tables are not written ahead: a crash of the server, or a failover, forgets all holds, and what is sold is read from the
/// claims again before the next hold is granted (promise P10).
///
/// [`changes`](HoldStore::changes) sees what is changed through this handle and its clones within 20 ms, and what other
/// processes change, or what expires, within 250 ms; one of those who wait asks for all of them.
/// [`newest`](HoldStore::newest) says nothing: nobody tells this process of a change.
#[derive(Clone)]
pub struct PostgresHolds {
    postgres: Postgres,
    sql: Arc<HoldSql>,
    feeds: Arc<Feeds>,
}

statements!(
    /// The statements of the hold store.
    HoldSql in "holds":
    begin_checkout, changes, counts, end_checkout, get, give_back, mark_free, mark_sold, occupancy, place, release, restore, sweep
);

impl PostgresHolds {
    /// The holds in this database.
    #[must_use]
    pub fn new(postgres: Postgres) -> Self {
        let sql = Arc::new(HoldSql::new(postgres.schema()));
        Self { postgres, sql, feeds: Arc::default() }
    }

    fn now(&self) -> Option<DateTime<Utc>> {
        self.postgres.now()
    }

    /// Changes something. An answer has one row.
    async fn write<'q>(&self, statement: impl Fn() -> Query<'q>) -> Result<PgRow, StoreError> {
        let rows = self.postgres.write(statement).await.map_err(Failed::unexpected)?;
        rows.into_iter().next().ok_or_else(|| broken("no answer"))
    }

    /// Gives a command to a hold. The function decides and changes; the table says what its answer means.
    async fn command<'q>(
        &self,
        by: Option<&Caller>,
        command: HoldCommand,
        statement: impl Fn() -> Query<'q>,
    ) -> Result<HoldChange, StoreError> {
        let row = self.write(statement).await?;
        let Some(now) = get::<Option<DateTime<Utc>>>(&row, "now")?.map(Timestamp::from) else { return Ok(HoldChange::NotFound) };
        let Some(hold) = row::hold(&row, now)? else { return Ok(HoldChange::NotFound) };
        self.feeds.heard(&hold.show, row::version(&row, "now_version")?);
        if by.is_some_and(|by| !by.may_touch(&hold.owner)) {
            return Ok(HoldChange::NotFound);
        }
        if get(&row, "changed")? {
            return Ok(HoldChange::Done(hold));
        }
        match hold::apply(hold.state, hold.life, command, now) {
            Ok(state) if state == hold.state => Ok(HoldChange::Done(hold)),
            Ok(state) => Err(broken(format!("hold {}: {} was not made {}", hold.id, hold.state.name(), state.name()))),
            Err(refusal) => Ok(HoldChange::Refused(hold, refusal)),
        }
    }

    /// What a show's log says of the time after a version; `None` when not all of it is there.
    async fn log(&self, show: &ShowId, after: u64) -> Result<Option<Log>, StoreError> {
        let Ok(from) = i64::try_from(after) else { return Ok(None) };
        let changes = || query(&self.sql.changes).bind(self.now()).bind(shard(show)).bind(show.as_str().to_owned()).bind(from);
        let rows = self.postgres.read(changes).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let version = row::version(first, "version")?;
        let changes: Vec<OccupancyChange> = rows.iter().filter_map(|row| change(row).transpose()).collect::<Result<_, _>>()?;
        // Each version has its change, but for one that began a new plan.
        let all = version.checked_sub(after).is_some_and(|missing| changes.len() as u64 == missing);
        Ok(all.then_some(Log { version, changes }))
    }
}

/// Whose hold it must be: anybody's for an administrator.
fn owner_of(by: &Caller) -> Option<String> {
    (!by.is_admin()).then(|| escaped(by.id().as_str()).into_owned())
}

fn change(row: &PgRow) -> Result<Option<OccupancyChange>, StoreError> {
    if get::<Option<i64>>(row, "change")?.is_none() {
        return Ok(None);
    }
    let mut change = OccupancyChange { version: row::version(row, "change")?, ..OccupancyChange::default() };
    let seats = seats(get(row, "seats")?)?;
    match get(row, "kind")? {
        "HELD" => change.held = seats,
        "SOLD" => change.sold = seats,
        "FREED" => change.freed = seats,
        other => return Err(broken(format!("a change's kind is {other}"))),
    }
    Ok(Some(change))
}

fn placed(request: &PlaceHold, now: Timestamp) -> Hold {
    let until = now.plus(request.ttl);
    Hold {
        id: request.id,
        show: request.show,
        layout: request.layout,
        owner: request.owner.clone(),
        seats: request.seats.clone(),
        price: request.price,
        life: HoldLife { created_at: now, own_end: until },
        state: HoldState::Held { until, order: None },
    }
}

/// A limit as an argument.
fn limit(seats: u32) -> i32 {
    i32::try_from(seats).unwrap_or(i32::MAX)
}

#[async_trait]
impl HoldStore for PostgresHolds {
    async fn place(&self, request: &PlaceHold) -> Result<Placed, StoreError> {
        let place = || {
            query(&self.sql.place)
                .bind(self.now())
                .bind(shard(&request.show))
                .bind(request.id.uuid())
                .bind(request.show.as_str().to_owned())
                .bind(request.layout.as_str().to_owned())
                .bind(escaped(request.owner.as_str()).into_owned())
                .bind(indices(&request.seats))
                .bind(request.price.amount())
                .bind(request.price.currency().code())
                .bind(millis(request.ttl))
                .bind(limit(request.limits.per_hold))
                .bind(limit(request.limits.per_user_and_show))
        };
        let row = self.write(place).await?;
        let now = instant(&row, "now")?;
        let fence = row::fence(&row, "now_frees", "now_version")?;
        self.feeds.heard(&request.show, fence.version);
        Ok(match get(&row, "did")? {
            "PLACED" => Placed::Placed(placed(request, now)),
            "EXISTING" => Placed::Existing(row::hold(&row, now)?.ok_or_else(|| broken("no hold"))?),
            "ID_TAKEN" => Placed::IdTaken,
            "TAKEN" => Placed::Taken(seats(get(&row, "taken")?)?),
            "TOO_MANY_FOR_HOLD" => Placed::TooMany { limit: request.limits.per_hold },
            "TOO_MANY_FOR_USER" => Placed::TooMany { limit: request.limits.per_user_and_show },
            "NOT_PRIMED" => Placed::NotPrimed(fence),
            other => return Err(broken(format!("hold {}: {other}", request.id))),
        })
    }

    async fn get(&self, ids: &[HoldId]) -> Result<Vec<Option<Hold>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let shards: Vec<i16> = ids.iter().map(|id| number(id.shard())).collect();
        let uuids: Vec<_> = ids.iter().map(HoldId::uuid).collect();
        let get = || query(&self.sql.get).bind(self.now()).bind(shards.clone()).bind(uuids.clone());
        let mut found = HashMap::new();
        for row in self.postgres.read(get).await? {
            if let Some(hold) = row::hold(&row, instant(&row, "now")?)? {
                found.insert(hold.id, hold);
            }
        }
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn release(&self, id: HoldId, by: &Caller) -> Result<HoldChange, StoreError> {
        let release = || query(&self.sql.release).bind(self.now()).bind(number(id.shard())).bind(id.uuid()).bind(owner_of(by));
        self.command(Some(by), HoldCommand::Release, release).await
    }

    async fn begin_checkout(&self, id: HoldId, by: &Caller, checkout: &Checkout) -> Result<HoldChange, StoreError> {
        let Checkout { order, cover, longest_life } = *checkout;
        let begin = || {
            query(&self.sql.begin_checkout)
                .bind(self.now())
                .bind(number(id.shard()))
                .bind(id.uuid())
                .bind(owner_of(by))
                .bind(order.uuid())
                .bind(millis(cover))
                .bind(millis(longest_life))
        };
        self.command(Some(by), HoldCommand::BeginCheckout { order, cover, longest_life }, begin).await
    }

    async fn end_checkout(&self, id: HoldId, order: OrderId) -> Result<HoldChange, StoreError> {
        let end = || query(&self.sql.end_checkout).bind(self.now()).bind(number(id.shard())).bind(id.uuid()).bind(order.uuid());
        self.command(None, HoldCommand::EndCheckout { order }, end).await
    }

    async fn give_back(&self, id: HoldId, order: OrderId, until: Timestamp) -> Result<HoldChange, StoreError> {
        let give_back = || {
            query(&self.sql.give_back)
                .bind(self.now())
                .bind(number(id.shard()))
                .bind(id.uuid())
                .bind(order.uuid())
                .bind(until.to_utc())
        };
        self.command(None, HoldCommand::GiveBack { order, until }, give_back).await
    }

    async fn mark_sold(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        let mark = || {
            query(&self.sql.mark_sold)
                .bind(self.now())
                .bind(shard(&sold.show))
                .bind(sold.show.as_str().to_owned())
                .bind(sold.order.uuid())
                .bind(sold.hold.uuid())
                .bind(escaped(sold.owner.as_str()).into_owned())
                .bind(indices(&sold.seats))
        };
        let row = self.write(mark).await?;
        self.feeds.heard(&sold.show, row::version(&row, "now_version")?);
        Ok(())
    }

    async fn mark_free(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        let mark = || {
            query(&self.sql.mark_free)
                .bind(self.now())
                .bind(shard(&sold.show))
                .bind(sold.show.as_str().to_owned())
                .bind(sold.order.uuid())
                .bind(escaped(sold.owner.as_str()).into_owned())
                .bind(indices(&sold.seats))
        };
        let row = self.write(mark).await?;
        self.feeds.heard(&sold.show, row::version(&row, "now_version")?);
        Ok(())
    }

    async fn restore(&self, claims: &ShowClaims, fence: bms_domain::store::Fence) -> Result<Restored, StoreError> {
        let told = Told::of(claims);
        let of_fence = |part: u64| i64::try_from(part).unwrap_or(-1);
        let restore = || {
            query(&self.sql.restore)
                .bind(self.now())
                .bind(shard(&claims.show))
                .bind(claims.show.as_str().to_owned())
                .bind(of_fence(fence.frees))
                .bind(of_fence(fence.version))
                .bind(claims.layout.as_str().to_owned())
                .bind(limit(claims.seats))
                .bind(told.sales.orders.clone())
                .bind(told.sales.holds.clone())
                .bind(told.sales.owners.clone())
                .bind(told.sales.seats.clone())
                .bind(told.sales.of.clone())
                .bind(told.pending.orders.clone())
                .bind(told.pending.holds.clone())
                .bind(told.pending.owners.clone())
                .bind(told.amounts.clone())
                .bind(told.currencies.clone())
                .bind(told.lasts_ms.clone())
                .bind(told.pending.seats.clone())
                .bind(told.pending.of.clone())
        };
        let row = self.write(restore).await?;
        let fence = row::fence(&row, "now_frees", "now_version")?;
        self.feeds.heard(&claims.show, fence.version);
        if !get::<bool>(&row, "done")? {
            return Ok(Restored::Stale(fence));
        }
        Ok(Restored::Done { added: row::number(&row, "added")?, freed: row::number(&row, "freed")? })
    }

    async fn occupancy(&self, show: &ShowId) -> Result<OccupancyRead, StoreError> {
        let occupancy = || query(&self.sql.occupancy).bind(self.now()).bind(shard(show)).bind(show.as_str().to_owned());
        let rows = self.postgres.read(occupancy).await?;
        let first = rows.first().ok_or_else(|| broken("no answer"))?;
        let fence = row::fence(first, "frees", "version")?;
        self.feeds.heard(show, fence.version);
        if get::<Option<&str>>(first, "layout_id")?.is_none() {
            return Ok(OccupancyRead::NotPrimed(fence));
        }
        let seats = row::number(first, "seats")?;
        let (mut held, mut sold) = (Vec::new(), Vec::new());
        for row in &rows {
            held.extend(get::<Option<Bits>>(row, "held")?.map_or_else(Vec::new, |bits| bits.0));
            sold.extend(get::<Option<Bits>>(row, "sold")?.map_or_else(Vec::new, |bits| bits.0));
        }
        Ok(OccupancyRead::Known(Occupancy {
            version: fence.version,
            layout: parsed(first, "layout_id", LayoutId::parse)?,
            held: SeatBits::from_words(seats, held),
            sold: SeatBits::from_words(seats, sold),
            fence,
        }))
    }

    async fn counts(&self, shows: &[ShowId]) -> Result<Vec<Option<Counts>>, StoreError> {
        if shows.is_empty() {
            return Ok(Vec::new());
        }
        let shards: Vec<i16> = shows.iter().map(shard).collect();
        let names: Vec<String> = shows.iter().map(|show| show.as_str().to_owned()).collect();
        let counts = || query(&self.sql.counts).bind(self.now()).bind(shards.clone()).bind(names.clone());
        let seats = |row: &PgRow, column| u32::try_from(get::<i64>(row, column)?).map_err(|_| broken("a count is negative"));
        let mut found = HashMap::new();
        for row in self.postgres.read(counts).await? {
            let counts = Counts { held: seats(&row, "held")?, sold: seats(&row, "sold")? };
            found.insert(parsed(&row, "show_id", ShowId::parse)?, counts);
        }
        Ok(shows.iter().map(|show| found.get(show).copied()).collect())
    }

    async fn changes(&self, show: &ShowId, after: u64) -> Result<Changes, StoreError> {
        let feed = self.feeds.follow(show);
        loop {
            // Listen first, then look: what changes in between rings the bell.
            let mut bell = pin!(feed.bell.notified());
            bell.as_mut().enable();
            match feed.step(after) {
                Step::Give(changes) => return Ok(changes),
                Step::Ask => match self.log(show, after).await? {
                    Some(log) => {
                        feed.learn(after, &log);
                        if !log.changes.is_empty() {
                            return Ok(Changes::Since(log.changes));
                        }
                    }
                    None => {
                        feed.lose(after);
                        return Ok(Changes::Gap);
                    }
                },
                Step::Wait(until) => drop(timeout_at(until, bell).await),
            }
        }
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let mut retired = 0;
        while retired < limit {
            let some = (limit - retired).min(RETIRED_AT_ONCE);
            let sweep = || query(&self.sql.sweep).bind(self.now()).bind(i32::try_from(some).unwrap_or(i32::MAX));
            let done = get::<i32>(&self.write(sweep).await?, "retired")?;
            match usize::try_from(done).unwrap_or_default() {
                0 => break,
                done => retired += done,
            }
        }
        Ok(retired)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.postgres.ping().await
    }
}
