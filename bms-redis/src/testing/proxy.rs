//! A network that misbehaves on command.

use std::{
    collections::{HashMap, VecDeque},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use bms_domain::testing::servers::{Failure, Listener};

use super::{
    frames::{command_name, first_message},
    server::Server,
};

/// How long an event may take to come about.
const EVENT_LIMIT: Duration = Duration::from_secs(20);

/// A loopback TCP proxy in front of a server: it drops and holds replies, cuts and refuses connections.
///
/// It reads the Redis protocol to find out which reply belongs to which command; a connection that speaks something else
/// (TLS, replication, `MONITOR`) is passed on, and can be held and cut as well. Subscriptions need RESP3 to be told from
/// replies. When the proxy is dropped, its connections end.
#[derive(Debug)]
pub struct Proxy {
    listener: Listener,
    shared: Arc<Shared>,
    url: String,
}

#[derive(Debug)]
struct Shared {
    upstream: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Of which commands the next reply is dropped: bytes that stand in the request.
    doomed: Vec<Vec<u8>>,
    dropped: usize,
    refuses: bool,
    holds: bool,
    /// Connections with a reply that waits to be released.
    held: usize,
    links: HashMap<u64, Arc<Link>>,
    links_ever: u64,
}

/// One client's connection and its counterpart.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    replies: Mutex<Replies>,
}

#[derive(Debug, Default)]
struct Replies {
    /// For each command under way, in order: whether its reply is to be dropped.
    awaited: VecDeque<bool>,
    /// Nothing is known any more of what follows.
    opaque: bool,
}

impl Proxy {
    /// Starts a proxy in front of `server`, which may be restarted behind it.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if no port is free.
    pub fn start(server: &Server) -> Result<Self, Failure> {
        let shared = Arc::new(Shared { upstream: server.port(), state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        let listener = Listener::open(move |client| accepting.connect(client))?;
        let url = server.url().replace(&server.address(), &format!("127.0.0.1:{}", listener.port()));
        Ok(Self { listener, shared, url })
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The server's URL, by way of the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Drops the reply of the next command whose bytes contain `needle` (`EVALSHA`, a key), after the server has run it, and
    /// cuts the connection. Each call is good for one reply; an empty needle means any command.
    pub fn drop_reply_of(&self, needle: impl AsRef<[u8]>) {
        self.shared.state.lock().doomed.push(needle.as_ref().to_owned());
    }

    /// How many replies were dropped so far.
    pub fn dropped(&self) -> usize {
        self.shared.state.lock().dropped
    }

    /// Waits until that many replies were dropped: their commands were run.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] after 20 s.
    pub fn wait_until_dropped(&self, count: usize) -> Result<(), Failure> {
        self.wait_until(&format!("{count} dropped replies"), |state| state.dropped >= count)
    }

    /// Keeps back what the server answers, on all connections, until [`Proxy::release`]. Commands still reach the server.
    pub fn hold_replies(&self) {
        self.shared.state.lock().holds = true;
    }

    /// Waits until at least one reply is held: its command was run.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] after 20 s.
    pub fn wait_until_held(&self) -> Result<(), Failure> {
        self.wait_until("a held reply", |state| state.held > 0)
    }

    /// Passes on what was held.
    pub fn release(&self) {
        self.shared.state.lock().holds = false;
        self.shared.changed.notify_all();
    }

    /// Cuts all connections; new ones are taken. Returns how many there were.
    pub fn cut(&self) -> usize {
        let mut state = self.shared.state.lock();
        let links = std::mem::take(&mut state.links);
        drop(state);
        links.values().for_each(|link| link.cut());
        self.shared.changed.notify_all();
        links.len()
    }

    /// Cuts all connections and refuses new ones, until [`Proxy::accept`].
    pub fn refuse(&self) {
        self.shared.state.lock().refuses = true;
        self.listener.close();
        self.cut();
    }

    /// Takes connections again, on the same port.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if the port cannot be opened.
    pub fn accept(&self) -> Result<(), Failure> {
        self.shared.state.lock().refuses = false;
        self.listener.reopen()
    }

    fn wait_until(&self, what: &str, condition: impl Fn(&State) -> bool) -> Result<(), Failure> {
        let end = Instant::now() + EVENT_LIMIT;
        let mut state = self.shared.state.lock();
        while !condition(&state) {
            if self.shared.changed.wait_until(&mut state, end).timed_out() {
                let seen = format!("{} dropped, {} held, {} connections", state.dropped, state.held, state.links.len());
                return Err(Failure::Late { what: what.to_owned(), limit: EVENT_LIMIT, seen });
            }
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Shared {
    /// Serves one client until either side is gone.
    fn connect(self: &Arc<Self>, client: TcpStream) {
        // Without its server the client finds a closed connection.
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.upstream)) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let link = Arc::new(Link { client, server, replies: Mutex::default() });
        let number = {
            let mut state = self.state.lock();
            if state.refuses {
                return;
            }
            state.links_ever += 1;
            let number = state.links_ever;
            state.links.insert(number, Arc::clone(&link));
            number
        };
        let (shared, answering) = (Arc::clone(self), Arc::clone(&link));
        let answers = thread::spawn(move || {
            shared.pass_replies(number, &answering);
            answering.cut();
        });
        self.pass_requests(&link);
        link.cut();
        self.state.lock().links.remove(&number);
        self.changed.notify_all();
        let _ = answers.join();
    }

    fn pass_requests(&self, link: &Link) {
        let mut unread = Vec::new();
        while receive(&link.client, &mut unread) {
            let mut passed = 0;
            let mut replies = link.replies.lock();
            while !replies.opaque && passed < unread.len() {
                let rest = unread.get(passed..).unwrap_or_default();
                match first_message(rest) {
                    Ok(Some(length)) => {
                        self.expect_reply(rest.get(..length).unwrap_or_default(), &mut replies);
                        passed += length;
                    }
                    Ok(None) => break,
                    Err(_) => replies.opaque = true,
                }
            }
            if replies.opaque {
                passed = unread.len();
            }
            drop(replies);
            let ready: Vec<u8> = unread.drain(..passed).collect();
            if (&link.server).write_all(&ready).is_err() {
                return;
            }
        }
    }

    fn expect_reply(&self, request: &[u8], replies: &mut Replies) {
        let name = command_name(request);
        match name.as_str() {
            "PSYNC" | "SYNC" | "MONITOR" => replies.opaque = true,
            // Answered by messages that belong to no command.
            name if name.ends_with("SUBSCRIBE") => {}
            _ => {
                let mut state = self.state.lock();
                let found = state.doomed.iter().position(|needle| contains(request, needle));
                replies.awaited.push_back(found.map(|place| state.doomed.remove(place)).is_some());
            }
        }
    }

    fn pass_replies(&self, number: u64, link: &Link) {
        let mut unread = Vec::new();
        while receive(&link.server, &mut unread) {
            let mut passed = 0;
            let mut dooms = false;
            let mut replies = link.replies.lock();
            while !replies.opaque && !dooms && passed < unread.len() {
                let rest = unread.get(passed..).unwrap_or_default();
                match first_message(rest) {
                    Ok(Some(length)) => {
                        dooms = rest.first() != Some(&b'>') && replies.awaited.pop_front().unwrap_or(false);
                        passed += if dooms { 0 } else { length };
                    }
                    Ok(None) => break,
                    Err(_) => replies.opaque = true,
                }
            }
            if replies.opaque {
                passed = unread.len();
            }
            drop(replies);
            let ready: Vec<u8> = unread.drain(..passed).collect();
            if !ready.is_empty() {
                self.wait_for_release(number);
            }
            let lost = (&link.client).write_all(&ready).is_err();
            if dooms {
                // Cut first: whoever waits for the event then finds the connection gone.
                link.cut();
                self.state.lock().dropped += 1;
                self.changed.notify_all();
            }
            if lost || dooms {
                return;
            }
        }
    }

    /// Waits as long as replies are held and the connection is not cut.
    fn wait_for_release(&self, number: u64) {
        let mut state = self.state.lock();
        let waits = |state: &MutexGuard<'_, State>| state.holds && state.links.contains_key(&number);
        if waits(&state) {
            state.held += 1;
            self.changed.notify_all();
            while waits(&state) {
                self.changed.wait(&mut state);
            }
            state.held -= 1;
        }
    }
}

impl Link {
    fn cut(&self) {
        // Fails when the other side has hung up already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// Appends what has come in; false when nothing will come any more.
fn receive(mut stream: &TcpStream, unread: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 * 1024];
    let length = stream.read(&mut buffer).unwrap_or(0);
    unread.extend_from_slice(buffer.get(..length).unwrap_or_default());
    length > 0
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || text.windows(needle.len()).any(|window| window == needle)
}
