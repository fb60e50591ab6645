//! Requests, one after the other, to a cinema of their own: each is answered as the contract says, and no seat is sold twice.
//!
//! An input is a text like that of HTTP, with `%%` between two requests: method and path, headers, an empty line, the body. `{alice}`,
//! `{bob}` and `{boss}` in it are tokens, `{hold}`, `{order}` and `{code}` what an answer had last, `{signature}` that of a payment notice.

use std::collections::HashSet;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use bms_adapters_http::testing::notice_signature;
use bms_domain::testing::fuzz::TestCaseError;
use bms_domain::time::Clock as _;
use proptest::{prop_assert, prop_assert_eq};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::support::{Answer, Ask, Cinema, WEBHOOK_SECRET, cinema, token};
use crate::{is_an_answer, runtime, target};

/// The most requests of an input that are sent.
const REQUESTS: usize = 12;

/// What answers had last.
#[derive(Default)]
struct Kept {
    hold: String,
    order: String,
    code: String,
}

impl Kept {
    fn keep(&mut self, answer: &Value) {
        for (place, name) in [(&mut self.hold, "holdId"), (&mut self.order, "orderId"), (&mut self.code, "ticketCode")] {
            if let Some(text) = answer[name].as_str() {
                text.clone_into(place);
            }
        }
    }

    fn filled(&self, text: &str) -> String {
        let mut text = text.replace("{hold}", &self.hold).replace("{order}", &self.order).replace("{code}", &self.code);
        for (name, user, admin) in [("{alice}", "alice", false), ("{bob}", "bob", false), ("{boss}", "the boss", true)] {
            if text.contains(name) {
                text = text.replace(name, &token(user, admin));
            }
        }
        text
    }
}

/// Reads a request, if it is one.
fn read(text: &[u8], kept: &Kept, cinema: &Cinema) -> Option<(Ask, Request<Body>)> {
    let (head, body) = match text.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (&text[..end], &text[end + 2..]),
        None => (text, &b""[..]),
    };
    // Bytes that are no text stay as they are.
    let body = match std::str::from_utf8(body) {
        Ok(body) => kept.filled(body.strip_suffix('\n').unwrap_or(body)).into_bytes(),
        Err(_) => body.to_vec(),
    };
    let head = kept.filled(&String::from_utf8_lossy(head));
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let ask =
        Ask { method: Method::from_bytes(method.as_bytes()).ok()?, path: path.to_owned(), headers: Vec::new(), body: Vec::new() };
    let mut request = Request::new(Body::from(body.clone()));
    (*request.method_mut(), *request.uri_mut()) = (ask.method.clone(), path.parse::<Uri>().ok()?);
    let time = cinema.clock.now().as_millis() / 1_000;
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let value = value.replace("{signature}", &notice_signature(WEBHOOK_SECRET, time, &String::from_utf8_lossy(&body)));
        request.headers_mut().append(HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some((ask, request))
}

/// Sends a request, and reads the answer, if it has an end.
async fn send(cinema: &Cinema, request: Request<Body>) -> Result<Answer, TestCaseError> {
    let (parts, body) = cinema.router.clone().oneshot(request).await.unwrap().into_parts();
    let is_live = parts.headers.get("content-type").is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
    let bytes = if is_live { Default::default() } else { axum::body::to_bytes(body, usize::MAX).await.unwrap() };
    Ok(Answer { status: parts.status, headers: parts.headers, bytes })
}

/// The operation that a request is of, in the served document.
fn operation<'a>(document: &'a Value, ask: &Ask, path: &str) -> Option<&'a Value> {
    let method = match ask.method.as_str() {
        // Every GET is a HEAD, too.
        "HEAD" => "get".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    let fits = |template: &str| {
        let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        let alike = |(wanted, given): (&&str, &&str)| wanted == given || wanted.starts_with('{');
        wanted.len() == given.len() && wanted.iter().zip(&given).all(alike)
    };
    let paths = document["paths"].as_object().unwrap();
    // What is written out goes before what stands for anything.
    let mut fitting: Vec<(&String, &Value)> = paths.iter().filter(|(template, _)| fits(template)).collect();
    fitting.sort_by_key(|(template, _)| template.matches('{').count());
    fitting.first()?.1.get(&method)
}

/// Whether the contract has this answer.
fn is_in_the_contract(document: &Value, ask: &Ask, path: &str, answer: &Answer) -> Result<(), TestCaseError> {
    let status = answer.status.as_u16().to_string();
    let Some(operation) = operation(document, ask, path) else {
        prop_assert!(["404", "405"].contains(&status.as_str()), "{} {} is answered {}", ask.method, path, status);
        return Ok(());
    };
    prop_assert!(operation["responses"].get(&status).is_some(), "{} {} is not said to be answered {}", ask.method, path, status);
    Ok(())
}

/// P1: what users were told to have bought, none of it twice, and all of it shown as taken.
async fn no_seat_is_sold_twice(cinema: &Cinema) -> Result<(), TestCaseError> {
    let fresh = |path: &str| Ask::get(path).header("cache-control", "no-cache");
    let mut sold = HashSet::new();
    for user in ["alice", "bob", "the boss"] {
        let orders = cinema.ask(fresh("/api/v1/orders?limit=100").by(user)).await.json();
        for order in orders["orders"].as_array().unwrap().iter().filter(|order| order["status"] == "CONFIRMED") {
            for seat in order["seatIds"].as_array().unwrap() {
                prop_assert!(sold.insert((order["showId"].clone(), seat.clone())), "{} is sold twice", seat);
            }
        }
    }
    let map = cinema.ask(fresh("/api/v1/shows/tonight/seatmap?layout=false")).await;
    prop_assert_eq!(map.status.as_u16(), 200);
    let taken = map.json()["unavailableSeatIds"].clone();
    for (_, seat) in sold.iter().filter(|(show, _)| show == "tonight") {
        prop_assert!(taken.as_array().unwrap().contains(seat), "{} is sold and shown as free", seat);
    }
    Ok(())
}

#[test]
fn fuzz() {
    let runtime = runtime();
    let document = runtime.block_on(async { cinema().await.ask(Ask::get("/api/v1/openapi.json")).await.json() });
    target("requests").check(&["no request", "refused", "partly carried out", "carried out"], |input| {
        runtime.block_on(async {
            let cinema = cinema().await;
            let (mut kept, mut good, mut bad) = (Kept::default(), 0, 0);
            for text in
                input.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>().split(|line| *line == b"%%\n").take(REQUESTS)
            {
                let Some((ask, request)) = read(&text.concat(), &kept, &cinema) else { continue };
                let path = request.uri().path().to_owned();
                let answer = send(&cinema, request).await?;
                is_an_answer(&ask, &answer)?;
                is_in_the_contract(&document, &ask, &path, &answer)?;
                kept.keep(&answer.json());
                if answer.status.is_success() { good += 1 } else { bad += 1 }
            }
            no_seat_is_sold_twice(&cinema).await?;
            Ok(match (good, bad) {
                (0, 0) => "no request",
                (0, _) => "refused",
                (_, 0) => "carried out",
                _ => "partly carried out",
            })
        })
    });
}
