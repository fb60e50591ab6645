//! Live seat maps, which a function answers in one piece.

use bms_adapters_lambda::Function;

use crate::support::{ask, event, function, jwt};

const EVENTS: &str = "/api/v1/shows/tonight/seatmap/events";

#[tokio::test(start_paused = true)]
async fn a_live_map_is_what_is_new_and_then_ends() {
    let seats = function(Function::Seats, jwt()).await;
    let first = ask(&seats, &event("GET", EVENTS)).await.is(200);
    assert_eq!(first.header("content-type"), Some("text/event-stream"));
    let lines: Vec<&str> = first.text().lines().collect();
    assert!(lines.contains(&"event: snapshot") && lines.iter().any(|line| line.starts_with("retry: ")), "{lines:?}");
    let id = lines.iter().find_map(|line| line.strip_prefix("id: ")).unwrap();

    // Nothing has changed since: it ends all the same, and soon.
    let mut again = event("GET", EVENTS);
    again["headers"]["last-event-id"] = id.into();
    let begun = tokio::time::Instant::now();
    let answer = ask(&seats, &again).await.is(200);
    assert!(!answer.text().contains("event:"), "{}", answer.text());
    assert!(begun.elapsed().as_secs() <= 2);
}
