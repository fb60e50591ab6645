//! A request's body on its way through: streamed, bounded, and kept as far as it has gone, so that it can be sent again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use bms_adapters_http::problem::{Code, Problem};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{LengthLimitError, Limited};
use parking_lot::Mutex;

/// What a client did wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the body is too large")]
    TooLarge { limit: usize },
    #[error("the body broke off")]
    BrokenOff,
    #[error("the body did not come to its end in time")]
    Stalled,
    /// Never a client's: it was begun anew.
    #[error("the body is sent anew")]
    Superseded,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge { limit } => Self::new(Code::BodyTooLarge, format!("at most {limit} bytes")),
            Fault::Stalled => Self::new(Code::RequestTimeout, "the body did not come to its end; nothing was done"),
            Fault::BrokenOff | Fault::Superseded => Self::new(Code::MalformedRequest, "the body could not be read"),
        }
    }
}

/// A body that can be sent more than once, by one try after the other.
#[derive(Clone)]
pub(crate) struct KeptBody(Arc<Mutex<Kept>>);

struct Kept {
    limit: usize,
    /// What was sent already; at most as much as the limit.
    sent: Vec<Bytes>,
    rest: Limited<Body>,
    fault: Option<Fault>,
    /// The client has not sent the rest yet, and somebody wants it.
    is_awaited: bool,
    tries: usize,
}

impl KeptBody {
    /// A body of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] when it says that it is longer.
    pub(crate) fn new(body: Body, limit: usize) -> Result<Self, Fault> {
        if body.size_hint().lower() > limit as u64 {
            return Err(Fault::TooLarge { limit });
        }
        let rest = Limited::new(body, limit);
        Ok(Self(Arc::new(Mutex::new(Kept { limit, sent: Vec::new(), rest, fault: None, is_awaited: false, tries: 0 }))))
    }

    /// The body from its beginning. A try before this one gets no more of it.
    pub(crate) fn begin_try(&self) -> Try {
        let mut kept = self.0.lock();
        kept.tries += 1;
        Try { number: kept.tries, kept: self.0.clone(), next: 0 }
    }

    /// Whether its client is waited for.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.lock().is_awaited
    }

    /// What was wrong with it, if it was the client's doing.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.0.lock().fault
    }
}

/// The body for one try.
pub(crate) struct Try {
    kept: Arc<Mutex<Kept>>,
    number: usize,
    next: usize,
}

impl HttpBody for Try {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = self.get_mut();
        let mut kept = this.kept.lock();
        if kept.tries != this.number {
            return Poll::Ready(Some(Err(Fault::Superseded)));
        }
        if let Some(bytes) = kept.sent.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(bytes.clone()))));
        }
        let polled = Pin::new(&mut kept.rest).poll_frame(context);
        kept.is_awaited = polled.is_pending();
        match ready!(polled) {
            // Trailers say nothing in this contract.
            Some(Ok(frame)) => Poll::Ready(frame.into_data().ok().map(|bytes| {
                kept.sent.push(bytes.clone());
                this.next += 1;
                Ok(Frame::data(bytes))
            })),
            Some(Err(error)) => {
                let limit = kept.limit;
                let fault = if error.is::<LengthLimitError>() { Fault::TooLarge { limit } } else { Fault::BrokenOff };
                kept.fault = Some(fault);
                Poll::Ready(Some(Err(fault)))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.kept.lock();
        self.next == kept.sent.len() && kept.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.kept.lock();
        let again: u64 = kept.sent.iter().skip(self.next).map(|bytes| bytes.len() as u64).sum();
        let rest = kept.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(again + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(again + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    fn streamed(parts: &'static [&'static str]) -> Body {
        Body::from_stream(stream::iter(parts.iter().map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part.as_bytes())))))
    }

    #[test]
    fn a_second_try_gets_what_the_first_got_and_the_rest() {
        let body = KeptBody::new(streamed(&["ab", "cd", "ef"]), 6).unwrap();
        let mut first = body.begin_try();
        assert_eq!(block_on(first.frame()).unwrap().unwrap().into_data().unwrap(), "ab");
        let second = body.begin_try();
        assert_eq!(block_on(first.frame()).unwrap().unwrap_err(), Fault::Superseded);
        assert_eq!(block_on(second.collect()).unwrap().to_bytes(), "abcdef");
        assert_eq!(body.fault(), None);
    }

    #[test]
    fn its_length_is_known_as_well_as_that_of_the_client_s() {
        let body = KeptBody::new(Body::from("abc"), 3).unwrap();
        assert_eq!(body.begin_try().size_hint().exact(), Some(3));
        block_on(body.begin_try().collect()).unwrap();
        assert_eq!(body.begin_try().size_hint().exact(), Some(3));
    }

    #[test]
    fn what_is_too_long_is_refused_before_or_within() {
        assert_eq!(KeptBody::new(Body::from("abcd"), 3).err(), Some(Fault::TooLarge { limit: 3 }));
        let body = KeptBody::new(streamed(&["ab", "cd"]), 3).unwrap();
        assert_eq!(block_on(body.begin_try().collect()).unwrap_err(), Fault::TooLarge { limit: 3 });
        assert_eq!(body.fault(), Some(Fault::TooLarge { limit: 3 }));
    }
}
