//! Live seat maps.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::body::BodyDataStream;
use bms_domain::id::{Caller, UserId};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::stores::{Mishap, UnluckyHolds};
use crate::support::{Ask, Cinema, Plan, cinema};

struct Event {
    name: String,
    id: String,
    data: Value,
}

struct Watch {
    stream: BodyDataStream,
    text: String,
}

impl Watch {
    async fn open(cinema: &Cinema, last: Option<&str>) -> Self {
        let mut ask = Ask::get("/api/v1/shows/tonight/seatmap/events");
        if let Some(last) = last {
            ask = ask.header("last-event-id", last);
        }
        let response = cinema.router.clone().oneshot(ask.request()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { stream: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event, comments left out; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    line.map(|value| value.trim_start().to_owned())
                };
                if let Some(data) = field("data") {
                    let data = serde_json::from_str(&data).unwrap();
                    return Some(Event { name: field("event").unwrap(), id: field("id").unwrap(), data });
                }
                continue;
            }
            let bytes = self.stream.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_map_begins_whole_and_goes_on_in_changes() {
    let cinema = cinema().await;
    cinema.held("alice", &["A1"]).await;
    let mut watch = Watch::open(&cinema, None).await;
    let snapshot = watch.next().await.unwrap();
    assert_eq!(snapshot.name, "snapshot");
    assert_eq!(snapshot.id, snapshot.data["version"].to_string());
    assert_eq!(snapshot.data["showId"], "tonight");
    assert_eq!((&snapshot.data["unavailableSeatIds"], &snapshot.data["heldSeatIds"]), (&json!(["A20"]), &json!(["A1"])));
    assert_eq!(snapshot.data.as_object().unwrap().len(), 4);

    let order = cinema.ordered("bob", &["A2", "A3"]).await;
    let held = watch.next().await.unwrap();
    assert_eq!((held.name.as_str(), &held.data["held"]), ("change", &json!(["A2", "A3"])));
    assert_eq!((&held.data["sold"], &held.data["freed"]), (&json!([]), &json!([])));
    cinema.confirm("bob", &order, "pay_ok").await.is(200);
    let sold = watch.next().await.unwrap();
    assert_eq!(sold.data["sold"], json!(["A2", "A3"]));
    assert!(sold.data["version"].as_u64() > held.data["version"].as_u64());
    assert_eq!(sold.data.as_object().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_expires_is_seen_though_nobody_does_anything() {
    let cinema = cinema().await;
    cinema.held("alice", &["A1"]).await;
    let mut watch = Watch::open(&cinema, None).await;
    watch.next().await.unwrap();
    // It waits already when the time runs out.
    assert!(tokio::time::timeout(Duration::from_millis(10), watch.next()).await.is_err());
    cinema.clock.advance(Duration::from_mins(10));
    let change = tokio::time::timeout(Duration::from_secs(3), watch.next()).await.unwrap().unwrap();
    assert_eq!((change.name.as_str(), &change.data["freed"]), ("change", &json!(["A1"])));
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_gets_what_was_missed_or_the_whole() {
    let cinema = cinema().await;
    cinema.held("alice", &["A1"]).await;
    let first = Watch::open(&cinema, None).await.next().await.unwrap();
    cinema.held("alice", &["A2"]).await;
    cinema.held("alice", &["A3"]).await;
    let mut back = Watch::open(&cinema, Some(&first.id)).await;
    let (second, third) = (back.next().await.unwrap(), back.next().await.unwrap());
    assert_eq!((second.name.as_str(), &second.data["held"]), ("change", &json!(["A2"])));
    assert_eq!((third.name.as_str(), &third.data["held"]), ("change", &json!(["A3"])));

    // A version that is none of this store's is a gap; what is no version at all is left alone.
    for last in ["1", "18446744073709551615", "seven", ""] {
        let event = Watch::open(&cinema, Some(last)).await.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data["heldSeatIds"]), ("snapshot", &json!(["A1", "A2", "A3"])), "{last}");
    }
}

/// A kept map is older than the versions that follow: its changes would be missing.
#[tokio::test(start_paused = true)]
async fn a_live_map_begins_with_a_map_that_is_read_now() {
    let mut plan = Plan::new();
    let holds = plan.ports.holds.clone();
    let unlucky = UnluckyHolds { inner: holds.clone(), mishap: Mishap::Down, times: AtomicUsize::new(0), told: false };
    plan.ports.holds = Arc::new(unlucky);
    let cinema = plan.open().await;
    let hold = cinema.held("alice", &["A1"]).await;
    cinema.ask(Ask::get("/api/v1/shows/tonight/seatmap")).await.is(200);
    let alice = Caller::user(UserId::parse("alice").unwrap());
    holds.release(hold.parse().unwrap(), &alice).await.unwrap();
    let snapshot = Watch::open(&cinema, None).await.next().await.unwrap();
    assert_eq!(snapshot.data["heldSeatIds"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_live_map_ends_when_the_program_goes_down() {
    let cinema = Plan::new().open().await;
    let mut watch = Watch::open(&cinema, None).await;
    watch.next().await.unwrap();
    cinema.shutdown.begin();
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_show_that_is_not_there_has_no_live_map() {
    let cinema = cinema().await;
    for last in ["1", "x"] {
        let ask = Ask::get("/api/v1/shows/nothing/seatmap/events").header("last-event-id", last);
        cinema.ask(ask).await.is_problem(404, "not-found");
    }
}
