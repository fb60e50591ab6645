//! Outboxes on the same sequence.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Rival, Stand};
use crate::payment::PaymentStatus;
use crate::testing::calls::{OrderCall, Tally};
use crate::testing::model::Number;
use crate::testing::sequences::outbox::{ALL, EVENTS, Machine, Step};
use crate::testing::sequences::{Config, run};
use crate::testing::{ManualClock, Runtime};

/// Drives random sequences against several outboxes, and compares what they give out, whole, and their dead letters. Says what
/// came about.
///
/// Two things are an outbox's own choice, and compared with the model alone ([`outbox`](super::super::outbox)): whether it keeps
/// what was published, so that here nothing puts that back, or forgets it; and whose events come first when more are due than are
/// asked for, so that here all are. No two events are written at the same instant, which leaves one order of them.
///
/// # Panics
/// When two stores differ: shows the shortest sequence found, the step, and both answers.
pub fn outboxes_agree(config: Config, runtime: &dyn Runtime, rivals: &[Rival<'_, OrderCall>]) -> Tally {
    let tally = Mutex::new(Tally::default());
    let counted = &tally;
    run::<Machine>(config, runtime, |(), steps, seen| {
        Box::pin(async move {
            let mut stand = Stand::new(rivals, ManualClock::new(), counted).await;
            let mut written = BTreeMap::new();
            for step in steps {
                seen.step();
                stand.step += 1;
                let call = match step {
                    Step::Write(number) => {
                        stand.clock.advance(Duration::from_millis(1));
                        writing(&mut written, number)
                    }
                    Step::Claim { lease, .. } => Some(OrderCall::ClaimEvents { limit: ALL, lease }),
                    Step::Published(events) => Some(OrderCall::Published { events }),
                    Step::Postpone(events, by) => Some(OrderCall::Postpone { events, by }),
                    Step::Bury(events) => Some(OrderCall::Bury { events }),
                    Step::ReplayDead => Some(OrderCall::ReplayDead),
                    Step::ReplayOrder(_) | Step::ReplaySince(_) | Step::Prune(_) => None,
                    Step::Advance(span) => {
                        stand.clock.advance(span);
                        None
                    }
                };
                if let Some(call) = call {
                    stand.ask(|_| call.clone()).await;
                    stand.ask(|_| OrderCall::Dead { after: None, limit: 3 }).await;
                }
            }
            stand.clock.advance(Duration::from_mins(1));
            stand.ask(|_| OrderCall::ReplayDead).await;
            stand.ask(|_| OrderCall::ClaimEvents { limit: ALL, lease: Duration::from_secs(1) }).await;
        })
    });
    tally.into_inner()
}

/// The call that writes the next event of an order: it is made, a payment fails, a payment is good, all others are too many.
fn writing(written: &mut BTreeMap<Number, u32>, number: Number) -> Option<OrderCall> {
    let nth = written.entry(number).or_default();
    if *nth == EVENTS {
        return None;
    }
    *nth += 1;
    if *nth == 1 {
        let ttl = Duration::from_hours(24);
        return Some(OrderCall::Create { number, hold: number, owner: 0, seats: [number].into(), ttl });
    }
    let (payment, ticket) = (u8::try_from(number * EVENTS + *nth).unwrap_or(u8::MAX), number * EVENTS + *nth);
    let status = if *nth == 2 { PaymentStatus::Failed } else { PaymentStatus::Succeeded };
    Some(OrderCall::Settle { order: number, payment, status, right_amount: true, notice: None, ticket })
}
