//! Where Redis is, and how it is used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};

use crate::error::Error;

/// Where Redis is, and how this library uses it.
///
/// | URL | connects to |
/// |---|---|
/// | `redis://[user:password@]host[:port][/db]` | one server |
/// | `rediss://…` | the same over TLS |
/// | `redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]` | the primary that these sentinels name for the service |
/// | `rediss+sentinel://…` | the same, sentinels and servers over TLS |
/// | `redis+cluster://[user:password@]host[:port],host[:port]` | the cluster that these nodes belong to |
/// | `rediss+cluster://…` | the same over TLS |
/// | `redis://…,redis://…` | a cluster, too |
///
/// User and password are percent-encoded, and are those of the servers that keep data; sentinels have their own, see
/// [`sentinel_login`](Self::sentinel_login). The port is 6379 by default, that of a sentinel 26379.
///
/// What a host has already configured, it hands in instead: [`from_client`](Self::from_client),
/// [`from_sentinels`](Self::from_sentinels), [`from_cluster`](Self::from_cluster).
///
/// The crate's front page has the line of an ACL user who may do what is needed, and no more. One who asks sentinels needs
/// `+sentinel|get-master-addr-by-name` and `+sentinel|master` there.
///
/// A failover can lose what the old primary has acknowledged. Set `min-replicas-to-write 1` (and
/// `min-replicas-max-lag 10`) on servers with replicas, so that a primary that was cut off from them stops granting holds.
#[derive(Clone)]
pub struct RedisConfig {
    pub(crate) target: Target,
    pub(crate) deadline: Duration,
    pub(crate) prefix: Arc<str>,
    pub(crate) strict: bool,
    pub(crate) ca_certificate: Option<Arc<[u8]>>,
}

/// What is connected to.
#[derive(Clone)]
pub(crate) enum Target {
    Single(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        service: Arc<str>,
        /// How to log in to the primary, and the database.
        login: RedisConnectionInfo,
    },
    Cluster(Vec<ConnectionInfo>),
}

/// How long a call may take by default.
const DEADLINE: Duration = Duration::from_secs(1);
/// The deadlines that make sense: shorter than a round trip to another continent fails always, longer than a minute
/// outlives whoever asked.
const DEADLINES: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
const PREFIX: &str = "bms";
const SENTINEL_PORT: u16 = 26379;

impl RedisConfig {
    /// Reads a URL of one of the forms above.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for anything else; its text does not repeat the URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or(config("a URL must start with its scheme, such as redis://"))?;
        let target = match scheme {
            "redis" | "rediss" => {
                let urls = split_urls(url);
                match urls.as_slice() {
                    [url] => Target::Single(parse(url)?),
                    urls => Target::Cluster(urls.iter().map(|url| parse(url)).collect::<Result<_, _>>()?),
                }
            }
            "redis+cluster" | "rediss+cluster" => Target::Cluster(parse_hosts(server_scheme(scheme), rest, None)?),
            "redis+sentinel" | "rediss+sentinel" => parse_sentinel(server_scheme(scheme), rest)?,
            _ => {
                return Err(config(
                    "the scheme of the URL must be redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster or rediss+cluster",
                ));
            }
        };
        if let Target::Cluster(seeds) = &target
            && seeds.iter().any(|seed| seed.redis_settings().db() != 0)
        {
            return Err(config("a cluster has only database 0"));
        }
        Ok(Self::of(target))
    }

    /// Connects to the one server of this client. RESP3 and `TCP_NODELAY` are set whatever the client says.
    #[must_use]
    pub fn from_client(client: &redis::Client) -> Self {
        Self::of(Target::Single(client.get_connection_info().clone()))
    }

    /// Connects to the primary that the sentinels of these clients name for `service`, logging in with `login` (user,
    /// password and database). It uses TLS if the first sentinel does.
    ///
    /// redis' own `SentinelClient` keeps its sentinels to itself, and stays with a primary that was voted out.
    #[must_use]
    pub fn from_sentinels(sentinels: &[redis::Client], service: &str, login: RedisConnectionInfo) -> Self {
        let sentinels = sentinels.iter().map(|client| client.get_connection_info().clone()).collect();
        Self::of(Target::Sentinel { sentinels, service: service.into(), login })
    }

    /// Connects to the cluster that the nodes of these clients belong to.
    ///
    /// redis' own `ClusterClient` keeps its nodes to itself, and sends a command again whose answer was lost.
    #[must_use]
    pub fn from_cluster(nodes: &[redis::Client]) -> Self {
        Self::of(Target::Cluster(nodes.iter().map(|client| client.get_connection_info().clone()).collect()))
    }

    fn of(target: Target) -> Self {
        Self { target, deadline: DEADLINE, prefix: PREFIX.into(), strict: false, ca_certificate: None }
    }

    /// How long a call may take, 10 ms to 60 s; 1 s by default. It covers everything: waiting for the server, being sent on
    /// to another node, loading a script, and asking again where many holds have to be retired first. What is told in parts has
    /// it for each part: restoring a show of many orders, sweeping, and a command to a hold of a show unheard of here.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] outside of that range.
    pub fn deadline(mut self, deadline: Duration) -> Result<Self, Error> {
        if !DEADLINES.contains(&deadline) {
            return Err(config("the deadline of a call must be 10 ms to 60 s"));
        }
        self.deadline = deadline;
        Ok(self)
    }

    /// What every key and channel starts with: 1–32 of `A–Z a–z 0–9 . _ -`; `bms` by default. Programs that share a server
    /// share their holds if they share the prefix.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for another length or other characters.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=32).contains(&prefix.len()) || !prefix.bytes().all(allowed) {
            return Err(config("the key prefix must be 1 to 32 of A-Z a-z 0-9 . _ -"));
        }
        self.prefix = prefix.into();
        Ok(self)
    }

    /// Refuses to connect to a server that may throw holds away, instead of only warning (P14); off by default. It is refused
    /// when the program connects first; one that has become so when it is connected to again, or was away at first, is logged. A replica, which
    /// runs no script that writes, is refused always.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// The CA, as PEM, that has signed the servers' certificates. Without it those of the operating system are trusted;
    /// with it, only this one.
    #[must_use]
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificate = Some(pem.into().into());
        self
    }

    /// How to log in to the sentinels, where they ask for it. The user is `None` where they have a password only.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if this is not about sentinels.
    pub fn sentinel_login(mut self, user: Option<&str>, password: &str) -> Result<Self, Error> {
        let Target::Sentinel { sentinels, .. } = &mut self.target else {
            return Err(config("a login for sentinels needs a redis+sentinel URL"));
        };
        for sentinel in sentinels {
            let mut login = RedisConnectionInfo::default().set_password(password);
            if let Some(user) = user {
                login = login.set_username(user);
            }
            *sentinel = sentinel.clone().set_redis_settings(login);
        }
        Ok(self)
    }

    /// Scheme, hosts and ports, as errors name them.
    pub(crate) fn server(&self) -> Arc<str> {
        match &self.target {
            Target::Single(info) => server_name(info),
            Target::Sentinel { sentinels, service, .. } => format!("{}/{service}", server_names("+sentinel", sentinels)).into(),
            Target::Cluster(seeds) => server_names("+cluster", seeds).into(),
        }
    }
}

/// Without the user and the password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target: _, deadline, prefix, strict, ca_certificate } = self;
        f.debug_struct("RedisConfig")
            .field("server", &self.server())
            .field("deadline", deadline)
            .field("prefix", prefix)
            .field("strict", strict)
            .field("ca_certificate", &ca_certificate.is_some())
            .finish()
    }
}

fn config(reason: &'static str) -> Error {
    Error::Config { reason }
}

/// The host of a server.
pub(crate) fn host_of(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        address => address.to_string(),
    }
}

/// Another server, connected to in the same way.
pub(crate) fn at(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let address = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host.to_owned(), port),
    };
    info.clone().set_addr(address)
}

/// Whether the connection uses TLS.
pub(crate) fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

fn scheme_of(info: &ConnectionInfo) -> &'static str {
    match info.addr() {
        ConnectionAddr::TcpTls { .. } => "rediss",
        ConnectionAddr::Unix(_) => "redis+unix",
        _ => "redis",
    }
}

/// Scheme, host and port of one server.
pub(crate) fn server_name(info: &ConnectionInfo) -> Arc<str> {
    format!("{}://{}", scheme_of(info), address(info)).into()
}

fn server_names(kind: &str, servers: &[ConnectionInfo]) -> String {
    let addresses: Vec<String> = servers.iter().map(address).collect();
    format!("{}{kind}://{}", servers.first().map_or("redis", scheme_of), addresses.join(","))
}

/// Host and port, an IPv6 address in brackets.
fn address(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } if host.contains(':') => {
            format!("[{host}]:{port}")
        }
        address => address.to_string(),
    }
}

/// Several URLs are separated by commas. A comma can also be part of a password, so only one before a scheme separates.
fn split_urls(list: &str) -> Vec<&str> {
    let mut urls = Vec::new();
    let mut rest = list;
    while let Some(at) = [",redis://", ",rediss://"].iter().filter_map(|separator| rest.find(separator)).min() {
        let (url, others) = rest.split_at(at);
        urls.push(url);
        rest = others.get(1..).unwrap_or_default();
    }
    urls.push(rest);
    urls
}

fn server_scheme(scheme: &str) -> &'static str {
    if scheme.starts_with("rediss") { "rediss" } else { "redis" }
}

fn parse(url: &str) -> Result<ConnectionInfo, Error> {
    if url.contains('#') {
        return Err(config("the URL of a server has no part after #; an unknown certificate is trusted by giving its CA"));
    }
    url.into_connection_info().map_err(|_| config("a URL must be redis://[user:password@]host[:port][/db], percent-encoded"))
}

/// Reads `[user:password@]host[:port],host[:port][/…]`: each host with the login and, if it has none, the port.
fn parse_hosts(scheme: &str, rest: &str, port: Option<u16>) -> Result<Vec<ConnectionInfo>, Error> {
    let (login, hosts) = rest.rsplit_once('@').map_or(("", rest), |(login, hosts)| (login, hosts));
    let hosts = hosts.split_once('/').map_or(hosts, |(hosts, _)| hosts);
    if hosts.is_empty() {
        return Err(config("the URL names no host"));
    }
    let at = if login.is_empty() { "" } else { "@" };
    hosts
        .split(',')
        .map(|host| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            match port {
                Some(port) if !has_port => parse(&format!("{scheme}://{login}{at}{host}:{port}")),
                _ => parse(&format!("{scheme}://{login}{at}{host}")),
            }
        })
        .collect()
}

fn parse_sentinel(scheme: &str, rest: &str) -> Result<Target, Error> {
    let malformed = config("the URL must be redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]");
    let hosts = parse_hosts(scheme, rest, Some(SENTINEL_PORT))?;
    let path = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts).split_once('/').map_or("", |(_, path)| path);
    let (service, db) = path.split_once('/').map_or((path, ""), |(service, db)| (service, db));
    if service.is_empty() {
        return Err(malformed);
    }
    let db = if db.is_empty() { 0 } else { db.parse::<u16>().map_err(|_| malformed)? };
    let login = hosts.first().map(|host| host.redis_settings().clone()).unwrap_or_default().set_db(i64::from(db));
    // The login is for the servers that keep data.
    let sentinels = hosts.into_iter().map(|host| host.set_redis_settings(RedisConnectionInfo::default())).collect();
    Ok(Target::Sentinel { sentinels, service: service.into(), login })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> String {
        RedisConfig::new(url).unwrap().server().to_string()
    }

    #[test]
    fn every_form_is_read_and_named_without_its_login() {
        assert_eq!(server("redis://localhost"), "redis://localhost:6379");
        assert_eq!(server("redis://ann:s%40cret@h:7000/3"), "redis://h:7000");
        assert_eq!(server("rediss://:s,cret@h"), "rediss://h:6379");
        assert_eq!(server("redis://[::1]:7000"), "redis://[::1]:7000");
        assert_eq!(server("redis://:p@a:1,redis://:p@b:2"), "redis+cluster://a:1,b:2");
        assert_eq!(server("rediss+cluster://u:p@a:1,b:2"), "rediss+cluster://a:1,b:2");
        assert_eq!(server("redis+sentinel://u:p@a,[::1],b:7/main/2"), "redis+sentinel://a:26379,[::1]:26379,b:7/main");
    }

    #[test]
    fn logins_go_to_the_servers_and_not_to_the_sentinels() {
        let config = RedisConfig::new("redis+sentinel://ann:p%2Fw@a,b/main/2").unwrap();
        let Target::Sentinel { sentinels, service, login } = &config.target else { panic!("sentinels") };
        assert_eq!((service.as_ref(), login.username(), login.password(), login.db()), ("main", Some("ann"), Some("p/w"), 2));
        assert!(sentinels.iter().all(|sentinel| sentinel.redis_settings().password().is_none()));

        let config = config.sentinel_login(None, "guard").unwrap();
        let Target::Sentinel { sentinels, login, .. } = &config.target else { panic!("sentinels") };
        assert!(sentinels.iter().all(|sentinel| sentinel.redis_settings().password() == Some("guard")));
        assert_eq!(login.password(), Some("p/w"));

        let Target::Cluster(seeds) = RedisConfig::new("redis+cluster://ann:x@a,b:2").unwrap().target else { panic!("cluster") };
        assert!(seeds.iter().all(|seed| seed.redis_settings().password() == Some("x")));
    }

    #[test]
    fn nonsense_is_refused_without_repeating_it() {
        for url in [
            "",
            "localhost:6379",
            "http://secret@localhost",
            "redis://",
            "redis://:secret@host:port",
            "redis://:secret@host/nodb",
            "rediss://:secret@host/#insecure",
            "redis://0.0.0.0",
            "redis+cluster://",
            "redis+cluster://:secret@",
            "redis://:secret@a/1,redis://:secret@b/1",
            "redis+sentinel://:secret@a,b",
            "redis+sentinel://:secret@a,b/main/first",
        ] {
            let error = RedisConfig::new(url).unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{url}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{url}");
        }
    }

    #[test]
    fn options_are_checked() {
        let config = || RedisConfig::new("redis://localhost").unwrap();
        assert!(config().prefix("my-app_1.x").is_ok());
        for prefix in ["", "a:b", "a{b", "ü", "123456789012345678901234567890123"] {
            assert!(matches!(config().prefix(prefix), Err(Error::Config { .. })), "{prefix}");
        }
        assert!(matches!(config().deadline(Duration::from_millis(9)), Err(Error::Config { .. })));
        assert!(matches!(config().deadline(Duration::from_secs(61)), Err(Error::Config { .. })));
        assert!(matches!(config().sentinel_login(None, "x"), Err(Error::Config { .. })));
    }

    #[test]
    fn a_configuration_prints_no_secret() {
        let config = RedisConfig::new("redis+sentinel://ann:hush@a/main").unwrap().sentinel_login(Some("bob"), "quiet").unwrap();
        let text = format!("{config:?}");
        assert!(!["ann", "hush", "bob", "quiet"].iter().any(|secret| text.contains(secret)), "{text}");
    }
}
