//! The library in this process.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bms_adapters_http::TokioTimer;
use bms_adapters_http::problem::Problem;
use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::error::Error;
use bms_domain::id::{Caller, HoldId, OrderId, SeatId, ShowId, UserId};
use bms_domain::memory::SandboxGateway;
use bms_domain::order::{Customer, OrderState};
use bms_domain::payment::PaymentReference;
use bms_domain::service::{Payment, Ports};
use bms_domain::time::SystemClock;
use bms_postgres::{Postgres, PostgresCatalogue, PostgresConfig, PostgresHolds, PostgresIdempotency, PostgresOrders};
use bms_redis::{Redis, RedisConfig, RedisHolds, RedisIdempotency};

use crate::Failure;
use crate::office::{Answer, BoxOffice, Held, Refusal, Sale};

/// How long a call of a store may take, as in `bms-server`.
const DEADLINE: Duration = Duration::from_secs(2);

/// A service in this process.
pub(crate) struct Library {
    service: BookingService,
}

impl Library {
    /// A service on these stores, or on embedded ones, that sells a catalogue.
    pub(crate) async fn open(
        redis: Option<&str>,
        database: Option<&str>,
        catalogue: &CatalogueDocument,
    ) -> Result<Self, Failure> {
        let ports = ports(redis, database).await?;
        let built = BookingService::builder(ports).deadline(DEADLINE, Arc::new(TokioTimer)).build();
        let service = built.map_err(|error| Failure::Refused(error.to_string()))?;
        let loader = UserId::parse("bms-load").map_err(|error| Failure::Refused(error.to_string()))?;
        service.import(&Caller::admin(loader), catalogue).await?;
        Ok(Self { service })
    }
}

async fn ports(redis: Option<&str>, database: Option<&str>) -> Result<Ports, Failure> {
    let mut ports = Ports::in_memory(Arc::new(SystemClock), Arc::new(SandboxGateway));
    if let Some(url) = database {
        let config = PostgresConfig::new(url)?;
        Postgres::migrate(&config).await?;
        let postgres = Postgres::connect(&config.deadline(DEADLINE * 8 / 10)?).await?;
        let orders = Arc::new(PostgresOrders::new(postgres.clone()));
        ports.orders = orders.clone();
        ports.outbox = orders;
        ports.catalogue = Arc::new(PostgresCatalogue::new(postgres.clone()));
        ports.idempotency = Arc::new(PostgresIdempotency::new(postgres.clone()));
        ports.holds = Arc::new(PostgresHolds::new(postgres));
    }
    if let Some(url) = redis {
        let redis = Redis::connect(RedisConfig::new(url)?).await?;
        ports.holds = Arc::new(RedisHolds::new(redis.clone()));
        ports.idempotency = Arc::new(RedisIdempotency::new(redis));
    }
    Ok(ports)
}

#[async_trait]
impl BoxOffice for Library {
    async fn look(&self, show: &ShowId) -> Answer<()> {
        answer(self.service.seat_map(show).await.map(drop))
    }

    async fn sold(&self, show: &ShowId) -> Answer<HashSet<SeatId>> {
        let map = self.service.seat_map_fresh(show).await;
        answer(map.map(|map| map.listing.layout().names(&map.unavailable.iter().collect()).ids().collect()))
    }

    async fn hold(&self, user: &UserId, show: &ShowId, seats: &[SeatId]) -> Answer<Held> {
        let placed = self.service.place_hold(&Caller::user(user.clone()), show, seats, self.service.new_seed()).await;
        answer(placed.map(|booked| {
            let (hold, life) = (booked.hold.id, booked.hold.life);
            Held { hold, seats: booked.seats().ids().collect(), lasts: life.own_end.since(life.created_at) }
        }))
    }

    async fn release(&self, user: &UserId, hold: HoldId) -> Answer<()> {
        answer(self.service.release_hold(&Caller::user(user.clone()), hold).await.map(drop))
    }

    async fn order(&self, user: &UserId, hold: HoldId) -> Answer<OrderId> {
        let customer = Customer { name: "Ann Example".to_owned(), email: "ann@example.org".to_owned() };
        let placed = self.service.create_order(&Caller::user(user.clone()), hold, customer).await;
        answer(placed.map(|placed| placed.order.id))
    }

    async fn confirm(&self, user: &UserId, order: OrderId, payment: &str) -> Answer<Sale> {
        let Ok(payment) = PaymentReference::parse(payment) else {
            return Answer::Refused(Refusal { cause: "validation".to_owned(), refund_due: false });
        };
        match self.service.confirm_order(&Caller::user(user.clone()), order, &payment).await {
            Ok(Payment::Confirmed(order)) => {
                let code = match &order.state {
                    OrderState::Confirmed { ticket, .. } => ticket.code.to_string(),
                    _ => String::new(),
                };
                Answer::Given(Sale { order: order.id, seats: order.seats.ids().collect(), code })
            }
            Ok(Payment::Pending(_)) => Answer::Unknown("pending".to_owned()),
            Err(error) => answer(Err(error)),
        }
    }
}

/// The same words as over HTTP.
fn answer<T>(result: Result<T, Error>) -> Answer<T> {
    result.map_or_else(refused, Answer::Given)
}

fn refused<T>(error: Error) -> Answer<T> {
    let is_unknown = matches!(error, Error::Unavailable { .. } | Error::OutcomeUnknown { .. } | Error::Internal(_));
    let refund_due = match &error {
        Error::OrderNotPending(order) | Error::OrderExpired(order) | Error::PaymentDeclined(order) => order.refund_due,
        _ => false,
    };
    let cause = Problem::from(error).code().name().to_owned();
    if is_unknown { Answer::Unknown(cause) } else { Answer::Refused(Refusal { cause, refund_due }) }
}
