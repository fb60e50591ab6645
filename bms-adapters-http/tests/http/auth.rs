//! Tokens that are not accepted, and those that are.

use bms_adapters_http::auth::{KeyAlgorithm, KeyError, mint_hs256};
use bms_adapters_http::{Authenticator, JwtAuthenticator};
use bms_domain::id::UserId;
use bms_domain::time::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::support::{Ask, Cinema, SECRET, TestClock, cinema, token};

/// 2030-01-31T12:00:00Z, when the tests' clock stands still.
const NOW: i64 = 1_896_091_200;

fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            (0..=chunk.len()).map(move |place| char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]))
        })
        .collect()
}

async fn refused(cinema: &Cinema, authorization: &str) {
    let place = Ask::post("/api/v1/holds", json!({"showId": "tonight", "seatIds": ["A1"]}));
    let answer = cinema.ask(place.header("authorization", authorization)).await;
    answer.is_problem(401, "unauthenticated");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn tokens_that_are_not_ours_are_refused_and_nothing_changes() {
    let cinema = cinema().await;
    let good = json!({"sub": "alice", "exp": NOW + 60});
    let unsigned = format!("{}.{}.", base64(br#"{"alg":"none","typ":"JWT"}"#), base64(good.to_string().as_bytes()));
    let critical = {
        let mut header = Header::new(Algorithm::HS256);
        header.crit = Some(vec!["exp".to_owned()]);
        encode(&header, &good, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    };
    let tokens = [
        unsigned,
        critical,
        signed(Algorithm::HS384, SECRET, &good),
        signed(Algorithm::HS512, SECRET, &good),
        signed(Algorithm::HS256, "another secret of at least 32 bytes", &good),
        signed(Algorithm::HS256, SECRET, &json!({"sub": "alice"})),
        signed(Algorithm::HS256, SECRET, &json!({"sub": "alice", "exp": "tomorrow"})),
        signed(Algorithm::HS256, SECRET, &json!({"sub": "alice", "exp": NOW})),
        signed(Algorithm::HS256, SECRET, &json!({"sub": "alice", "exp": NOW + 60, "nbf": NOW + 31})),
        signed(Algorithm::HS256, SECRET, &json!({"exp": NOW + 60})),
        signed(Algorithm::HS256, SECRET, &json!({"sub": "", "exp": NOW + 60})),
        signed(Algorithm::HS256, SECRET, &json!({"sub": "x".repeat(256), "exp": NOW + 60})),
        signed(Algorithm::HS256, SECRET, &json!({"sub": 7, "exp": NOW + 60})),
        "x.y.z".to_owned(),
        String::new(),
    ];
    for token in tokens {
        refused(&cinema, &format!("Bearer {token}")).await;
    }
    refused(&cinema, &format!("Basic {}", token("alice", false))).await;
    refused(&cinema, &token("alice", false)).await;
    let twice = Ask::get("/api/v1/orders").by("alice").by("alice");
    cinema.ask(twice).await.is_problem(401, "unauthenticated");
    assert_eq!(cinema.taken().await, (json!(["A20"]), json!([])));

    let fraction =
        signed(Algorithm::HS256, SECRET, &json!({"sub": "alice", "exp": f64::from(60) + NOW as f64 + 0.5, "aud": "x"}));
    cinema.ask(Ask::get("/api/v1/orders").header("authorization", format!("bearer {fraction}"))).await.is(200);
}

#[tokio::test]
async fn only_the_scope_opens_the_admin_routes() {
    let cinema = cinema().await;
    let ticket = |scope: &Value| {
        let token = signed(Algorithm::HS256, SECRET, &json!({"sub": "eve", "exp": NOW + 60, "scope": scope, "admin": true}));
        Ask::get("/api/v1/tickets/BMS-000000").header("authorization", format!("Bearer {token}"))
    };
    for scope in [json!("bms:administrator"), json!("bms:admin2 x"), json!("BMS:ADMIN"), json!(""), Value::Null] {
        cinema.ask(ticket(&scope)).await.is_problem(403, "forbidden");
    }
    cinema.ask(ticket(&json!("profile bms:admin"))).await.is_problem(404, "not-found");
    cinema.ask(Ask::get("/api/v1/tickets/BMS-000000")).await.is_problem(401, "unauthenticated");
}

async fn accepts(authenticator: &JwtAuthenticator, token: &str) -> bool {
    let (parts, ()) =
        axum::http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap().into_parts();
    authenticator.authenticate(&parts).await.is_ok()
}

const ED_PRIVATE: &str =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
const ED_PUBLIC: &str =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
/// The same key as a member of a set.
const ED_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

#[tokio::test]
async fn public_keys_pin_their_algorithm() {
    let clock = Arc::new(TestClock::new());
    let claims = json!({"sub": "alice", "exp": NOW + 60});
    let key = EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap();
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("one".to_owned());
    let token = encode(&header, &claims, &key).unwrap();
    let set = |kid: &str| {
        json!({"keys": [{"kty": "oct", "kid": "shared", "k": base64(SECRET.as_bytes()), "alg": "HS256"},
        {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": ED_X, "alg": "EdDSA", "use": "sig"}]})
        .to_string()
    };

    let pem = JwtAuthenticator::pem(KeyAlgorithm::EdDsa, ED_PUBLIC.as_bytes()).unwrap().clock(clock.clone());
    assert!(accepts(&pem, &token).await);
    // The public key taken for a shared secret: the oldest trick.
    assert!(!accepts(&pem, &signed(Algorithm::HS256, ED_PUBLIC, &claims)).await);

    let jwks = JwtAuthenticator::jwks(&set("one")).unwrap().clock(clock.clone());
    assert!(accepts(&jwks, &token).await);
    assert!(!accepts(&jwks, &signed(Algorithm::HS256, SECRET, &claims)).await);
    jwks.replace_jwks(&set("two")).unwrap();
    assert!(!accepts(&jwks, &token).await);
    assert_eq!(jwks.replace_jwks("{\"keys\":[]}"), Err(KeyError::NoUsableKey));

    let named = JwtAuthenticator::jwks(&set("one")).unwrap().clock(clock).audience("tickets").issuer("us");
    assert!(!accepts(&named, &token).await);
    let with = |audience: &str, issuer: &str| {
        encode(&header, &json!({"sub": "a", "exp": NOW + 60, "aud": [audience], "iss": issuer}), &key).unwrap()
    };
    assert!(accepts(&named, &with("tickets", "us")).await);
    assert!(!accepts(&named, &with("other", "us")).await);
    assert!(!accepts(&named, &with("tickets", "them")).await);
}

#[test]
fn weak_and_wrong_keys_are_refused() {
    let short = SecretString::from("x".repeat(31));
    assert_eq!(JwtAuthenticator::hs256(&short).err(), Some(KeyError::ShortSecret));
    let user = UserId::parse("alice").unwrap();
    assert_eq!(mint_hs256(&short, &user, false, Timestamp::MAX), Err(KeyError::ShortSecret));
    assert_eq!(JwtAuthenticator::pem(KeyAlgorithm::Es256, ED_PUBLIC.as_bytes()).err(), Some(KeyError::Pem));
    assert_eq!(JwtAuthenticator::jwks("[]").err(), Some(KeyError::Jwks));
}
