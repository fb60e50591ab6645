//! What keeps the promises, each with a switch.

use std::str::FromStr;

macro_rules! guards {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// A thing that the protocol does so that a promise is kept.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Guard {
            $($(#[doc = $doc])* $name,)*
        }

        impl Guard {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// What it does, in words.
            pub(crate) fn words(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),*).trim_ascii(),)*
                }
            }
        }
    };
}

guards! {
    // The order store.
    /// An order is made only when no other order claims one of its seats.
    ClaimsExclude,
    /// An order is made with all of its claims or not at all.
    WholeOrNothing,
    /// Another order of the same hold is found before a second one is made.
    OneOrderAHold,
    /// A payment confirms only when every seat is, or can be made, the order's own.
    SettleNeedsClaims,
    /// An order that failed or was cancelled claims nothing any more.
    ClaimsEndWithOrder,
    /// The claims of an order past its end can be taken over, swept or not.
    OrdersExpireAtUse,

    // Payments.
    /// A payment is compared with the order's price.
    AmountCompared,
    /// A payment that was counted, or is to be given back, is final.
    PaymentIsFinal,
    /// A payment counts for one order.
    PaymentCountsOnce,
    /// A failed attempt ends no order while another attempt is open.
    OpenAttemptKeepsOrder,
    /// A report is durable before it is answered.
    DurableBeforeAnswer,
    /// A notice is remembered in the same step as its effect.
    NoticeWithItsEffect,
    /// A refund is written down in the same step as the decision.
    RefundWithItsDecision,
    /// A cancellation writes down the refund.
    CancelOwesRefund,
    /// A payment under way is asked after once its order has ended.
    OpenPaymentsAskedAfter,

    // The hold store.
    /// A hold is placed only on seats that are neither held nor sold.
    SeatsCheckedAtPlace,
    /// A hold past its end covers nothing, swept or not.
    HoldsExpireAtUse,
    /// Only the owner releases a hold.
    OwnerChecked,
    /// A hold with an order is not released.
    LinkedHoldStays,
    /// Making an order prolongs its hold.
    CheckoutProlongs,
    /// Making the same order again prolongs the hold again.
    CoveredAnew,
    /// The hold lasts longer than its order by what a store call may take.
    GraceCoversDelay,
    /// A hold is not prolonged past the longest life.
    LongestLife,
    /// Only the order that a hold is linked to can unlink it.
    OwnOrderUnlinks,
    /// A hold is given back only by the call that linked it, and only if no other has asked for its order since.
    GivenBackAlone,
    /// A sale ends the holds of others on its seats.
    SaleCutsShort,
    /// A cancellation frees only the seats that are still marked as its own.
    FreesOnlyItsOwn,
    /// The sale of an order is not marked after its cancellation.
    CancelledStaysFree,

    // Bringing the hold store in line.
    /// A hold store that has forgotten a show grants nothing before it was restored.
    PrimedBeforePlace,
    /// A restore brings back the holds of pending orders.
    PendingRestored,
    /// A restore is refused when something was freed or unlinked since its fence.
    StaleRestoreRefused,
    /// A restore frees a sold seat only when nothing has changed since its fence.
    FreedOnlyInQuiet,
    /// A restore brings pending holds back to a primed show only when nothing has changed since its fence.
    PendingOnlyInQuiet,
    /// A sale on seats that are marked as another order's outdates the claims that were read before.
    ResaleOutdates,
    /// A restore brings a pending hold back only where no other hold has an order.
    LinkedHoldStands,
    /// Reading a map reconciles a show that has seats marked sold which are not.
    MapMends,
    /// A refused order reconciles its show.
    ConflictReconciles,

    // The service.
    /// An order waits for payment from the instant at which its hold was linked.
    TimeCountsFromLink,
    /// An ended order is unlinked before another is made or the hold released.
    EndedOrderUnlinked,
    /// A linked order that nobody has seen may be on its way.
    UnseenOrderIsPending,
    /// The hold store hears of a sale after the order store has settled it.
    SoldAfterSettled,
}

impl FromStr for Guard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|guard| format!("{guard:?}").eq_ignore_ascii_case(text)).copied();
        found.ok_or_else(|| {
            let names: Vec<String> = Self::ALL.iter().map(|guard| format!("  {guard:?}: {}", guard.words())).collect();
            format!("no guard is called {text}; there are\n{}", names.join("\n"))
        })
    }
}
