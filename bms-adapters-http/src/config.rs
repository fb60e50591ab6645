//! What the host program decides.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::time::{Clock, SystemClock};
use secrecy::{ExposeSecret, SecretString};

use crate::auth::Authenticator;
use crate::rate::RateLimit;
use crate::shutdown::Shutdown;

/// The shortest secret for the signatures of payment notices: 128 bits.
const MIN_WEBHOOK_SECRET_BYTES: usize = 16;

/// How the router behaves. Only an authenticator is required.
pub struct HttpConfig {
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) payment_webhook_secret: Option<SecretString>,
    pub(crate) body_limit: usize,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) request_deadline: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shutdown: Shutdown,
    pub(crate) fallback: bool,
    pub(crate) serves: Option<Serves>,
}

/// Says yes to the paths of the routes that are served.
pub(crate) type Serves = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A secret of fewer than 16 bytes.
    #[error("a payment webhook secret has at least {MIN_WEBHOOK_SECRET_BYTES} bytes")]
    ShortWebhookSecret,
}

impl HttpConfig {
    /// The largest body that is read unless configured: 64 KiB.
    pub const DEFAULT_BODY_LIMIT: usize = 64 * 1024;
    /// How long a request may take unless configured, all its calls of dependencies together: 10 seconds.
    pub const DEFAULT_REQUEST_DEADLINE: Duration = Duration::from_secs(10);

    /// The defaults: 64 KiB bodies, 10 seconds a request, no rate limit, no payment notices, the machine's clock.
    #[must_use]
    pub fn new(authenticator: Arc<dyn Authenticator>) -> Self {
        Self {
            authenticator,
            payment_webhook_secret: None,
            body_limit: Self::DEFAULT_BODY_LIMIT,
            rate_limit: None,
            request_deadline: Self::DEFAULT_REQUEST_DEADLINE,
            clock: Arc::new(SystemClock),
            shutdown: Shutdown::new(),
            fallback: true,
            serves: None,
        }
    }

    /// Takes payment notices that are signed with this secret. Without it their route does not exist.
    ///
    /// # Errors
    /// [`ConfigError::ShortWebhookSecret`] for a secret of fewer than 16 bytes.
    pub fn payment_webhook_secret(mut self, secret: SecretString) -> Result<Self, ConfigError> {
        if secret.expose_secret().len() < MIN_WEBHOOK_SECRET_BYTES {
            return Err(ConfigError::ShortWebhookSecret);
        }
        self.payment_webhook_secret = Some(secret);
        Ok(self)
    }

    /// The largest body that is read, in bytes.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Limits how often a user, or an address without a token, may ask. Addresses are those of
    /// [`ConnectInfo`](axum::extract::ConnectInfo); callers without one share a limit.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// How long a request may take before it is answered 503, whatever it waits for (promise P11).
    #[must_use]
    pub fn request_deadline(mut self, deadline: Duration) -> Self {
        self.request_deadline = deadline;
        self
    }

    /// Replaces the machine's clock, which decides how old a payment notice's signature is.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What tells the router that the program is going down.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Serves only the routes whose path this says yes to, such as `/api/v1/holds/{holdId}`, as the OpenAPI document names it;
    /// the others are unknown here. For a program that is one of several which serve the contract together. The document
    /// remains that of all routes.
    #[must_use]
    pub fn only(mut self, serves: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.serves = Some(Arc::new(serves));
        self
    }

    /// Leaves out the fallback that answers unknown paths with a problem: for a host that has a fallback of its own,
    /// since two routers with a fallback cannot be merged.
    #[must_use]
    pub fn without_fallback(mut self) -> Self {
        self.fallback = false;
        self
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("takes_payment_notices", &self.payment_webhook_secret.is_some())
            .field("body_limit", &self.body_limit)
            .field("rate_limit", &self.rate_limit)
            .field("request_deadline", &self.request_deadline)
            .finish_non_exhaustive()
    }
}
