//! What a server says of itself, and whether it is fit to keep holds (P14).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use redis::Value;

/// The oldest version with sharded channels and script errors that carry their code.
const OLDEST: (u32, u32) = (7, 0);

/// Something about a server that is not wrong, but unsafe. Its text says what to do (P14).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The server throws keys away when its memory is full, and with them holds: seats would be shown free that are held.
    Evicting {
        /// Scheme, host and port.
        server: Arc<str>,
        /// Its `maxmemory-policy`.
        policy: String,
        /// Its `maxmemory` in bytes; 0 is no limit, and then nothing is thrown away until somebody sets one.
        maxmemory: u64,
    },
    /// The server writes nothing to disk. Holds are lost when it restarts; what was sold is not, for the order store has it.
    NotPersistent {
        /// Scheme, host and port.
        server: Arc<str>,
    },
    /// The user may not publish, so other processes see a change a second late.
    Untold {
        /// Scheme, host and port.
        server: Arc<str>,
    },
    /// The user may not subscribe to channels, or not end it again: this process sees the changes of others a second late,
    /// or goes on hearing of shows that nobody asks for any more.
    Unheard {
        /// Scheme, host and port.
        server: Arc<str>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicting { server, policy, maxmemory: 0 } => {
                write!(
                    f,
                    "{server} would evict holds once a maxmemory is set (maxmemory-policy {policy}); set maxmemory-policy noeviction"
                )
            }
            Self::Evicting { server, policy, maxmemory } => write!(
                f,
                "{server} evicts holds when it has used {maxmemory} bytes (maxmemory-policy {policy}); set maxmemory-policy noeviction"
            ),
            Self::Untold { server } => {
                write!(
                    f,
                    "{server} does not let this user tell others of changes; allow +spublish and the channels of the prefix"
                )
            }
            Self::Unheard { server } => write!(
                f,
                "{server} does not let this user hear of changes, or end that; allow +ssubscribe, +sunsubscribe and the channels of the prefix"
            ),
            Self::NotPersistent { server } => {
                write!(f, "{server} writes nothing to disk, so holds are lost when it restarts; set appendonly yes to keep them")
            }
        }
    }
}

/// What a server says of itself, from `INFO`.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) version: String,
    pub(crate) is_sentinel: bool,
    pub(crate) is_replica: bool,
    pub(crate) is_cluster_node: bool,
    policy: Option<String>,
    maxmemory: u64,
    has_aof: Option<bool>,
}

impl Facts {
    /// Reads the answer to `INFO`; `None` if it is not that of a Redis.
    pub(crate) fn read(answer: &Value) -> Option<Self> {
        let text = match answer {
            Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?,
            Value::VerbatimString { text, .. } => text,
            _ => return None,
        };
        let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let is = |name: &str, value: &str| fields.get(name).is_some_and(|found| *found == value);
        Some(Self {
            version: fields.get("redis_version").map(|version| (*version).to_owned())?,
            is_sentinel: is("redis_mode", "sentinel"),
            is_replica: is("role", "slave"),
            is_cluster_node: is("cluster_enabled", "1"),
            policy: fields.get("maxmemory_policy").map(|policy| (*policy).to_owned()),
            maxmemory: fields.get("maxmemory").and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
            has_aof: fields.get("aof_enabled").map(|enabled| *enabled == "1"),
        })
    }

    pub(crate) fn is_too_old(&self) -> bool {
        let mut numbers = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST
    }

    /// The policy by which keys are evicted, if they are.
    pub(crate) fn eviction_policy(&self) -> Option<&str> {
        self.policy.as_deref().filter(|policy| *policy != "noeviction")
    }

    /// What is unsafe. `snapshots` is the `save` setting, where the server tells it.
    pub(crate) fn warnings(&self, server: &Arc<str>, snapshots: Option<&str>) -> Vec<Warning> {
        let evicting = self.eviction_policy().map(|policy| Warning::Evicting {
            server: Arc::clone(server),
            policy: policy.to_owned(),
            maxmemory: self.maxmemory,
        });
        let not_persistent =
            (self.has_aof == Some(false) && snapshots == Some("")).then(|| Warning::NotPersistent { server: Arc::clone(server) });
        evicting.into_iter().chain(not_persistent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(info: &str) -> Facts {
        Facts::read(&Value::BulkString(info.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, too_old) in [("6.2.14", true), ("7.0.0", false), ("7.0.15", false), ("10.1.0", false), ("0.9", true)] {
            assert_eq!(facts(&format!("redis_version:{version}\r\n")).is_too_old(), too_old, "{version}");
        }
    }

    #[test]
    fn what_has_no_version_is_not_redis() {
        assert!(Facts::read(&Value::BulkString(b"hello:world\r\n".to_vec())).is_none());
        assert!(Facts::read(&Value::Okay).is_none());
    }

    #[test]
    fn an_evicting_policy_is_unsafe_with_and_without_a_limit() {
        let server: Arc<str> = "redis://h:1".into();
        for maxmemory in [0, 1_000_000] {
            let facts = facts(&format!(
                "redis_version:7.0.15\r\nmaxmemory:{maxmemory}\r\nmaxmemory_policy:volatile-lru\r\naof_enabled:1\r\n"
            ));
            let expected = Warning::Evicting { server: Arc::clone(&server), policy: "volatile-lru".into(), maxmemory };
            assert_eq!(facts.warnings(&server, Some("")), [expected]);
        }
        assert!(
            facts("redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\naof_enabled:0\r\n").warnings(&server, None).is_empty()
        );
    }

    #[test]
    fn no_disk_is_unsafe_only_where_the_server_says_so() {
        let server: Arc<str> = "redis://h:1".into();
        let off = facts("redis_version:7.0.15\r\naof_enabled:0\r\n");
        assert_eq!(off.warnings(&server, Some("")), [Warning::NotPersistent { server: Arc::clone(&server) }]);
        assert!(off.warnings(&server, Some("3600 1")).is_empty());
        assert!(off.warnings(&server, None).is_empty());
    }
}
