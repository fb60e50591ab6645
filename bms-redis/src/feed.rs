//! What this process is told of the shows that are watched in it.
//!
//! Every change of a show is kept in its log, and told on its channel. A feed follows both: notices come at once and may be
//! lost; the log is asked when a notice shows that one is missing, and once a second while anybody waits. So nothing is
//! missed for longer than that, whatever becomes of the channel.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bms_domain::id::ShowId;
use bms_domain::seat::SeatSet;
use bms_domain::store::{Changes, OccupancyChange};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::codec::{self, Unreadable};
use crate::connection::{Notice, Redis};
use crate::keys::Keys;
use crate::reply::Reply;

/// How often the log is asked for those who wait: also what expires while nobody asks is seen after so long.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often a channel that could not be subscribed is tried again.
const SUBSCRIBE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How long a show is watched after anybody last asked.
const WATCHED_FOR: Duration = Duration::from_secs(60);

/// How many changes a feed keeps for those who are behind: as many as the log.
pub(crate) const KEPT: usize = 1_024;

/// The feeds of a process. The task behind them begins with the first and ends with the store.
pub(crate) struct Feeds {
    redis: Redis,
    keys: Keys,
    shows: Arc<Shows>,
    worker: OnceLock<mpsc::UnboundedSender<Vec<u8>>>,
}

/// Feeds by channel.
type Shows = Mutex<HashMap<Vec<u8>, Arc<Feed>>>;

/// What is known here of one show.
pub(crate) struct Feed {
    state: Mutex<State>,
    /// Rings when there may be something new.
    pub(crate) bell: Notify,
}

struct State {
    /// All changes after `start`, up to `end`; nothing is known while `end` is `None`.
    log: VecDeque<OccupancyChange>,
    start: u64,
    end: Option<u64>,
    /// Since when the channel is subscribed, as far as is known.
    listens: Option<Instant>,
    /// The newest version that was told or learned of since then: what was learned before may be out of date.
    newest: Option<u64>,
    /// The newest change that was taken in, as Redis told it; empty before the first. It outlives what is forgotten: a
    /// failover may have lost it.
    told: Vec<u8>,
    asked: Option<Instant>,
    /// When the last notice was taken in.
    heard: Option<Instant>,
    used: Instant,
}

/// What the log of a show says of the time after a version.
pub(crate) struct Log {
    version: u64,
    pub(crate) changes: Vec<OccupancyChange>,
    /// The last of the changes, as it was told.
    last: Vec<u8>,
}

/// What to do for one who wants the changes after a version.
pub(crate) enum Step {
    /// Give him these.
    Give(Changes),
    /// Ask the log.
    Ask,
    /// Wait for the bell, but not for longer than this.
    Wait(Instant),
}

impl Feeds {
    pub(crate) fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys, shows: Arc::default(), worker: OnceLock::new() }
    }

    /// The feed of a show, which is watched from now on. `None` outside of a tokio runtime.
    pub(crate) fn watch(&self, show: &ShowId) -> Option<Arc<Feed>> {
        let worker = self.worker()?;
        let channel = self.keys.log(show);
        let mut shows = self.shows.lock();
        if let Some(feed) = shows.get(&channel) {
            feed.state.lock().used = Instant::now();
            return Some(feed.clone());
        }
        let feed = Arc::new(Feed::new());
        shows.insert(channel.clone(), feed.clone());
        let _ = worker.send(channel);
        Some(feed)
    }

    fn worker(&self) -> Option<&mpsc::UnboundedSender<Vec<u8>>> {
        let runtime = Handle::try_current().ok()?;
        Some(self.worker.get_or_init(|| {
            let (worker, wishes) = mpsc::unbounded_channel();
            runtime.spawn(work(self.redis.clone(), self.shows.clone(), wishes));
            worker
        }))
    }
}

/// Subscribes, listens, and stops watching what nobody asks for.
async fn work(redis: Redis, shows: Arc<Shows>, mut wishes: mpsc::UnboundedReceiver<Vec<u8>>) {
    let mut notices = redis.notices();
    let mut cleaning = tokio::time::interval(WATCHED_FOR);
    let mut trying = tokio::time::interval(SUBSCRIBE_AGAIN_AFTER);
    loop {
        tokio::select! {
            wish = wishes.recv() => match wish {
                Some(channel) => subscribe(&redis, &shows, channel).await,
                None => return,
            },
            notice = notices.next() => match notice {
                Some(Notice::Message { channel, payload }) => {
                    let feed = shows.lock().get(&*channel).cloned();
                    if let (Some(feed), Ok(change)) = (feed, read_change(&payload)) {
                        feed.tell(change, &payload);
                    }
                }
                Some(Notice::Lost) => {
                    let channels: Vec<Vec<u8>> = {
                        let shows = shows.lock();
                        shows.values().for_each(|feed| feed.miss());
                        shows.keys().cloned().collect()
                    };
                    join_all(channels.into_iter().map(|channel| subscribe(&redis, &shows, channel))).await;
                }
                None => return,
            },
            _ = trying.tick() => {
                let deaf: Vec<Vec<u8>> =
                    shows.lock().iter().filter(|(_, feed)| !feed.listens()).map(|(channel, _)| channel.clone()).collect();
                join_all(deaf.into_iter().map(|channel| subscribe(&redis, &shows, channel))).await;
            }
            _ = cleaning.tick() => {
                let idle: Vec<Vec<u8>> = shows.lock().extract_if(|_, feed| feed.is_idle()).map(|(channel, _)| channel).collect();
                join_all(idle.iter().map(|channel| redis.unsubscribe(channel))).await;
            }
        }
    }
}

/// Without its channel a show's log alone is asked, once a second.
async fn subscribe(redis: &Redis, shows: &Shows, channel: Vec<u8>) {
    match redis.subscribe(&channel).await {
        Ok(()) => {
            if let Some(feed) = shows.lock().get(&channel) {
                feed.listen();
            }
        }
        Err(error) => tracing::debug!(%error, "changes of a show are not told"),
    }
}

impl Feed {
    fn new() -> Self {
        let state = State {
            log: VecDeque::new(),
            start: 0,
            end: None,
            listens: None,
            newest: None,
            told: Vec::new(),
            asked: None,
            heard: None,
            used: Instant::now(),
        };
        Self { state: Mutex::new(state), bell: Notify::new() }
    }

    /// The newest version that is known of, while the channel is subscribed.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.state.lock().newest
    }

    /// The newest change that was taken in, as Redis told it.
    pub(crate) fn told(&self) -> Vec<u8> {
        self.state.lock().told.clone()
    }

    /// What to do for one who wants the changes after a version. Of many who wait, one is sent to ask.
    pub(crate) fn step(&self, after: u64) -> Step {
        let mut state = self.state.lock();
        let now = Instant::now();
        match state.end {
            Some(end) if (state.start..end).contains(&after) => {
                let newer = state.log.iter().filter(|change| change.version > after);
                Step::Give(Changes::Since(newer.cloned().collect()))
            }
            Some(end) if end == after => match state.asked.map(|asked| asked + ASK_AGAIN_AFTER).filter(|next| *next > now) {
                Some(next) => Step::Wait(next),
                None => {
                    state.asked = Some(now);
                    Step::Ask
                }
            },
            _ => Step::Ask,
        }
    }

    fn listens(&self) -> bool {
        self.state.lock().listens.is_some()
    }

    /// The channel is subscribed: from now on every change is told.
    fn listen(&self) {
        let mut state = self.state.lock();
        (state.listens, state.newest, state.asked) = (Some(Instant::now()), None, None);
        drop(state);
        self.bell.notify_waiters();
    }

    /// Takes in what the log, asked at an instant, says of the time after a version.
    pub(crate) fn learn(&self, after: u64, log: &Log, asked: Instant) {
        let Log { version, changes, last } = log;
        let version = *version;
        let mut state = self.state.lock();
        match state.end {
            // Notices were quicker.
            Some(end) if (state.start..=end).contains(&after) && end >= version => {}
            Some(end) if (state.start..=end).contains(&after) => {
                let newer = changes.iter().filter(|change| change.version > end);
                state.log.extend(newer.cloned());
                state.end = Some(version);
                state.told.clone_from(last);
            }
            // An answer from before the last notice would take back what that has told; it is good for who asked alone.
            Some(end) if end > version && state.heard.is_some_and(|heard| heard >= asked) => {}
            _ => {
                state.log = changes.iter().cloned().collect();
                (state.start, state.end) = (after, Some(version));
                if !last.is_empty() {
                    state.told.clone_from(last);
                }
            }
        }
        if state.listens.is_some_and(|since| since <= asked) {
            state.newest = state.newest.max(Some(version));
        }
        state.asked = Some(Instant::now());
        state.trim();
        drop(state);
        if !changes.is_empty() {
            self.bell.notify_waiters();
        }
    }

    /// Takes in a notice.
    fn tell(&self, change: OccupancyChange, payload: &[u8]) {
        let mut state = self.state.lock();
        if state.listens.is_some() {
            state.newest = state.newest.max(Some(change.version));
        }
        match state.end {
            Some(end) if change.version == end.saturating_add(1) => {
                state.end = Some(change.version);
                state.log.push_back(change);
                state.heard = Some(Instant::now());
                payload.clone_into(&mut state.told);
                state.trim();
            }
            // One was missed: ask.
            Some(end) if change.version > end => state.asked = None,
            Some(_) | None => return,
        }
        drop(state);
        self.bell.notify_waiters();
    }

    /// The log does not know what came after a version: if that is where this feed stands, Redis has lost the show.
    pub(crate) fn lose(&self, after: u64) {
        if self.state.lock().end == Some(after) {
            self.forget();
        }
    }

    /// Nothing of what was told can be built on any more.
    fn forget(&self) {
        let mut state = self.state.lock();
        state.log.clear();
        (state.end, state.newest, state.asked) = (None, None, None);
        drop(state);
        self.bell.notify_waiters();
    }

    /// The channel is not subscribed any more, and something may have been told meanwhile.
    fn miss(&self) {
        self.state.lock().listens = None;
        self.forget();
    }

    fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.state.lock().used.elapsed() > WATCHED_FOR
    }
}

impl State {
    fn trim(&mut self) {
        while self.log.len() > KEPT {
            if let Some(oldest) = self.log.pop_front() {
                self.start = oldest.version;
            }
        }
    }
}

/// One change, of which a script says the kind.
fn change(version: u64, kind: u8, seats: SeatSet) -> Result<OccupancyChange, Unreadable> {
    let mut change = OccupancyChange { version, ..OccupancyChange::default() };
    match kind {
        b'h' => change.held = seats,
        b's' => change.sold = seats,
        b'f' => change.freed = seats,
        _ => return Err(Unreadable),
    }
    Ok(change)
}

/// Reads a change as the log has it and the channel tells it: the version as a double, the kind, the seats.
fn read_change(payload: &[u8]) -> Result<OccupancyChange, Unreadable> {
    let ([version @ .., kind], seats) = payload.split_first_chunk::<9>().ok_or(Unreadable)?;
    let version = f64::from_be_bytes(*version.first_chunk().ok_or(Unreadable)?);
    // Versions are whole and below 2^53: microseconds since 1970.
    if !(0.0..9_007_199_254_740_992.0).contains(&version) {
        return Err(Unreadable);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    change(version as u64, *kind, codec::unpack_seats(seats)?)
}

impl Log {
    /// Reads the present version and the entries that lead to it.
    pub(crate) fn read(version: u64, mut entries: Reply) -> Result<Self, Unreadable> {
        let mut log = Self { version, changes: Vec::with_capacity(entries.left()), last: Vec::new() };
        while entries.left() > 0 {
            log.last = entries.bytes()?;
            log.changes.push(read_change(&log.last)?);
        }
        Ok(log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freed(version: u64) -> OccupancyChange {
        change(version, b'f', [1].into_iter().collect()).unwrap()
    }

    /// A change and how it is told.
    fn tell(feed: &Feed, version: u64) {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let payload = [&(version as f64).to_be_bytes()[..], b"f\x00\x00\x01"].concat();
        feed.tell(read_change(&payload).unwrap(), &payload);
    }

    fn log(version: u64, changes: &[u64]) -> Log {
        let last = changes.last().map(|version| vec![u8::try_from(*version).unwrap()]).unwrap_or_default();
        Log { version, changes: changes.iter().map(|version| freed(*version)).collect(), last }
    }

    fn given(feed: &Feed, after: u64) -> Vec<u64> {
        match feed.step(after) {
            Step::Give(Changes::Since(changes)) => changes.iter().map(|change| change.version).collect(),
            Step::Give(Changes::Gap) | Step::Ask | Step::Wait(_) => Vec::new(),
        }
    }

    #[tokio::test]
    async fn one_of_many_asks_and_the_others_wait() {
        let feed = Feed::new();
        feed.learn(10, &log(10, &[]), Instant::now());
        assert!(matches!(feed.step(10), Step::Wait(_)), "it was asked just now");
        feed.state.lock().asked = None;
        assert!(matches!(feed.step(10), Step::Ask));
        assert!(matches!(feed.step(10), Step::Wait(_)));
    }

    #[tokio::test]
    async fn notices_go_on_where_the_log_ended() {
        let feed = Feed::new();
        feed.listen();
        tell(&feed, 12);
        assert_eq!((given(&feed, 10).len(), feed.newest()), (0, Some(12)), "what came before is not known");
        feed.learn(10, &log(12, &[11, 12]), Instant::now());
        tell(&feed, 12);
        tell(&feed, 13);
        assert_eq!((given(&feed, 10), given(&feed, 12)), (vec![11, 12, 13], vec![13]));
        assert!(matches!(feed.step(9), Step::Ask), "what was before the beginning is in the log alone");
    }

    #[tokio::test]
    async fn a_missing_notice_is_noticed_by_the_next() {
        let feed = Feed::new();
        feed.learn(10, &log(10, &[]), Instant::now());
        tell(&feed, 12);
        assert!(matches!(feed.step(10), Step::Ask));
        feed.learn(10, &log(12, &[11, 12]), Instant::now());
        assert_eq!(given(&feed, 10), [11, 12]);
    }

    /// Somebody who was far behind has asked, and notices came before his answer.
    #[tokio::test]
    async fn an_old_answer_takes_back_nothing_that_was_told_since() {
        let feed = Feed::new();
        feed.learn(10, &log(12, &[11, 12]), Instant::now());
        let asked = Instant::now();
        tell(&feed, 13);
        tell(&feed, 14);
        let told = feed.told();
        feed.learn(8, &log(12, &[9, 10, 11, 12]), asked);
        assert_eq!((given(&feed, 12), feed.told()), (vec![13, 14], told));
        // What is asked for later counts: Redis may have lost what it told.
        tokio::time::sleep_until(asked + Duration::from_millis(1)).await;
        feed.learn(8, &log(12, &[9, 10, 11, 12]), Instant::now());
        assert_eq!(given(&feed, 8), [9, 10, 11, 12]);
    }

    #[tokio::test]
    async fn who_is_too_far_behind_asks_the_log() {
        let feed = Feed::new();
        feed.learn(0, &log(0, &[]), Instant::now());
        (1..=2_000).for_each(|version| tell(&feed, version));
        assert!(matches!(feed.step(900), Step::Ask));
        assert_eq!(given(&feed, 976).len(), KEPT);
        feed.forget();
        assert!(matches!(feed.step(976), Step::Ask));
    }

    /// What is learned while nobody tells of changes is out of date in the next moment.
    #[tokio::test]
    async fn the_newest_version_is_known_only_while_the_channel_is_subscribed() {
        let feed = Feed::new();
        let before = Instant::now();
        feed.learn(10, &log(12, &[11, 12]), before);
        assert_eq!(feed.newest(), None);
        tokio::time::sleep_until(before + Duration::from_millis(1)).await;
        feed.listen();
        assert!(matches!(feed.step(12), Step::Ask), "something may have been missed before");
        feed.learn(12, &log(12, &[]), before);
        assert_eq!(feed.newest(), None, "it was asked too early");
        feed.learn(12, &log(12, &[]), Instant::now());
        assert_eq!(feed.newest(), Some(12));
        tell(&feed, 13);
        assert_eq!(feed.newest(), Some(13));
        feed.miss();
        assert_eq!(feed.newest(), None);
        feed.learn(13, &log(13, &[]), Instant::now());
        tell(&feed, 14);
        assert_eq!(feed.newest(), None);
    }

    /// It may be lost with the primary that told of it, and whoever saw it has to be told.
    #[tokio::test]
    async fn the_newest_change_is_remembered_when_all_else_is_forgotten() {
        let feed = Feed::new();
        feed.learn(10, &log(12, &[11, 12]), Instant::now());
        assert_eq!(feed.told(), [12]);
        tell(&feed, 13);
        let told = feed.told();
        assert_eq!(told.len(), 12);
        feed.learn(12, &log(13, &[13]), Instant::now());
        tell(&feed, 15);
        feed.forget();
        feed.learn(20, &log(20, &[]), Instant::now());
        assert_eq!(feed.told(), told, "13 is the last of which nothing before is missing");
    }

    /// Time goes on while nobody asks; who waits goes on being told.
    #[cfg(feature = "testing")]
    #[tokio::test]
    async fn what_nobody_asks_for_any_more_is_watched_no_longer() {
        use crate::config::RedisConfig;
        use crate::testing::{Server, eventually};
        let server = Server::start().unwrap();
        let redis = Redis::connect(RedisConfig::new(&server.url()).unwrap()).await.unwrap();
        let feeds = Feeds::new(redis, Keys::new("bms"));
        let [left, awaited] = ["left", "awaited"].map(bms_domain::testing::sample::show);
        let subscribed = || server.command::<Vec<Vec<u8>>>(&["PUBSUB", "SHARDCHANNELS"]).unwrap();
        let a_minute_later = async || {
            tokio::time::pause();
            tokio::time::advance(WATCHED_FOR + Duration::from_secs(1)).await;
            tokio::time::resume();
        };

        feeds.watch(&left).unwrap();
        let waiting = feeds.watch(&awaited).unwrap();
        let listens = || async { feeds.shows.lock().values().all(|feed| feed.listens()) };
        eventually("two subscriptions", listens).await.unwrap();
        assert_eq!(subscribed().len(), 2);
        a_minute_later().await;
        eventually("one subscription", || async { subscribed() == [feeds.keys.log(&awaited)] }).await.unwrap();
        assert_eq!(feeds.shows.lock().keys().cloned().collect::<Vec<_>>(), subscribed());
        drop(waiting);
        a_minute_later().await;
        eventually("no subscription", || async { subscribed().is_empty() && feeds.shows.lock().is_empty() }).await.unwrap();
    }

    #[test]
    fn a_change_is_read_as_it_was_told() {
        let mut payload = 1_790_000_000_000_001.0_f64.to_be_bytes().to_vec();
        payload.extend(b"s\x00\x00\x07\x01\x00\x00");
        let read = read_change(&payload).unwrap();
        assert_eq!((read.version, read.sold.as_slice()), (1_790_000_000_000_001, [7, 65_536].as_slice()));
        for broken in [&payload[..8], b"", &[0xff; 12], b"\x00\x00\x00\x00\x00\x00\x00\x00x\x00\x00\x07"] {
            assert_eq!(read_change(broken), Err(Unreadable));
        }
    }
}
