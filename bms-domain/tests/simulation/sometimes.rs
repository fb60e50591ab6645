//! What has to come about now and then, for the promises to have been tried.

macro_rules! sometimes {
    ($($name:ident = $words:literal,)*) => {
        /// Something that comes about now and then.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Sometimes { $($name,)* }

        impl Sometimes {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(crate) fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

sometimes! {
    CallFailed = "a call fails before it does anything",
    CallLost = "a call is lost on its way",
    ReplyLost = "the reply to a call is lost",
    CallLate = "a call takes effect late",
    ReplyLate = "a reply comes late",
    RequestDropped = "a request is dropped half-way",
    ProcessCrashed = "a process crashes half-way through a request",
    ProcessStopped = "a process is stopped",
    HoldsForgotten = "the hold store forgets everything",
    HoldsFellBack = "the hold store falls back to an older state",
    ClockStepped = "a clock is set",
    NoticesLost = "every notice of a payment is lost",
    EffectUnheard = "a call takes effect that nobody waits for any more",
    Confirmed = "an order is confirmed",
    Recovered = "a late payment is recovered",
    SeatsGone = "a late payment finds its seats sold",
    AlreadyPaid = "an order is paid twice",
    WrongAmount = "a payment is of the wrong amount",
    ToldOfRefund = "somebody is told that his money is to be given back",
    Cancelled = "a sold order is cancelled",
    SoldAgain = "a cancelled seat is sold again",
    Declined = "an order is declined",
    GivenUp = "an order is given up",
    Expired = "an order is found past its end",
    SecondOrder = "a hold has a second order",
    Conflict = "a conflict is found by the order",
    CutShort = "a sale or a restore ends another's hold",
    Restored = "an emptied hold store learns what is sold",
    RestoredPending = "an emptied hold store learns of an order that waits",
    StaleRestore = "a restore is refused as stale",
    MarkFreed = "a restore frees a seat that was marked sold",
    OrderOfLostHold = "an order outlives its hold in the hold store",
    SameHold = "a repeated request finds its hold",
    SameOrder = "a repeated request finds its order",
    AskedAfter = "a payment under way is asked after",
    PublishedTwice = "an event is published twice",
    DeadLetter = "an event becomes a dead letter",
    StrangerRefused = "a stranger is refused",
    MapKept = "a map is answered from the cache",
    SoldOut = "every seat is sold before the newcomer comes",
    NewcomerBought = "a newcomer buys what is left",
}

/// How often each came about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Counts([u64; Sometimes::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Sometimes::ALL.len()])
    }
}

impl Counts {
    pub(crate) fn add(&mut self, what: Sometimes) {
        self.0[what as usize] += 1;
    }

    pub(crate) fn add_all(&mut self, others: &Self) {
        self.0.iter_mut().zip(others.0).for_each(|(count, other)| *count += other);
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Sometimes::ALL.iter().map(|what| (what.words(), self.0[*what as usize]))
    }

    /// What never came about.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        self.each().filter(|(_, count)| *count == 0).map(|(words, _)| words).collect()
    }
}
