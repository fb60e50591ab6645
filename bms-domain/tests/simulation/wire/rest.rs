//! Calls of the outbox, the catalogue, the keys, the payment provider, and the receiver of events.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_domain::catalogue::{Listing, Movie, Theatre};
use bms_domain::event::{EventKey, EventSink, OrderEvent, PublishError};
use bms_domain::id::{LayoutId, MovieId, OrderId, ShowId, TheatreId};
use bms_domain::layout::Layout;
use bms_domain::money::Money;
use bms_domain::order::Order;
use bms_domain::payment::{GatewayError, PaymentGateway, PaymentKey, PaymentReference, PaymentStatus};
use bms_domain::store::{
    Begun, CatalogueStore, CatalogueWrite, Delivery, Fingerprint, IdempotencyKey, IdempotencyStore, MovieQuery, Outbox, Replay,
    StoreError,
};
use bms_domain::time::Timestamp;
use uuid::Uuid;

use crate::flaws::Flaw;
use crate::servers::done;
use crate::wire::Wire;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Outbox for Wire {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<Delivery>, StoreError> {
        self.call("outbox.claim", move |world, _| {
            let mut claimed = done(world.orders.store.claim(limit, lease))?;
            if world.plan.has(Flaw::NewestFirst) {
                claimed.reverse();
            }
            Ok(claimed)
        })
        .await
    }

    async fn published(&self, events: &[EventKey]) -> Result<(), StoreError> {
        let events = events.to_vec();
        self.call("outbox.published", move |world, _| done(world.orders.store.published(&events))).await
    }

    async fn postpone(&self, events: &[EventKey], by: Duration) -> Result<(), StoreError> {
        let events = events.to_vec();
        self.call("outbox.postpone", move |world, _| done(world.orders.store.postpone(&events, by))).await
    }

    async fn bury(&self, events: &[EventKey]) -> Result<(), StoreError> {
        let events = events.to_vec();
        self.call("outbox.bury", move |world, _| done(world.orders.store.bury(&events))).await
    }

    async fn dead(&self, after: Option<EventKey>, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.call("outbox.dead", move |world, _| done(world.orders.store.dead(after, limit))).await
    }

    async fn replay(&self, which: &Replay) -> Result<usize, StoreError> {
        let which = *which;
        self.call("outbox.replay", move |world, _| done(world.orders.store.replay(&which))).await
    }

    async fn prune(&self, older_than: Duration, limit: usize) -> Result<usize, StoreError> {
        self.call("outbox.prune", move |world, _| done(world.orders.store.prune(older_than, limit))).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdempotencyStore for Wire {
    async fn begin(&self, key: &IdempotencyKey, request: Fingerprint, seed: Uuid, lease: Duration) -> Result<Begun, StoreError> {
        let key = key.clone();
        self.call("keys.begin", move |world, _| done(world.keys.begin(&key, request, seed, lease))).await
    }

    async fn finish(&self, key: &IdempotencyKey, answer: Vec<u8>, keep: Duration) -> Result<Vec<u8>, StoreError> {
        let key = key.clone();
        self.call("keys.finish", move |world, _| done(world.keys.finish(&key, answer, keep))).await
    }

    async fn abandon(&self, key: &IdempotencyKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.call("keys.abandon", move |world, _| done(world.keys.abandon(&key))).await
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        self.call("keys.sweep", move |world, _| done(world.keys.sweep(limit))).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call("keys.ping", move |world, _| done(world.keys.ping())).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CatalogueStore for Wire {
    async fn movies(&self, query: &MovieQuery) -> Result<Vec<Arc<Movie>>, StoreError> {
        let query = query.clone();
        self.call("catalogue.movies", move |world, _| done(world.catalogue.movies(&query))).await
    }

    async fn movie(&self, id: &MovieId) -> Result<Option<Arc<Movie>>, StoreError> {
        let id = *id;
        self.call("catalogue.movie", move |world, _| done(world.catalogue.movie(&id))).await
    }

    async fn theatre(&self, id: &TheatreId) -> Result<Option<Arc<Theatre>>, StoreError> {
        let id = *id;
        self.call("catalogue.theatre", move |world, _| done(world.catalogue.theatre(&id))).await
    }

    async fn layout(&self, id: &LayoutId) -> Result<Option<Arc<Layout>>, StoreError> {
        let id = *id;
        self.call("catalogue.layout", move |world, _| done(world.catalogue.layout(&id))).await
    }

    async fn show(&self, id: &ShowId) -> Result<Option<Arc<Listing>>, StoreError> {
        let id = *id;
        self.call("catalogue.show", move |world, _| done(world.catalogue.show(&id))).await
    }

    async fn shows(
        &self,
        movie: &MovieId,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<Listing>>, StoreError> {
        let movie = *movie;
        self.call("catalogue.shows", move |world, _| done(world.catalogue.shows(&movie, from, until, limit))).await
    }

    async fn write(&self, entries: &CatalogueWrite) -> Result<(), StoreError> {
        // The catalogue is one for all worlds.
        let detail = format!("{} shows were written in a simulation", entries.shows.len());
        Err(StoreError::Broken { store: "the catalogue", detail })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call("catalogue.ping", move |world, _| done(world.catalogue.ping())).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl PaymentGateway for Wire {
    async fn verify(&self, order: &Order, reference: &PaymentReference) -> Result<(PaymentStatus, Money), GatewayError> {
        let (order, reference) = (order.id, reference.clone());
        let verify = self.call::<_, GatewayError>("gateway.verify", move |world, _| Ok(world.bank.look_up(order, &reference)));
        verify.await?.ok_or(GatewayError::NotThisOrders)
    }

    fn key(&self, _: OrderId, reference: &PaymentReference) -> PaymentKey {
        PaymentKey::of(reference)
    }

    fn is_there(&self) -> bool {
        true
    }

    async fn ping(&self) -> Result<(), GatewayError> {
        Ok(())
    }
}

#[async_trait]
impl EventSink for Wire {
    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        let events = events.to_vec();
        self.call("sink.publish", move |world, _| {
            let arrive = world.dice.sink(events.len()).unwrap_or(events.len());
            world.audit(|auditor| events[..arrive].iter().for_each(|event| auditor.published(event)));
            if arrive == events.len() {
                return Ok(());
            }
            let published = events[..arrive].iter().map(|event| event.key).collect();
            Err(PublishError { published, untried: Vec::new(), source: None })
        })
        .await
    }
}
