//! Signatures as Standard Webhooks 1.0.0 says (section "Signature scheme", symmetric).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;

use super::WebhookError;

/// A secret, decoded. 24 bytes at least and 64 at most, as the scheme has it.
pub(super) struct Key(SecretSlice<u8>);

impl Key {
    pub(super) fn parse(secret: &SecretString) -> Result<Self, WebhookError> {
        let text = secret.expose_secret().trim();
        let text = text.strip_prefix("whsec_").unwrap_or(text);
        let key = STANDARD.decode(text).map_err(|_| WebhookError::Secret)?;
        if (24..=64).contains(&key.len()) { Ok(Self(key.into())) } else { Err(WebhookError::Secret) }
    }

    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).ok()?;
        let mac = mac.chain_update(id).chain_update(".").chain_update(timestamp).chain_update(".").chain_update(body);
        Some(STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// What `webhook-signature` says: a signature for each key, with a space between. Neither id nor timestamp has a full stop.
pub(super) fn sign(keys: &[Key], id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let mut signatures = String::new();
    for key in keys {
        let space = if signatures.is_empty() { "" } else { " " };
        write!(signatures, "{space}v1,{}", key.sign(id, timestamp, body)?).ok()?;
    }
    Some(signatures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<Key, WebhookError> {
        Key::parse(&SecretString::from(text))
    }

    /// The example that the scheme's own libraries are tested with.
    #[test]
    fn a_signature_is_that_of_the_scheme() {
        for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"] {
            let keys = [key(secret).unwrap_or_else(|_| panic!("a secret"))];
            let signed = sign(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
            assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        }
    }

    #[test]
    fn a_secret_is_24_to_64_bytes_of_base64() {
        for (bytes, right) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(key(&format!("whsec_{}", STANDARD.encode(vec![7; bytes]))).is_ok(), right, "{bytes}");
        }
        for wrong in ["", "whsec_", "not base64 but long enough to be a secret, really", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"]
        {
            assert!(key(wrong).is_err(), "{wrong}");
        }
    }
}
