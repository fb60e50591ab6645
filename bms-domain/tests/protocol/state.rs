//! What the model remembers: the hold store, the order store, and the calls that are under way.
//!
//! Everything that belongs to one user stands in one block, and times are counted from now. So two states that differ in
//! nothing but who is who, or which seat is which, are told to be one: only the hash knows of it, and the steps that lead
//! to a state keep their names.

use std::fmt;
use std::hash::{Hash, Hasher};

use arrayvec::ArrayVec;

use crate::promises::Promise;

/// Time goes by in ticks, and an order waits one. A hold of its own lasts one or two: with one, an order ends with it or
/// after it; with two, also before it.
pub(crate) const ORDER_TTL: u8 = 1;
/// How much longer than its order a hold lasts; a store call takes no longer.
pub(crate) const GRACE: u8 = 1;
/// The longest life of a hold, the shortest that the policy allows for holds of two ticks.
pub(crate) const LONGEST: u8 = 2 + ORDER_TTL + GRACE;

/// Orders of one hold, and payments of one user.
pub(crate) const EACH: usize = 2;
const NAMES: [&str; 5] = ["Ann", "Bob", "Cid", "Dee", "Eve"];

/// Seats, a bit each.
pub(crate) type Seats = u8;

pub(crate) fn user_name(user: usize) -> &'static str {
    NAMES[user]
}

pub(crate) fn seat_names(seats: Seats) -> String {
    let names: Vec<String> = (0..8).filter(|seat| seats & (1 << seat) != 0).map(|seat| format!("A{}", seat + 1)).collect();
    names.join(" ")
}

/// A hold's state as the hold store has it. Ticks are counted from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum HoldIs {
    Held { until: u8, link: Option<u8> },
    Released,
    Expired,
    Consumed(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hold {
    pub(crate) is: HoldIs,
    /// Until its own end.
    pub(crate) own_end: u8,
    /// Until the longest that it may live.
    pub(crate) life: u8,
}

impl Hold {
    pub(crate) fn is_live(self) -> bool {
        matches!(self.is, HoldIs::Held { .. })
    }

    /// An ended hold's times decide nothing any more.
    pub(crate) fn ended(is: HoldIs) -> Self {
        Self { is, own_end: 0, life: 0 }
    }
}

/// An order's state as the order store has written it down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum OrderIs {
    #[default]
    None,
    /// With nothing left it has expired, written down or not.
    Pending {
        left: u8,
    },
    Expired,
    Failed,
    /// `late`: out of EXPIRED or FAILED.
    Confirmed {
        payment: u8,
        late: bool,
    },
    Cancelled {
        payment: u8,
    },
}

impl OrderIs {
    pub(crate) fn is_pending(self) -> bool {
        matches!(self, Self::Pending { left: 1.. })
    }

    pub(crate) fn is_confirmed(self) -> bool {
        matches!(self, Self::Confirmed { .. })
    }

    pub(crate) fn is_cancelled(self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// Whether it was made, and waits no more and is not sold.
    pub(crate) fn has_ended(self) -> bool {
        self != Self::None && !self.is_pending() && !self.is_confirmed()
    }
}

/// What a reader of the order store has seen of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Seen {
    #[default]
    Nothing,
    Pending {
        left: u8,
    },
    Sold,
}

/// What the hold store is still to be told of an order. A process that dies tells it never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tell {
    pub(crate) sold: bool,
    pub(crate) free: bool,
    pub(crate) unlink: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Order {
    pub(crate) is: OrderIs,
    /// The seats whose claim is this order's.
    pub(crate) claims: Seats,
    /// The seats that the hold store has marked as sold to it.
    pub(crate) marks: Seats,
    /// The hold store remembers that it was cancelled.
    pub(crate) freed: bool,
    /// The hold store was told of it, or is told before it grants another hold: from here on it must not forget.
    pub(crate) known: bool,
    pub(crate) tell: Tell,
    pub(crate) seen: Seen,
}

impl Order {
    /// It was cancelled, and the hold store does not know, or no more: it believes old news of the sale.
    pub(crate) fn is_cancelled_in_secret(&self) -> bool {
        self.is.is_cancelled() && !self.freed
    }
}

/// What the order store knows of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ledger {
    #[default]
    Nothing,
    Pending,
    Failed,
    Counted,
    RefundDue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Payment {
    /// The order that it was made for.
    pub(crate) order: u8,
    pub(crate) ledger: Ledger,
    /// It stands among the refunds that are due.
    pub(crate) owed: bool,
    /// Whoever reported its success was told that it is taken care of.
    pub(crate) answered: bool,
    /// Its notice was remembered before its effect. Never while the guards are up.
    pub(crate) noted: bool,
}

/// An order that is being made, between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Call {
    /// The hold is linked; `age` ticks ago it began. `cut`: the hold was cut short since.
    Linked {
        order: u8,
        age: u8,
        cut: bool,
        link: Link,
    },
    /// The hold has another order: unlink the new one, then cover the other.
    Relink {
        from: u8,
        to: u8,
    },
    Cover {
        to: u8,
    },
    /// The seats are another's: give the hold back, reconcile.
    GiveBack {
        order: u8,
        link: Link,
    },
    Reconcile,
}

/// How a call that makes an order linked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Link {
    /// It was the first, and no other has asked since.
    Alone,
    /// It was the first.
    Asked,
    /// Another was before it.
    Joined,
}

/// What a replica of the hold store has of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Older {
    pub(crate) hold: Option<Hold>,
    pub(crate) marks: [Seats; EACH],
    pub(crate) freed: [bool; EACH],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct User {
    /// The seats of his hold and its orders.
    pub(crate) seats: Seats,
    pub(crate) hold: Option<Hold>,
    pub(crate) orders: [Order; EACH],
    pub(crate) payments: [Payment; EACH],
    pub(crate) call: Option<Call>,
    pub(crate) older: Older,
}

/// A slow restore: it has a fence, then it reads the order store, then it tells the hold store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reader {
    /// Something was freed or unlinked since its fence.
    pub(crate) stale: bool,
    /// The occupancy has changed since its fence.
    pub(crate) noisy: bool,
    pub(crate) has_read: bool,
}

/// The second hold server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Replica {
    InStep,
    /// It gets no more changes.
    Behind {
        primed: bool,
    },
    /// It has taken over, with what it had.
    TookOver,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) seats: u8,
    pub(crate) primed: bool,
    /// How often the hold store has lost everything.
    pub(crate) losses: u8,
    pub(crate) replica: Replica,
    pub(crate) reader: Option<Reader>,
    /// What a step did that it must never do.
    pub(crate) broken: Option<Promise>,
    pub(crate) users: ArrayVec<User, 5>,
}

impl State {
    pub(crate) fn new(users: usize, seats: u8) -> Self {
        let users = std::iter::repeat_n(User::default(), users).collect();
        Self { seats, primed: false, losses: 0, replica: Replica::InStep, reader: None, broken: None, users }
    }

    pub(crate) fn orders(&self) -> impl Iterator<Item = &Order> {
        self.users.iter().flat_map(|user| &user.orders)
    }

    /// The seats of confirmed orders.
    pub(crate) fn sold(&self) -> Seats {
        self.orders().filter(|order| order.is.is_confirmed()).fold(0, |seats, order| seats | order.claims)
    }

    /// The seats that the hold store has marked sold.
    pub(crate) fn marked(&self) -> Seats {
        self.orders().fold(0, |seats, order| seats | order.marks)
    }

    /// The seats under live holds.
    pub(crate) fn held(&self) -> Seats {
        let live = self.users.iter().filter(|user| user.hold.is_some_and(Hold::is_live));
        live.fold(0, |seats, user| seats | user.seats)
    }

    /// Whether a process is in the midst of something. If it dies, another state follows that has nothing of it.
    pub(crate) fn is_busy(&self) -> bool {
        self.reader.is_some() || self.users.iter().any(|user| user.call.is_some())
    }

    pub(crate) fn all_seats(&self) -> Seats {
        (1 << self.seats) - 1
    }

    /// The users in the one order that stands for all, whoever they are and whichever seats they have.
    fn representative(&self) -> ArrayVec<User, 5> {
        let mut least: Option<ArrayVec<User, 5>> = None;
        for order in ORDERS_OF_SEATS[usize::from(self.seats)] {
            let mut users = self.users.clone();
            users.iter_mut().for_each(|user| user.rename_seats(order));
            users.sort_unstable();
            if least.as_ref().is_none_or(|least| users < *least) {
                least = Some(users);
            }
        }
        least.unwrap_or_default()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.primed, self.losses, self.replica, self.reader, self.broken).hash(hasher);
        self.representative().hash(hasher);
    }
}

/// Every order that up to three seats can be in, by their number.
const ORDERS_OF_SEATS: [&[[u8; 3]]; 4] =
    [&[], &[[0, 1, 2]], &[[0, 1, 2], [1, 0, 2]], &[[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]];

impl User {
    fn rename_seats(&mut self, order: &[u8; 3]) {
        if *order == [0, 1, 2] {
            return;
        }
        let rename = |seats: &mut Seats| {
            *seats = (0..3).filter(|seat| *seats & (1 << seat) != 0).fold(0, |renamed, seat| renamed | 1 << order[seat]);
        };
        rename(&mut self.seats);
        self.older.marks.iter_mut().for_each(rename);
        for order in &mut self.orders {
            rename(&mut order.claims);
            rename(&mut order.marks);
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hold store is {}", if self.primed { "primed" } else { "not primed" })?;
        if self.replica == Replica::TookOver {
            write!(f, " and an older one")?;
        }
        for (number, user) in self.users.iter().enumerate().filter(|(_, user)| user.seats != 0) {
            write!(f, "\n  {} {}:", user_name(number), seat_names(user.seats))?;
            match user.hold {
                None => write!(f, " no hold")?,
                Some(hold) => write!(f, " {hold:?}")?,
            }
            for (number, order) in user.orders.iter().enumerate().filter(|(_, order)| order.is != OrderIs::None) {
                let (claims, marks) = (seat_names(order.claims), seat_names(order.marks));
                write!(f, "\n    order {}: {:?}, claims [{claims}], marked sold [{marks}]", number + 1, order.is)?;
            }
            for (number, payment) in user.payments.iter().enumerate().filter(|(_, payment)| payment.ledger != Ledger::Nothing) {
                let owed = if payment.owed { ", refund due" } else { "" };
                write!(f, "\n    payment {} for order {}: {:?}{owed}", number + 1, payment.order + 1, payment.ledger)?;
            }
        }
        Ok(())
    }
}
