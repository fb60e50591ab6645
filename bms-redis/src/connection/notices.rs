//! Messages from other processes, over sharded channels.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value, cmd};
use tokio::sync::{OnceCell, broadcast};
use tokio::time::Instant;

use super::link::{Link, Order};
use super::node::{Event, Failure, Listener};
use crate::config::RedisConfig;
use crate::error::Error;

/// A listener that is further behind than this has missed something.
const BACKLOG: usize = 4096;

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Somebody has published this on a channel that is subscribed.
    Message {
        /// Which.
        channel: Arc<[u8]>,
        /// What.
        payload: Arc<[u8]>,
    },
    /// Messages may have been missed, and no channel may be subscribed any more: subscribe to all of them again. It comes
    /// when a connection is lost, once more when there is a new one, when slots have moved, and to a listener that was
    /// too slow. Whoever fails to subscribe after the first of them will succeed after the last.
    Lost,
}

/// The notices from now on.
pub(crate) struct Notices(broadcast::Receiver<Notice>);

impl Notices {
    /// Waits for the next one. `None` when there is no connection to Redis any more because its last handle was dropped.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(notice) => Some(notice),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Notice::Lost),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Subscriptions, on connections of their own.
///
/// A server ends a subscription unasked when its slot moves. That looks like the answer to a command, and redis-rs gives it
/// to whatever command waits; then every later answer goes to the wrong call. On a connection that only subscribes, it
/// is noticed and does no harm.
pub(crate) struct Subscriptions {
    config: RedisConfig,
    link: OnceCell<Link>,
    wanted: Arc<Mutex<HashSet<Vec<u8>>>>,
    notices: broadcast::Sender<Notice>,
}

impl Subscriptions {
    pub(crate) fn new(config: RedisConfig) -> Self {
        let (notices, _) = broadcast::channel(BACKLOG);
        Self { config, link: OnceCell::new(), wanted: Arc::default(), notices }
    }

    pub(crate) fn notices(&self) -> Notices {
        Notices(self.notices.subscribe())
    }

    pub(crate) async fn subscribe(&self, channel: &[u8], deadline: Instant) -> Result<(), Failure> {
        self.wanted.lock().insert(channel.to_vec());
        let start = async || Link::start(&self.config, self.listener(), Error::not_connected(self.config.server()));
        let link = self.link.get_or_try_init(start).await.map_err(Failure::Refused)?;
        link.ready(channel, deadline).await;
        link.run(Order::Subscribe(cmd("SSUBSCRIBE").arg(channel), channel), deadline).await.map(|_| ())
    }

    pub(crate) async fn unsubscribe(&self, channel: &[u8], deadline: Instant) {
        self.wanted.lock().remove(channel);
        if let Some(link) = self.link.get() {
            // What cannot be unsubscribed is gone with its connection.
            let _ = link.run(Order::Plain(cmd("SUNSUBSCRIBE").arg(channel), channel), deadline).await;
        }
    }

    /// Passes on what arrives.
    fn listener(&self) -> Listener {
        let (wanted, notices) = (Arc::clone(&self.wanted), self.notices.clone());
        Listener::new(move |event| {
            let notice = match event {
                Event::Lost => Some(Notice::Lost),
                Event::Pushed(push) => read(push, |channel| wanted.lock().contains(channel)),
            };
            if let Some(notice) = notice {
                // Nobody listens: then nobody needs it.
                let _ = notices.send(notice);
            }
        })
    }
}

/// What a push means to listeners, if anything.
fn read(push: PushInfo, is_wanted: impl Fn(&[u8]) -> bool) -> Option<Notice> {
    let mut data = push.data.into_iter().map(|value| match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    });
    let channel = data.next()??;
    match push.kind {
        PushKind::SMessage => Some(Notice::Message { channel: channel.into(), payload: data.next()??.into() }),
        // Nobody has asked for it: the slot has moved.
        PushKind::SUnsubscribe if is_wanted(&channel) => Some(Notice::Lost),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(kind: PushKind, data: &[&str]) -> PushInfo {
        PushInfo { kind, data: data.iter().map(|part| Value::BulkString(part.as_bytes().to_vec())).collect() }
    }

    #[test]
    fn only_messages_and_unasked_ends_are_passed_on() {
        let message = Notice::Message { channel: b"c".as_slice().into(), payload: b"p".as_slice().into() };
        assert_eq!(read(push(PushKind::SMessage, &["c", "p"]), |_| true), Some(message));
        assert_eq!(read(push(PushKind::SSubscribe, &["c", "1"]), |_| true), None);
        assert_eq!(read(push(PushKind::SUnsubscribe, &["c", "0"]), |channel| channel == b"c"), Some(Notice::Lost));
        assert_eq!(read(push(PushKind::SUnsubscribe, &["c", "0"]), |_| false), None);
        assert_eq!(read(push(PushKind::SMessage, &["c"]), |_| true), None);
    }
}
