//! The environment, read once. The variables are those of `bms-server`; what is set to nothing is not set.

use std::num::NonZeroU32;
use std::str::FromStr;

use bms_domain::service::Policy;
use secrecy::SecretString;

use super::Failure;
use super::stores::DEADLINE;

/// How many connections to the database an instance opens unless it is told: it answers one request at a time.
const CONNECTIONS: u32 = 2;

/// Everything that a function is told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) stores: StoreSettings,
    pub(crate) keys: KeySettings,
    pub(crate) policy: Policy,
    pub(crate) payment_webhook_secret: Option<SecretString>,
    pub(crate) webhooks: WebhookSettings,
}

#[derive(Debug)]
pub(crate) struct StoreSettings {
    pub(crate) database_url: SecretString,
    pub(crate) database_schema: Option<String>,
    pub(crate) database_ca: Option<String>,
    pub(crate) database_connections: u32,
    pub(crate) database_transaction_pooling: bool,
    pub(crate) database_replica_url: Option<SecretString>,
    pub(crate) redis_url: Option<SecretString>,
    pub(crate) redis_prefix: Option<String>,
    pub(crate) redis_ca: Option<String>,
    pub(crate) redis_sentinel_user: Option<String>,
    pub(crate) redis_sentinel_password: Option<SecretString>,
    pub(crate) strict: bool,
}

/// How callers are told apart.
#[derive(Debug)]
pub(crate) enum KeySettings {
    /// By HS256 tokens.
    Secret { secret: SecretString, audience: Option<String> },
    /// By tokens under the keys of a set: a file, or an address.
    Jwks { place: String, audience: Option<String> },
    /// By what the gateway's authorizer says.
    Authorizer,
}

#[derive(Debug)]
pub(crate) struct WebhookSettings {
    pub(crate) url: Option<SecretString>,
    pub(crate) secrets: Vec<SecretString>,
    pub(crate) customers: bool,
}

impl Settings {
    /// Reads the variables.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let environment = Environment(&|name| variable(name).filter(|value| !value.trim().is_empty()));
        if environment.text("BMS_PAYMENTS").as_deref() != Some("sandbox") {
            return refused(
                "BMS_PAYMENTS: these functions know no payment provider but the sandbox, in which whoever asks has paid; \
                 set it to `sandbox` to try them, and to sell, build functions with a gateway of your own (see the README)",
            );
        }
        if environment.text("BMS_RATE_LIMIT").is_some() {
            return refused("BMS_RATE_LIMIT: an instance cannot count what others are asked; limit the rate at the gateway");
        }
        Ok(Self {
            stores: environment.stores()?,
            keys: environment.keys()?,
            policy: environment.policy()?,
            payment_webhook_secret: environment.secret("BMS_PAYMENT_WEBHOOK_SECRET"),
            webhooks: environment.webhooks()?,
        })
    }
}

struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn stores(&self) -> Result<StoreSettings, Failure> {
        let Some(database_url) = self.secret("DATABASE_URL") else {
            return refused("DATABASE_URL: orders have to outlive an instance; name their Postgres database");
        };
        let connections = self.parsed("BMS_DATABASE_CONNECTIONS", "a number", |text| NonZeroU32::from_str(text).ok())?;
        let settings = StoreSettings {
            database_url,
            database_schema: self.text("BMS_DATABASE_SCHEMA"),
            database_ca: self.text("BMS_DATABASE_CA"),
            database_connections: connections.map_or(CONNECTIONS, NonZeroU32::get),
            database_transaction_pooling: self.flag("BMS_DATABASE_TRANSACTION_POOLING")?,
            database_replica_url: self.secret("BMS_DATABASE_REPLICA_URL"),
            redis_url: self.secret("REDIS_URL"),
            redis_prefix: self.text("BMS_REDIS_PREFIX"),
            redis_ca: self.text("BMS_REDIS_CA"),
            redis_sentinel_user: self.text("BMS_REDIS_SENTINEL_USER"),
            redis_sentinel_password: self.secret("BMS_REDIS_SENTINEL_PASSWORD"),
            strict: self.flag("BMS_STRICT")?,
        };
        let of_redis =
            settings.redis_prefix.is_some() || settings.redis_ca.is_some() || settings.redis_sentinel_password.is_some();
        if of_redis && settings.redis_url.is_none() {
            return refused("BMS_REDIS_PREFIX, BMS_REDIS_CA and BMS_REDIS_SENTINEL_PASSWORD need REDIS_URL");
        }
        if settings.redis_sentinel_user.is_some() && settings.redis_sentinel_password.is_none() {
            return refused("BMS_REDIS_SENTINEL_USER needs BMS_REDIS_SENTINEL_PASSWORD as well");
        }
        Ok(settings)
    }

    fn keys(&self) -> Result<KeySettings, Failure> {
        let audience = self.text("BMS_JWT_AUDIENCE");
        match (self.secret("BMS_JWT_SECRET"), self.text("BMS_JWKS"), self.flag("BMS_TRUST_AUTHORIZER")?) {
            (Some(secret), None, false) => Ok(KeySettings::Secret { secret, audience }),
            (None, Some(place), false) => Ok(KeySettings::Jwks { place, audience }),
            (None, None, true) if audience.is_none() => Ok(KeySettings::Authorizer),
            (None, None, true) => refused("BMS_JWT_AUDIENCE: the authorizer has checked the audience; it is not checked again"),
            (None, None, false) => {
                refused("set BMS_JWT_SECRET or BMS_JWKS, or BMS_TRUST_AUTHORIZER where the gateway has an authorizer")
            }
            _ => refused("BMS_JWT_SECRET, BMS_JWKS and BMS_TRUST_AUTHORIZER: only one of them may be set"),
        }
    }

    fn policy(&self) -> Result<Policy, Failure> {
        let mut policy = Policy::default();
        let time = |text: &str| humantime::parse_duration(text).ok();
        let number = |text: &str| text.parse::<u32>().ok();
        if let Some(ttl) = self.parsed("BMS_HOLD_TTL", "a time such as 10m or 90s", time)? {
            policy.hold_ttl = ttl;
        }
        if let Some(ttl) = self.parsed("BMS_ORDER_TTL", "a time such as 5m or 90s", time)? {
            policy.order_ttl = ttl;
        }
        if let Some(seats) = self.parsed("BMS_MAX_SEATS_PER_HOLD", "a number", number)? {
            policy.limits.per_hold = seats;
        }
        if let Some(seats) = self.parsed("BMS_MAX_SEATS_PER_USER", "a number", number)? {
            policy.limits.per_user_and_show = seats;
        }
        policy.longest_hold =
            policy.longest_hold.max(policy.hold_ttl.saturating_add(policy.order_ttl).saturating_add(policy.checkout_grace));
        policy.check(Some(DEADLINE)).map_err(|error| Failure::Refused(format!("the limits and times: {error}")))?;
        Ok(policy)
    }

    fn webhooks(&self) -> Result<WebhookSettings, Failure> {
        let secrets = self.text("BMS_WEBHOOK_SECRET").unwrap_or_default();
        Ok(WebhookSettings {
            url: self.secret("BMS_WEBHOOK_URL"),
            secrets: secrets.split(',').map(str::trim).filter(|it| !it.is_empty()).map(SecretString::from).collect(),
            customers: self.flag("BMS_WEBHOOK_CUSTOMERS")?,
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    fn secret(&self, name: &str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    fn flag(&self, name: &str) -> Result<bool, Failure> {
        let read = |text: &str| match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        };
        Ok(self.parsed(name, "true or false", read)?.unwrap_or_default())
    }

    fn parsed<T>(&self, name: &str, form: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        read(text.trim()).map(Some).ok_or_else(|| Failure::Refused(format!("{name}: {form} is needed")))
    }
}

fn refused<T>(reason: &str) -> Result<T, Failure> {
    Err(Failure::Refused(reason.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(changes: &[(&str, &str)]) -> Result<Settings, Failure> {
        let usual = [
            ("DATABASE_URL", "postgres://u:canary@h/d"),
            ("BMS_JWT_SECRET", "canary"),
            ("BMS_PAYMENTS", "sandbox"),
            ("BMS_STRICT", "1"),
            ("BMS_ORDER_TTL", "2m"),
        ];
        Settings::read(|name| {
            let changed = changes.iter().find(|(changed, _)| *changed == name);
            changed.or_else(|| usual.iter().find(|(usual, _)| *usual == name)).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_set_is_read_and_no_secret_is_shown() {
        let settings = read(&[("BMS_WEBHOOK_SECRET", "canary, canary"), ("REDIS_URL", "")]).unwrap();
        assert!(settings.stores.strict && settings.stores.redis_url.is_none());
        assert_eq!(settings.policy.order_ttl, Duration::from_mins(2));
        assert_eq!((settings.stores.database_connections, settings.webhooks.secrets.len()), (CONNECTIONS, 2));
        assert!(!format!("{settings:?}").contains("canary"));
    }

    #[test]
    fn what_contradicts_itself_or_is_missing_is_refused() {
        for wrong in [
            &[("DATABASE_URL", "")][..],
            &[("BMS_JWT_SECRET", "")],
            &[("BMS_JWKS", "keys.json")],
            &[("BMS_TRUST_AUTHORIZER", "true")],
            &[("BMS_JWT_SECRET", ""), ("BMS_TRUST_AUTHORIZER", "true"), ("BMS_JWT_AUDIENCE", "us")],
            &[("BMS_PAYMENTS", "")],
            &[("BMS_PAYMENTS", "real")],
            &[("BMS_RATE_LIMIT", "1/s")],
            &[("BMS_STRICT", "perhaps")],
            &[("BMS_ORDER_TTL", "soon")],
            &[("BMS_HOLD_TTL", "0s")],
            &[("BMS_DATABASE_CONNECTIONS", "0")],
            &[("BMS_REDIS_PREFIX", "x")],
            &[("REDIS_URL", "redis+sentinel://h/s"), ("BMS_REDIS_SENTINEL_USER", "u")],
        ] {
            assert!(matches!(read(wrong), Err(Failure::Refused(_))), "{wrong:?}");
        }
        let trusting = read(&[("BMS_JWT_SECRET", ""), ("BMS_TRUST_AUTHORIZER", "true")]).unwrap();
        assert!(matches!(trusting.keys, KeySettings::Authorizer));
    }
}
