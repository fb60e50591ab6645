//! What every request shares.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use bms_domain::BookingService;
use bms_domain::time::Clock;
use secrecy::SecretString;

use crate::auth::Authenticator;
use crate::config::HttpConfig;
use crate::metrics::Metrics;
use crate::rate::Limiter;
use crate::shutdown::Shutdown;
use crate::written::Sheets;

pub(crate) struct App {
    pub(crate) service: BookingService,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) payment_webhook_secret: Option<SecretString>,
    pub(crate) body_limit: usize,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) request_deadline: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shutdown: Shutdown,
    pub(crate) metrics: Metrics,
    pub(crate) sheets: Sheets,
    /// The OpenAPI document, written once the route table is complete.
    pub(crate) document: OnceLock<Bytes>,
}

impl App {
    pub(crate) fn new(service: BookingService, config: HttpConfig) -> Self {
        Self {
            service,
            authenticator: config.authenticator,
            payment_webhook_secret: config.payment_webhook_secret,
            body_limit: config.body_limit,
            limiter: config.rate_limit.map(Limiter::new),
            request_deadline: config.request_deadline,
            clock: config.clock,
            shutdown: config.shutdown,
            metrics: Metrics::new(),
            sheets: Sheets::new(),
            document: OnceLock::new(),
        }
    }
}
