//! Three shards, each a primary and a replica.

use std::time::Duration;

use bms_domain::testing::servers::{Failure, until};

use super::{
    builder::ServerBuilder,
    cluster_view::{Node, parse},
    proxy::Proxy,
    replicated::is_linked,
    server::Server,
};

/// How far the port of the cluster bus lies above a server's own.
pub(super) const BUS_DISTANCE: u16 = 10_000;

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// How many shards the slots are shared out to.
const SHARDS: u16 = 3;

/// How long a node may be silent before the others call it down, in milliseconds.
const NODE_TIMEOUT_MS: u32 = 1_500;

/// How long the cluster may take for a step that takes it a few seconds.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// A Redis Cluster of three primaries with a replica each, where a replica takes over when its primary is silent for 1.5 s.
///
/// At the start server `n` of [`Cluster::nodes`] owns the `n`th third of the slots, and server `n + 3` is its replica. Servers are
/// killed, paused and restarted one by one.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    proxies: Vec<Proxy>,
}

impl Cluster {
    /// Starts the cluster, and returns when every node says that all is well.
    ///
    /// # Errors
    ///
    /// As [`Server::start`]; [`Failure::Late`] if the nodes do not come together.
    pub fn start() -> Result<Self, Failure> {
        Self::start_with(Server::builder())
    }

    /// The same, with six servers as described, such as `Server::builder().append_only()`.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`]; [`Failure::State`] if a certain port was asked for.
    pub fn start_with(node: ServerBuilder) -> Result<Self, Failure> {
        Self { nodes: start_nodes(node)?, proxies: Vec::new() }.join()
    }

    /// The same, with a proxy in front of every node: clients are sent to the proxies, which can lose what they answer. The
    /// nodes replicate through the proxies as well, but find each other without them.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start_with`]; [`Failure::State`] if TLS was asked for, which the proxies cannot look into.
    pub fn start_behind_proxies(node: ServerBuilder) -> Result<Self, Failure> {
        if node.speaks_tls() {
            return Err(Failure::State("the nodes behind proxies have no TLS".to_owned()));
        }
        let nodes = start_nodes(node)?;
        let proxies = nodes.iter().map(Proxy::start).collect::<Result<Vec<_>, _>>()?;
        for (node, proxy) in nodes.iter().zip(&proxies) {
            let (port, bus) = (proxy.port().to_string(), (node.port() + BUS_DISTANCE).to_string());
            node.command::<()>(&["CONFIG", "SET", "cluster-announce-port", &port, "cluster-announce-bus-port", &bus])?;
            // A node that is restarted has to know it still.
            node.command::<()>(&["CONFIG", "REWRITE"])?;
        }
        Self { nodes, proxies }.join()
    }

    /// The six servers.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The proxy in front of a node, if there is one.
    pub fn proxy_of(&self, node: &Server) -> Option<&Proxy> {
        let place = self.nodes.iter().position(|other| other.port() == node.port())?;
        self.proxies.get(place)
    }

    /// The URLs of all nodes, or of the proxies in front of them.
    pub fn urls(&self) -> Vec<String> {
        let address = |node| self.proxy_of(node).map_or_else(|| node.url(), |proxy| proxy.url().to_owned());
        self.nodes.iter().map(address).collect()
    }

    /// All of [`Cluster::urls`] as one, as a store takes it.
    pub fn url(&self) -> String {
        self.urls().join(",")
    }

    /// The certificate, as PEM, of the throwaway authority that vouches for all nodes of a cluster with TLS.
    pub fn authority_pem(&self) -> Option<&str> {
        self.nodes.first().and_then(Server::authority_pem)
    }

    /// The slot of a key: that of its hash tag, if it has one.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if no node runs.
    pub fn slot_of(&self, key: &str) -> Result<u16, Failure> {
        self.any()?.command(&["CLUSTER", "KEYSLOT", key])
    }

    /// The primary that owns a slot, in the eyes of the majority's view that the first running node has.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if no node runs, or nobody owns the slot.
    pub fn owner_of(&self, slot: u16) -> Result<&Server, Failure> {
        let view = view_of(self.any()?)?;
        let owner = view.iter().find(|node| node.is_primary && node.owns(slot));
        let owner = owner.ok_or_else(|| Failure::State(format!("nobody owns slot {slot}")))?;
        self.server(owner)
    }

    /// The primaries that own slots.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if no node runs.
    pub fn primaries(&self) -> Result<Vec<&Server>, Failure> {
        let view = view_of(self.any()?)?;
        view.iter().filter(|node| node.is_primary && !node.slots.is_empty()).map(|node| self.server(node)).collect()
    }

    /// The replicas of a primary that the cluster does not call down.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if no node runs.
    pub fn replicas_of(&self, primary: &Server) -> Result<Vec<&Server>, Failure> {
        let view = view_of(self.any()?)?;
        let id = id_in(&view, primary)?;
        let follows = |node: &&Node| node.primary.as_deref() == Some(id) && !node.fails;
        view.iter().filter(follows).map(|node| self.server(node)).collect()
    }

    /// Lets a replica of the slot's owner take over while both run, and waits until the cluster is whole again; returns the new
    /// owner.
    ///
    /// # Errors
    ///
    /// [`Failure::State`] if the owner has no replica; [`Failure::Late`] after a minute.
    pub fn failover(&self, slot: u16) -> Result<&Server, Failure> {
        let former = self.owner_of(slot)?;
        let replicas = self.replicas_of(former)?;
        let replica = replicas.first().ok_or_else(|| Failure::State(format!("the owner of slot {slot} has no replica")))?;
        replica.command::<()>(&["CLUSTER", "FAILOVER"])?;
        let owner = self.wait_for_owner_after(slot, former)?;
        self.wait_until_whole()?;
        Ok(owner)
    }

    /// Waits until every running node names another owner of the slot than `former`, and finds the cluster in order; returns the
    /// new owner.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] after a minute.
    pub fn wait_for_owner_after(&self, slot: u16, former: &Server) -> Result<&Server, Failure> {
        until("another owner of the slot", STEP_LIMIT, || {
            self.agreed()?;
            let owner = self.owner_of(slot).map_err(|failure| failure.to_string())?;
            if owner.port() == former.port() { Err(format!("{} still owns it", owner.address())) } else { Ok(owner) }
        })
    }

    /// Waits until every running node finds the cluster in order and has the same view of it, and every running replica follows
    /// its primary.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] after a minute.
    pub fn wait_until_whole(&self) -> Result<(), Failure> {
        until("a whole cluster", STEP_LIMIT, || {
            self.agreed()?;
            self.running().try_for_each(is_linked)
        })
    }

    /// Whether all running nodes have one view of who owns what, and are content with it.
    fn agreed(&self) -> Result<(), String> {
        let mut first: Option<Vec<Node>> = None;
        for node in self.running() {
            let asked = || -> Result<_, Failure> { Ok((node.command::<String>(&["CLUSTER", "INFO"])?, view_of(node)?)) };
            let (info, mut view) = asked().map_err(|failure| failure.to_string())?;
            if !info.contains("cluster_state:ok") {
                return Err(format!("{} finds the cluster out of order", node.address()));
            }
            let served = view.iter().filter(|other| !other.fails).flat_map(|other| &other.slots);
            if served.map(|range| range.len()).sum::<usize>() != usize::from(SLOTS) {
                return Err(format!("{} knows of slots without an owner", node.address()));
            }
            if let Some(silent) = self.running().find(|other| !view.iter().any(|seen| seen.bus == bus_of(other) && !seen.fails)) {
                return Err(format!("{} does not see {}", node.address(), silent.address()));
            }
            view.sort_by(|one, other| one.id.cmp(&other.id));
            let same = first.get_or_insert_with(|| view.clone()) == &view;
            if !same {
                return Err(format!("{} sees {view:?}, another {first:?}", node.address()));
            }
        }
        Ok(())
    }

    /// Makes a cluster of nodes that know nothing of each other.
    fn join(self) -> Result<Self, Failure> {
        let (primaries, replicas) = self.nodes.split_at(usize::from(SHARDS));
        for (node, epoch) in self.nodes.iter().zip(1_u16..) {
            node.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()])?;
        }
        for (primary, shard) in primaries.iter().zip(0..SHARDS) {
            let border = |shard: u16| u32::from(SLOTS) * u32::from(shard) / u32::from(SHARDS);
            let (first, last) = (border(shard), border(shard + 1) - 1);
            primary.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
        }
        let hub = self.any()?;
        let ids =
            primaries.iter().map(|primary| primary.command::<String>(&["CLUSTER", "MYID"])).collect::<Result<Vec<_>, _>>()?;
        for node in self.nodes.iter().skip(1) {
            let (port, bus) = (node.port().to_string(), bus_of(node).to_string());
            hub.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        }
        until("nodes that know each other", STEP_LIMIT, || {
            self.running().try_for_each(|node| {
                let view = view_of(node).map_err(|failure| failure.to_string())?;
                let known = view.iter().filter(|other| other.is_known && !other.fails).count();
                if known == self.nodes.len() { Ok(()) } else { Err(format!("{} knows {known} nodes", node.address())) }
            })
        })?;
        for (replica, primary) in replicas.iter().zip(&ids) {
            replica.command::<()>(&["CLUSTER", "REPLICATE", primary])?;
        }
        self.wait_until_whole()?;
        Ok(self)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Server> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    pub(super) fn any(&self) -> Result<&Server, Failure> {
        self.running().next().ok_or_else(|| Failure::State("no node of the cluster runs".to_owned()))
    }

    fn server(&self, node: &Node) -> Result<&Server, Failure> {
        let server = self.nodes.iter().find(|server| bus_of(server) == node.bus);
        server.ok_or_else(|| Failure::State(format!("a stranger is in the cluster: {node:?}")))
    }
}

fn start_nodes(node: ServerBuilder) -> Result<Vec<Server>, Failure> {
    let node = node
        .config("cluster-enabled yes")
        .config("cluster-config-file nodes.conf")
        .config(format!("cluster-node-timeout {NODE_TIMEOUT_MS}"))
        // A replica takes over however long it has heard nothing, and stays with its shard.
        .config("cluster-replica-validity-factor 0")
        .config("cluster-allow-replica-migration no")
        .member()?;
    (0..2 * SHARDS).map(|_| node.clone().start()).collect()
}

pub(super) fn view_of(node: &Server) -> Result<Vec<Node>, Failure> {
    Ok(parse(&node.command::<String>(&["CLUSTER", "NODES"])?))
}

pub(super) fn id_in<'view>(view: &'view [Node], server: &Server) -> Result<&'view str, Failure> {
    let node = view.iter().find(|node| node.bus == bus_of(server));
    Ok(&node.ok_or_else(|| Failure::State(format!("{} is not in the cluster", server.address())))?.id)
}

/// What tells nodes apart, whatever port they announce to clients.
fn bus_of(server: &Server) -> u16 {
    server.port() + BUS_DISTANCE
}
