//! A hold: a user's all-or-nothing lock on seats of one show, for a limited time.
//!
//! The machine is [`apply`]: `(state, command, now) → new state | refusal`. No input or output, no clock, no randomness.
//!
//! | state    | `Release`   | `BeginCheckout` | `EndCheckout` | `GiveBack` | `Consume`  | `Expire`    | `CutShort` |
//! |----------|-------------|-----------------|---------------|------------|------------|-------------|------------|
//! | HELD     | RELEASED ¹  | HELD, linked ²  | HELD, free ³  | RELEASED ⁴ | CONSUMED   | EXPIRED ⁵   | EXPIRED    |
//! | RELEASED | RELEASED    | refused         | RELEASED      | RELEASED   | CONSUMED ⁶ | RELEASED    | RELEASED   |
//! | EXPIRED  | refused     | refused         | EXPIRED       | EXPIRED    | CONSUMED ⁶ | EXPIRED     | EXPIRED    |
//! | CONSUMED | refused     | refused         | CONSUMED      | CONSUMED   | CONSUMED   | CONSUMED    | CONSUMED   |
//!
//! A HELD hold past its end is EXPIRED before the command is looked at, whether anybody swept it or not (promise P5).
//!
//! 1. Refused with `OrderPending` while an order is linked.
//! 2. Linked to the first order that asked; asking again keeps that one. Prolonged to cover the order, each time anew
//!    (the order may only now be made), by a millisecond at least while it is linked, so that its end tells whether anybody
//!    has asked since; and refused when the cover would pass the hold's longest life.
//! 3. Only from its own order. The hold falls back to its own end.
//! 4. Only while it is linked to that order and ends when it did then: else somebody else may be making the order, and it
//!    stays as it is.
//! 5. Refused with `NotDue` before its end.
//! 6. Late payment recovery: the seats of an ended hold were sold after all.

use std::time::Duration;

use crate::id::{HoldId, LayoutId, OrderId, ShowId, UserId};
use crate::money::Money;
use crate::seat::SeatSet;
use crate::time::Timestamp;

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// Its seats are the owner's until `until`.
    Held {
        /// When it ends, prolonged while an order waits for payment. At this instant it has ended.
        until: Timestamp,
        /// The order that was made of it and is not known to have ended.
        order: Option<OrderId>,
    },
    /// The owner gave it back.
    Released {
        /// When.
        at: Timestamp,
    },
    /// Its time ran out.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// Its order was confirmed: the seats are sold.
    Consumed {
        /// The order.
        order: OrderId,
        /// When.
        at: Timestamp,
    },
}

impl HoldState {
    /// The state's name as persisted and as sent: `HELD`, `RELEASED`, `EXPIRED` or `CONSUMED`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Held { .. } => "HELD",
            Self::Released { .. } => "RELEASED",
            Self::Expired { .. } => "EXPIRED",
            Self::Consumed { .. } => "CONSUMED",
        }
    }

    /// What this state is at `now`: a hold past its end has expired.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        match self {
            Self::Held { until, .. } if until.has_passed(now) => Self::Expired { at: until },
            other => other,
        }
    }

    /// Whether it still locks its seats.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Held { .. })
    }
}

/// The fixed times of a hold's life, which commands are measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HoldLife {
    /// When it was placed.
    pub created_at: Timestamp,
    /// Its own end, before any order prolonged it.
    pub own_end: Timestamp,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// The show.
    pub show: ShowId,
    /// The seat plan that `seats` are indices of.
    pub layout: LayoutId,
    /// Whose it is.
    pub owner: UserId,
    /// The seats, by index of the layout.
    pub seats: SeatSet,
    /// What the seats cost when it was placed.
    pub price: Money,
    /// The fixed times.
    pub life: HoldLife,
    /// Where it stands.
    pub state: HoldState,
}

impl Hold {
    /// When it ends or ended: the prolonged end while it is held, the end of its own time otherwise.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        match self.state {
            HoldState::Held { until, .. } => until,
            HoldState::Expired { at } => at,
            HoldState::Released { .. } | HoldState::Consumed { .. } => self.life.own_end,
        }
    }
}

/// What can be asked of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldCommand {
    /// The owner gives it back.
    Release,
    /// An order is made of it.
    BeginCheckout {
        /// The order.
        order: OrderId,
        /// How long from now the seats must stay held.
        cover: Duration,
        /// The longest that a hold may live from its beginning.
        longest_life: Duration,
    },
    /// Its order failed or expired.
    EndCheckout {
        /// The order.
        order: OrderId,
    },
    /// Its order was refused by the durable store, and is not made by whoever linked it.
    GiveBack {
        /// The order.
        order: OrderId,
        /// When the hold ended as it was linked to the order.
        until: Timestamp,
    },
    /// Its order was confirmed.
    Consume {
        /// The order.
        order: OrderId,
    },
    /// Its time ran out.
    Expire,
    /// A late payment won one of its seats (which it holds without a claim): it ends before its time.
    CutShort,
}

/// Why a command is refused, with the state that refuses it (promise P7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HoldRefusal {
    /// It was released, or its order was confirmed.
    #[error("the hold is {}", .0.name())]
    NotActive(HoldState),
    /// Its time ran out.
    #[error("the hold has expired")]
    Expired,
    /// Its order waits for payment.
    #[error("order {0} of the hold waits for payment")]
    OrderPending(OrderId),
    /// The order would need the hold for longer than a hold may live.
    #[error("the hold would outlive the longest life of a hold")]
    TooOld,
    /// It has not come to its end yet.
    #[error("the hold has not come to its end yet")]
    NotDue,
}

/// The least time that stores tell apart.
const INSTANT: Duration = Duration::from_millis(1);

/// The transition table, as one pure function.
///
/// # Errors
/// [`HoldRefusal`] when the table refuses the command; then the state is [`HoldState::at`]`(now)`.
pub fn apply(state: HoldState, life: HoldLife, command: HoldCommand, now: Timestamp) -> Result<HoldState, HoldRefusal> {
    use HoldCommand::{BeginCheckout, Consume, CutShort, EndCheckout, Expire, GiveBack, Release};
    use HoldState::{Consumed, Expired, Held, Released};

    match (state.at(now), command) {
        (Held { order: None, .. }, Release) => Ok(Released { at: now }),
        (Held { order: Some(order), .. }, Release) => Err(HoldRefusal::OrderPending(order)),
        (Held { until, order: linked }, BeginCheckout { order, cover, longest_life }) => {
            let least = if linked.is_some() { until.plus(INSTANT) } else { until };
            let until = now.plus(cover).max(least);
            if until > life.created_at.plus(longest_life) {
                return Err(HoldRefusal::TooOld);
            }
            Ok(Held { until, order: linked.or(Some(order)) })
        }
        (Held { order: Some(linked), .. }, EndCheckout { order }) if linked == order => {
            Ok(Held { until: life.own_end, order: None }.at(now))
        }
        (held @ Held { .. }, EndCheckout { .. }) => Ok(held),
        (Held { until: end, order: Some(linked) }, GiveBack { order, until }) if linked == order && end == until => {
            Ok(Released { at: now })
        }
        (held @ Held { .. }, GiveBack { .. }) => Ok(held),
        (Held { .. } | Released { .. } | Expired { .. }, Consume { order }) => Ok(Consumed { order, at: now }),
        (Held { .. }, Expire) => Err(HoldRefusal::NotDue),
        (Held { .. }, CutShort) => Ok(Expired { at: now }),

        (released @ Released { .. }, Release | EndCheckout { .. } | GiveBack { .. } | Expire | CutShort) => Ok(released),
        (released @ Released { .. }, BeginCheckout { .. }) => Err(HoldRefusal::NotActive(released)),

        (expired @ Expired { .. }, EndCheckout { .. } | GiveBack { .. } | Expire | CutShort) => Ok(expired),
        (Expired { .. }, Release | BeginCheckout { .. }) => Err(HoldRefusal::Expired),

        (consumed @ Consumed { .. }, EndCheckout { .. } | GiveBack { .. } | Consume { .. } | Expire | CutShort) => Ok(consumed),
        (consumed @ Consumed { .. }, Release | BeginCheckout { .. }) => Err(HoldRefusal::NotActive(consumed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const NOW: Timestamp = ts(100_000);
    const fn ts(millis: i64) -> Timestamp {
        Timestamp::const_from_millis(millis)
    }
    fn life() -> HoldLife {
        HoldLife { created_at: ts(0), own_end: ts(600_000) }
    }
    fn order(n: u128) -> OrderId {
        OrderId::new(ShowId::parse("s").unwrap().shard(), Uuid::from_u128(n))
    }
    fn begin(n: u128) -> HoldCommand {
        let (cover, longest_life) = (Duration::from_secs(302), Duration::from_secs(1_800));
        HoldCommand::BeginCheckout { order: order(n), cover, longest_life }
    }

    #[test]
    fn states_have_the_names_that_are_sent() {
        let at = ts(1);
        let held = HoldState::Held { until: at, order: None };
        let consumed = HoldState::Consumed { order: order(1), at };
        let states = [held, HoldState::Released { at }, HoldState::Expired { at }, consumed];
        assert_eq!(states.map(|state| state.name()), ["HELD", "RELEASED", "EXPIRED", "CONSUMED"]);
    }

    /// The table in the module's documentation, cell by cell. Eight states (with their edges) by eight commands.
    #[test]
    fn every_pair_of_state_and_command_is_as_the_table_says() {
        use HoldCommand::{Consume, CutShort, EndCheckout, Expire, GiveBack, Release};
        use HoldRefusal::{NotActive, NotDue, OrderPending};
        use HoldState::{Consumed, Expired, Held, Released};
        let give_back = |until| GiveBack { order: order(1), until: ts(until) };
        let commands = [
            Release,
            begin(1),
            EndCheckout { order: order(1) },
            give_back(600_000),
            give_back(599_999),
            Consume { order: order(1) },
            Expire,
            CutShort,
        ];
        let free = Held { until: ts(600_000), order: None };
        let linked = Held { until: ts(600_000), order: Some(order(1)) };
        let [linked_again, other_again] = [1, 2].map(|n| Held { until: ts(600_001), order: Some(order(n)) });
        let other = Held { until: ts(600_000), order: Some(order(2)) };
        let past = Held { until: NOW, order: None };
        let past_linked = Held { until: NOW, order: Some(order(1)) };
        let released = Released { at: ts(5) };
        let expired = Expired { at: ts(5) };
        let expired_now = Expired { at: NOW };
        let consumed = Consumed { order: order(9), at: ts(5) };
        let sold = Consumed { order: order(1), at: NOW };
        let (gone, back, over) = (HoldRefusal::Expired, Released { at: NOW }, expired_now);
        let waits = |n| OrderPending(order(n));
        let not_active = |state| Err(NotActive(state));
        let table: [(HoldState, [Result<HoldState, HoldRefusal>; 8]); 8] = [
            (free, [Ok(back), Ok(linked), Ok(free), Ok(free), Ok(free), Ok(sold), Err(NotDue), Ok(expired_now)]),
            (linked, [Err(waits(1)), Ok(linked_again), Ok(free), Ok(back), Ok(linked), Ok(sold), Err(NotDue), Ok(expired_now)]),
            (other, [Err(waits(2)), Ok(other_again), Ok(other), Ok(other), Ok(other), Ok(sold), Err(NotDue), Ok(expired_now)]),
            (past, [Err(gone), Err(gone), Ok(over), Ok(over), Ok(over), Ok(sold), Ok(over), Ok(over)]),
            (past_linked, [Err(gone), Err(gone), Ok(over), Ok(over), Ok(over), Ok(sold), Ok(over), Ok(over)]),
            (
                released,
                [
                    Ok(released),
                    not_active(released),
                    Ok(released),
                    Ok(released),
                    Ok(released),
                    Ok(sold),
                    Ok(released),
                    Ok(released),
                ],
            ),
            (expired, [Err(gone), Err(gone), Ok(expired), Ok(expired), Ok(expired), Ok(sold), Ok(expired), Ok(expired)]),
            (consumed, {
                let same = Ok(consumed);
                [not_active(consumed), not_active(consumed), same, same, same, same, same, same]
            }),
        ];
        for (state, row) in table {
            for (command, expected) in commands.into_iter().zip(row) {
                assert_eq!(apply(state, life(), command, NOW), expected, "{state:?} × {command:?}");
            }
        }
    }

    #[test]
    fn checkout_prolongs_to_cover_the_order_and_never_shortens() {
        let free = HoldState::Held { until: ts(600_000), order: None };
        let late = ts(599_999);
        let covered = apply(free, life(), begin(1), late).unwrap();
        assert_eq!(covered, HoldState::Held { until: ts(901_999), order: Some(order(1)) });
        let early = apply(free, life(), begin(1), ts(1)).unwrap();
        assert_eq!(early, HoldState::Held { until: ts(600_000), order: Some(order(1)) });
    }

    #[test]
    fn a_hold_never_outlives_its_longest_life() {
        let free = HoldState::Held { until: ts(600_000), order: None };
        let command = HoldCommand::BeginCheckout {
            order: order(1),
            cover: Duration::from_secs(302),
            longest_life: Duration::from_secs(700),
        };
        assert_eq!(apply(free, life(), command, ts(500_000)), Err(HoldRefusal::TooOld));
        assert!(apply(free, life(), command, ts(398_000)).is_ok());
    }

    #[test]
    fn ending_a_checkout_after_the_holds_own_end_expires_it() {
        let prolonged = HoldState::Held { until: ts(901_000), order: Some(order(1)) };
        let ended = apply(prolonged, life(), HoldCommand::EndCheckout { order: order(1) }, ts(700_000));
        assert_eq!(ended, Ok(HoldState::Expired { at: ts(600_000) }));
    }
}
