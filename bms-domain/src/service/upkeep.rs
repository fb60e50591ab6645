//! Upkeep: nothing here is needed for the promises; it tidies up, and mends early what would be mended late. Safe to run in many processes at once.

use std::ops::AddAssign;
use std::time::Duration;

use futures::future::{join, join_all, join4};
use serde::Serialize;

use super::BookingService;
use super::catalogue::Page;
use super::orders::require_admin;
use crate::error::Error;
use crate::id::{Caller, OrderId, ShowId};
use crate::payment::{PaymentReference, RefundDue};
use crate::store::{Attempt, Fence, OccupancyRead, StoreError};

/// How long a sweep looks after a show that was sold or cancelled: longer than sweeps are apart, and than a rush lasts.
const LATELY: Duration = Duration::from_hours(1);

/// How long one who asks a provider after a payment has it for himself, and so how often it is asked after.
const ASK_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// How many payments a provider is asked after at once.
const ASKED_AT_ONCE: usize = 16;

/// What a sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// Holds that were retired.
    pub holds: usize,
    /// Payments under way whose provider was asked, and answered.
    pub payments_asked: usize,
    /// Orders that were persisted as expired.
    pub orders: usize,
    /// Shows whose holds were held against their orders.
    pub shows: usize,
    /// Seats whose mark in the hold store was wrong and is right now.
    pub seats: usize,
    /// Answers to idempotency keys that were forgotten.
    pub answers: usize,
    /// Published events that the outbox forgot.
    pub events: usize,
}

impl Swept {
    /// Whether a sweep of so many of each at most found all that there was to do: another one finds nothing, for now.
    #[must_use]
    pub fn is_all(&self, limit: usize) -> bool {
        let Self { holds, payments_asked, orders, shows, seats: _, answers, events } = *self;
        [holds, payments_asked, orders, shows, answers, events].into_iter().all(|count| count < limit)
    }
}

impl AddAssign for Swept {
    fn add_assign(&mut self, more: Self) {
        let Self { holds, payments_asked, orders, shows, seats, answers, events } = more;
        self.holds += holds;
        self.payments_asked += payments_asked;
        self.orders += orders;
        self.shows += shows;
        self.seats += seats;
        self.answers += answers;
        self.events += events;
    }
}

/// What reconciling a show with the durable store did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Seats that were not marked sold and are.
    pub added: u32,
    /// Seats that were marked sold and are not.
    pub freed: u32,
}

/// Whether a dependency answers.
#[derive(Debug)]
pub struct Readiness {
    /// Which.
    pub dependency: &'static str,
    /// `None` when it answers.
    pub problem: Option<Error>,
}

impl BookingService {
    /// Retires expired holds, asks the provider about payments that are under way for orders past their end (one that it does
    /// not know counts as failed, until it is reported to have succeeded after all: P4), persists
    /// expired orders, and forgets old answers and old published events: each at most `limit`. A sweep that finds less of all
    /// that reconciles the shows that were sold or cancelled of lately, at most `limit` too; the next one goes on with the others.
    ///
    /// # Errors
    /// `Unavailable`, from the first store that does not answer; what the others can do is done all the same. A provider
    /// that does not answer is only skipped, and asked again.
    pub async fn sweep(&self, limit: usize) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        // What one dependency cannot do now keeps none of the others from being done.
        let steps = [
            self.of_holds(self.holds().sweep(limit)).await.map(|holds| swept.holds = holds).map_err(Error::from),
            self.sweep_payments(limit, &mut swept).await,
            self.sweep_orders(limit, &mut swept).await,
            self.of_keys(self.ports().idempotency.sweep(limit)).await.map(|answers| swept.answers = answers).map_err(Error::from),
            self.sweep_events(limit, &mut swept).await,
        ];
        let done = steps.into_iter().collect::<Result<(), Error>>();
        // Whoever sweeps until nothing is left comes to the shows once.
        let shows = if swept.is_all(limit) { self.sweep_shows(limit, &mut swept).await } else { Ok(()) };
        done.and(shows).map(|()| swept)
    }

    /// Asks the provider about payments that are under way for orders past their end. One that it does not know has failed.
    async fn sweep_payments(&self, limit: usize, swept: &mut Swept) -> Result<(), Error> {
        if !self.ports().gateway.is_there() {
            return Ok(());
        }
        let (mut outcome, mut left) = (Ok(()), limit);
        while left > 0 {
            // Few at a time: those that are taken are nobody else's until they were asked after.
            let some = left.min(ASKED_AT_ONCE);
            let attempts = self.of_orders(self.orders().claim_attempts(some, ASK_AGAIN_AFTER)).await?;
            for asked in join_all(attempts.iter().map(|attempt| self.ask_after(attempt))).await {
                match asked {
                    Ok(answered) => swept.payments_asked += usize::from(answered),
                    // It is asked after again. The others are not kept from their answers.
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
            if attempts.len() < some {
                break;
            }
            left -= some;
        }
        outcome
    }

    /// Asks the provider after a payment, and writes down what it says. Whether it says anything.
    async fn ask_after(&self, Attempt { order, reference }: &Attempt) -> Result<bool, Error> {
        let report = match self.ask_gateway(order, reference).await {
            Ok(Some(report)) => report,
            Ok(None) => {
                tracing::warn!(order = %order.id, "the provider does not know a payment that was under way: it counts as failed");
                self.failed(order, reference)
            }
            Err(error) => {
                tracing::warn!(order = %order.id, %error, "a payment under way is still unknown");
                return Ok(false);
            }
        };
        self.settle(&report).await.map(|_| true)
    }

    /// Persists that orders have expired.
    async fn sweep_orders(&self, limit: usize, swept: &mut Swept) -> Result<(), Error> {
        for order in self.of_orders(self.orders().expire_overdue(limit)).await? {
            swept.orders += 1;
            self.unlink(order.hold, order.id).await;
        }
        Ok(())
    }

    /// Forgets events that were published long ago.
    async fn sweep_events(&self, limit: usize, swept: &mut Swept) -> Result<(), Error> {
        swept.events = self.of_orders(self.ports().outbox.prune(self.policy().keep_events, limit)).await?;
        Ok(())
    }

    /// Reconciles the shows that were sold or cancelled of lately, from where the last sweep has stopped.
    async fn sweep_shows(&self, limit: usize, swept: &mut Swept) -> Result<(), Error> {
        let mut outcome = Ok(());
        let after = *self.shared.reconciled.lock();
        let sales = self.of_orders(self.orders().sales_within(LATELY, after.as_ref(), limit)).await?;
        *self.shared.reconciled.lock() = sales.last().copied().filter(|_| sales.len() >= limit);
        swept.shows = sales.len();
        for (_, show) in sales {
            match self.reconcile(&show).await {
                Ok(Reconciled { added, freed }) => swept.seats += (added + freed) as usize,
                Err(error) => {
                    tracing::warn!(%show, %error, "a show was not reconciled");
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }

    /// Brings the hold store in line with the durable store for one show: what is sold is marked sold, what is not is not,
    /// and pending orders have their holds.
    ///
    /// # Errors
    /// `NotFound` (the show), `Unavailable`.
    pub async fn reconcile(&self, show: &ShowId) -> Result<Reconciled, Error> {
        let listing = self.listing(show).await?;
        let fence: Fence = match self.of_holds(self.holds().occupancy(show)).await? {
            OccupancyRead::Known(known) => known.fence,
            OccupancyRead::NotPrimed(fence) => fence,
        };
        let (added, freed) = self.prime(&listing, fence).await?;
        self.shared.maps.forget(show);
        Ok(Reconciled { added, freed })
    }

    /// Payments that are to be given back, by order and reference, those after `after`, `limit` of 1–100 at most. For
    /// administrators.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid` (limit), `Unavailable`.
    pub async fn refunds_due(
        &self,
        caller: &Caller,
        after: Option<&(OrderId, PaymentReference)>,
        limit: usize,
    ) -> Result<Vec<RefundDue>, Error> {
        require_admin(caller)?;
        let limit = Page::<RefundDue, OrderId>::check_limit(limit)?;
        Ok(self.of_orders(self.orders().refunds_due(after, limit)).await?)
    }

    /// Asks every dependency at once whether it answers.
    pub async fn readiness(&self) -> Vec<Readiness> {
        let ping = self.ports().gateway.ping();
        let ask_gateway = self.bounded(ping, || crate::payment::GatewayError::Unavailable { source: None });
        let (mut readiness, gateway) = join(self.store_readiness(), ask_gateway).await;
        let problem = gateway
            .err()
            .map(|error| Error::from(StoreError::Unavailable { store: "the payment provider", source: Some(Box::new(error)) }));
        readiness.push(Readiness { dependency: "the payment provider", problem });
        readiness
    }

    /// Asks every store at once whether it answers, and nobody else.
    pub async fn store_readiness(&self) -> Vec<Readiness> {
        let ports = self.ports();
        let said = |dependency, answer: Result<(), StoreError>| Readiness { dependency, problem: answer.err().map(Error::from) };
        let (holds, orders, catalogue, keys) = join4(
            self.of_holds(self.holds().ping()),
            self.of_orders(self.orders().ping()),
            self.of_catalogue(ports.catalogue.ping()),
            self.of_keys(ports.idempotency.ping()),
        )
        .await;
        vec![
            said("the hold store", holds),
            said("the order store", orders),
            said("the catalogue store", catalogue),
            said("the idempotency store", keys),
        ]
    }
}
