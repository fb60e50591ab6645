//! The servers that keep things.

use std::path::Path;
use std::sync::Arc;

use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::{Caller, UserId};
use bms_domain::memory::SandboxGateway;
use bms_domain::service::Ports;
use bms_domain::time::SystemClock;
use bms_postgres::testing::Server as PostgresServer;
use bms_postgres::{Postgres, PostgresCatalogue, PostgresConfig, PostgresOrders};
use bms_redis::testing::Server as RedisServer;

use crate::Failure;

const DEMO: &str = include_str!("../demo/catalogue.json");

/// A private Postgres with an empty database, and a private Redis.
pub(crate) struct Stores {
    database: String,
    redis: RedisServer,
    _postgres: PostgresServer,
}

impl Stores {
    /// Blocks until they run.
    pub(crate) fn start() -> Result<Self, Failure> {
        // As they should be run, so that nobody warns of them.
        let postgres = PostgresServer::builder().durable().start()?;
        let database = postgres.database("bms")?;
        Ok(Self { database, redis: RedisServer::builder().append_only().start()?, _postgres: postgres })
    }

    /// Makes the tables and loads a catalogue.
    pub(crate) async fn fill(&self, catalogue: &CatalogueDocument) -> Result<(), Failure> {
        let config = PostgresConfig::new(&self.database)?;
        Postgres::migrate(&config).await?;
        let postgres = Postgres::connect(&config).await?;
        let mut ports = Ports::in_memory(Arc::new(SystemClock), Arc::new(SandboxGateway));
        ports.orders = Arc::new(PostgresOrders::new(postgres.clone()));
        ports.catalogue = Arc::new(PostgresCatalogue::new(postgres));
        let service = BookingService::builder(ports).build().map_err(|error| Failure::Refused(error.to_string()))?;
        let name = UserId::parse("bms-cloud").map_err(|error| Failure::Refused(error.to_string()))?;
        service.import(&Caller::admin(name), catalogue).await.map_err(Failure::Catalogue)?;
        Ok(())
    }

    /// The URL of the database.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// The URL of Redis.
    pub(crate) fn redis(&self) -> String {
        self.redis.url()
    }
}

/// The catalogue in a file, or that of the demo.
pub(crate) fn catalogue(file: Option<&Path>) -> Result<CatalogueDocument, Failure> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::Refused(format!("the catalogue {}: {error}", file.display())))?,
        None => DEMO.to_owned(),
    };
    CatalogueDocument::parse(text).map_err(|faults| Failure::Refused(format!("not a catalogue that can be loaded:\n{faults}")))
}
