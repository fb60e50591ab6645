//! What tokens are checked with.

use std::sync::Arc;
use std::time::Duration;

use bms_adapters_http::JwtAuthenticator;
use clap::Args;
use secrecy::SecretString;

use super::Failure;

/// How often a key set is fetched again from its address.
const REFRESH_EVERY: Duration = Duration::from_mins(10);

/// How long fetching a key set may take.
const FETCH_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct KeyOptions {
    /// The secret of HS256 tokens, at least 32 bytes.
    #[arg(long, env = "BMS_JWT_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub(crate) jwt_secret: Option<SecretString>,

    /// The public keys of tokens (RS256, ES256, EdDSA) as a JWKS: a file, or an address it is fetched from at the start
    /// and every ten minutes.
    #[arg(long, env = "BMS_JWKS", value_name = "FILE|URL", conflicts_with = "jwt_secret")]
    pub(crate) jwks: Option<String>,

    /// The audience that tokens must name.
    #[arg(long, env = "BMS_JWT_AUDIENCE", value_name = "AUDIENCE")]
    pub(crate) jwt_audience: Option<String>,
}

/// The authenticator of `--jwt-secret` or `--jwks`; `None` with neither.
pub(crate) async fn authenticator(options: &KeyOptions) -> Result<Option<Arc<JwtAuthenticator>>, Failure> {
    let refused = |error: bms_adapters_http::auth::KeyError| Failure::Refused(format!("the keys of tokens: {error}"));
    let (authenticator, address) = match (&options.jwt_secret, &options.jwks) {
        (Some(secret), _) => (JwtAuthenticator::hs256(secret).map_err(refused)?, None),
        (None, Some(jwks)) if is_address(jwks) => {
            (JwtAuthenticator::jwks(&fetch(jwks).await?).map_err(refused)?, Some(jwks.clone()))
        }
        (None, Some(path)) => {
            let keys = std::fs::read_to_string(path).map_err(|source| Failure::File {
                what: "the key set",
                path: path.clone(),
                source,
            })?;
            (JwtAuthenticator::jwks(&keys).map_err(refused)?, None)
        }
        (None, None) => return Ok(None),
    };
    let authenticator = Arc::new(match &options.jwt_audience {
        Some(audience) => authenticator.audience(audience),
        None => authenticator,
    });
    if let Some(address) = address {
        tokio::spawn(keep_fresh(authenticator.clone(), address));
    }
    Ok(Some(authenticator))
}

fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// The address is not in its errors: a password may be in it.
async fn fetch(address: &str) -> Result<String, Failure> {
    let client = reqwest::Client::builder().timeout(FETCH_DEADLINE).build()?;
    let fetched = async { client.get(address).send().await?.error_for_status()?.text().await };
    fetched.await.map_err(|error| Failure::Keys(error.without_url()))
}

async fn keep_fresh(authenticator: Arc<JwtAuthenticator>, address: String) {
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        match fetch(&address).await {
            Ok(keys) => {
                if let Err(error) = authenticator.replace_jwks(&keys) {
                    tracing::warn!(%error, "the fetched key set is not good; the old one stays");
                }
            }
            Err(error) => tracing::warn!(%error, "the key set was not fetched; the old one stays"),
        }
    }
}
