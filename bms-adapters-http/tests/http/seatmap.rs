//! Seat maps that are asked for again.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bms_domain::id::{Caller, UserId};
use serde_json::json;

use crate::stores::{Mishap, UnluckyHolds};
use crate::support::{Ask, Plan, catalogue, cinema};

const MAP: &str = "/api/v1/shows/tonight/seatmap";

#[tokio::test]
async fn a_map_that_is_known_is_not_sent_again_until_it_changes() {
    let cinema = cinema().await;
    let first = cinema.ask(Ask::get(MAP)).await;
    let tag = first.is(200).header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");

    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = cinema.ask(Ask::get(MAP).header("if-none-match", known)).await;
        again.is(304);
        assert!(again.bytes.is_empty());
        assert_eq!(again.header("etag"), Some(tag.as_str()));
        assert_eq!(again.header("cache-control"), Some("no-cache"));
    }
    cinema.ask(Ask::get(MAP).header("if-none-match", "\"other\"")).await.is(200);
    // Without its layout it is another thing.
    let short = cinema.ask(Ask::get(format!("{MAP}?layout=false")).header("if-none-match", &*tag)).await;
    assert_ne!(short.is(200).header("etag"), Some(tag.as_str()));

    cinema.held("alice", &["A1"]).await;
    let changed = cinema.ask(Ask::get(MAP).header("if-none-match", &*tag)).await;
    assert_ne!(changed.is(200).header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn a_tag_is_of_the_bytes_that_are_sent() {
    let cinema = cinema().await;
    let first = cinema.ask(Ask::get(MAP)).await;
    let tag = first.header("etag").unwrap().to_owned();
    // The same seats as before, but another version.
    let hold = cinema.held("alice", &["A1"]).await;
    cinema.ask(Ask::delete(format!("/api/v1/holds/{hold}")).by("alice")).await.is(200);
    let second = cinema.ask(Ask::get(MAP).header("if-none-match", &*tag)).await;
    assert_ne!(second.is(200).json()["version"], first.json()["version"]);
    let tag = second.header("etag").unwrap().to_owned();
    // The same version, but another seat that is not for sale.
    let mut show = catalogue()["shows"][0].clone();
    show["blockedSeats"] = json!(["A19", "A20"]);
    cinema.ask(Ask::put("/api/v1/admin/shows/tonight", show).by_admin()).await.is(200);
    let third = cinema.ask(Ask::get(MAP).header("if-none-match", &*tag)).await;
    assert_eq!(third.is(200).json()["version"], second.json()["version"]);
    assert_eq!(third.json()["unavailableSeatIds"], json!(["A19", "A20"]));
}

#[tokio::test]
async fn a_map_says_nothing_of_who_holds_a_seat() {
    let cinema = cinema().await;
    let hold = cinema.held("canary-user", &["A1"]).await;
    let map = cinema.ask(Ask::get(MAP)).await;
    let text = String::from_utf8(map.is(200).bytes.to_vec()).unwrap();
    assert!(!text.contains("canary-user") && !text.contains(&hold));
}

/// The map of a hold store that tells nothing of what other processes change.
#[tokio::test]
async fn a_map_is_kept_for_a_while_and_read_anew_for_who_asks_for_it() {
    let mut plan = Plan::new();
    let holds = plan.ports.holds.clone();
    let unlucky = UnluckyHolds { inner: holds.clone(), mishap: Mishap::Down, times: AtomicUsize::new(0), told: false };
    plan.ports.holds = Arc::new(unlucky);
    let cinema = plan.open().await;
    let hold = cinema.held("alice", &["A1"]).await;
    let kept = cinema.ask(Ask::get(MAP)).await.is(200).json();
    assert_eq!(kept["heldSeatIds"], json!(["A1"]));
    // Another process gives the seat back.
    let alice = Caller::user(UserId::parse("alice").unwrap());
    holds.release(hold.parse().unwrap(), &alice).await.unwrap();
    let ask = |name: &str, value: &str| Ask::get(MAP).header(name, value);
    for stale in [
        Ask::get(MAP),
        ask("cache-control", "max-age=60"),
        ask("cache-control", "max-age=x, no-store"),
        ask("pragma", "x-private"),
        ask("pragma", "no-cache").header("cache-control", "max-stale"),
    ] {
        let answer = cinema.ask(stale.clone()).await;
        assert_eq!(answer.is(200).json(), kept, "{stale:?}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
    }
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("cache-control", "No-Transform, NO-CACHE"),
        ("cache-control", "Max-Age = 0"),
        ("pragma", "no-cache"),
    ] {
        let answer = cinema.ask(ask(name, value)).await;
        assert_eq!(answer.is(200).json()["heldSeatIds"], json!([]), "{name}: {value}");
        // What was read is kept for the others. For the next round it is held again.
        assert_eq!(cinema.ask(Ask::get(MAP)).await.json()["heldSeatIds"], json!([]));
        let hold = cinema.held("alice", &["A1"]).await;
        assert_eq!(cinema.ask(Ask::get(MAP)).await.json()["heldSeatIds"], json!(["A1"]));
        holds.release(hold.parse().unwrap(), &alice).await.unwrap();
    }
    assert_eq!(cinema.ask(Ask::get(MAP)).await.json()["heldSeatIds"], json!(["A1"]));
    cinema.clock.advance(Duration::from_secs(5));
    assert_eq!(cinema.ask(Ask::get(MAP)).await.json()["heldSeatIds"], json!([]));
}
