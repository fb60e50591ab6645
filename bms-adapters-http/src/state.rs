//! What every request shares.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use bms_domain::BookingService;
use bms_domain::time::Clock;
use secrecy::SecretString;

use crate::config::HttpConfig;
use crate::edge::Edge;
use crate::written::Sheets;

pub(crate) struct App {
    pub(crate) service: BookingService,
    pub(crate) edge: Arc<Edge>,
    pub(crate) payment_webhook_secret: Option<SecretString>,
    pub(crate) body_limit: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sheets: Sheets,
    /// The OpenAPI document, written once the route table is complete.
    pub(crate) document: OnceLock<Bytes>,
}

impl App {
    pub(crate) fn new(service: BookingService, config: HttpConfig) -> Self {
        Self {
            service,
            edge: Arc::new(Edge::new(&config)),
            payment_webhook_secret: config.payment_webhook_secret,
            body_limit: config.body_limit,
            clock: config.clock,
            sheets: Sheets::new(),
            document: OnceLock::new(),
        }
    }
}
