//! A network that misbehaves on command.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{failure::Failure, listener::Listener, wait::Deadline};

/// How long an event may take to come about.
const EVENT_LIMIT: Duration = Duration::from_secs(20);

/// As much of a protocol as a [`Network`] has to know: where messages end, and which of them answer a question. One for each
/// connection.
pub trait Wire: Default + Send + 'static {
    /// The first message of the client: its length and meaning, or nothing while its end is missing.
    ///
    /// # Errors
    ///
    /// [`Foreign`] if the bytes, or what follows them, are beyond it.
    fn sent<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(usize, Sent<'a>)>, Foreign>;

    /// The same of the server. A message that is kept back, with all the rest of its answer, is shown more than once.
    ///
    /// # Errors
    ///
    /// [`Foreign`] if the bytes, or what follows them, are beyond it.
    fn answered(&mut self, bytes: &[u8]) -> Result<Option<(usize, Answered)>, Foreign>;
}

/// What follows is another protocol; it is passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

/// What a message of a client means; a text is what the server is asked to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent<'a> {
    /// It begins or goes on with a question.
    Part(Option<Cow<'a, [u8]>>),
    /// It ends a question, which is answered now.
    Whole(Option<Cow<'a, [u8]>>),
    /// It is answered, but asks nothing: the beginning of a connection.
    Greeting,
    /// It belongs to no question.
    Aside,
}

/// What a message of a server means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It begins or goes on with the answer to the oldest question.
    Part,
    /// It ends that answer.
    Whole,
    /// It belongs to no question.
    Aside,
}

/// A loopback TCP proxy in front of a server, which may be restarted behind it: it drops and holds replies, cuts and refuses
/// connections.
///
/// A connection that speaks what its [`Wire`] does not know is passed on, and can be held and cut as well. When the network is
/// dropped, its connections end.
#[derive(Debug)]
pub struct Network {
    listener: Listener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Of which questions the next reply is dropped: bytes that stand in the text.
    doomed: Vec<Vec<u8>>,
    dropped: usize,
    refuses: bool,
    holds: bool,
    /// Connections with a reply that waits to be released.
    held: usize,
    round_trips: usize,
    statements: usize,
    links: HashMap<u64, Arc<Link>>,
    links_ever: u64,
}

/// One client's connection and its counterpart.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
}

/// What is said on a connection.
#[derive(Default)]
struct Talk<W> {
    wire: W,
    /// For each question without its whole answer, in order: whether the answer is to be dropped.
    awaited: VecDeque<bool>,
    /// Whether the last of them goes on.
    unfinished: bool,
    /// Nothing is known any more of what follows.
    opaque: bool,
}

impl Network {
    /// Opens a free port in front of a server on another.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if no port is free.
    pub fn before<W: Wire>(port: u16) -> Result<Self, Failure> {
        let shared = Arc::new(Shared { upstream: port, state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        Ok(Self { listener: Listener::open(move |client| accepting.connect::<W>(client))?, shared })
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Drops the reply of the next command whose text contains `needle` (`EVALSHA`, `COMMIT`, a key), after the server has run it,
    /// and cuts the connection. Each call is good for one reply; an empty needle means any command.
    pub fn drop_reply_of(&self, needle: impl AsRef<[u8]>) {
        self.shared.state.lock().doomed.push(needle.as_ref().to_owned());
    }

    /// Drops no reply any more that was to be dropped and has not come yet.
    pub fn drop_no_more(&self) {
        self.shared.state.lock().doomed.clear();
    }

    /// How many replies were dropped so far.
    pub fn dropped(&self) -> usize {
        self.shared.state.lock().dropped
    }

    /// How many questions went to the server so far; those that were sent together count as one where the protocol answers
    /// them as one.
    pub fn round_trips(&self) -> usize {
        self.shared.state.lock().round_trips
    }

    /// How many commands the server was asked to run so far.
    pub fn statements(&self) -> usize {
        self.shared.state.lock().statements
    }

    /// Waits until that many replies were dropped: their commands were run.
    ///
    /// # Errors
    ///
    /// [`Failure::Late`] after 20 s.
    pub fn wait_until_dropped(&self, count: usize) -> Result<(), Failure> {
        self.wait_until(&format!("{count} dropped replies"), |state| state.dropped >= count)
    }

    /// Keeps back what the server answers, on all connections, until [`Network::release`]. Commands still reach the server; what a client
    /// sends only after an answer, as after that to the preparing of a statement, does not.
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

    /// Cuts all connections and refuses new ones, until [`Network::accept`].
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
        let end = Deadline::after(EVENT_LIMIT).instant();
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

impl Drop for Network {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Shared {
    /// Serves one client until either side is gone.
    fn connect<W: Wire>(self: &Arc<Self>, client: TcpStream) {
        // Without its server the client finds a closed connection.
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.upstream)) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let link = Arc::new(Link { client, server });
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
        let talk = Arc::new(Mutex::new(Talk::<W>::default()));
        let (shared, answering, heard) = (Arc::clone(self), Arc::clone(&link), Arc::clone(&talk));
        let answers = thread::spawn(move || {
            shared.pass_replies(number, &answering, &heard);
            answering.cut();
        });
        self.pass_requests(&link, &talk);
        link.cut();
        self.state.lock().links.remove(&number);
        self.changed.notify_all();
        let _ = answers.join();
    }

    fn pass_requests<W: Wire>(&self, link: &Link, talk: &Mutex<Talk<W>>) {
        let mut unread = Vec::new();
        while receive(&link.client, &mut unread) {
            let mut passed = 0;
            let mut talk = talk.lock();
            while !talk.opaque && passed < unread.len() {
                match talk.wire.sent(unread.get(passed..).unwrap_or_default()) {
                    Ok(Some((length, message))) => {
                        self.note(message, &mut talk);
                        passed += length;
                    }
                    Ok(None) => break,
                    Err(Foreign) => talk.opaque = true,
                }
            }
            if talk.opaque {
                passed = unread.len();
            }
            drop(talk);
            let ready: Vec<u8> = unread.drain(..passed).collect();
            if (&link.server).write_all(&ready).is_err() {
                return;
            }
        }
    }

    /// Remembers what is to be answered.
    fn note<W>(&self, message: Sent<'_>, talk: &mut Talk<W>) {
        let (text, whole) = match message {
            Sent::Part(text) => (text, false),
            Sent::Whole(text) => (text, true),
            Sent::Greeting => return talk.awaited.push_back(false),
            Sent::Aside => return,
        };
        if !talk.unfinished {
            talk.awaited.push_back(false);
        }
        talk.unfinished = !whole;
        let mut state = self.state.lock();
        state.round_trips += usize::from(whole);
        if let Some(text) = text {
            state.statements += 1;
            if let Some(place) = state.doomed.iter().position(|needle| contains(&text, needle)) {
                state.doomed.remove(place);
                if let Some(is_doomed) = talk.awaited.back_mut() {
                    *is_doomed = true;
                }
            }
        }
    }

    fn pass_replies<W: Wire>(&self, number: u64, link: &Link, talk: &Mutex<Talk<W>>) {
        let mut unread = Vec::new();
        while receive(&link.server, &mut unread) {
            let mut seen = 0;
            // Nothing of an answer that is to be dropped is passed on, not its beginning either.
            let mut passed = 0;
            let mut dooms = false;
            let mut talk = talk.lock();
            while !talk.opaque && !dooms && seen < unread.len() {
                match talk.wire.answered(unread.get(seen..).unwrap_or_default()) {
                    Ok(Some((length, message))) => {
                        let is_doomed = talk.awaited.front() == Some(&true);
                        if message == Answered::Whole {
                            talk.awaited.pop_front();
                            dooms = is_doomed;
                        }
                        // What belongs to no question is no part of the answer that it comes before.
                        let is_before = message == Answered::Aside && passed == seen;
                        seen += length;
                        if !is_doomed || is_before {
                            passed = seen;
                        }
                    }
                    Ok(None) => break,
                    Err(Foreign) => talk.opaque = true,
                }
            }
            if talk.opaque {
                passed = unread.len();
            }
            drop(talk);
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
