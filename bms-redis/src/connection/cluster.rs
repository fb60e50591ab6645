//! A cluster: a supervised connection to each primary, and a map of which slot is where.
//!
//! Not redis-rs' own cluster connection, for three reasons. It sends a command again whose answer was lost, so that a
//! refusal at the end does not mean that nothing was done. While it refreshes its map it serves nobody, and one stalled
//! node holds that up. And it sends ASKING apart from the command that it is meant for, so that another may come between.
//! Here a command is sent again only after a node has said that it did not carry it out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::{ConnectionInfo, ServerErrorKind, Value, cmd};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::dial::Endpoint;
use super::link::{Order, is_unknown_script, judge, send_calls};
use super::node::{Dial, Dialled, Event, Failure, Listener, Node, Pushed};
use super::slots::{Address, Range, read_ranges, slot_of};
use crate::config::{RedisConfig, host_of};
use crate::error::Error;
use crate::script::{Call, Script};

/// The map is asked for when something hints at a change, every so often while a node is down, and now and then anyway.
const MAP_WHILE_DOWN: Duration = Duration::from_millis(250);
const MAP_ANYWAY: Duration = Duration::from_secs(15);
/// And not more often than this, however many calls are sent on at once.
const MAP_PAUSE: Duration = Duration::from_millis(50);
/// A node that is slow to tell the map is passed over for the next.
const MAP_WITHIN: Duration = Duration::from_millis(300);
/// A key that is just being moved is asked for again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// A call that is sent on more often than this runs in a circle.
const MOST_REDIRECTS: u32 = 8;

/// A cluster; cheap to clone. The tasks behind it end with the last clone.
#[derive(Clone)]
pub(crate) struct Cluster {
    shared: Arc<Shared>,
    _mapper: Arc<Mapper>,
}

/// Ends the background task.
struct Mapper(AbortHandle);

impl Drop for Mapper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Shared {
    seeds: Vec<Endpoint>,
    /// How every node is connected to.
    template: Endpoint,
    /// All seeds, for errors.
    server: Arc<str>,
    map: ArcSwap<Map>,
    /// Nodes that calls were sent on to and that own no slot yet.
    newcomers: Mutex<HashMap<Address, Arc<Peer>>>,
    hint: Notify,
    /// Rings each time that the map was asked for, with or without an answer.
    asked: Notify,
    listener: Listener,
}

/// Who owns which slots.
#[derive(Default)]
struct Map {
    /// In order of the slots.
    ranges: Vec<(Range, Arc<Peer>)>,
}

/// A node of the cluster, and its connection.
struct Peer {
    address: Address,
    node: Node,
}

impl Map {
    fn owner(&self, slot: u16) -> Option<&Arc<Peer>> {
        let after = self.ranges.partition_point(|(range, _)| range.first <= slot);
        self.ranges.get(after.checked_sub(1)?).filter(|(range, _)| slot <= range.last).map(|(_, peer)| peer)
    }

    /// Each node once.
    fn peers(&self) -> HashMap<&Address, &Arc<Peer>> {
        self.ranges.iter().map(|(_, peer)| (&peer.address, peer)).collect()
    }
}

/// A node of a cluster; that it is a replica is told by its answers.
struct Member(Endpoint);

impl Dial for Member {
    fn within(&self) -> Duration {
        self.0.within
    }

    async fn dial(&mut self, pushed: Pushed) -> Result<Dialled, Error> {
        let (connection, facts) = self.0.open_and_look(pushed).await?;
        let server = Arc::clone(&self.0.server);
        if !facts.is_cluster_node {
            return Err(Error::NotCluster { server });
        }
        let warnings = facts.warnings(&server, None);
        Ok(Dialled { connection, server, warnings })
    }
}

/// What a node says instead of an answer. It has done nothing.
enum Redirect {
    Moved(Address),
    Ask(Address),
    Again,
}

impl Cluster {
    /// Connects to the cluster that the seeds belong to, and to its primaries.
    pub(crate) async fn connect(seeds: &[ConnectionInfo], config: &RedisConfig, listener: Listener) -> Result<Self, Error> {
        let shared = Shared::new(seeds, config, listener)?;
        shared.refresh().await?;
        let by = Instant::now() + config.deadline;
        let map = shared.map.load_full();
        join_all(map.peers().values().map(|peer| peer.node.ready(by))).await;
        Ok(Self::supervise(shared))
    }

    /// The same, which is not awaited: calls fail until a node has told the map.
    pub(crate) fn start(seeds: &[ConnectionInfo], config: &RedisConfig, listener: Listener) -> Result<Self, Error> {
        let shared = Shared::new(seeds, config, listener)?;
        shared.hint.notify_one();
        Ok(Self::supervise(shared))
    }

    fn supervise(shared: Arc<Shared>) -> Self {
        let task = tokio::spawn(keep_mapped(Arc::clone(&shared)));
        Self { shared, _mapper: Arc::new(Mapper(task.abort_handle())) }
    }

    /// The primaries; not all of them need be connected.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.shared.map.load().peers().values().map(|peer| peer.node.clone()).collect()
    }

    /// Waits until there is a connection to the node that owns a key's slot, or the deadline has come; not for one that could
    /// not be made just now.
    pub(crate) async fn ready(&self, key: &[u8], deadline: Instant) {
        let asked = self.shared.asked.notified();
        tokio::pin!(asked);
        asked.as_mut().enable();
        if self.shared.map.load().ranges.is_empty() {
            let _ = tokio::time::timeout_at(deadline, asked).await;
        }
        let owner = self.shared.map.load().owner(slot_of(key)).cloned();
        if let Some(peer) = owner {
            peer.node.ready(deadline).await;
        }
    }

    /// Sends a command to the node that owns its slot, and on from there as often as it is told to.
    pub(crate) async fn run(&self, order: Order<'_>, deadline: Instant) -> Result<Value, Failure> {
        let slot = slot_of(order.key());
        // The last quarter of the time is for the last answer: a call that is sent with no time left ends as unknown, and its
        // connection is taken for silent and replaced, where the node had said that it did nothing.
        let now = Instant::now();
        let last_try = now + deadline.saturating_duration_since(now) * 3 / 4;
        let mut sent_on: Option<(Arc<Peer>, bool)> = None;
        let mut redirects = 0;
        loop {
            let (peer, asking) = match sent_on.take() {
                Some(target) => target,
                None => (self.owner(slot)?, false),
            };
            let answer = order.send(&peer.node, asking, deadline).await.inspect_err(|_| self.shared.hint.notify_one())?;
            let redirect = Redirect::read(&answer, &peer.address.host).filter(|_| redirects < MOST_REDIRECTS);
            match redirect {
                Some(Redirect::Moved(address)) => {
                    redirects += 1;
                    self.shared.hint.notify_one();
                    sent_on = Some((self.shared.peer_at(&address, deadline).await, false));
                }
                Some(Redirect::Ask(address)) => {
                    redirects += 1;
                    sent_on = Some((self.shared.peer_at(&address, deadline).await, true));
                }
                Some(Redirect::Again) if Instant::now() + AGAIN_AFTER < last_try => {
                    // Both nodes of a move may have been asked in vain: that is no circle.
                    redirects = 0;
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                _ => {
                    // Whatever is wrong with the cluster, the map is where it shows.
                    if matches!(answer, Value::ServerError(_)) {
                        self.shared.hint.notify_one();
                    }
                    return judge(&peer.node, answer);
                }
            }
        }
    }

    /// Calls a script several times: each node is sent what is for it in one piece, all at once. What a node sends on, and
    /// has not carried out, goes on by itself.
    pub(crate) async fn run_all(&self, script: &Script, calls: &[Call], deadline: Instant) -> Result<Vec<Value>, Failure> {
        let map = self.shared.map.load_full();
        let (mut of_nodes, mut has_hole) = (HashMap::<&Address, (&Peer, Vec<(usize, &Call)>)>::new(), false);
        for (place, call) in calls.iter().enumerate() {
            match map.owner(slot_of(Order::Script(script, call).key())) {
                Some(peer) => of_nodes.entry(&peer.address).or_insert_with(|| (peer, Vec::new())).1.push((place, call)),
                None => has_hole = true,
            }
        }
        let answered = join_all(of_nodes.into_values().map(async |(peer, some)| {
            let answers = send_calls(&peer.node, script, some.iter().map(|(_, call)| *call), deadline).await;
            let answers = answers.inspect_err(|_| self.shared.hint.notify_one())?;
            let settled = some.into_iter().zip(answers).map(async |((place, call), answer)| {
                let is_left = is_unknown_script(&answer) || Redirect::read(&answer, &peer.address.host).is_some();
                let answer = if is_left {
                    self.run(Order::Script(script, call), deadline).await
                } else {
                    judge(&peer.node, answer).inspect_err(|_| self.shared.hint.notify_one())
                };
                answer.map(|answer| (place, answer))
            });
            join_all(settled).await.into_iter().collect::<Result<Vec<_>, _>>()
        }));
        let answered = answered.await.into_iter().collect::<Result<Vec<_>, _>>()?;
        if has_hole {
            return Err(self.unmapped());
        }
        let mut answers: Vec<(usize, Value)> = answered.into_iter().flatten().collect();
        answers.sort_unstable_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    fn owner(&self, slot: u16) -> Result<Arc<Peer>, Failure> {
        self.shared.map.load().owner(slot).cloned().ok_or_else(|| self.unmapped())
    }

    /// No node is known for a slot: there is a hole in the map, or no map yet.
    pub(crate) fn unmapped(&self) -> Failure {
        self.shared.hint.notify_one();
        let source = Arc::new(std::io::Error::other("no node owns the slot"));
        Failure::Refused(Error::Refused { server: Arc::clone(&self.shared.server), code: "CLUSTERDOWN".into(), source })
    }
}

impl Redirect {
    /// Reads `MOVED`, `ASK` and `TRYAGAIN`, said by the node at `host`.
    fn read(answer: &Value, host: &str) -> Option<Self> {
        let Value::ServerError(error) = answer else { return None };
        let address = || Address::read(error.details()?.split_ascii_whitespace().nth(1)?, host);
        match error.kind()? {
            ServerErrorKind::Moved => address().map(Self::Moved),
            ServerErrorKind::Ask => address().map(Self::Ask),
            ServerErrorKind::TryAgain => Some(Self::Again),
            _ => None,
        }
    }
}

impl Shared {
    /// Of a cluster whose map is not known yet.
    fn new(seeds: &[ConnectionInfo], config: &RedisConfig, listener: Listener) -> Result<Arc<Self>, Error> {
        let seeds: Vec<Endpoint> = seeds.iter().map(|info| Endpoint::new(info, config)).collect();
        let template = seeds.first().cloned().ok_or(Error::Config { reason: "no node of the cluster is named" })?;
        let (map, newcomers) = (ArcSwap::from_pointee(Map::default()), Mutex::default());
        let (hint, asked) = (Notify::new(), Notify::new());
        Ok(Arc::new(Self { seeds, template, server: config.server(), map, newcomers, hint, asked, listener }))
    }

    /// The node at an address. One that is not on the map yet is connected to first; one that is, and is down, is not
    /// waited for, nor is one that could not be connected to just now.
    async fn peer_at(&self, address: &Address, deadline: Instant) -> Arc<Peer> {
        let known = self.map.load().peers().get(address).map(|peer| Arc::clone(peer));
        if let Some(peer) = known {
            return peer;
        }
        let peer = {
            let mut newcomers = self.newcomers.lock();
            Arc::clone(newcomers.entry(address.clone()).or_insert_with(|| self.start(address)))
        };
        peer.node.ready(deadline).await;
        peer
    }

    fn start(&self, address: &Address) -> Arc<Peer> {
        let endpoint = self.template.at(&address.host, address.port);
        let down = Error::not_connected(Arc::clone(&endpoint.server));
        let node = Node::start(Member(endpoint), self.listener.clone(), down);
        Arc::new(Peer { address: address.clone(), node })
    }

    /// Asks for the map until a node tells it, the connected ones first. A node that knows no slots has lost its cluster, and
    /// knows less than the map that there is.
    async fn refresh(&self) -> Result<(), Error> {
        let map = self.map.load_full();
        for peer in map.peers().values().filter(|peer| peer.node.is_up()) {
            let by = Instant::now() + MAP_WITHIN;
            if let Ok(answer) = peer.node.send(slots_command(), by).await
                && let Some(ranges) = read_ranges(&answer, &peer.address.host).filter(|ranges| !ranges.is_empty())
            {
                self.install(ranges);
                return Ok(());
            }
        }
        // All at once: one that is silent holds up none of the others.
        let mut asked: FuturesUnordered<_> = self.seeds.iter().map(ask_seed).collect();
        let mut problem = Error::Config { reason: "no node of the cluster is named" };
        while let Some(told) = asked.next().await {
            match told {
                Ok(ranges) => {
                    self.install(ranges);
                    return Ok(());
                }
                // What has to be mended counts for more than who is away.
                Err(error) if !error.is_absence() => problem = error,
                Err(error) if problem.is_absence() || matches!(problem, Error::Config { .. }) => problem = error,
                Err(_) => {}
            }
        }
        Err(problem)
    }

    /// Makes these ranges the map. Nodes that were known stay connected.
    fn install(&self, mut ranges: Vec<Range>) {
        ranges.sort_unstable_by_key(|range| range.first);
        let old = self.map.load_full();
        if old.ranges.iter().map(|(range, _)| range).eq(&ranges) {
            return;
        }
        let mut peers: HashMap<Address, Arc<Peer>> =
            old.peers().into_iter().map(|(address, peer)| (address.clone(), Arc::clone(peer))).collect();
        peers.extend(std::mem::take(&mut *self.newcomers.lock()));
        let mut peer_of = |address: &Address| Arc::clone(peers.entry(address.clone()).or_insert_with(|| self.start(address)));
        let ranges: Vec<(Range, Arc<Peer>)> = ranges.into_iter().map(|range| (range.clone(), peer_of(&range.owner))).collect();
        if self.listener.logs() {
            tracing::info!(cluster = %self.server, ranges = ranges.len(), "the slots of the cluster are mapped");
        }
        self.map.store(Arc::new(Map { ranges }));
        // What was subscribed on a slot that has moved is gone.
        self.listener.hear(Event::Lost);
    }
}

fn slots_command() -> redis::Cmd {
    let mut command = cmd("CLUSTER");
    command.arg("SLOTS");
    command
}

/// Asks a node that was named in the configuration, over a connection that is given up afterwards.
async fn ask_seed(seed: &Endpoint) -> Result<Vec<Range>, Error> {
    let (mut connection, facts) = seed.open_and_look(Box::new(|_| {})).await?;
    let server = || Arc::clone(&seed.server);
    if !facts.is_cluster_node {
        return Err(Error::NotCluster { server: server() });
    }
    let command = slots_command();
    let answer = connection.send_packed_command(&command);
    let answer = tokio::time::timeout(seed.within, answer).await.map_err(|_| seed.no_answer())?;
    let answer = answer.and_then(Value::extract_error).map_err(|error| seed.failed(&error))?;
    let ranges = read_ranges(&answer, &host_of(&seed.info)).ok_or_else(|| Error::NotRedis { server: server(), source: None })?;
    if ranges.is_empty() {
        let source = Arc::new(std::io::Error::other("the node knows no slots"));
        return Err(Error::Refused { server: server(), code: "CLUSTERDOWN".into(), source });
    }
    Ok(ranges)
}

/// Keeps the map right for as long as the cluster is used.
async fn keep_mapped(shared: Arc<Shared>) {
    loop {
        let map = shared.map.load_full();
        let is_down = map.ranges.is_empty() || map.ranges.iter().any(|(_, peer)| !peer.node.is_up());
        let pause = if is_down { MAP_WHILE_DOWN } else { MAP_ANYWAY };
        let _ = tokio::time::timeout(pause, shared.hint.notified()).await;
        if let Err(error) = shared.refresh().await
            && shared.listener.logs()
        {
            tracing::warn!(%error, "the slots of the cluster cannot be read");
        }
        shared.asked.notify_waiters();
        tokio::time::sleep(MAP_PAUSE).await;
    }
}
