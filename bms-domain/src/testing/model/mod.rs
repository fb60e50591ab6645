//! What a store is compared with: one show, in plain maps, written from the documentation and as slow as it likes.

pub mod orders;
pub mod outbox;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::sample;
use crate::id::ShowId;
use crate::seat::SeatIndex;
use crate::time::Timestamp;

/// The show of the model.
#[must_use]
pub fn show() -> ShowId {
    sample::show("model-show")
}

/// Seats of the show.
pub const SEATS: u32 = 12;
/// Users, by number.
pub const USERS: u8 = 3;
/// The most seats of a hold.
pub const PER_HOLD: u32 = 4;
/// The most seats of a user.
pub const PER_USER: u32 = 6;
/// How long a hold lasts.
pub const HOLD_TTL: Duration = Duration::from_secs(600);
/// How long an order waits.
pub const ORDER_TTL: Duration = Duration::from_secs(300);
/// How long one who asks after a payment has it for himself.
pub const ASK_TTL: Duration = Duration::from_secs(60);
/// How much longer than its order a hold lasts.
pub const GRACE: Duration = Duration::from_secs(2);
/// The longest life of a hold.
pub const LONGEST: Duration = Duration::from_secs(1_000);

/// A hold's number, which is its order's too.
pub type Number = u32;

/// Where a hold of the model stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Live until an instant, with an order that waits until another.
    Held {
        /// The end.
        until: Timestamp,
        /// The linked order, and when it ends.
        order: Option<(Number, Timestamp)>,
    },
    /// Given back.
    Released(Timestamp),
    /// Over.
    Expired(Timestamp),
    /// Sold to an order.
    Consumed(Number, Timestamp),
}

/// A hold of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelHold {
    /// Whose.
    pub owner: u8,
    /// Which seats.
    pub seats: BTreeSet<SeatIndex>,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Its own end.
    pub own_end: Timestamp,
    /// Where it stands.
    pub standing: Standing,
}

/// What the model says of placing a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Placed.
    Placed,
    /// It is there already.
    Existing,
    /// Another hold has the id.
    IdTaken,
    /// Seats in the way.
    Taken(BTreeSet<SeatIndex>),
    /// Too many, by this limit.
    TooMany(u32),
    /// The show must be restored first.
    NotPrimed,
    /// Done.
    Done,
    /// Refused.
    Refused,
    /// Not there, or not his.
    NotFound,
}

/// The hold store of one show, and beside it what the durable store knows of the same show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HoldModel {
    /// The present.
    pub now: Timestamp,
    /// Whether the store knows what is sold.
    pub primed: bool,
    /// The holds that the store knows.
    pub holds: BTreeMap<Number, ModelHold>,
    /// The seats it knows to be sold: their owner and order.
    pub sold: BTreeMap<SeatIndex, (u8, Number)>,
    /// The truth: every order that was confirmed and not cancelled.
    pub confirmed: BTreeMap<Number, (u8, BTreeSet<SeatIndex>)>,
    /// The truth: every order that was cancelled. It is never confirmed again.
    pub cancelled: BTreeSet<Number>,
    /// The truth: every order that waits for payment, and until when.
    pub waiting: BTreeMap<Number, (u8, BTreeSet<SeatIndex>, Timestamp)>,
}

impl HoldModel {
    /// A store that nothing was done to.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            primed: false,
            holds: BTreeMap::new(),
            sold: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Lets time pass. What is past its end is over, at that end.
    pub fn advance(&mut self, span: Duration) {
        self.now = self.now.plus(span);
        let now = self.now;
        for hold in self.holds.values_mut() {
            if let Standing::Held { until, .. } = hold.standing
                && now >= until
            {
                hold.standing = Standing::Expired(until);
            }
        }
        self.waiting.retain(|_, (_, _, end)| now < *end);
    }

    /// The seats under live holds.
    #[must_use]
    pub fn held(&self) -> BTreeSet<SeatIndex> {
        let live = self.holds.values().filter(|hold| matches!(hold.standing, Standing::Held { .. }));
        live.flat_map(|hold| hold.seats.iter().copied()).collect()
    }

    /// How many seats a user has, held and sold.
    #[must_use]
    pub fn seats_of(&self, user: u8) -> u32 {
        let live = self.holds.values().filter(|hold| hold.owner == user && matches!(hold.standing, Standing::Held { .. }));
        let held: usize = live.map(|hold| hold.seats.len()).sum();
        let sold = self.sold.values().filter(|(owner, _)| *owner == user).count();
        u32::try_from(held + sold).unwrap_or(u32::MAX)
    }

    /// Places a hold. More than one answer where the documentation leaves open which of two refusals comes first.
    pub fn place(&mut self, number: Number, owner: u8, seats: &BTreeSet<SeatIndex>) -> Vec<Answer> {
        if let Some(hold) = self.holds.get(&number) {
            let same = hold.owner == owner && hold.seats == *seats;
            return vec![if same { Answer::Existing } else { Answer::IdTaken }];
        }
        if !self.primed {
            return vec![Answer::NotPrimed];
        }
        let count = u32::try_from(seats.len()).unwrap_or(u32::MAX);
        let held = self.held();
        let taken: BTreeSet<_> =
            seats.iter().copied().filter(|seat| held.contains(seat) || self.sold.contains_key(seat)).collect();
        let mut refusals = Vec::new();
        if !taken.is_empty() {
            refusals.push(Answer::Taken(taken));
        }
        if count > PER_HOLD {
            refusals.push(Answer::TooMany(PER_HOLD));
        }
        if self.seats_of(owner) + count > PER_USER {
            refusals.push(Answer::TooMany(PER_USER));
        }
        if !refusals.is_empty() {
            return refusals;
        }
        let until = self.now.plus(HOLD_TTL);
        let standing = Standing::Held { until, order: None };
        self.holds.insert(number, ModelHold { owner, seats: seats.clone(), placed_at: self.now, own_end: until, standing });
        vec![Answer::Placed]
    }

    /// A user releases a hold.
    pub fn release(&mut self, number: Number, user: u8) -> Answer {
        let now = self.now;
        match self.holds.get_mut(&number).filter(|hold| hold.owner == user) {
            None => Answer::NotFound,
            Some(hold) => match hold.standing {
                Standing::Held { order: None, .. } => {
                    hold.standing = Standing::Released(now);
                    Answer::Done
                }
                Standing::Released(_) => Answer::Done,
                _ => Answer::Refused,
            },
        }
    }

    /// A user makes order `number` of hold `number`.
    pub fn begin(&mut self, number: Number, user: u8) -> Answer {
        let now = self.now;
        let Some(hold) = self.holds.get_mut(&number).filter(|hold| hold.owner == user) else { return Answer::NotFound };
        match hold.standing {
            Standing::Held { until, order } => {
                let end = now.plus(ORDER_TTL);
                let least = if order.is_some() { until.plus(Duration::from_millis(1)) } else { until };
                let until = least.max(end.plus(GRACE));
                if until > hold.placed_at.plus(LONGEST) {
                    return Answer::Refused;
                }
                hold.standing = Standing::Held { until, order: order.or(Some((number, end))) };
                if order.is_none() {
                    self.waiting.insert(number, (hold.owner, hold.seats.clone(), end));
                }
                Answer::Done
            }
            _ => Answer::Refused,
        }
    }

    /// Order `number` fails.
    pub fn end(&mut self, number: Number) -> Answer {
        let now = self.now;
        self.waiting.remove(&number);
        let Some(hold) = self.holds.get_mut(&number) else { return Answer::NotFound };
        if let Standing::Held { order: Some(_), .. } = hold.standing {
            let own_end = hold.own_end;
            hold.standing =
                if now >= own_end { Standing::Expired(own_end) } else { Standing::Held { until: own_end, order: None } };
        }
        Answer::Done
    }

    /// The durable store refused order `number`; `alone`: nobody has asked for it since it was linked.
    pub fn give_back(&mut self, number: Number, alone: bool) -> Answer {
        let now = self.now;
        let Some(hold) = self.holds.get_mut(&number) else { return Answer::NotFound };
        if let (Standing::Held { order: Some(_), .. }, true) = (hold.standing, alone) {
            hold.standing = Standing::Released(now);
            self.waiting.remove(&number);
        }
        Answer::Done
    }

    /// Whether the durable store would confirm order `number`, of that owner and those seats.
    #[must_use]
    pub fn can_sell(&self, number: Number, seats: &BTreeSet<SeatIndex>) -> bool {
        let sold = |seat| self.confirmed.values().any(|(_, seats)| seats.contains(seat));
        let waited = |seat| self.waiting.iter().any(|(other, (_, seats, _))| *other != number && seats.contains(seat));
        !self.confirmed.contains_key(&number)
            && !self.cancelled.contains(&number)
            && !seats.iter().any(|seat| sold(seat) || waited(seat))
    }

    /// The durable store confirmed order `number`.
    pub fn sell(&mut self, number: Number, owner: u8, seats: &BTreeSet<SeatIndex>) {
        let now = self.now;
        self.waiting.remove(&number);
        self.confirmed.insert(number, (owner, seats.clone()));
        for (other, hold) in &mut self.holds {
            if *other != number && matches!(hold.standing, Standing::Held { .. }) && !hold.seats.is_disjoint(seats) {
                hold.standing = Standing::Expired(now);
            }
        }
        if let Some(hold) = self.holds.get_mut(&number)
            && !matches!(hold.standing, Standing::Consumed(..))
        {
            hold.standing = Standing::Consumed(number, now);
        }
        self.sold.extend(seats.iter().map(|seat| (*seat, (owner, number))));
    }

    /// The durable store cancelled order `number`.
    pub fn free(&mut self, number: Number) {
        self.confirmed.remove(&number);
        self.cancelled.insert(number);
        self.sold.retain(|_, (_, order)| *order != number);
    }

    /// The store forgets everything.
    pub fn forget(&mut self) {
        self.primed = false;
        self.holds.clear();
        self.sold.clear();
    }

    /// The store is told what the durable store knows.
    pub fn restore(&mut self) {
        self.primed = true;
        for (number, (owner, seats)) in self.confirmed.clone() {
            if !seats.iter().all(|seat| self.sold.contains_key(seat)) {
                self.sell(number, owner, &seats);
            }
        }
        for (number, (owner, seats, end)) in &self.waiting {
            let until = end.plus(GRACE);
            self.holds.entry(*number).or_insert_with(|| ModelHold {
                owner: *owner,
                seats: seats.clone(),
                placed_at: self.now,
                own_end: until,
                standing: Standing::Held { until, order: Some((*number, *end)) },
            });
        }
    }
}
