//! What callers are told apart by.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bms_adapters_http::auth::{AuthError, KeyError};
use bms_adapters_http::{Authenticator, JwtAuthenticator};
use bms_adapters_lambda::AuthorizerClaims;
use bms_adapters_lambda::lambda_http::http::request::Parts;
use bms_domain::id::Caller;
use tokio::sync::Mutex;

use super::Failure;
use super::settings::KeySettings;

/// How old a key set that was fetched may be.
const REFRESH_AFTER: Duration = Duration::from_mins(10);
/// How soon a key set that could not be fetched is fetched again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long fetching it may take.
const FETCH_DEADLINE: Duration = Duration::from_secs(2);

/// The authenticator that the settings name.
pub(crate) async fn authenticator(settings: &KeySettings) -> Result<Arc<dyn Authenticator>, Failure> {
    let heard_by = |audience: &Option<String>, authenticator: JwtAuthenticator| match audience {
        Some(audience) => authenticator.audience(audience),
        None => authenticator,
    };
    match settings {
        KeySettings::Authorizer => Ok(Arc::new(AuthorizerClaims)),
        KeySettings::Secret { secret, audience } => {
            let authenticator = JwtAuthenticator::hs256(secret).map_err(|error| refused("BMS_JWT_SECRET", error))?;
            Ok(Arc::new(heard_by(audience, authenticator)))
        }
        KeySettings::Jwks { place, audience } if place.starts_with("http://") || place.starts_with("https://") => {
            let client = reqwest::Client::builder().timeout(FETCH_DEADLINE).build().map_err(Failure::Keys)?;
            let keys = fetch(&client, place).await.map_err(Failure::Keys)?;
            let keys = JwtAuthenticator::jwks(&keys).map_err(|error| refused("BMS_JWKS", error))?;
            let due = Mutex::new(SystemTime::now() + REFRESH_AFTER);
            Ok(Arc::new(FetchedKeys { keys: heard_by(audience, keys), client, address: place.clone(), due }))
        }
        KeySettings::Jwks { place, audience } => {
            let keys = std::fs::read_to_string(place).map_err(|source| Failure::File { name: "BMS_JWKS", source })?;
            let keys = JwtAuthenticator::jwks(&keys).map_err(|error| refused("BMS_JWKS", error))?;
            Ok(Arc::new(heard_by(audience, keys)))
        }
    }
}

fn refused(name: &str, error: KeyError) -> Failure {
    Failure::Refused(format!("{name}: {error}"))
}

/// The address is not in its errors: a password may be in it.
async fn fetch(client: &reqwest::Client, address: &str) -> Result<String, reqwest::Error> {
    let fetched = async { client.get(address).send().await?.error_for_status()?.text().await };
    fetched.await.map_err(reqwest::Error::without_url)
}

/// Keys that were fetched, and are fetched again within a request when they are old: between requests nothing runs.
struct FetchedKeys {
    keys: JwtAuthenticator,
    client: reqwest::Client,
    address: String,
    due: Mutex<SystemTime>,
}

#[async_trait]
impl Authenticator for FetchedKeys {
    async fn authenticate(&self, request: &Parts) -> Result<Caller, AuthError> {
        let mut due = self.due.lock().await;
        if SystemTime::now() >= *due {
            // Old keys are better than none.
            let after = match fetch(&self.client, &self.address).await.map(|keys| self.keys.replace_jwks(&keys)) {
                Ok(Ok(())) => REFRESH_AFTER,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the fetched key set is not good; the old one stays");
                    TRY_AGAIN_AFTER
                }
                Err(error) => {
                    tracing::warn!(%error, "the key set was not fetched; the old one stays");
                    TRY_AGAIN_AFTER
                }
            };
            *due = SystemTime::now() + after;
        }
        drop(due);
        self.keys.authenticate(request).await
    }
}
