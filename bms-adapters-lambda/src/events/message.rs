//! An event as a message.

use bms_adapters_http::EventBody;
use bms_domain::event::{EventKey, OrderEvent};

/// The most that one call may carry: bodies with the names, types and values of their attributes.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// The type of every attribute.
pub(super) const TEXT: &str = "String";

/// What is sent of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) key: EventKey,
    pub(super) body: String,
    pub(super) attributes: [(&'static str, String); 3],
}

impl Message {
    /// None when the event cannot be written.
    pub(super) fn of(event: &OrderEvent, with_customer: bool) -> Option<Self> {
        let body = EventBody::of(event, with_customer);
        // Two characters may stand in JSON as they are and not in a message, which is refused with all others of its call.
        let text = serde_json::to_string(&body).ok()?.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff");
        Some(Self { key: event.key, attributes: attributes(&body), body: text })
    }

    /// What it adds to a call.
    pub(super) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + TEXT.len() + value.len());
        self.body.len() + attributes.sum::<usize>()
    }
}

/// What a message is filtered by.
pub(crate) fn attributes(event: &EventBody) -> [(&'static str, String); 3] {
    let (order, show) = (event.order.order_id.to_string(), event.order.show_id.to_string());
    [("eventType", event.kind.clone()), ("orderId", order), ("showId", show)]
}

/// Whether a queue or a topic of this name keeps an order.
pub(crate) fn is_fifo(name: &str) -> bool {
    name.ends_with(".fifo")
}
