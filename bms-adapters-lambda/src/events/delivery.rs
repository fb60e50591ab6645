//! How a batch of the relay is sent: in calls of ten, in order for each order.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bms_domain::event::{EventKey, OrderEvent, PublishError, by_order};
use futures::StreamExt as _;
use futures::stream;
use tokio::time::Instant;

use super::message::{MOST_BYTES, Message};
use super::refusal::{Refusal, Why};

/// How many messages a call may carry.
const MOST_MESSAGES: usize = 10;
/// How many calls are under way at once, each with other orders.
const AT_ONCE: usize = 4;
/// After so long no further call is begun.
pub(super) const LAST_START: Duration = Duration::from_secs(15);

/// What became of each message of a call, in their order.
pub(super) type Verdicts = Vec<Result<(), Refusal>>;

/// A queue or a topic.
pub(super) trait Destination: Sync {
    /// Its name in what is logged.
    fn name(&self) -> &str;

    /// Sends messages in one call: one to ten of them, 256 KiB at most, no two of one order. Fails as a whole, or says of each
    /// what became of it.
    fn send(&self, messages: Vec<Message>) -> impl Future<Output = Result<Verdicts, Refusal>> + Send;
}

/// What became of some events.
#[derive(Default)]
struct Delivered {
    published: Vec<EventKey>,
    untried: Vec<EventKey>,
    refusal: Option<Refusal>,
}

/// What all calls for a batch know of each other.
struct Progress {
    begun: Instant,
    /// A call has failed as a whole: the destination is down, and what was not tried has not failed.
    is_down: AtomicBool,
}

/// Sends events as [`EventSink::publish`](bms_domain::event::EventSink::publish) has it.
pub(super) async fn publish(to: &impl Destination, events: &[OrderEvent], with_customer: bool) -> Result<(), PublishError> {
    let progress = Progress { begun: Instant::now(), is_down: AtomicBool::new(false) };
    let orders = by_order(events);
    let lanes: Vec<_> = orders.chunks(MOST_MESSAGES).map(|orders| deliver(to, orders, with_customer, &progress)).collect();
    let mut lanes = pin!(stream::iter(lanes).buffer_unordered(AT_ONCE));
    let mut all = Delivered::default();
    while let Some(delivered) = lanes.next().await {
        all.published.extend(delivered.published);
        all.untried.extend(delivered.untried);
        all.refusal = all.refusal.or(delivered.refusal);
    }
    if all.published.len() == events.len() {
        return Ok(());
    }
    let source = all.refusal.map(|refusal| refusal.into());
    Err(PublishError { published: all.published, untried: all.untried, source })
}

/// Sends the events of some orders, ten orders at most: the next of each in one call, until all are sent. An order whose event
/// is refused is left; a call that fails leaves all orders of it, for nobody knows which of its events have arrived.
async fn deliver(to: &impl Destination, orders: &[Vec<&OrderEvent>], with_customer: bool, progress: &Progress) -> Delivered {
    let mut waiting: Vec<VecDeque<&OrderEvent>> = orders.iter().map(|events| events.iter().copied().collect()).collect();
    let mut delivered = Delivered::default();
    loop {
        let call = next_call(to, &mut waiting, with_customer, &mut delivered);
        if call.is_empty() {
            return delivered;
        }
        if progress.begun.elapsed() >= LAST_START || progress.is_down.load(Ordering::Relaxed) {
            delivered.untried.extend(waiting.iter().filter_map(|events| events.front()).map(|event| event.key));
            return delivered;
        }
        let keys: Vec<EventKey> = call.iter().map(|message| message.key).collect();
        let verdicts = to.send(call).await.unwrap_or_else(|refusal| {
            progress.is_down.store(true, Ordering::Relaxed);
            vec![Err(refusal); keys.len()]
        });
        for (key, verdict) in keys.into_iter().zip(verdicts) {
            let Some(events) = waiting.iter_mut().find(|events| events.front().is_some_and(|event| event.key == key)) else {
                continue;
            };
            match verdict {
                Ok(()) => {
                    events.pop_front();
                    delivered.published.push(key);
                }
                Err(refusal) => {
                    events.clear();
                    delivered.refuse(key, refusal);
                }
            }
        }
    }
}

/// The next event of each order, as many as a call carries. An order whose event can never be sent is left.
fn next_call(
    to: &impl Destination,
    waiting: &mut [VecDeque<&OrderEvent>],
    with_customer: bool,
    delivered: &mut Delivered,
) -> Vec<Message> {
    let (mut call, mut bytes) = (Vec::new(), 0);
    for events in waiting {
        let Some(event) = events.front() else { continue };
        let why = match Message::of(event, with_customer) {
            Some(message) if message.bytes() <= MOST_BYTES => {
                // What does not fit any more is for the next call.
                if bytes + message.bytes() <= MOST_BYTES {
                    bytes += message.bytes();
                    call.push(message);
                }
                continue;
            }
            Some(_) => Why::TooLarge,
            None => Why::Unwritten,
        };
        delivered.refuse(event.key, Refusal::new(to.name(), why));
        events.clear();
    }
    call
}

impl Delivered {
    fn refuse(&mut self, key: EventKey, refusal: Refusal) {
        tracing::warn!(event = %key, %refusal, "an event was not taken");
        self.refusal.get_or_insert(refusal);
    }
}

/// What became of each of so many messages, by what the service says of those with which number.
pub(super) fn verdicts<'a>(
    to: &impl Destination,
    messages: usize,
    taken: impl Iterator<Item = Option<&'a str>>,
    refused: impl Iterator<Item = (&'a str, &'a str)>,
) -> Verdicts {
    let mut said: HashMap<usize, Result<(), Refusal>> = HashMap::new();
    said.extend(taken.flatten().filter_map(|id| Some((id.parse().ok()?, Ok(())))));
    let refusal = |code: &str| Err(Refusal::new(to.name(), Why::Code(code.to_owned())));
    said.extend(refused.filter_map(|(id, code)| Some((id.parse().ok()?, refusal(code)))));
    let unanswered = || Err(Refusal::new(to.name(), Why::Unanswered));
    (0..messages).map(|number| said.remove(&number).unwrap_or_else(unanswered)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use bms_domain::event::OrderEventKind;
    use bms_domain::order::{Order, OrderState};
    use bms_domain::testing::sample;
    use bms_domain::time::Timestamp;
    use parking_lot::Mutex;
    use tokio::time::advance;

    use super::*;

    /// What a call ends with.
    type Answer = fn(&[EventKey]) -> Result<Verdicts, Refusal>;

    /// Remembers the calls, and takes so long for each.
    struct Recorder {
        calls: Mutex<Vec<Vec<Message>>>,
        takes: Duration,
        answer: Answer,
    }

    fn recorder(answer: Answer) -> Recorder {
        Recorder { calls: Mutex::default(), takes: Duration::ZERO, answer }
    }

    impl Recorder {
        fn sent(&self) -> Vec<EventKey> {
            self.calls.lock().iter().flatten().map(|message| message.key).collect()
        }
    }

    impl Destination for Recorder {
        fn name(&self) -> &str {
            "the queue"
        }

        async fn send(&self, messages: Vec<Message>) -> Result<Verdicts, Refusal> {
            let keys: Vec<EventKey> = messages.iter().map(|message| message.key).collect();
            self.calls.lock().push(messages);
            advance(self.takes).await;
            (self.answer)(&keys)
        }
    }

    fn refusal() -> Refusal {
        Refusal::new("the queue", Why::Code("InternalError".to_owned()))
    }

    fn key(order: u32, sequence: u32) -> EventKey {
        EventKey { order: sample::order_id(&sample::show("gala"), order), sequence }
    }

    fn event(order: u32, sequence: u32) -> OrderEvent {
        let (show, at) = (sample::show("gala"), Timestamp::parse("2030-01-31T18:00:00Z").unwrap());
        let order = Order {
            id: sample::order_id(&show, order),
            hold: sample::hold_id(&show, order),
            show,
            layout: sample::layout_id("plan"),
            owner: sample::user("ann"),
            seats: sample::seat_list(&sample::seats(&[1])),
            price: sample::euro(1_250),
            customer: sample::customer(),
            created_at: at,
            expires_at: at,
            state: OrderState::PaymentPending,
            refund_due: false,
        };
        OrderEvent { key: EventKey { order: order.id, sequence }, kind: OrderEventKind::Created, at, order }
    }

    /// Two events of each order, as an outbox gives them: the oldest first.
    fn events(orders: u32) -> Vec<OrderEvent> {
        (1..=2).flat_map(|sequence| (0..orders).map(move |order| event(order, sequence))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_go_in_a_call_each_of_another_order_and_each_order_in_its_order() {
        let queue = recorder(|keys| Ok(vec![Ok(()); keys.len()]));
        publish(&queue, &events(23), false).await.unwrap();
        let calls = queue.calls.lock();
        let mut sizes: Vec<_> = calls.iter().map(Vec::len).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [3, 3, 10, 10, 10, 10]);
        for call in calls.iter() {
            let orders: std::collections::HashSet<_> = call.iter().map(|message| message.key.order).collect();
            assert_eq!(orders.len(), call.len());
        }
        drop(calls);
        for order in 0..23 {
            let sent: Vec<_> = queue.sent().into_iter().filter(|sent| sent.order == key(order, 1).order).collect();
            assert_eq!(sent, [key(order, 1), key(order, 2)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_event_stops_its_order_alone() {
        let queue = recorder(|keys| Ok(keys.iter().map(|it| if *it == key(1, 1) { Err(refusal()) } else { Ok(()) }).collect()));
        let error = publish(&queue, &events(3), false).await.unwrap_err();
        assert_eq!(error.published, [key(0, 1), key(2, 1), key(0, 2), key(2, 2)]);
        assert!(error.untried.is_empty() && !queue.sent().contains(&key(1, 2)));
        assert_eq!(error.source.unwrap().downcast_ref::<Refusal>(), Some(&refusal()));
    }

    /// Four calls were under way; those of the other orders have not failed.
    #[tokio::test(start_paused = true)]
    async fn a_destination_that_is_down_is_left_alone() {
        let queue = Recorder { takes: Duration::from_millis(5), ..recorder(|_| Err(refusal())) };
        let error = publish(&queue, &events(60), false).await.unwrap_err();
        assert!(error.published.is_empty());
        let sent = queue.sent();
        assert!(sent.len() <= AT_ONCE * MOST_MESSAGES && !sent.is_empty());
        let untried: Vec<_> = (0..60).map(|order| key(order, 1)).filter(|key| !sent.contains(key)).collect();
        assert_eq!(error.untried, untried);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_when_the_time_is_over() {
        let queue = Recorder { takes: LAST_START, ..recorder(|keys| Ok(vec![Ok(()); keys.len()])) };
        let error = publish(&queue, &events(2), false).await.unwrap_err();
        assert_eq!((error.published, error.untried), (vec![key(0, 1), key(1, 1)], vec![key(0, 2), key(1, 2)]));
        assert!(error.source.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_carries_256_kib_and_what_is_larger_alone_is_refused() {
        let mut events = events(5);
        for event in &mut events[..5] {
            event.order.customer.name = "x".repeat(100 * 1024);
        }
        events[1].order.customer.name = "x".repeat(MOST_BYTES);
        let queue = recorder(|keys| Ok(vec![Ok(()); keys.len()]));
        let error = publish(&queue, &events, true).await.unwrap_err();
        assert_eq!(error.published.len(), 8);
        assert!(!queue.sent().iter().any(|sent| sent.order == key(1, 1).order));
        assert_eq!(error.source.unwrap().downcast_ref::<Refusal>(), Some(&Refusal::new("the queue", Why::TooLarge)));
        for call in queue.calls.lock().iter() {
            assert!(call.iter().map(Message::bytes).sum::<usize>() <= MOST_BYTES);
        }
        // Without the customers it is small.
        publish(&queue, &events, false).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_service_says_nothing_of_was_not_taken() {
        let queue = recorder(|_| unreachable!("no call is made"));
        let said = verdicts(&queue, 4, [Some("0"), None, Some("7"), Some("x")].into_iter(), [("2", "Full")].into_iter());
        let unanswered = || Err(Refusal::new("the queue", Why::Unanswered));
        assert_eq!(said, [Ok(()), unanswered(), Err(Refusal::new("the queue", Why::Code("Full".to_owned()))), unanswered()]);
    }

    #[test]
    fn characters_that_a_message_may_not_have_are_escaped() {
        let mut event = event(1, 1);
        event.order.customer.name = "a\u{fffe}b\u{ffff}c\u{fffd}".to_owned();
        let body = Message::of(&event, true).unwrap().body;
        assert!(!body.contains(['\u{fffe}', '\u{ffff}']) && body.contains('\u{fffd}'));
        let read: bms_adapters_http::EventBody = serde_json::from_str(&body).unwrap();
        assert!(read.order.customer == Some(event.order.customer.clone()));
        let without = Message::of(&event, false).unwrap().body;
        assert!(!without.contains("customer") && !without.contains(&event.order.customer.email));
    }
}
