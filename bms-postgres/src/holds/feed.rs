//! What this process knows of the changes of the shows that are followed in it.
//!
//! Nobody tells a process of another's changes: a pooler in transaction mode passes no notices on. So the log of a show is
//! asked, four times a second while anybody waits, by one of those who wait and for all of them. What is changed through this
//! handle is known at once, and the log is asked then.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bms_domain::id::ShowId;
use bms_domain::store::{Changes, OccupancyChange};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often the log is asked for those who wait: what others change, and what expires, is seen after so long.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How soon it is asked again when it is known to have changed: a rush of changes is taken in together.
const ASK_SOON_AFTER: Duration = Duration::from_millis(20);

/// How many changes a feed keeps for those who are behind.
const KEPT: usize = 1_024;

/// How long a feed is kept after anybody last asked.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The feeds of a process.
#[derive(Default)]
pub(super) struct Feeds {
    shows: Mutex<HashMap<ShowId, Arc<Feed>>>,
}

/// What is known here of one show.
pub(super) struct Feed {
    state: Mutex<State>,
    /// Rings when there may be something new.
    pub(super) bell: Notify,
}

struct State {
    /// All changes after `start`, up to `end`; nothing is known while `end` is `None`.
    log: VecDeque<OccupancyChange>,
    start: u64,
    end: Option<u64>,
    /// When the log was asked last.
    asked: Option<Instant>,
    /// Whether it is known to have changed since.
    is_behind: bool,
    used: Instant,
}

/// What the log of a show says of the time after a version.
pub(super) struct Log {
    pub(super) version: u64,
    pub(super) changes: Vec<OccupancyChange>,
}

/// What to do for one who wants the changes after a version.
pub(super) enum Step {
    /// Give him these.
    Give(Changes),
    /// Ask the log.
    Ask,
    /// Wait for the bell, but not for longer than this.
    Wait(Instant),
}

impl Feeds {
    /// The feed of a show, which is kept from now on.
    pub(super) fn follow(&self, show: &ShowId) -> Arc<Feed> {
        let mut shows = self.shows.lock();
        if let Some(feed) = shows.get(show) {
            feed.state.lock().used = Instant::now();
            return feed.clone();
        }
        shows.retain(|_, feed| Arc::strong_count(feed) > 1 || feed.state.lock().used.elapsed() < KEPT_FOR);
        let feed = Arc::new(Feed::new());
        shows.insert(*show, feed.clone());
        feed
    }

    /// A show has come to this version: whoever follows it here is told.
    pub(super) fn heard(&self, show: &ShowId, version: u64) {
        let feed = self.shows.lock().get(show).cloned();
        if let Some(feed) = feed {
            feed.hear(version);
        }
    }
}

impl Feed {
    fn new() -> Self {
        let state = State { log: VecDeque::new(), start: 0, end: None, asked: None, is_behind: false, used: Instant::now() };
        Self { state: Mutex::new(state), bell: Notify::new() }
    }

    /// What to do for one who wants the changes after a version. Of many who wait, one is sent to ask.
    pub(super) fn step(&self, after: u64) -> Step {
        let mut state = self.state.lock();
        match state.end {
            Some(end) if (state.start..end).contains(&after) => {
                let newer = state.log.iter().filter(|change| change.version > after);
                Step::Give(Changes::Since(newer.cloned().collect()))
            }
            Some(end) if end == after => {
                let (now, pause) = (Instant::now(), if state.is_behind { ASK_SOON_AFTER } else { ASK_AGAIN_AFTER });
                match state.asked.map(|asked| asked + pause).filter(|next| *next > now) {
                    Some(next) => Step::Wait(next),
                    None => {
                        (state.asked, state.is_behind) = (Some(now), false);
                        Step::Ask
                    }
                }
            }
            _ => Step::Ask,
        }
    }

    /// Takes in what the log says of the time after a version.
    pub(super) fn learn(&self, after: u64, log: &Log) {
        let Log { version, changes } = log;
        let mut state = self.state.lock();
        match state.end {
            // Another asked later, and was quicker.
            Some(end) if (state.start..=end).contains(&after) && end >= *version => {}
            Some(end) if (state.start..=end).contains(&after) => {
                state.log.extend(changes.iter().filter(|change| change.version > end).cloned());
                state.end = Some(*version);
            }
            _ => {
                state.log = changes.iter().cloned().collect();
                (state.start, state.end) = (after, Some(*version));
            }
        }
        state.asked = Some(Instant::now());
        state.trim();
        drop(state);
        if !changes.is_empty() {
            self.bell.notify_waiters();
        }
    }

    fn hear(&self, version: u64) {
        let mut state = self.state.lock();
        if state.end.is_none_or(|end| end >= version) {
            return;
        }
        state.is_behind = true;
        drop(state);
        self.bell.notify_waiters();
    }

    /// The log does not know what came after a version: if that is where this feed stands, the show was forgotten.
    pub(super) fn lose(&self, after: u64) {
        let mut state = self.state.lock();
        if state.end == Some(after) {
            state.log.clear();
            (state.end, state.asked) = (None, None);
            drop(state);
            self.bell.notify_waiters();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn log(version: u64, changes: std::ops::Range<u64>) -> Log {
        let changes = changes.map(|version| OccupancyChange { version, ..OccupancyChange::default() }).collect();
        Log { version, changes }
    }

    fn given(feed: &Feed, after: u64) -> Vec<u64> {
        match feed.step(after) {
            Step::Give(Changes::Since(changes)) => changes.iter().map(|change| change.version).collect(),
            Step::Give(Changes::Gap) | Step::Ask | Step::Wait(_) => Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_many_asks_and_the_others_wait() {
        let feed = Feed::new();
        assert!(matches!(feed.step(10), Step::Ask));
        feed.learn(10, &log(10, 0..0));
        assert!(matches!(feed.step(10), Step::Wait(_)), "it was asked just now");
        tokio::time::advance(ASK_AGAIN_AFTER).await;
        assert!(matches!(feed.step(10), Step::Ask));
        assert!(matches!(feed.step(10), Step::Wait(_)));
        feed.learn(10, &log(12, 11..13));
        assert_eq!((given(&feed, 10), given(&feed, 11)), (vec![11, 12], vec![12]));
        assert!(matches!(feed.step(9), Step::Ask), "what was before the beginning is in the log alone");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_heard_is_asked_for_soon_and_once() {
        let feed = Feed::new();
        feed.learn(10, &log(10, 0..0));
        feed.hear(10);
        let Step::Wait(next) = feed.step(10) else { panic!("nothing new was heard") };
        assert_eq!(next - Instant::now(), ASK_AGAIN_AFTER);
        feed.hear(11);
        let Step::Wait(next) = feed.step(10) else { panic!("it was asked just now") };
        assert_eq!(next - Instant::now(), ASK_SOON_AFTER);
        tokio::time::advance(ASK_SOON_AFTER).await;
        assert!(matches!(feed.step(10), Step::Ask));
        assert!(matches!(feed.step(10), Step::Wait(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_lost_is_not_built_on() {
        let feed = Feed::new();
        feed.learn(10, &log(12, 11..13));
        feed.lose(11);
        assert_eq!(given(&feed, 10), [11, 12]);
        feed.lose(12);
        assert!(matches!(feed.step(12), Step::Ask));
        assert!(given(&feed, 10).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_that_nobody_asks_for_is_forgotten() {
        let feeds = Feeds::default();
        let [first, second, third] = ["one", "two", "three"].map(|show| ShowId::parse(show).unwrap());
        let kept = feeds.follow(&first);
        drop(feeds.follow(&second));
        tokio::time::advance(KEPT_FOR).await;
        drop(feeds.follow(&third));
        assert!(Arc::ptr_eq(&kept, &feeds.follow(&first)));
        assert!(!feeds.shows.lock().contains_key(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_too_far_behind_asks_the_log() {
        let feed = Feed::new();
        feed.learn(0, &log(2_000, 1..2_001));
        assert!(matches!(feed.step(900), Step::Ask));
        assert_eq!(given(&feed, 976).len(), KEPT);
    }
}
