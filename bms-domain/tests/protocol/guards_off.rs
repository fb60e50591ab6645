//! With any one guard switched off, the checker finds steps that break a promise. So every guard is needed, and the model is
//! fine enough to see why.

use std::sync::Mutex;
use std::thread;

use crate::checking::{explore_until_broken, is_kept_along, replay};
use crate::guards::Guard;
use crate::promises::Promise;
use crate::protocol::{Bounds, Protocol};

/// Which promise falls without a guard, and the smallest bounds within which it does.
fn what_falls(guard: Guard) -> (Promise, Bounds) {
    use Guard::*;
    use Promise::*;
    // Two users who want one seat, and a payment.
    let duel = Bounds { users: 2, seats: 1, ..Bounds::default() };
    let pair = Bounds { seats: 2, ..duel };
    let cancelled = Bounds { payments: 2, cancels: 1, ..duel };
    let emptied = Bounds { losses: 1, ..duel };
    let slow = Bounds { readers: true, ..duel };
    let emptied_slow = Bounds { losses: 1, cancels: 1, readers: true, ..duel };
    let older = Bounds { failovers: 1, orders: 2, ..duel };
    match guard {
        ClaimsExclude => (NoDoubleSale, Bounds { payments: 2, ..duel }),
        SettleNeedsClaims => (NoDoubleSale, Bounds { payments: 2, ..duel }),

        SeatsCheckedAtPlace => (ExclusiveHolds, duel),
        SaleCutsShort => (ExclusiveHolds, duel),
        FreesOnlyItsOwn => (ExclusiveHolds, Bounds { users: 3, ..cancelled }),
        PrimedBeforePlace => (ExclusiveHolds, emptied),
        FreedOnlyInQuiet => (ExclusiveHolds, slow),
        ConflictReconciles => (ExclusiveHolds, duel),
        ResaleOutdates => (ExclusiveHolds, Bounds { readers: true, ..cancelled }),

        WholeOrNothing => (AllOrNothing, pair),
        ClaimsEndWithOrder => (AllOrNothing, duel),

        AmountCompared => (MoneyIsNeverLost, duel),
        PaymentIsFinal => (MoneyIsNeverLost, duel),
        PaymentCountsOnce => (MoneyIsNeverLost, Bounds { orders: 2, ..duel }),
        DurableBeforeAnswer => (MoneyIsNeverLost, duel),
        NoticeWithItsEffect => (MoneyIsNeverLost, duel),
        RefundWithItsDecision => (MoneyIsNeverLost, duel),
        CancelOwesRefund => (MoneyIsNeverLost, cancelled),
        OpenPaymentsAskedAfter => (MoneyIsNeverLost, duel),

        OrdersExpireAtUse => (NoLeak, duel),
        HoldsExpireAtUse => (NoLeak, duel),
        LongestLife => (NoLeak, duel),
        MapMends => (NoLeak, cancelled),

        OneOrderAHold => (SafeRetries, older),

        OpenAttemptKeepsOrder => (LegalMovesOnly, Bounds { payments: 2, ..duel }),
        EndedOrderUnlinked => (LegalMovesOnly, duel),

        LinkedHoldStays => (CheckoutIsCovered, duel),
        CheckoutProlongs => (CheckoutIsCovered, duel),
        CoveredAnew => (CheckoutIsCovered, duel),
        GraceCoversDelay => (CheckoutIsCovered, duel),
        GivenBackAlone => (CheckoutIsCovered, cancelled),
        OwnOrderUnlinks => (CheckoutIsCovered, Bounds { orders: 2, ..duel }),
        CancelledStaysFree => (CheckoutIsCovered, cancelled),
        StaleRestoreRefused => (CheckoutIsCovered, emptied_slow),
        LinkedHoldStands => (CheckoutIsCovered, Bounds { losses: 1, ..slow }),
        TimeCountsFromLink => (CheckoutIsCovered, duel),
        UnseenOrderIsPending => (CheckoutIsCovered, duel),
        SoldAfterSettled => (CheckoutIsCovered, duel),

        OwnerChecked => (OnlyTheOwner, duel),
        PendingOnlyInQuiet => (OnlyTheOwner, slow),

        PendingRestored => (SelfHealing, emptied),
    }
}

#[test]
fn without_any_one_guard_a_promise_falls() {
    let waiting = Mutex::new(Guard::ALL.iter());
    let unnoticed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(guard) = next(&waiting) {
                    let (promise, bounds) = what_falls(guard);
                    let world = Protocol { bounds, off: Some(guard) };
                    let line = replay(&world);
                    let found = explore_until_broken(world, promise);
                    let (Some(told), Some(steps)) = (found.broken.get(promise.name()), found.steps.get(promise.name())) else {
                        let name = promise.name();
                        unnoticed.lock().unwrap().push(format!("{guard:?}: {name}, {} states\n{line}", found.states));
                        continue;
                    };
                    println!("Without this: {}\n{told}{line}", guard.words());
                    // Else it would not be the guard whose lack breaks it.
                    let kept = is_kept_along(&Protocol { bounds, off: None }, promise, steps);
                    assert!(kept, "with all guards up the same steps break {}: {told}{line}", promise.name());
                }
            });
        }
    });
    let unnoticed = unnoticed.into_inner().unwrap();
    assert!(unnoticed.is_empty(), "guards without which the promise is kept in every state:\n{}", unnoticed.join("\n"));
}

fn next(waiting: &Mutex<std::slice::Iter<'static, Guard>>) -> Option<Guard> {
    waiting.lock().unwrap().next().copied()
}
