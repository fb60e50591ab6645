//! A primary, two replicas and three Sentinels.

use std::{collections::HashMap, time::Duration};

use bms_domain::testing::servers::{Failure, until};

use super::{
    builder::{HARNESS, ServerBuilder},
    server::Server,
};

/// What the Sentinels call the group.
const NAME: &str = "bms";

/// How many Sentinels have to agree that the primary is down.
const QUORUM: usize = 2;

/// How long a primary may be silent before a Sentinel calls it down, in milliseconds.
const DOWN_AFTER_MS: u32 = 1_000;

/// How long the group may take for a step that takes it a few seconds.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// A replicated Redis under the guard of three Sentinels, which choose another primary when the primary is silent for a second.
///
/// Its servers are killed, paused and restarted one by one; [`Replicated::wait_for_primary_after`] and
/// [`Replicated::wait_until_whole`] wait for what the group makes of it.
#[derive(Debug)]
pub struct Replicated {
    // Dropped first, lest the Sentinels see the servers go.
    sentinels: Vec<Server>,
    nodes: Vec<Server>,
}

impl Replicated {
    /// Starts the group, and returns when every Sentinel knows both replicas and the other Sentinels.
    ///
    /// # Errors
    ///
    /// As [`Server::start`]; [`Failure::Late`] if they do not come together.
    pub fn start() -> Result<Self, Failure> {
        Self::start_with(Server::builder())
    }

    /// The same, with three servers as described, such as `Server::builder().append_only().config("min-replicas-to-write 1")`.
    ///
    /// # Errors
    ///
    /// As [`Replicated::start`]; [`Failure::State`] if a certain port was asked for.
    pub fn start_with(node: ServerBuilder) -> Result<Self, Failure> {
        let node = node.member()?;
        let primary = node.clone().start()?;
        let follow = format!("replicaof 127.0.0.1 {}", primary.port());
        let replicas = [node.clone().config(&follow).start()?, node.clone().config(&follow).start()?];
        // A Sentinel that finds the replicas connected at its first look does not take ten seconds for the second.
        until("two replicas of the primary", STEP_LIMIT, || {
            match replicas.iter().chain([&primary]).map(is_linked).find(Result::is_err) {
                Some(waiting) => waiting,
                None => Ok(()),
            }
        })?;
        let guard = sentinel(primary.port()).guarding(&node);
        let sentinels = vec![guard.clone().start()?, guard.clone().start()?, guard.start()?];
        for sentinel in &sentinels {
            // The usual periods are made for years, not for tests.
            let hurry = ["info-period", "500", "publish-period", "300", "ping-period", "200", "election-timeout", "2000"];
            sentinel.command::<()>(&[&["SENTINEL", "DEBUG"], hurry.as_slice()].concat())?;
        }
        let group = Self { sentinels, nodes: [primary].into_iter().chain(replicas).collect() };
        group.wait_until_whole()?;
        Ok(group)
    }

    /// What the Sentinels call the group.
    pub fn service_name(&self) -> &'static str {
        NAME
    }

    /// The URL by which a store finds the primary, without a login.
    pub fn url(&self) -> String {
        let sentinels: Vec<String> = self.sentinels.iter().map(Server::address).collect();
        let scheme = if self.authority_pem().is_some() { "rediss" } else { "redis" };
        format!("{scheme}+sentinel://{}/{}", sentinels.join(","), self.service_name())
    }

    /// The certificate, as PEM, of the throwaway authority that vouches for all servers and Sentinels of a group with TLS.
    pub fn authority_pem(&self) -> Option<&str> {
        self.sentinels.first().and_then(Server::authority_pem)
    }

    /// The three Redis servers, in no order that tells their roles.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The three Sentinels.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// The URLs of the Sentinels.
    pub fn sentinel_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    /// The server that the Sentinels name the primary, whether it runs or not: the first Sentinel that answers decides.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if no Sentinel runs, or they name a server that is not of the group.
    pub fn primary(&self) -> Result<&Server, Failure> {
        let named = self.running_sentinels().find_map(|sentinel| named_by(sentinel).ok());
        let port = named.ok_or_else(|| Failure::State("no sentinel names a primary".to_owned()))?;
        let node = self.nodes.iter().find(|node| node.port() == port);
        node.ok_or_else(|| Failure::State(format!("the sentinels name a stranger on port {port} as primary")))
    }

    /// The two servers that are not the primary, running or not.
    ///
    /// # Errors
    ///
    /// As [`Replicated::primary`].
    pub fn replicas(&self) -> Result<Vec<&Server>, Failure> {
        let primary = self.primary()?.port();
        Ok(self.nodes.iter().filter(|node| node.port() != primary).collect())
    }

    /// Waits until every running Sentinel names another primary than `former`, and that one takes writes; returns it.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] after a minute.
    pub fn wait_for_primary_after(&self, former: &Server) -> Result<&Server, Failure> {
        until("another primary", STEP_LIMIT, || {
            for sentinel in self.running_sentinels() {
                let named = named_by(sentinel)?;
                if named == former.port() {
                    return Err(format!("{} still names port {named}", sentinel.address()));
                }
            }
            let primary = self.primary().map_err(|failure| failure.to_string())?;
            match primary.info("role").as_deref() {
                Ok("master") => Ok(primary),
                other => Err(format!("the new primary's role is {other:?}")),
            }
        })
    }

    /// Waits until every running server is the primary or follows it, and every running Sentinel knows of all that and sees
    /// nothing amiss.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] after a minute.
    pub fn wait_until_whole(&self) -> Result<(), Failure> {
        let sentinels = self.running_sentinels().count();
        let running = self.nodes.iter().filter(|node| node.is_running()).count();
        until("a whole group", STEP_LIMIT, || {
            let primary = self.primary().map_err(|failure| failure.to_string())?.port();
            for node in self.nodes.iter().filter(|node| node.is_running()) {
                let role = if node.port() == primary { "master" } else { "slave" };
                expect(node, "role", role)?;
                is_linked(node)?;
            }
            for sentinel in self.running_sentinels() {
                let view = view_of(sentinel)?;
                let is = |field: &str, wanted: String| match view.get(field) {
                    Some(value) if *value == wanted => Ok(()),
                    other => Err(format!("{} says {field} {other:?}, not {wanted}", sentinel.address())),
                };
                is("port", primary.to_string())?;
                is("flags", "master".to_owned())?;
                is("num-other-sentinels", (self.sentinels.len() - 1).to_string())?;
                if sentinels == self.sentinels.len() && running == self.nodes.len() {
                    is("num-slaves", (self.nodes.len() - 1).to_string())?;
                }
            }
            Ok(())
        })
    }

    /// Orders a failover while everything runs, and waits until the group is whole again; returns the new primary.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if no Sentinel runs; [`Failure::Late`] after a minute, which says if they see no replica to promote.
    pub fn failover(&self) -> Result<&Server, Failure> {
        let former = self.primary()?;
        let sentinel = self.running_sentinels().next();
        let sentinel = sentinel.ok_or_else(|| Failure::State("no sentinel runs".to_owned()))?;
        // On a busy machine it may be given up half-way, which nobody is told: then it is ordered again.
        until("a failover", STEP_LIMIT, || {
            let view = view_of(sentinel)?;
            let [port, flags] = ["port", "flags"].map(|field| view.get(field).map_or("", String::as_str));
            if port != former.port().to_string() {
                return Ok(());
            }
            if !flags.contains("failover_in_progress") {
                sentinel.command::<()>(&["SENTINEL", "FAILOVER", NAME]).map_err(|failure| failure.to_string())?;
            }
            Err(format!("{} still names port {port}, {flags}", sentinel.address()))
        })?;
        let primary = self.wait_for_primary_after(former)?;
        self.wait_until_whole()?;
        Ok(primary)
    }

    /// Cuts the replicas off from the primary, and returns when they are: what is acknowledged from now on is lost with it.
    /// The Sentinels go on seeing all three.
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if a replica does not run.
    pub fn stop_replication(&self) -> Result<(), Failure> {
        let replicas = self.replicas()?;
        for replica in &replicas {
            // Without a password that is right, it does not get in again.
            replica.command::<()>(&["CONFIG", "SET", "masterauth", "wrong"])?;
            replica.command::<()>(&["CLIENT", "KILL", "TYPE", "master"])?;
        }
        until("the end of replication", STEP_LIMIT, || {
            replicas.iter().try_for_each(|replica| expect(replica, "master_link_status", "down"))
        })
    }

    /// Lets replicas in again after [`Replicated::stop_replication`].
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if a running server refuses.
    pub fn resume_replication(&self) -> Result<(), Failure> {
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            node.command::<()>(&["CONFIG", "SET", "masterauth", HARNESS])?;
        }
        Ok(())
    }

    fn running_sentinels(&self) -> impl Iterator<Item = &Server> {
        self.sentinels.iter().filter(|sentinel| sentinel.is_running())
    }
}

fn sentinel(primary: u16) -> ServerBuilder {
    Server::builder()
        .sentinel()
        .config(format!("sentinel monitor {NAME} 127.0.0.1 {primary} {QUORUM}"))
        .config(format!("sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}"))
        .config(format!("sentinel failover-timeout {NAME} {}", 3 * DOWN_AFTER_MS))
        .config(format!("sentinel parallel-syncs {NAME} 2"))
        .config(format!("sentinel auth-user {NAME} {HARNESS}"))
        .config(format!("sentinel auth-pass {NAME} {HARNESS}"))
}

/// The port of the primary, as a sentinel has it.
fn named_by(sentinel: &Server) -> Result<u16, String> {
    let answer = sentinel.command::<(String, u16)>(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
    answer.map(|(_, port)| port).map_err(|failure| failure.to_string())
}

fn view_of(sentinel: &Server) -> Result<HashMap<String, String>, String> {
    sentinel.command(&["SENTINEL", "MASTER", NAME]).map_err(|failure| failure.to_string())
}

/// Whether a primary is, or a replica has, what replication needs.
pub(super) fn is_linked(node: &Server) -> Result<(), String> {
    match node.info("role").as_deref() {
        Ok("slave") => expect(node, "master_link_status", "up"),
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.to_string()),
    }
}

fn expect(node: &Server, field: &str, wanted: &str) -> Result<(), String> {
    match node.info(field) {
        Ok(value) if value == wanted => Ok(()),
        Ok(value) => Err(format!("{} has {field} {value}, not {wanted}", node.address())),
        Err(failure) => Err(failure.to_string()),
    }
}
