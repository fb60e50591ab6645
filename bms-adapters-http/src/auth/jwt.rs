//! Bearer tokens: JWTs under keys whose algorithm is pinned.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use bms_domain::id::{Caller, UserId};
use bms_domain::time::{Clock, SystemClock, Timestamp};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm as JwkAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{ADMIN_SCOPE, AuthError, Authenticator, caller_of};

/// How far ahead the clock of whoever issues tokens may be.
const NOT_BEFORE_TOLERANCE: Duration = Duration::from_secs(30);
/// The shortest secret for HS256: as long as its digest (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The algorithm of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A secret of fewer than 32 bytes.
    #[error("an HS256 secret has at least {MIN_SECRET_BYTES} bytes")]
    ShortSecret,
    /// Not a PEM public key of the algorithm.
    #[error("not a PEM public key of the algorithm that was named")]
    Pem,
    /// Not a JSON Web Key Set.
    #[error("not a JSON Web Key Set")]
    Jwks,
    /// A key set without a key for RS256, ES256 or EdDSA signatures.
    #[error("no key for RS256, ES256 or EdDSA signatures is in the set")]
    NoUsableKey,
    /// The token could not be signed.
    #[error("the token could not be signed")]
    Signing,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Accepts JWTs: the signature under one of its keys and that key's algorithm, `exp` in the future, `sub` the user id.
/// The scope `bms:admin` in `scope` makes an administrator. `none`, another algorithm and unknown critical headers are
/// refused; `aud` and `iss` are required and checked once they are configured.
pub struct JwtAuthenticator {
    keys: ArcSwap<Vec<Key>>,
    audience: Option<String>,
    issuer: Option<String>,
    clock: Arc<dyn Clock>,
}

#[derive(Deserialize)]
struct Claims {
    sub: UserId,
    exp: f64,
    nbf: Option<f64>,
    scope: Option<String>,
}

impl JwtAuthenticator {
    /// Accepts HS256 under a secret that is shared with whoever issues the tokens.
    ///
    /// # Errors
    /// [`KeyError::ShortSecret`].
    pub fn hs256(secret: &SecretString) -> Result<Self, KeyError> {
        let secret = long_enough(secret)?;
        Ok(Self::with_keys(vec![Key { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }]))
    }

    /// Accepts one algorithm under a public key in PEM.
    ///
    /// # Errors
    /// [`KeyError::Pem`].
    pub fn pem(algorithm: KeyAlgorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, key) = match algorithm {
            KeyAlgorithm::Rs256 => (Algorithm::RS256, DecodingKey::from_rsa_pem(pem)),
            KeyAlgorithm::Es256 => (Algorithm::ES256, DecodingKey::from_ec_pem(pem)),
            KeyAlgorithm::EdDsa => (Algorithm::EdDSA, DecodingKey::from_ed_pem(pem)),
        };
        Ok(Self::with_keys(vec![Key { id: None, algorithm, key: key.map_err(|_| KeyError::Pem)? }]))
    }

    /// Accepts RS256, ES256 and EdDSA under the public keys of a JSON Web Key Set. Keys of other kinds are left out.
    ///
    /// # Errors
    /// [`KeyError::Jwks`], [`KeyError::NoUsableKey`].
    pub fn jwks(json: &str) -> Result<Self, KeyError> {
        Ok(Self::with_keys(parse_jwks(json)?))
    }

    /// Replaces all keys by those of a key set, while requests are running: for a host that fetches its set now and then.
    ///
    /// # Errors
    /// [`KeyError::Jwks`], [`KeyError::NoUsableKey`]; then the keys stay as they were.
    pub fn replace_jwks(&self, json: &str) -> Result<(), KeyError> {
        self.keys.store(Arc::new(parse_jwks(json)?));
        Ok(())
    }

    /// Requires `aud` to name this audience.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Requires `iss` to be this issuer.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Replaces the machine's clock, which decides what has expired.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn with_keys(keys: Vec<Key>) -> Self {
        Self { keys: ArcSwap::from_pointee(keys), audience: None, issuer: None, clock: Arc::new(SystemClock) }
    }

    fn check(&self, token: &str) -> Option<Caller> {
        let header = decode_header(token).ok()?;
        // An extension that must be understood (RFC 7515, section 4.1.11), and is not.
        if header.crit.is_some() {
            return None;
        }
        let keys = self.keys.load();
        let named = |key: &&Key| match (&key.id, &header.kid) {
            (Some(id), Some(wanted)) => id == wanted,
            _ => true,
        };
        let claims = keys
            .iter()
            .filter(|key| key.algorithm == header.alg)
            .filter(named)
            .find_map(|key| decode::<Claims>(token, &key.key, &self.rules(key.algorithm)).ok())?
            .claims;
        let now = self.clock.now();
        if instant(claims.exp).has_passed(now) {
            return None;
        }
        if claims.nbf.is_some_and(|begin| !instant(begin).has_passed(now.plus(NOT_BEFORE_TOLERANCE))) {
            return None;
        }
        Some(caller_of(claims.sub, claims.scope.as_deref().unwrap_or_default()))
    }

    /// The rules for claims. Times are left to the clock of ours.
    fn rules(&self, algorithm: Algorithm) -> Validation {
        let mut rules = Validation::new(algorithm);
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.set_required_spec_claims(&["exp", "sub"]);
        match &self.audience {
            Some(audience) => {
                rules.set_audience(&[audience]);
                rules.required_spec_claims.insert("aud".to_owned());
            }
            None => rules.validate_aud = false,
        }
        if let Some(issuer) = &self.issuer {
            rules.set_issuer(&[issuer]);
            rules.required_spec_claims.insert("iss".to_owned());
        }
        rules
    }
}

impl fmt::Debug for JwtAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthenticator").field("audience", &self.audience).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for JwtAuthenticator {
    async fn authenticate(&self, request: &Parts) -> Result<Caller, AuthError> {
        let mut presented = request.headers.get_all(AUTHORIZATION).iter();
        let first = presented.next().ok_or(AuthError::Missing)?;
        if presented.next().is_some() {
            return Err(AuthError::Refused);
        }
        let (scheme, token) = first.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(AuthError::Refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(AuthError::Refused);
        }
        self.check(token).ok_or(AuthError::Refused)
    }
}

/// A JWT's `NumericDate`, which may have a fraction, as an instant.
#[expect(clippy::cast_possible_truncation, reason = "a cast from a float stops at the ends of the integer")]
fn instant(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1_000.0) as i64)
}

fn long_enough(secret: &SecretString) -> Result<&[u8], KeyError> {
    let secret = secret.expose_secret().as_bytes();
    if secret.len() < MIN_SECRET_BYTES { Err(KeyError::ShortSecret) } else { Ok(secret) }
}

fn parse_jwks(json: &str) -> Result<Vec<Key>, KeyError> {
    let set: JwkSet = serde_json::from_str(json).map_err(|_| KeyError::Jwks)?;
    let keys: Vec<Key> = set.keys.iter().filter_map(parse_jwk).collect();
    if keys.is_empty() { Err(KeyError::NoUsableKey) } else { Ok(keys) }
}

/// A public key for signatures whose kind is one of ours. A shared secret in a public set would be no secret.
fn parse_jwk(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(curve) if curve.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let named = match jwk.common.key_algorithm {
        None => Some(algorithm),
        Some(JwkAlgorithm::RS256) => Some(Algorithm::RS256),
        Some(JwkAlgorithm::ES256) => Some(Algorithm::ES256),
        Some(JwkAlgorithm::EdDSA) => Some(Algorithm::EdDSA),
        Some(_) => None,
    };
    let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    if named != Some(algorithm) || !signs {
        return None;
    }
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
}

/// Signs a token that a [`JwtAuthenticator::hs256`] of the same secret accepts: for demos, tests, and hosts that log
/// users in themselves.
///
/// # Errors
/// [`KeyError::ShortSecret`], [`KeyError::Signing`].
pub fn mint_hs256(secret: &SecretString, user: &UserId, admin: bool, expires_at: Timestamp) -> Result<String, KeyError> {
    #[derive(Serialize)]
    struct Minted<'a> {
        sub: &'a str,
        exp: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'static str>,
    }
    let key = EncodingKey::from_secret(long_enough(secret)?);
    let scope = admin.then_some(ADMIN_SCOPE);
    let claims = Minted { sub: user.as_str(), exp: expires_at.as_millis().div_euclid(1_000), scope };
    encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|_| KeyError::Signing)
}
