//! The environment, read once. The variables are those of `bms-server`; what is set to nothing is not set.

use std::num::NonZeroU32;
use std::str::FromStr;

use bms_domain::service::Policy;
use secrecy::SecretString;

use super::Failure;
use super::stores::DEADLINE;

/// How many connections to the database an instance opens unless it is told: it answers one request at a time.
const CONNECTIONS: u32 = 2;

/// What every function on the stores is told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) stores: StoreSettings,
    pub(crate) policy: Policy,
}

/// What a function is told that has callers. The others have no use for their keys, and are not given them.
#[derive(Debug)]
pub(crate) struct ApiSettings {
    pub(crate) service: Settings,
    pub(crate) keys: KeySettings,
    pub(crate) payment_webhook_secret: Option<SecretString>,
}

/// What the function is told that publishes events.
#[derive(Debug)]
pub(crate) struct RelaySettings {
    pub(crate) service: Settings,
    pub(crate) events: EventSettings,
}

/// What the function is told that has neither stores nor callers.
#[derive(Debug)]
pub(crate) struct NotifySettings {
    pub(crate) topic: Option<String>,
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

/// Where events go, before they are told to the log.
#[derive(Debug)]
pub(crate) enum EventSettings {
    Nowhere,
    Webhook { url: SecretString, secrets: Vec<SecretString>, customers: bool },
    Queue { url: String, customers: bool },
    Topic { arn: String, customers: bool },
}

impl Settings {
    /// Reads the variables.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        Environment(&set(variable)).service()
    }
}

impl ApiSettings {
    /// Reads the variables.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let variable = set(variable);
        let environment = Environment(&variable);
        if environment.text("BMS_RATE_LIMIT").is_some() {
            return refused("BMS_RATE_LIMIT: an instance cannot count what others are asked; limit the rate at the gateway");
        }
        let payment_webhook_secret = environment.secret("BMS_PAYMENT_WEBHOOK_SECRET");
        Ok(Self { service: environment.service()?, keys: environment.keys()?, payment_webhook_secret })
    }
}

impl RelaySettings {
    /// Reads the variables.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let variable = set(variable);
        let environment = Environment(&variable);
        Ok(Self { service: environment.service()?, events: environment.events()? })
    }
}

impl NotifySettings {
    /// Reads the variables.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        Ok(Self { topic: set(variable)("BMS_NOTIFY_TOPIC_ARN") })
    }
}

/// What is set to nothing is not set.
fn set(variable: impl Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> {
    move |name| variable(name).filter(|value| !value.trim().is_empty())
}

struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn service(&self) -> Result<Settings, Failure> {
        if self.text("BMS_PAYMENTS").as_deref() != Some("sandbox") {
            return refused(
                "BMS_PAYMENTS: these functions know no payment provider but the sandbox, in which whoever asks has paid; \
                 set it to `sandbox` to try them, and to sell, build functions with a gateway of your own (see the README)",
            );
        }
        Ok(Settings { stores: self.stores()?, policy: self.policy()? })
    }

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

    fn events(&self) -> Result<EventSettings, Failure> {
        let customers = self.flag("BMS_EVENT_CUSTOMERS")?;
        match (self.secret("BMS_WEBHOOK_URL"), self.text("BMS_SQS_QUEUE_URL"), self.text("BMS_SNS_TOPIC_ARN")) {
            (None, None, None) => Ok(EventSettings::Nowhere),
            (Some(url), None, None) => {
                let secrets = self.text("BMS_WEBHOOK_SECRET").unwrap_or_default();
                let secrets = secrets.split(',').map(str::trim).filter(|it| !it.is_empty()).map(SecretString::from).collect();
                Ok(EventSettings::Webhook { url, secrets, customers: self.flag("BMS_WEBHOOK_CUSTOMERS")? })
            }
            (None, Some(url), None) => Ok(EventSettings::Queue { url, customers }),
            (None, None, Some(arn)) => Ok(EventSettings::Topic { arn, customers }),
            _ => refused(
                "BMS_WEBHOOK_URL, BMS_SQS_QUEUE_URL and BMS_SNS_TOPIC_ARN: only one of them may be set, for an event is published \
                 when that one has it; a topic is for many, let them subscribe",
            ),
        }
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

    /// What a program finds whose environment is the usual one, but for the changes.
    fn variable(changes: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let usual = [
            ("DATABASE_URL", "postgres://u:canary@h/d"),
            ("BMS_JWT_SECRET", "canary"),
            ("BMS_PAYMENTS", "sandbox"),
            ("BMS_STRICT", "1"),
            ("BMS_ORDER_TTL", "2m"),
        ];
        move |name| {
            let changed = changes.iter().find(|(changed, _)| *changed == name);
            changed.or_else(|| usual.iter().find(|(usual, _)| *usual == name)).map(|(_, value)| (*value).to_owned())
        }
    }

    fn api(changes: &[(&str, &str)]) -> Result<ApiSettings, Failure> {
        ApiSettings::read(variable(changes))
    }

    fn relay(changes: &[(&str, &str)]) -> Result<RelaySettings, Failure> {
        RelaySettings::read(variable(changes))
    }

    #[test]
    fn what_is_set_is_read_and_no_secret_is_shown() {
        let changes = [
            ("BMS_WEBHOOK_URL", "http://canary"),
            ("BMS_WEBHOOK_SECRET", "canary, canary"),
            ("BMS_PAYMENT_WEBHOOK_SECRET", "canary"),
            ("REDIS_URL", ""),
        ];
        let (api, relay) = (api(&changes).unwrap(), relay(&changes).unwrap());
        assert!(api.service.stores.strict && api.service.stores.redis_url.is_none());
        assert_eq!(api.service.policy.order_ttl, Duration::from_mins(2));
        assert_eq!(api.service.stores.database_connections, CONNECTIONS);
        assert!(api.payment_webhook_secret.is_some());
        assert!(matches!(&relay.events, EventSettings::Webhook { secrets, customers: false, .. } if secrets.len() == 2));
        assert!(!format!("{api:?} {relay:?}").contains("canary"));
    }

    #[test]
    fn who_has_no_callers_needs_no_keys() {
        let keyless = [("BMS_JWT_SECRET", "")];
        assert!(api(&keyless).is_err());
        assert!(relay(&keyless).is_ok());
        assert!(Settings::read(variable(&keyless)).is_ok());
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
            assert!(matches!(api(wrong), Err(Failure::Refused(_))), "{wrong:?}");
        }
        for wrong in [
            &[("BMS_SQS_QUEUE_URL", "http://h/q"), ("BMS_SNS_TOPIC_ARN", "arn:aws:sns:r:1:t")][..],
            &[("BMS_WEBHOOK_URL", "http://h"), ("BMS_SNS_TOPIC_ARN", "arn:aws:sns:r:1:t")],
            &[("BMS_WEBHOOK_URL", "http://h"), ("BMS_SQS_QUEUE_URL", "http://h/q")],
            &[("BMS_EVENT_CUSTOMERS", "some")],
        ] {
            assert!(matches!(relay(wrong), Err(Failure::Refused(_))), "{wrong:?}");
        }
        let trusting = api(&[("BMS_JWT_SECRET", ""), ("BMS_TRUST_AUTHORIZER", "true")]).unwrap();
        assert!(matches!(trusting.keys, KeySettings::Authorizer));
    }

    #[test]
    fn events_go_where_the_environment_says() {
        let events = |changes| relay(changes).unwrap().events;
        assert!(matches!(events(&[]), EventSettings::Nowhere));
        let queue = events(&[("BMS_SQS_QUEUE_URL", "http://h/q"), ("BMS_SNS_TOPIC_ARN", ""), ("BMS_EVENT_CUSTOMERS", "yes")]);
        assert!(matches!(queue, EventSettings::Queue { url, customers: true } if url == "http://h/q"));
        let topic = events(&[("BMS_SNS_TOPIC_ARN", "arn:aws:sns:r:1:t"), ("BMS_WEBHOOK_CUSTOMERS", "yes")]);
        assert!(matches!(topic, EventSettings::Topic { arn, customers: false } if arn == "arn:aws:sns:r:1:t"));
        for (text, topic) in [(None, None), (Some(" "), None), (Some("arn:aws:sns:r:1:t"), Some("arn:aws:sns:r:1:t"))] {
            let settings = NotifySettings::read(|name| text.filter(|_| name == "BMS_NOTIFY_TOPIC_ARN").map(str::to_owned));
            assert_eq!(settings.unwrap().topic.as_deref(), topic);
        }
    }
}
