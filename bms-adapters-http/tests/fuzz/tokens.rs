//! Tokens: nobody is let in but by one that was signed with our key and says what it must.
//!
//! An input is a JSON object that says what a token is made of, because no other way leads past the signature:
//!
//! - `header`, `claims`: what is signed;
//! - `by`: whose key signs: `us` (HS256), `us-384`, `us-512`, `stranger`, `public` (HS256 by a public key as if it were a secret), `ed`, or
//!   nobody;
//! - `change`: a byte of the token and the bits that are changed in it afterwards;
//! - `sent`: the header `Authorization`, in which `{token}` is the token.
//!
//! What is no such object is sent as the header.

use std::sync::Arc;

use axum::http::{HeaderValue, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bms_adapters_http::auth::KeyAlgorithm;
use bms_adapters_http::{Authenticator, JwtAuthenticator};
use bms_domain::id::Caller;
use bms_domain::testing::fuzz::TestCaseError;
use bms_domain::time::Clock as _;
use jsonwebtoken::crypto::sign;
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::{prop_assert, prop_assert_eq};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Ask, SECRET, TestClock, answer, cinema};
use crate::{is_an_answer, runtime, target};

const AUDIENCE: &str = "tickets";
const ISSUER: &str = "us";

const ED_PRIVATE: &str =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
const ED_PUBLIC: &str =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

#[derive(Deserialize)]
struct Made {
    #[serde(default)]
    header: Value,
    #[serde(default)]
    claims: Value,
    #[serde(default)]
    by: String,
    #[serde(default)]
    change: Option<(usize, u8)>,
    sent: String,
}

/// A token as it was signed, and as it is sent.
struct Token {
    signed: String,
    sent: String,
}

impl Made {
    fn token(&self) -> Token {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&self.header), part(&self.claims));
        let secret = |key: &str| EncodingKey::from_secret(key.as_bytes());
        let (key, algorithm) = match self.by.as_str() {
            "us" => (secret(SECRET), Algorithm::HS256),
            "us-384" => (secret(SECRET), Algorithm::HS384),
            "us-512" => (secret(SECRET), Algorithm::HS512),
            "stranger" => (secret("a secret that somebody has made up"), Algorithm::HS256),
            "public" => (secret(ED_PUBLIC), Algorithm::HS256),
            "ed" => (EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap(), Algorithm::EdDSA),
            _ => return Token::of(format!("{message}."), None),
        };
        Token::of(format!("{message}.{}", sign(message.as_bytes(), &key, algorithm).unwrap()), self.change)
    }

    /// What must be so where it lets somebody in who has the key of this name, under this algorithm.
    fn may_enter(&self, by: &str, algorithm: &str, token: &Token, now: i64) -> bool {
        let claims = &self.claims;
        let seconds = |name: &str| claims[name].as_f64();
        let names = |value: &Value, wanted: &str| match value {
            Value::Array(all) => all.iter().any(|one| one == wanted),
            one => one == wanted,
        };
        self.by == by
            && self.header["alg"] == algorithm
            && self.header.get("crit").is_none_or(Value::is_null)
            && token.sent == token.signed
            && claims["sub"].as_str().is_some_and(|sub| (1..=255).contains(&sub.len()))
            && seconds("exp").is_some_and(|end| end * 1_000.0 > now as f64)
            && claims
                .get("nbf")
                .is_none_or(|it| it.is_null() || it.as_f64().is_some_and(|it| (it * 1_000.0).trunc() <= now as f64 + 30_000.0))
            && claims.get("scope").is_none_or(|it| it.is_null() || it.is_string())
            && names(&claims["aud"], AUDIENCE)
            && names(&claims["iss"], ISSUER)
    }

    /// Whether nothing about it is out of the way: then it has to be taken.
    fn is_plain(&self, algorithm: &str) -> bool {
        self.header == serde_json::json!({"alg": algorithm, "typ": "JWT"})
            && self.claims["exp"].is_u64()
            && self.claims["aud"] == AUDIENCE
            && self.claims["iss"] == ISSUER
    }
}

impl Token {
    fn of(signed: String, change: Option<(usize, u8)>) -> Self {
        let mut bytes = signed.clone().into_bytes();
        if let Some((at, bits)) = change {
            let at = at % bytes.len();
            bytes[at] ^= bits;
        }
        Self { sent: String::from_utf8(bytes).unwrap_or_default(), signed }
    }
}

fn authenticators(clock: &TestClock) -> [(JwtAuthenticator, &'static str, &'static str); 2] {
    let named = |it: JwtAuthenticator| it.clock(Arc::new(clock.clone())).audience(AUDIENCE).issuer(ISSUER);
    [
        (named(JwtAuthenticator::hs256(&SecretString::from(SECRET)).unwrap()), "us", "HS256"),
        (named(JwtAuthenticator::pem(KeyAlgorithm::EdDsa, ED_PUBLIC.as_bytes()).unwrap()), "ed", "EdDSA"),
    ]
}

/// Whom an authenticator takes the sender of this header for.
async fn caller(authenticator: &JwtAuthenticator, sent: &HeaderValue) -> Option<Caller> {
    let (parts, ()) = Request::get("/").header(header::AUTHORIZATION, sent).body(()).unwrap().into_parts();
    authenticator.authenticate(&parts).await.ok()
}

#[test]
fn fuzz() {
    let runtime = runtime();
    let cinema = runtime.block_on(cinema());
    let now = cinema.clock.now().as_millis();
    let authenticators = authenticators(&cinema.clock);
    target("tokens").check(&["unsendable", "let in", "sent away"], |input| {
        let made: Option<Made> = serde_json::from_slice(input).ok();
        let token = made.as_ref().map(Made::token);
        let sent = match (&made, &token) {
            (Some(made), Some(token)) => HeaderValue::try_from(made.sent.replace("{token}", &token.sent)),
            _ => HeaderValue::from_bytes(input),
        };
        let Ok(sent) = sent else { return Ok("unsendable") };
        runtime.block_on(async {
            let mut outcome = "sent away";
            for (authenticator, by, algorithm) in &authenticators {
                let caller = caller(authenticator, &sent).await;
                let (Some(made), Some(token)) = (&made, &token) else {
                    prop_assert_eq!(caller, None);
                    continue;
                };
                let is_bearer = made.sent.split_once(' ').is_some_and(|(scheme, rest)| {
                    scheme.eq_ignore_ascii_case("bearer") && rest.replace("{token}", &token.sent) == token.sent
                });
                let may = is_bearer && made.may_enter(by, algorithm, token, now);
                if let Some(caller) = caller {
                    prop_assert!(may, "{} is let in", caller.id());
                    prop_assert_eq!(Some(caller.id().as_str()), made.claims["sub"].as_str());
                    let scope = made.claims["scope"].as_str().unwrap_or_default();
                    prop_assert_eq!(caller.is_admin(), scope.split(' ').any(|scope| scope == "bms:admin"));
                    outcome = "let in";
                } else {
                    prop_assert!(!may || !made.is_plain(algorithm), "a good token is sent away");
                }
            }
            // The key of the routes is that of HS256; they want no audience and no issuer.
            let ask = Ask::get("/api/v1/orders");
            let mut request = ask.request();
            request.headers_mut().insert(header::AUTHORIZATION, sent);
            let answer = answer(&cinema.router, request).await;
            is_an_answer(&ask, &answer)?;
            let ours = made.as_ref().is_some_and(|made| made.by == "us") && token.is_some_and(|token| token.sent == token.signed);
            prop_assert!(answer.status == 401 || answer.status == 200 && ours, "{:?}", answer);
            Ok::<_, TestCaseError>(outcome)
        })
    });
}
