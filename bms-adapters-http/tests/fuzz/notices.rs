//! A payment provider's notices: taken when they are signed, once, and never when a bit of them is another.
//!
//! An input is a line, the header `Bms-Signature`, and behind it the body. In the line `{t}`, `{old}` and `{early}` are times, and `{v1}`,
//! `{v1:old}`, `{v1:early}` and `{v1:other}` signatures of the body at these times, the last by a stranger. In the body `{order}` is an order
//! that waits. So a body is rightly signed however it was edited, and is looked at.

use std::cell::RefCell;

use axum::http::HeaderValue;
use bms_adapters_http::testing::notice_signature;
use bms_domain::testing::fuzz::TestCaseError;
use bms_domain::time::Clock as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::{prop_assert, prop_assert_eq};
use serde_json::Value;
use sha2::Sha256;

use crate::support::{Answer, Ask, Cinema, WEBHOOK_SECRET, answer, cinema};
use crate::{is_an_answer, runtime, target};

/// How old a signature may be, and how far ahead, in seconds.
const TOLERANCE: i64 = 300;

/// The line that providers send.
const PLAIN: &[u8] = b"t={t},v1={v1}\n";

/// What is sent: bytes, as a client sends them.
#[derive(Clone)]
struct Notice {
    signature: Vec<u8>,
    body: Vec<u8>,
}

/// HMAC-SHA256 of a time, a dot and the body, in hex.
fn mac(secret: &str, time: &[u8], body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(time).chain_update(b".").chain_update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Notice {
    fn of(input: &[u8], order: &str, now: i64) -> Self {
        let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let (line, body) = input.split_at(end);
        let body = replace(body.get(1..).unwrap_or_default(), "{order}", order);
        let mut signature = line.to_vec();
        for (name, time) in [("t", now), ("old", now - TOLERANCE - 1), ("early", now + TOLERANCE + 1)] {
            let time = time.to_string();
            signature = replace(&signature, &format!("{{{name}}}"), &time);
            let mark = if name == "t" { "{v1}".to_owned() } else { format!("{{v1:{name}}}") };
            signature = replace(&signature, &mark, &mac(WEBHOOK_SECRET, time.as_bytes(), &body));
        }
        signature = replace(&signature, "{v1:other}", &mac("another secret of somebody", now.to_string().as_bytes(), &body));
        Self { signature, body }
    }

    /// Whether there is in the header, in some form, a time that is not too far away and the signature that belongs to it.
    fn is_signed(&self, now: i64) -> bool {
        let text = String::from_utf8_lossy(&self.signature).to_lowercase();
        let times = text.split(',').filter_map(|field| field.trim().strip_prefix("t="));
        times
            .filter(|time| time.parse().is_ok_and(|time: i64| time.saturating_sub(now).saturating_abs() <= TOLERANCE))
            .any(|time| text.contains(&mac(WEBHOOK_SECRET, time.as_bytes(), &self.body)))
    }

    /// What is answered to it, if it can be sent.
    async fn send(&self, cinema: &Cinema) -> Option<Answer> {
        let signature = HeaderValue::from_bytes(&self.signature).ok()?;
        let mut request = post().body(self.body.clone()).request();
        request.headers_mut().insert("bms-signature", signature);
        Some(answer(&cinema.router, request).await)
    }
}

fn post() -> Ask {
    Ask::new("POST", "/api/v1/payments/events").header("content-type", "application/json")
}

fn replace(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from.as_bytes()) {
        replaced.extend(&rest[..at]);
        replaced.extend(to.as_bytes());
        rest = &rest[at + from.len()..];
    }
    replaced.extend(rest);
    replaced
}

async fn order_of(cinema: &Cinema, order: &str) -> Value {
    cinema.ask(Ask::get(format!("/api/v1/orders/{order}")).by("alice")).await.json()
}

/// A bit of the body, the time or the signature, here and there.
async fn is_refused_once_a_bit_is_changed(notice: &Notice, cinema: &Cinema, from: usize) -> Result<(), TestCaseError> {
    for step in 0..6 {
        let mut changed = notice.clone();
        // Behind `t=`, and not the bit that makes a capital letter: the signature may be written so, too.
        let (bytes, first) = if step % 2 == 0 { (&mut changed.body, 0) } else { (&mut changed.signature, 2) };
        let at = first + (from * 31 + step * 17) % (bytes.len() - first);
        bytes[at] ^= 1 << (step % 5);
        let answer = changed.send(cinema).await.map(|answer| answer.status.as_u16());
        prop_assert!(matches!(answer, None | Some(401)), "changed at {}, it is answered {:?}", at, answer);
    }
    Ok(())
}

/// A cinema with an order that waits for its payment.
async fn waiting() -> (Cinema, String) {
    let cinema = cinema().await;
    let order = cinema.ordered("alice", &["A1"]).await;
    (cinema, order)
}

#[test]
fn fuzz() {
    let runtime = runtime();
    // What is refused changes nothing, as is looked at, so that the next can have the same cinema: to open one takes its time.
    let kept = RefCell::new(None);
    target("notices").check(&["unsendable", "refused", "signed, but no notice", "taken"], |input| {
        runtime.block_on(async {
            let of_before = kept.take();
            let (cinema, order) = if let Some(before) = of_before { before } else { waiting().await };
            let now = cinema.clock.now().as_millis() / 1_000;
            let notice = Notice::of(input, &order, now);
            let before = order_of(&cinema, &order).await;
            let Some(answer) = notice.send(&cinema).await else { return Ok("unsendable") };
            is_an_answer(&post(), &answer)?;
            if answer.status == 401 {
                // The usual form has to be taken.
                prop_assert!(!input.starts_with(PLAIN), "a good signature is refused");
            } else {
                prop_assert!(notice.is_signed(now), "it is not signed: {:?}", answer);
            }
            let after = order_of(&cinema, &order).await;
            if answer.status != 200 {
                prop_assert_eq!(after, before);
                kept.replace(Some((cinema, order)));
                return Ok(if answer.status == 401 { "refused" } else { "signed, but no notice" });
            }
            // Again it changes nothing.
            prop_assert_eq!(notice.send(&cinema).await.map(|answer| answer.status.as_u16()), Some(200));
            prop_assert_eq!(order_of(&cinema, &order).await, after);
            if input.starts_with(PLAIN) {
                is_refused_once_a_bit_is_changed(&notice, &cinema, input.len()).await?;
            }
            Ok::<_, TestCaseError>("taken")
        })
    });
    // The helper of other tests signs as this one does.
    assert!(notice_signature(WEBHOOK_SECRET, 7, "x").ends_with(&mac(WEBHOOK_SECRET, b"7", b"x")));
}
