//! Serving: wires the stores, the service and the router together, and goes down in good order.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use bms_adapters_http::{Authenticator, HttpConfig, JwtAuthenticator, Shutdown, router};
use bms_domain::BookingService;
use bms_domain::catalogue::CatalogueDocument;
use bms_domain::id::Caller;
use bms_domain::service::Policy;

use crate::cli::ServeOptions;
use crate::common::keys;
use crate::common::serve::{listen, serve};
use crate::stores::given;
use crate::upkeep::{self, Sinks};
use crate::{Failure, demo, import, stores, system};

pub(crate) async fn run(options: ServeOptions) -> Result<(), Failure> {
    let sinks = Sinks::of(&options.webhooks)?;
    let service = stores::service(&options.stores, policy(&options)).await?;

    let shutdown = Shutdown::new();
    let (authenticator, demo_routes) = match keys::authenticator(&options.keys).await? {
        Some(authenticator) => (authenticator, None),
        None => {
            if !options.listen.ip().is_loopback() {
                let reason = "the demo mode gives tokens to whoever asks, so it listens on loopback addresses only; \
                              set --jwt-secret or --jwks to listen elsewhere";
                return Err(Failure::Refused(reason.to_owned()));
            }
            let secret = demo::secret()?;
            let authenticator = JwtAuthenticator::hs256(&secret).map_err(|error| Failure::Refused(error.to_string()))?;
            (Arc::new(authenticator), Some(demo::router(secret)))
        }
    };
    let in_demo_mode = demo_routes.is_some();
    load_catalogues(&service, &options, in_demo_mode).await?;

    let authenticator: Arc<dyn Authenticator> = authenticator;
    let mut config = HttpConfig::new(authenticator).shutdown(shutdown.clone());
    if let Some(limit) = options.rate_limit {
        config = config.rate_limit(limit);
    }
    if let Some(secret) = given(&options.payment_webhook_secret) {
        config = config.payment_webhook_secret(secret.clone()).map_err(|error| Failure::Refused(error.to_string()))?;
    }
    let mut app = router(service.clone(), config);
    if let Some(routes) = demo_routes {
        app = app.merge(routes);
    }

    let listener = listen(options.listen).await?;
    greet(listener.local_addr()?, in_demo_mode);
    upkeep::start(service, sinks, options.sweep_every);
    Ok(serve(listener, app, shutdown).await?)
}

fn policy(options: &ServeOptions) -> Policy {
    let mut policy = Policy::default();
    policy.hold_ttl = options.hold_ttl;
    policy.order_ttl = options.order_ttl;
    policy.limits.per_hold = options.max_seats_per_hold;
    policy.limits.per_user_and_show = options.max_seats_per_user;
    policy.longest_hold =
        policy.longest_hold.max(policy.hold_ttl.saturating_add(policy.order_ttl).saturating_add(policy.checkout_grace));
    policy
}

async fn load_catalogues(service: &BookingService, options: &ServeOptions, in_demo_mode: bool) -> Result<(), Failure> {
    let admin = system()?;
    if in_demo_mode || options.demo {
        load(service, &admin, "the demo catalogue", &demo::catalogue()?).await?;
    }
    if let Some(path) = &options.catalogue {
        load(service, &admin, &path.display().to_string(), &import::read(path)?).await?;
    }
    Ok(())
}

async fn load(service: &BookingService, admin: &Caller, name: &str, document: &CatalogueDocument) -> Result<(), Failure> {
    match service.import(admin, document).await {
        Ok(written) => {
            let (movies, theatres, shows) = (written.movies.len(), written.theatres.len(), written.shows.len());
            tracing::info!(movies, theatres, shows, "{name} is loaded");
            Ok(())
        }
        Err(bms_domain::Error::Invalid(faults)) => {
            let faults = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            Err(Failure::Catalogue { path: name.to_owned(), faults })
        }
        Err(error) => Err(error.into()),
    }
}

/// Says where to look. Whether anybody reads it makes no difference.
fn greet(address: SocketAddr, in_demo_mode: bool) {
    let mut lines = format!(
        "bms-server listens on http://{address}\n  \
           films      http://{address}/movies\n  \
           reference  http://{address}/api/v1/openapi.json\n"
    );
    if in_demo_mode {
        lines += &format!("  demo mode: tokens from POST http://{address}/api/v1/demo/token; everything is gone when it ends\n");
    }
    _ = std::io::stdout().write_all(lines.as_bytes());
}
