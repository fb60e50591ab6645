//! The hold store.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::hold::{self, Hold, HoldCommand, HoldLife, HoldState};
use bms_domain::id::{Caller, HoldId, OrderId, Shard, ShowId};
use bms_domain::seat::SeatSet;
use bms_domain::store::{
    Changes, Checkout, Counts, Fence, HoldChange, HoldStore, Occupancy, OccupancyRead, PlaceHold, Placed, Restored, ShowClaims,
    SoldSeats, StoreError,
};
use bms_domain::time::{Clock, Timestamp};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::codec::{self, Unreadable};
use crate::connection::{Effect, Redis};
use crate::error::STORE;
use crate::feed::{Feeds, Log, Step};
use crate::keys::Keys;
use crate::lua;
use crate::reply::Reply;
use crate::restore;
use crate::script::{Call, Script};

/// Keeps holds in Redis. Cheap to clone; every clone, and every process with the same prefix, shares the same holds.
///
/// It keeps the promises of [`HoldStore`]: at most one live hold covers a seat (P2); each operation is one script, which
/// changes all or nothing and names every seat in the way (P3); what has expired is free at the next use, by the clock of
/// the Redis server (P5); placing a hold again under its id, and every other change, takes effect once (P6); each call ends
/// by its deadline (P11), and at once while there is no connection (P13). A show that Redis has forgotten, or a part of it,
/// answers "not primed" until it is [restored](HoldStore::restore) (P10). It does not promise that holds survive a failover.
///
/// A change whose answer is lost ends as [`StoreError::OutcomeUnknown`], and is not sent again: it may have taken effect, or
/// take effect a moment later. [`get`](HoldStore::get), or the same call again, finds out.
///
/// It must be used within the tokio runtime that its connection was made in. [`changes`](HoldStore::changes) fails outside of
/// one, and [`newest`](HoldStore::newest) knows nothing there.
#[derive(Clone)]
pub struct RedisHolds {
    redis: Redis,
    keys: Keys,
    clock: Option<Arc<dyn Clock>>,
    feeds: Arc<Feeds>,
    /// The last show of each shard. A hold's id tells its shard: the show is guessed, and a script that finds another says so.
    shows: Arc<Mutex<HashMap<Shard, ShowId>>>,
    /// Where the next sweep begins among the shards, so that each has its turn. At first anywhere: a process may live for one
    /// sweep alone.
    sweeps_from: Arc<AtomicUsize>,
}

impl RedisHolds {
    /// Holds on a connection, under its key prefix. The time is that of the Redis server. Nothing is sent yet.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        let keys = Keys::new(redis.prefix());
        let feeds = Arc::new(Feeds::new(redis.clone(), keys.clone()));
        // A hasher is seeded by the operating system; that is random enough here.
        let anywhere = RandomState::new().build_hasher().finish() % u64::from(Shard::COUNT);
        let sweeps_from = Arc::new(AtomicUsize::new(usize::try_from(anywhere).unwrap_or_default()));
        Self { redis, keys, clock: None, feeds, shows: Arc::default(), sweeps_from }
    }

    /// Goes by a clock instead of the server's, for tests and simulation: all who share the holds must share it.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// A call on a show, to which its own arguments are added.
    fn of_show(&self, show: &ShowId) -> Call {
        let call = self.keys.of_show(show).iter().fold(Call::new(), Call::key);
        call.now(self.clock.as_deref()).arg(Keys::meta(show))
    }

    /// The same for a script that looks at what orders bought.
    pub(crate) fn of_sales(&self, show: &ShowId) -> Call {
        let call = self.keys.of_show(show).iter().fold(Call::new(), Call::key).key(self.keys.sales(show));
        call.now(self.clock.as_deref()).arg(Keys::meta(show))
    }

    /// Runs a script on a show until it does not ask to be asked again, within one deadline: each time it has retired some
    /// more holds, and has done nothing else. A number alone stands for 'P' and the number: to the answer that a rush gets
    /// most, a table of two parts would add a twentieth of the script's time.
    pub(crate) async fn settled(&self, script: &Script, call: Call, effect: Effect) -> Result<(u8, Reply), StoreError> {
        let by = self.redis.by();
        loop {
            let answer = self.redis.run_by(script, &call, effect, by).await?;
            if matches!(answer, redis::Value::Int(_)) {
                return Ok((b'P', Reply::new(redis::Value::Array(vec![answer]))?));
            }
            let mut reply = Reply::new(answer)?;
            match reply.code()? {
                b'A' if Instant::now() < by => {}
                b'A' => return Err(StoreError::unavailable(STORE)),
                code => return Ok((code, reply)),
            }
        }
    }

    fn remember(&self, show: &ShowId) {
        self.shows.lock().insert(show.shard(), *show);
    }

    /// Gives a command to a hold. The script decides and changes; the table says what its answer means.
    async fn command(
        &self,
        script: &Script,
        id: HoldId,
        by: Option<&Caller>,
        command: HoldCommand,
        with_args: impl Fn(Call) -> Call,
    ) -> Result<HoldChange, StoreError> {
        let mut show = self.shows.lock().get(&id.shard()).copied();
        let (now, did, hold) = loop {
            let of_show = match show {
                Some(show) => show,
                None => match self.get(&[id]).await?.pop().flatten() {
                    Some(hold) => hold.show,
                    None => return Ok(HoldChange::NotFound),
                },
            };
            let call = with_args(self.of_show(&of_show).arg(Keys::hold(id)));
            let mut reply = Reply::new(self.redis.run(script, call, Effect::Writes).await?)?;
            let (now, did) = (Timestamp::from_millis(reply.int()?), reply.int()?);
            let hold = reply.optional_bytes()?.map(|record| codec::hold(id, &record, now)).transpose()?;
            show = hold.as_ref().map(|hold| hold.show);
            if let Some(show) = show {
                self.remember(&show);
            }
            if did != ELSEWHERE {
                break (now, did, hold);
            }
        };
        let Some(hold) = hold.filter(|hold| by.is_none_or(|by| by.may_touch(&hold.owner))) else {
            return Ok(HoldChange::NotFound);
        };
        if did == CHANGED {
            return Ok(HoldChange::Done(hold));
        }
        match hold::apply(hold.state, hold.life, command, now) {
            Ok(state) if state == hold.state => Ok(HoldChange::Done(hold)),
            Ok(state) => Err(StoreError::Broken {
                store: STORE,
                detail: format!("hold {id}: {} was not made {}", hold.state.name(), state.name()),
            }),
            Err(refusal) => Ok(HoldChange::Refused(hold, refusal)),
        }
    }

    /// What a show's log says of the time after a version; `None` when not all of it is there. `told` is the newest change
    /// that this process was told of, as it was told: if Redis does not know it any more, the log begins anew.
    async fn log(&self, show: &ShowId, after: u64, told: &[u8]) -> Result<Option<Log>, StoreError> {
        let call = self.of_show(show).number(after).arg(told);
        let (code, mut reply) = self.settled(&lua::CHANGES, call, Effect::Reads).await?;
        Ok(if code == b'K' { Some(Log::read(reply.digits()?, reply.parts()?)?) } else { None })
    }

    /// The shows of some shards of which something is to be tidied up, in the order of the shards; `limit` a shard at most.
    async fn due(&self, shards: &[Shard], limit: usize) -> Result<Vec<ShowId>, StoreError> {
        let mut shows = Vec::new();
        let calls = shards.iter().map(|shard| Call::new().key(self.keys.due(*shard)).now(self.clock.as_deref()).number(limit));
        for answer in self.redis.run_all(&lua::DUE, calls.collect(), Effect::Reads).await? {
            let mut names = Reply::new(answer)?;
            while names.left() > 0 {
                // A hand in the data keeps no other show from being tidied up.
                match codec::text(&names.bytes()?) {
                    Ok(show) => shows.push(show),
                    Err(_) => tracing::warn!("what is to be tidied up in Redis is not the name of a show"),
                }
            }
        }
        Ok(shows)
    }

    /// Tidies shows up, some at a time: one of which there is more to do comes again after the others.
    async fn tidy_up(&self, shows: &[ShowId], left: &mut Left) -> Result<(), StoreError> {
        let (mut shows, mut outcome) = (VecDeque::from_iter(shows), Ok(()));
        while !shows.is_empty() && left.is_some() {
            let some: Vec<&ShowId> = shows.drain(..shows.len().min(SHOWS_AT_ONCE).min(left.holds).min(left.visits)).collect();
            let each = left.holds.min(RETIRED_AT_ONCE) / some.len();
            left.visits -= some.len();
            let calls = some.iter().map(|show| self.of_sales(show).number(each)).collect();
            match self.redis.run_all(&lua::SWEEP, calls, Effect::Writes).await {
                Ok(answers) => {
                    for (answer, show) in answers.into_iter().zip(some) {
                        let mut reply = Reply::new(answer)?;
                        left.holds = left.holds.saturating_sub(reply.count()? as usize);
                        shows.extend((reply.int()? != 0).then_some(show));
                    }
                }
                // One show that cannot be tidied up keeps none of the others from it.
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}

/// What a sweep may still do.
struct Left {
    /// How many holds it may retire.
    holds: usize,
    /// How many calls it may make that tidy a show up.
    visits: usize,
}

impl Left {
    fn is_some(&self) -> bool {
        self.holds > 0 && self.visits > 0
    }
}

/// What a script did to a hold: it changed it.
const CHANGED: i64 = 1;
/// Nothing: the hold is one of another show.
const ELSEWHERE: i64 = -1;

/// A span for a script. Longer than any life that a record can tell (34 years) is as long as that.
pub(crate) fn millis(span: Duration) -> u128 {
    const LONGEST: u128 = (1 << 40) - 1;
    span.as_millis().min(LONGEST)
}

/// Whose hold it must be: anybody's for an administrator.
fn owner_of(by: &Caller) -> &str {
    if by.is_admin() { "" } else { by.id().as_str() }
}

/// A request that no record can be made of.
pub(crate) fn too_large(what: impl std::fmt::Display) -> StoreError {
    StoreError::Broken { store: STORE, detail: format!("{what}: no seats, too many, or one that no plan has") }
}

#[async_trait]
impl HoldStore for RedisHolds {
    async fn place(&self, request: &PlaceHold) -> Result<Placed, StoreError> {
        let fits = !request.seats.is_empty() && request.seats.len() <= MOST_SEATS;
        let body = codec::body(&request.owner, &request.seats, &request.show, &request.layout, request.price);
        let body = body.filter(|_| fits).ok_or_else(|| too_large(format!("hold {}", request.id)))?;
        let call = self.of_show(&request.show).arg(Keys::user(&request.show, &request.owner)).arg(Keys::hold(request.id));
        let call = call.arg(body).arg(request.layout.as_str()).number(millis(request.ttl));
        let call = call.number(request.seats.len());
        let limits = request.limits;
        let fits_limit = u32::try_from(request.seats.len()).is_ok_and(|seats| seats <= limits.per_hold);
        let call = if fits_limit { call.number(limits.per_user_and_show) } else { call.arg("") };
        let call = codec::pieces(&request.seats).iter().fold(call, |call, piece| call.number(piece.first).arg(&piece.marks));
        let (code, mut reply) = self.settled(&lua::PLACE, call, Effect::Writes).await?;
        let now = Timestamp::from_millis(reply.int()?);
        Ok(match code {
            b'P' => {
                self.remember(&request.show);
                Placed::Placed(new_hold(request, now))
            }
            b'E' => Placed::Existing(codec::hold(request.id, &reply.bytes()?, now)?),
            b'T' => Placed::Taken(taken(&request.seats, reply.parts()?)?),
            b'M' => Placed::TooMany { limit: request.limits.per_hold },
            b'U' => Placed::TooMany { limit: request.limits.per_user_and_show },
            b'I' => Placed::IdTaken,
            b'N' => Placed::NotPrimed(Fence { frees: reply.digits()?, version: reply.digits()? }),
            b'B' => return Err(too_large(format!("hold {}", request.id))),
            _ => return Err(Unreadable.into()),
        })
    }

    async fn get(&self, ids: &[HoldId]) -> Result<Vec<Option<Hold>>, StoreError> {
        let mut by_shard: HashMap<Shard, Vec<usize>> = HashMap::new();
        for (position, id) in ids.iter().enumerate() {
            by_shard.entry(id.shard()).or_default().push(position);
        }
        let groups: Vec<(Shard, &[usize])> =
            by_shard.iter().flat_map(|(shard, positions)| positions.chunks(IDS_A_CALL).map(|some| (*shard, some))).collect();
        let ids_of = |positions: &[usize]| -> Vec<HoldId> { positions.iter().filter_map(|at| ids.get(*at).copied()).collect() };
        let calls = groups.iter().map(|(shard, positions)| {
            let call = Call::new().key(self.keys.records(*shard)).now(self.clock.as_deref());
            ids_of(positions).iter().fold(call, |call, id| call.arg(Keys::hold(*id)))
        });
        let answers = self.redis.run_all(&lua::GET, calls.collect(), Effect::Reads).await?;
        let mut found = vec![None; ids.len()];
        for (answer, (_, positions)) in answers.into_iter().zip(&groups) {
            let mut reply = Reply::new(answer)?;
            let now = Timestamp::from_millis(reply.int()?);
            let mut records = reply.parts()?;
            for (position, id) in positions.iter().zip(ids_of(positions)) {
                if let (Some(record), Some(slot)) = (records.optional_bytes()?, found.get_mut(*position)) {
                    *slot = Some(codec::hold(id, &record, now)?);
                }
            }
        }
        Ok(found)
    }

    async fn release(&self, id: HoldId, by: &Caller) -> Result<HoldChange, StoreError> {
        self.command(&lua::RELEASE, id, Some(by), HoldCommand::Release, |call| call.arg(owner_of(by))).await
    }

    async fn begin_checkout(&self, id: HoldId, by: &Caller, checkout: &Checkout) -> Result<HoldChange, StoreError> {
        let Checkout { order, cover, longest_life } = *checkout;
        let args = |call: Call| call.arg(owner_of(by)).arg(order.uuid()).number(millis(cover)).number(millis(longest_life));
        let command = HoldCommand::BeginCheckout { order, cover, longest_life };
        self.command(&lua::BEGIN_CHECKOUT, id, Some(by), command, args).await
    }

    async fn end_checkout(&self, id: HoldId, order: OrderId) -> Result<HoldChange, StoreError> {
        let command = HoldCommand::EndCheckout { order };
        self.command(&lua::END_CHECKOUT, id, None, command, |call| call.arg(order.uuid())).await
    }

    async fn give_back(&self, id: HoldId, order: OrderId, until: Timestamp) -> Result<HoldChange, StoreError> {
        let args = |call: Call| call.arg(order.uuid()).number(until.as_millis());
        self.command(&lua::GIVE_BACK, id, None, HoldCommand::GiveBack { order, until }, args).await
    }

    async fn mark_sold(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        let call = restore::with_sale(self.of_sales(&sold.show), sold)?;
        self.redis.run(&lua::MARK_SOLD, call, Effect::Writes).await.map(|_| ())
    }

    async fn mark_free(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        let call = restore::with_sale(self.of_sales(&sold.show), sold)?;
        self.redis.run(&lua::MARK_FREE, call, Effect::Writes).await.map(|_| ())
    }

    async fn restore(&self, claims: &ShowClaims, fence: Fence) -> Result<Restored, StoreError> {
        self.restore_in_parts(claims, fence).await
    }

    async fn occupancy(&self, show: &ShowId) -> Result<OccupancyRead, StoreError> {
        let (code, mut reply) = self.settled(&lua::OCCUPANCY, self.of_show(show), Effect::Reads).await?;
        let fence = Fence { frees: reply.digits()?, version: reply.digits()? };
        if code != b'K' {
            return Ok(OccupancyRead::NotPrimed(fence));
        }
        let (layout, seats) = (codec::text(&reply.bytes()?)?, reply.count()?);
        let (held, sold) = codec::occupancy(seats, &reply.bytes()?)?;
        Ok(OccupancyRead::Known(Occupancy { version: fence.version, layout, held, sold, fence }))
    }

    async fn counts(&self, shows: &[ShowId]) -> Result<Vec<Option<Counts>>, StoreError> {
        let calls = shows.iter().map(|show| self.of_show(show)).collect();
        let answers = self.redis.run_all(&lua::COUNTS, calls, Effect::Reads).await?;
        let mut counts = Vec::with_capacity(shows.len());
        for (answer, show) in answers.into_iter().zip(shows) {
            let mut reply = Reply::new(answer)?;
            let mut code = reply.code()?;
            if code == b'A' {
                (code, reply) = self.settled(&lua::COUNTS, self.of_show(show), Effect::Reads).await?;
            }
            counts.push(if code == b'K' { Some(Counts { held: reply.count()?, sold: reply.count()? }) } else { None });
        }
        Ok(counts)
    }

    async fn changes(&self, show: &ShowId, after: u64) -> Result<Changes, StoreError> {
        let outside = || StoreError::Broken { store: STORE, detail: "called outside of a tokio runtime".to_owned() };
        let feed = self.feeds.watch(show).ok_or_else(outside)?;
        loop {
            // Listen first, then look: what changes in between rings the bell.
            let mut bell = pin!(feed.bell.notified());
            bell.as_mut().enable();
            let began = Instant::now();
            match feed.step(after) {
                Step::Give(changes) => return Ok(changes),
                Step::Ask => match self.log(show, after, &feed.told()).await? {
                    Some(log) => {
                        feed.learn(after, &log, began);
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

    fn newest(&self, show: &ShowId) -> Option<u64> {
        self.feeds.watch(show)?.newest()
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let limit = limit.min(MOST_AT_ONCE);
        let (mut left, mut outcome) = (Left { holds: limit, visits: limit }, Ok(()));
        let mut shards: Vec<Shard> = Shard::all().collect();
        shards.rotate_left(self.sweeps_from.load(Ordering::Relaxed));
        for some in shards.chunks(SHARDS_AT_ONCE) {
            if !left.is_some() {
                break;
            }
            let due = self.due(some, left.visits.min(SHOWS_A_SHARD)).await?;
            let before = left.visits;
            outcome = self.tidy_up(&due, &mut left).await.and(outcome);
            // What is left of a shard waits for its next turn, so that no shard keeps the others from theirs.
            let seen = due.iter().take(before - left.visits).next_back().map(ShowId::shard);
            let last = seen.filter(|_| !left.is_some()).or(some.last().copied());
            self.sweeps_from.store(last.map_or(0, |last| usize::from(last.number()) + 1) % shards.len(), Ordering::Relaxed);
        }
        outcome.map(|()| limit - left.holds)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.redis.ping().await
    }
}

/// How many shards are asked together what is due in them: together they keep a server busy for less than a millisecond.
const SHARDS_AT_ONCE: usize = 64;

/// The most holds that one sweep retires, and the most shows that it tidies up.
const MOST_AT_ONCE: usize = 10_000;

/// And the most holds that are retired at once, all calls together: they keep the server busy for a few milliseconds.
const RETIRED_AT_ONCE: usize = 256;

/// How many shows are tidied up at once.
const SHOWS_AT_ONCE: usize = 32;

/// How many shows of a shard have their turn in one sweep.
const SHOWS_A_SHARD: usize = 64;

/// How many ids one call asks for: a script takes a few thousand arguments.
const IDS_A_CALL: usize = 1_000;

/// The most seats of one hold, for the same reason.
const MOST_SEATS: usize = 1_000;

/// The wanted seats whose mark is not free.
fn taken(wanted: &SeatSet, mut marks: Reply) -> Result<SeatSet, Unreadable> {
    let mut taken = SeatSet::new();
    for seat in wanted.iter() {
        if marks.int()? != 0 {
            taken.push(seat);
        }
    }
    Ok(taken)
}

fn new_hold(request: &PlaceHold, now: Timestamp) -> Hold {
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
